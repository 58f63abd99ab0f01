"""pytest options and fixtures that turn every claim of a study into a test.

Loaded by pytest through an entry point, so it imports nothing heavy until a test asks for it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import xarray as xr

    from actbench.claims import Claim, ClaimsFile
    from actbench.verdicts import Judgment

_CLAIMS = pytest.StashKey["ClaimsFile"]()
_LOW_MARGIN = 2.0
_BASELINE_SEEDS = 100


class NotReproduced(AssertionError):  # noqa: N818 - the name of a finding, not of an error
    """The verdict is the expected one, and it is not that the claim holds."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the claims suite."""
    group = parser.getgroup("actbench", "claims with verdicts")
    group.addoption("--seeds", type=int, default=16, help="seeds per training, from 42 on")
    group.addoption(
        "--device", default="cpu", help="where to train: cpu, cuda, mps, xpu or auto (default cpu)"
    )
    group.addoption("--threads", type=int, help="CPU threads (default: physical cores, at most 8)")
    group.addoption(
        "--from-results",
        metavar="DIR",
        type=Path,
        help="judge what actbench reproduce wrote to DIR instead of training",
    )
    group.addoption(
        "--slow",
        action="store_true",
        help="train what takes minutes too, rather than judge "
        "those claims from stored measurements",
    )
    group.addoption(
        "--regenerate-baselines",
        action="store_true",
        help=f"measure anew with {_BASELINE_SEEDS} seeds, rewrite the baselines that differ, show "
        "old and new, and fail",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marks, also outside this repository."""
    config.addinivalue_line("markers", "claim: a documented claim of the study, judged")
    config.addinivalue_line("markers", "slow: trains for minutes; needs --slow")


def shipped_claims(config: pytest.Config) -> ClaimsFile:
    """Return the study's claims, read once per session.

    Args:
        config: Of the running session.

    Returns:
        The content of ``baselines/published.toml``.
    """
    if _CLAIMS not in config.stash:
        from actbench import claims

        config.stash[_CLAIMS] = claims.published()
    return config.stash[_CLAIMS]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give one test per claim to whoever asks for the fixture ``claim``."""
    if "claim" in metafunc.fixturenames:
        claims = shipped_claims(metafunc.config)
        metafunc.parametrize(
            "claim",
            [pytest.param(c, id=c.id, marks=_marks(claims, c)) for c in claims.claim],
        )


def _marks(claims: ClaimsFile, claim: Claim) -> list[pytest.MarkDecorator]:
    from actbench.claims import Verdict

    marks = [pytest.mark.claim]
    if claim.protocol is not None and claims.protocol[claim.protocol].slow:
        marks.append(pytest.mark.slow)
    if claim.expected is Verdict.NOT_TESTABLE:
        marks.append(pytest.mark.skip(reason=f"not testable: {claim.because}"))
    elif claim.expected is not Verdict.REPRODUCED:
        marks.append(
            pytest.mark.xfail(raises=NotReproduced, strict=True, reason=_reason(claims, claim))
        )
    return marks


def _reason(claims: ClaimsFile, claim: Claim) -> str:
    """Published, measured and why; measured from the store, as nothing has run yet."""
    from actbench.errors import ActbenchError
    from actbench.evidence import judge_one

    try:
        stored = judge_one(claims, claim, lambda protocol: None).sentence
    except ActbenchError:
        stored = "nothing stored yet"
    return f"{claim.expected}: {stored}. {claim.because}"


@pytest.fixture(scope="session")
def claims_file(pytestconfig: pytest.Config) -> ClaimsFile:
    """The study's claims."""
    return shipped_claims(pytestconfig)


@pytest.fixture(scope="session")
def protocol_dataset(
    pytestconfig: pytest.Config,
    claims_file: ClaimsFile,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], xr.Dataset | None]:
    """Return a function from a protocol's name to its dataset, computed once per session.

    Workers of pytest-xdist share what one of them computed. The function returns ``None`` for a
    slow protocol unless ``--slow`` was given: its claims are judged from stored measurements.
    """
    from filelock import FileLock

    from actbench import datasets, evidence
    from actbench.experiments import EXPERIMENTS

    folder = tmp_path_factory.getbasetemp()
    if hasattr(pytestconfig, "workerinput"):
        folder = folder.parent
    results = pytestconfig.getoption("--from-results")
    regenerate = pytestconfig.getoption("--regenerate-baselines")
    seeds = _BASELINE_SEEDS if regenerate else pytestconfig.getoption("--seeds")
    known: dict[str, xr.Dataset] = {}

    def find(name: str) -> xr.Dataset | None:
        protocol = claims_file.protocol[name]
        if protocol.slow and not (pytestconfig.getoption("--slow") or regenerate):
            return None
        if results is not None:
            return evidence.stored_dataset(results, name, protocol)
        if name not in known:
            path = folder / f"actbench-{name}.nc"
            with FileLock(f"{path}.lock"):
                if not path.exists():
                    config = evidence.config_for(
                        protocol,
                        seeds,
                        pytestconfig.getoption("--device"),
                        pytestconfig.getoption("--threads"),
                    )
                    module = EXPERIMENTS[protocol.experiment].module()
                    datasets.save(module.run(config), path)
            known[name] = datasets.load(path)
        return known[name]

    return find


