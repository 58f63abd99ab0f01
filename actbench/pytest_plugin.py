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
        "--device",
        action="append",
        help="where to train: cpu, cuda, mps, xpu or auto (default cpu); give it several times for "
        "one test per claim and device",
    )
    group.addoption("--threads", type=int, help="CPU threads (default: physical cores, at most 8)")
    group.addoption(
        "--from-results",
        metavar="DIR",
        type=Path,
        help="judge what actbench reproduce wrote to DIR instead of training",
    )
    group.addoption(
        "--record",
        metavar="FILE",
        type=Path,
        help="afterwards write what this torch did to FILE, as actbench record does, from the "
        "trainings of this session",
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
    if config.getoption("--record") is not None:
        from actbench.pytest_record import Writer

        config.pluginmanager.register(Writer(config.getoption("--record"), shipped_claims(config)))


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
    """Give one test per claim and device to whoever asks for the fixture ``judgment``."""
    if "judgment" not in metafunc.fixturenames or "claim" not in metafunc.fixturenames:
        return
    claims = shipped_claims(metafunc.config)
    metafunc.parametrize(
        "claim",
        [pytest.param(c, id=c.id, marks=_marks(claims, c)) for c in claims.claim],
    )
    several = devices_of(metafunc.config)
    if len(several) > 1:
        metafunc.parametrize("training_device", several, indirect=True)


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


def devices_of(config: pytest.Config) -> list[str]:
    """Return the devices that were asked for, each once.

    Args:
        config: Of the running session.

    Returns:
        Their names, the CPU by default.
    """
    return list(dict.fromkeys(config.getoption("--device") or ["cpu"]))


@pytest.fixture
def training_device(request: pytest.FixtureRequest) -> str:
    """Where the test's claim is measured; the first device unless there is a test for each."""
    chosen: str = getattr(request, "param", devices_of(request.config)[0])
    return chosen


@pytest.fixture(scope="session")
def protocol_dataset(
    pytestconfig: pytest.Config,
    claims_file: ClaimsFile,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., xr.Dataset | None]:
    """Return a function from a protocol's name and a device to a dataset made once per session.

    Workers of pytest-xdist share what one of them computed, on one thread each, as they run side
    by side. The function returns ``None`` for a slow protocol unless ``--slow`` was given: its
    claims are judged from stored measurements.
    """
    from filelock import FileLock

    from actbench import datasets, evidence
    from actbench.experiments import EXPERIMENTS
    from actbench.pytest_record import FOLDER, shared_path

    folder = tmp_path_factory.getbasetemp()
    threads = pytestconfig.getoption("--threads")
    if hasattr(pytestconfig, "workerinput"):
        folder = folder.parent
        threads = threads or 1
    pytestconfig.stash[FOLDER] = folder
    results = pytestconfig.getoption("--from-results")
    regenerate = pytestconfig.getoption("--regenerate-baselines")
    seeds = _BASELINE_SEEDS if regenerate else pytestconfig.getoption("--seeds")
    known: dict[str, xr.Dataset] = {}
    first = devices_of(pytestconfig)[0]

    def find(name: str, device: str = first) -> xr.Dataset | None:
        protocol = claims_file.protocol[name]
        if protocol.slow and not (pytestconfig.getoption("--slow") or regenerate):
            return None
        if results is not None:
            return evidence.stored_dataset(results, name, protocol)
        path = shared_path(folder, name, device)
        if path.name not in known:
            with FileLock(f"{path}.lock"):
                if not path.exists():
                    config = evidence.config_for(protocol, seeds, device, threads)
                    module = EXPERIMENTS[protocol.experiment].module()
                    datasets.save(module.run(config), path)
            known[path.name] = datasets.load(path)
        return known[path.name]

    return find


@pytest.fixture
def judgment(
    request: pytest.FixtureRequest,
    claim: Claim,
    claims_file: ClaimsFile,
    protocol_dataset: Callable[..., Any],
    training_device: str,
) -> Judgment:
    """The verdict on the test's claim, noted for the summary and for JUnit files."""
    from actbench.evidence import judge_one

    def dataset_of(protocol: str) -> Any:
        return protocol_dataset(protocol, training_device)

    result = judge_one(claims_file, claim, dataset_of)
    stored = claim.protocol is not None and dataset_of(claim.protocol) is None
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
