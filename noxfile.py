"""Sessions: `lint`, `tests`, `processors`, `guests`, `rooms`, `mutation`, `track -- 2.6.0`."""

from __future__ import annotations

from pathlib import Path

import nox

nox.options.sessions = ["lint", "tests"]
nox.options.error_on_missing_interpreters = False

CONSTRAINTS = ("-c", "constraints.txt")
PLUGINS = (
    *("pytest-randomly", "pytest-cov", "pytest-timeout", "pytest-rerunfailures"),
    *("pytest-asyncio", "pytest-playwright", "pytest-skip-slow"),
)
STRANGER = {
    "pytest.ini": r"""
[pytest]
addopts = --strict-markers --strict-config
xfail_strict = true
markers = claim: of the project
filterwarnings =
    error
    ignore:The configuration option .asyncio:pytest.PytestDeprecationWarning
""",
    "conftest.py": """
import pytest

def pytest_addoption(parser):
    for name in ("claims", "seeds", "threads", "record", "activation"):
        parser.addoption(f"--{name}", default=name)

@pytest.fixture(params=["claims_file", "training_device", "protocol_dataset"])
def judgment(request):
    return request.param

@pytest.fixture
def claim(judgment):
    return f"my {judgment}"
""",
    "test_it.py": """
import pytest

@pytest.mark.claim
def test_fixtures(claim, judgment, request):
    assert claim == f"my {judgment}"
    assert request.node.get_closest_marker("claim")
    with pytest.raises(pytest.FixtureLookupError):
        request.getfixturevalue("protocol_dataset")

@pytest.mark.parametrize("name", ["claims", "seeds", "threads", "record", "activation"])
def test_options(pytestconfig, name):
    assert pytestconfig.getoption(name) == name
""",
}
OURS = ("tests/test_pytest_plugin.py", "tests/test_guest.py", "tests/test_claims.py")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, types and the workflows."""
    session.install(*CONSTRAINTS, "-e", ".[dev]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("lint-imports")
    workflows = [str(path) for path in Path(".github/workflows").glob("*.yml")]
    schema = ("--builtin-schema", "vendor.github-workflows")
    session.run("check-jsonschema", *schema, *workflows)


@nox.session(python=["3.11", "3.12", "3.13"])
def tests(session: nox.Session) -> None:
    """Run the suite; arguments after `--` go to pytest."""
    session.install(*CONSTRAINTS, "-e", ".[test]")
    session.run("pytest", *session.posargs)


@nox.session
def guests(session: nox.Session) -> None:
    """Run a stranger's suite and a part of ours beside each of these plugins, and beside all."""
    session.install(*CONSTRAINTS, "-e", ".[test]")
    stranger = Path(session.create_tmp(), "stranger")  # below it, as what is above it counts
    stranger.mkdir(exist_ok=True)
    for name, content in STRANGER.items():
        stranger.joinpath(name).write_text(content, encoding="utf-8")
    for plugins in (*((plugin,) for plugin in PLUGINS), PLUGINS):
        session.install(*plugins)
        with session.chdir(stranger):
            session.run("pytest", "-q")
        session.run("pytest", "-q", "-n", "0", *(session.posargs or OURS))
        session.run("python", "-m", "pip", "uninstall", "--yes", "--quiet", *plugins)


@nox.session
def processors(session: nox.Session) -> None:
    """Run the tests that touch numbers as on other processors; arguments go to the script."""
    session.install(*CONSTRAINTS, "-e", ".[test]")
    session.run("python", "tests/processors.py", *session.posargs)


@nox.session
def mutation(session: nox.Session) -> None:
    """Let the tests find a fixed sample of planted faults; arguments are subjects of the table."""
    session.install(*CONSTRAINTS, "-e", ".[test]", "cosmic-ray==8.7.0")  # it plants them
    session.run("python", "tests/mutation.py", *session.posargs)


@nox.session
def rooms(session: nox.Session) -> None:
    """Draw the rooms of the package and their imports for CONTRIBUTING.md; needs Graphviz."""
    session.install(*CONSTRAINTS, "import-linter")
    graph = ("actbench", "--show-module-counts", "--show-import-totals")
    dot = session.run("import-linter", "drawgraph", *graph, silent=True)
    Path("docs/rooms.dot").write_text(str(dot), encoding="utf-8")
    style = ("-Nshape=box", "-Ecolor=gray40", "-Efontsize=9", "-Gdpi=90")
    session.run("dot", "-Tpng", *style, "-odocs/rooms.png", "docs/rooms.dot", external=True)
    Path("docs/rooms.dot").unlink()


@nox.session
def track(session: nox.Session) -> None:
    """Make a record for each release of torch that is named, in an environment of its own."""
    if not session.posargs:
        session.error("name releases of torch: nox -s track -- 2.6.0 2.13.0")
    session.install(*CONSTRAINTS, "-e", ".[study]")
    session.run("actbench", "track", *session.posargs)