@pytest.fixture
def judgment(
    request: pytest.FixtureRequest,
    claim: Claim,
    claims_file: ClaimsFile,
    protocol_dataset: Callable[[str], Any],
) -> Judgment:
    """The verdict on the test's claim, noted for the summary and for JUnit files."""
    from actbench.evidence import judge_one

    result = judge_one(claims_file, claim, protocol_dataset)
    stored = claim.protocol is not None and protocol_dataset(claim.protocol) is None
    # What record_property does, without its warning about JUnit's default family.
    noted = request.node.user_properties
    for key in ("verdict", "expected", "published", "measured", "margin", "seeds"):
        noted.append((key, result.row()[key]))
    noted.append(("judged_from_stored_measurements", stored))
    noted.append(("actbench", {**result.row(), "stored": stored}))
    return result


def check_expected(judgment: Judgment) -> None:
    """End a claim's test as its verdict says.

    Args:
        judgment: The verdict with its evidence.

    Raises:
        NotReproduced: The verdict is the expected one, and the claim does not hold as stated.
    """
    from actbench.claims import Verdict

    claim = judgment.claim
    if not judgment.as_expected:
        if judgment.verdict is Verdict.INCONCLUSIVE and judgment.seeds < judgment.seeds_needed:
            pytest.skip(f"needs {judgment.seeds_needed} seeds, {judgment.seeds} were run")
        pytest.fail(
            f"{claim.id} is {judgment.verdict}, but {claim.expected} was expected.\n"
            f"claim:    {claim.statement}\n"
            f"measured: {judgment.sentence}\n"
            f"look at:  actbench claims show {claim.id}",
            pytrace=False,
        )
    if judgment.verdict is not Verdict.REPRODUCED:
        raise NotReproduced(judgment.sentence)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Count the verdicts, and name the claims that are close to flipping."""
    rows = [
        value
        for reports in terminalreporter.stats.values()
        for report in reports
        for key, value in getattr(report, "user_properties", [])
        if key == "actbench" and getattr(report, "when", "") == "call"
    ]
    if not rows:
        return
    terminalreporter.section("claims")
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["verdict"]] = counts.get(row["verdict"], 0) + 1
    terminalreporter.write_line(", ".join(f"{n} {v}" for v, n in sorted(counts.items())))
    stored = sorted(row["id"] for row in rows if row["stored"])
    if stored:
        terminalreporter.write_line(
            f"judged from stored measurements (--slow trains them): {', '.join(stored)}"
        )
    for row in sorted(rows, key=lambda r: r["margin"] or 0):
        if row["margin"] is not None and row["kind"] != "equals" and row["margin"] < _LOW_MARGIN:
            terminalreporter.write_line(
                f"margin {row['margin']:.2f}x: {row['id']} ({row['verdict']})"
            )
