"""pytest options and fixtures that turn every claim of a study into a test.

Loaded by pytest through an entry point, so it imports nothing heavy until a test asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any
from zlib import crc32

import pytest

if TYPE_CHECKING:
    import xarray as xr

    from actbench.claims import Claim, ClaimsFile
    from actbench.claims.verdicts import Judgment

pytest_plugins = ["actbench.pytest_plugin.activation"]  # --activation

_CLAIMS = pytest.StashKey[dict[Path, "ClaimsFile"]]()
_ASKED = pytest.StashKey[list[Path]]()
_LOW_MARGIN = 2.0
_BASELINE_SEEDS = 100


class NotReproduced(AssertionError):  # noqa: N818 - the name of a finding, not of an error
    """The verdict is the expected one, and it is not that the claim holds."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the claims suite."""
    group = parser.getgroup("actbench", "claims with verdicts")
    group.addoption(
        "--claims",
        metavar="FILE",
        type=Path,
        action="append",
        default=[],
        help="judge the claims of this file, one test per claim; may be repeated. Where no test "
        "file is named, nothing else is run",
    )
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
    """Register the marks, also outside this repository, and collect the files of --claims."""
    asked = [path.resolve() for path in config.getoption("--claims")]
    config.stash[_ASKED] = asked
    if not hasattr(config, "workerinput"):  # once is enough
        for path in asked:
            _checked(config, path)
    if asked:
        named = config.args_source is pytest.Config.ArgsSource.ARGS
        config.args[:] = [*(config.args if named else ()), *map(str, asked)]
    config.addinivalue_line("markers", "claim: a documented claim of the study, judged")
    config.addinivalue_line("markers", "slow: trains for minutes; needs --slow")
    if config.getoption("--record") is not None:
        from actbench.pytest_plugin.record import Writer

        config.pluginmanager.register(Writer(config.getoption("--record"), claims_of(config)))


def _checked(config: pytest.Config, path: Path) -> None:
    """Read a file of --claims and check its settings, before anything is collected."""
    from actbench.claims.evidence import check_settings
    from actbench.errors import ActbenchError

    try:
        check_settings(claims_of(config, path))
    except ActbenchError as error:
        raise pytest.UsageError(str(error)) from error


def claims_of(config: pytest.Config, path: Path | None = None) -> ClaimsFile:
    """Return the claims of a file, read once per session.

    Args:
        config: Of the running session.
        path: The file; ``baselines/published.toml``, the study's, by default.

    Returns:
        Its content.
    """
    from actbench import claims
    from actbench.files import baselines_folder

    known = config.stash.setdefault(_CLAIMS, {})
    wanted = path or baselines_folder() / "published.toml"
    if wanted not in known:
        known[wanted] = claims.load(wanted)
    return known[wanted]


class ClaimsModule(pytest.Module):
    """A file of claims as a module of tests: one per claim."""

    def _getobj(self) -> ModuleType:
        module = ModuleType(self.path.stem, f"The claims of {self.path}.")
        vars(module)["test_claim"] = _claim_is_as_pinned
        return module


def _claim_is_as_pinned(judgment: Judgment, claims_file: ClaimsFile) -> None:
    """The claim's verdict is the one that is pinned."""
    check_expected(judgment, claims_file)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Collect what was named by --claims."""
    if file_path.resolve() in parent.config.stash[_ASKED]:
        return ClaimsModule.from_parent(parent, path=file_path)
    return None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give one test per claim and device to whoever asks for the fixture ``judgment``.

    The claims are the study's, in a module with a list ``CLAIMS_FILES`` those files', and in a
    file of --claims its own.
    """
    if "judgment" not in metafunc.fixturenames or "claim" not in metafunc.fixturenames:
        return
    module = metafunc.definition.getparent(pytest.Module)
    files: Sequence[Path | None] = getattr(metafunc.module, "CLAIMS_FILES", (None,))
    if isinstance(module, ClaimsModule):
        files = (module.path.resolve(),)
    metafunc.parametrize(
        ("claims_file", "claim"),
        [
            pytest.param(path, claim, id=_id(path, claim, files), marks=_marks(file, claim))
            for path in files
            for file in [claims_of(metafunc.config, path)]
            for claim in file.claim
        ],
        indirect=["claims_file"],
    )
    several = devices_of(metafunc.config)
    if len(several) > 1:
        metafunc.parametrize("training_device", several, indirect=True)


def _id(path: Path | None, claim: Claim, files: Sequence[Path | None]) -> str:
    return claim.id if path is None or len(files) == 1 else f"{path.stem}:{claim.id}"


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
    from actbench.claims.evidence import judge_one
    from actbench.errors import ActbenchError

    try:
        stored = judge_one(claims, claim, lambda protocol: None).sentence
    except ActbenchError:
        stored = "nothing stored yet"
    return f"{claim.expected}: {stored}. {claim.because}"


@pytest.fixture(scope="session")
def claims_file(request: pytest.FixtureRequest) -> ClaimsFile:
    """The claims of the file that the test is about, the study's unless it names another."""
    return claims_of(request.config, getattr(request, "param", None))


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
    claims are judged from stored measurements, where there are any.
    """
    from filelock import FileLock

    from actbench import datasets
    from actbench.claims import evidence, measured
    from actbench.experiments import get as get_experiment
    from actbench.pytest_plugin.record import FOLDER, shared_path

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
    # Files of two names may have protocols of one.
    owner = "" if claims_file.of_the_study else f"{crc32(str(claims_file.path).encode()):08x}-"
    first = devices_of(pytestconfig)[0]

    def find(name: str, device: str = first) -> xr.Dataset | None:
        protocol = claims_file.protocol[name]
        if protocol.slow and not (pytestconfig.getoption("--slow") or regenerate):
            # What a file of one's own has no measurements of can only be run.
            stored = measured.path_of(name, claims_file.measured_folder)
            if claims_file.of_the_study or stored.exists():
                return None
        if results is not None:
            return evidence.stored_dataset(results, name, protocol)
        path = shared_path(folder, f"{owner}{name}", device)
        if path.name not in known:
            with FileLock(f"{path}.lock"):
                if not path.exists():
                    config = evidence.config_for(protocol, seeds, device, threads)
                    module = get_experiment(protocol.experiment).module()
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
    from actbench.claims.evidence import judge_one

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


def check_expected(judgment: Judgment, file: ClaimsFile | None = None) -> None:
    """End a claim's test as its verdict says.

    Args:
        judgment: The verdict with its evidence.
        file: Where the claim stands; the study's claims by default.

    Raises:
        NotReproduced: The verdict is the expected one, and the claim does not hold as stated.
    """
    from actbench.claims import Verdict

    claim = judgment.claim
    if not judgment.as_expected:
        if judgment.verdict is Verdict.INCONCLUSIVE and judgment.seeds < judgment.seeds_needed:
            pytest.skip(f"needs {judgment.seeds_needed} seeds, {judgment.seeds} were run")
        look_at = f"actbench claims show {claim.id}"
        if file is not None and not file.of_the_study:
            look_at = f"actbench verify {file.path}"
        pytest.fail(
            f"{claim.id} is {judgment.verdict}, but {claim.expected} was expected.\n"
            f"claim:    {claim.statement}\n"
            f"measured: {judgment.sentence}\n"
            f"look at:  {look_at}",
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
