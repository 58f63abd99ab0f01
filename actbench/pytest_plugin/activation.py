"""pytest's option ``--activation``: tests of an activation of one's own, a test per property.

Part of ``pytest_plugin``, so it imports nothing heavy until a test asks for it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import pytest

if TYPE_CHECKING:
    from actbench.activations import Activation
    from actbench.own import Candidate

_T = TypeVar("_T")

SUITE = Path(__file__).with_name("activation_suite.py")
"""The tests that ``--activation`` adds to those that are collected anyway."""

_CHECKS = (
    *("runs", "keeps_the_shape", "is_finite", "is_deterministic", "is_elementwise"),
    "has_a_gradient",
)
"""Keys of ``own.CHECKS``, which can't be imported here."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.getgroup("actbench").addoption(
        "--activation",
        action="append",
        default=[],
        metavar="SPEC",
        help="test an activation of your own, path/to/file.py:name or module:name (the file runs "
        "as code); may be repeated",
    )


@pytest.hookimpl(tryfirst=True)  # so that -k and -m choose among these tests too
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Add the suite to what is collected, without the conftest files that lie around it."""
    if config.getoption("--activation") and not any(item.path == SUITE for item in items):
        items += session.genitems(pytest.Module.from_parent(session, path=SUITE))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give one test per activation, and per check, to whoever asks for them."""
    given = list(dict.fromkeys(metafunc.config.getoption("--activation")))
    for fixture in ("own_candidate", "own_activation"):
        if fixture in metafunc.fixturenames:
            metafunc.parametrize(fixture, given, indirect=True, ids=given, scope="session")
    if "own_check" in metafunc.fixturenames:
        metafunc.parametrize("own_check", _CHECKS)


@pytest.fixture(scope="session")
def own_candidate(request: pytest.FixtureRequest) -> Candidate:
    """An activation of ``--activation`` that nothing has checked yet; a test for each."""
    from actbench import own

    return _or_fail(own.candidate, request.param)


@pytest.fixture(scope="session")
def own_activation(request: pytest.FixtureRequest) -> Activation:
    """An activation of ``--activation``, checked and registered; a test for each."""
    from actbench import own

    return _or_fail(own.activation, request.param)


def _or_fail(load: Callable[[str], _T], given: str) -> _T:
    from actbench.errors import ActbenchError

    try:
        return load(given)
    except ActbenchError as error:
        mistake = str(error)
    pytest.fail(mistake, pytrace=False)  # outside, so that the line stands alone
