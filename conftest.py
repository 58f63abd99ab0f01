"""What concerns the tests of this repository only."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable, Iterator
from functools import cache, cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from _pytest.pytester import SysModulesSnapshot
from hypothesis import settings
from xdist.scheduler import LoadFileScheduling

from actbench.pytest_plugin import OPTIONS, destination, devices_of, value_of
from actbench.pytest_plugin.claim_tests import claims_of, marks_of
from actbench.pytest_plugin.trainings import trainings_of

if TYPE_CHECKING:
    import xarray as xr
    from calls import Command

    from actbench.claims import Claim, ClaimsFile
    from actbench.claims.verdicts import Judgment

# Options, storage and messages of the benchmarks; pytest-benchmark wants its hooks loaded here.
pytest_plugins = ["benchmarks.session", "actbench.pytest_plugin.claim_tests"]

# The same examples in every run: a test that fails must fail again.
settings.register_profile("deterministic", derandomize=True, deadline=None)
settings.load_profile("deterministic")

_MOST_WORKERS = 4
_MEASURING = tuple(f"tests/test_{name}.py" for name in ("baselines", "claims", "studies", "theory"))
_TRAINED = "stated"
# Few tests each, so xdist would start them last, and one worker would wait for the other.
_LONG = tuple(
    f"tests/test_{name}.py"
    for name in ("recover", "examples", "light", "second_study", "gate", "as_run", "architecture")
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Offer the options of the claims without their prefix, where no other plugin has the name."""
    groups = [parser._anonymous, *parser._groups]
    taken = {name for group in groups for option in group.options for name in option.names()}
    for name, words in OPTIONS.items():
        if f"--{name}" not in taken:
            help_ = f"short for --actbench-{name}"
            parser.addoption(f"--{name}", dest=destination(name), **{**words, "help": help_})


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Run the whole suite on every core, unless `-n` says otherwise; parts in one process."""
    if hasattr(config, "workerinput"):  # a worker must not start workers of its own
        return
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    whole = whole and not value_of(config, "claims")
    alone = config.option.usepdb or config.option.collectonly
    if whole and not alone and config.option.numprocesses is None:
        config.option.numprocesses = min(psutil.cpu_count(logical=False) or 1, _MOST_WORKERS)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """Give each worker one thread: two that use every core are 10 to 100 times slower.

    Threads that a test asks for sleep while they wait: another worker has use for the core.
    """
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OMP_WAIT_POLICY="PASSIVE")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[Any]:
    """Look for no garbage in what collecting makes: all of it stays to the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave out what takes long."""
    if item.get_closest_marker("slow") and not value_of(item.config, "slow"):
        pytest.skip("takes long; --actbench-slow runs it")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give one test per claim and device to whoever asks for the fixture ``judgment``.

    The claims are the study's, or in a module with a list ``CLAIMS_FILES`` those files'.
    """
    if "judgment" not in metafunc.fixturenames:
        return
    files = getattr(metafunc.module, "CLAIMS_FILES", (None,))
    metafunc.parametrize(
        ("claims_file", "claim"),
        [
            pytest.param(path, claim, id=_id(path, claim), marks=marks_of(claim))
            for path in files
            for file in [claims_of(metafunc.config, path)]
            for claim in file.claim
        ],
        indirect=["claims_file"],
    )
    several = devices_of(metafunc.config)
    if len(several) > 1:
        metafunc.parametrize("training_device", several, indirect=True)


def _id(path: Path | None, claim: Claim) -> str:
    return claim.id if path is None else f"{path.stem}:{claim.id}"


@pytest.fixture(autouse=True)
def _torch_is_kept(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    # An inner run in this process forgets what it imported; torch registers operators only once.
    if "pytester" in request.fixturenames:

        def snapshot(preserve: Callable[[str], bool]) -> SysModulesSnapshot:
            return SysModulesSnapshot(lambda name: preserve(name) or name.split(".")[0] == "torch")

        monkeypatch.setattr("_pytest.pytester.SysModulesSnapshot", snapshot)


@cache
def _command_line() -> Any:
    from typer.main import get_command

    from actbench.cli.app import app

    return get_command(app)


@pytest.fixture
def actbench(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Command:
    """Call the command line in this process, in an empty folder, on 80 columns without color."""
    from calls import Ended

    from actbench.cli import main

    monkeypatch.chdir(tmp_path)
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    # Built once, not for each call, which would take as long as most commands.
    monkeypatch.setattr("actbench.cli.app.app", _command_line())

    def call(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["actbench", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        shown = capsys.readouterr()
        code = caught.value.code
        return Ended(code if isinstance(code, int) else 0, shown.out, shown.err)

    return call


@pytest.fixture
def no_other_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """What happens to be installed takes no part in inner runs; `nox -s guests` tries that."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


@pytest.fixture(scope="session")
def claims_file(request: pytest.FixtureRequest) -> ClaimsFile:
    """The claims of the file that the test is about, the study's unless it names another."""
    return claims_of(request.config, getattr(request, "param", None))


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """One thread for small networks: on a busy machine more of them wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def training_device(request: pytest.FixtureRequest) -> str:
    """Where the test's claim is measured; the first device unless there is a test for each."""
    chosen: str = getattr(request, "param", devices_of(request.config)[0])
    return chosen


@pytest.fixture(scope="session")
def protocol_dataset(
    pytestconfig: pytest.Config, claims_file: ClaimsFile
) -> Callable[..., xr.Dataset | None]:
    """Return a function from a protocol's name to its dataset, made once per session."""
    return partial(trainings_of(pytestconfig).dataset, claims_file)


@pytest.fixture
def judgment(
    request: pytest.FixtureRequest, claim: Claim, claims_file: ClaimsFile, training_device: str
) -> Judgment:
    """The verdict on the test's claim, noted for the summary and for JUnit files."""
    return trainings_of(request.config).judge(request.node, claims_file, claim, training_device)


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """Let SIGINT interrupt, here and in children: the background of a script ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class _ByFile(LoadFileScheduling):  # type: ignore[misc]  # xdist has no types
    """A worker gets whole files, and one of them all that rests on the same trainings.

    The networks of one protocol take as long as those of all others.
    """

    @cached_property
    def _trained(self) -> tuple[str, ...]:
        claims = claims_of(self.config).claim
        names = [claim.id for claim in claims if claim.protocol == _TRAINED]
        return tuple(f"[{name}]" for name in (_TRAINED, *names))

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        if file not in _MEASURING:
            return file
        return _TRAINED if nodeid.endswith(self._trained) else _MEASURING[0]

    def _assign_work_unit(self, node: Any) -> None:
        for scope in (*reversed(_LONG), _TRAINED, _MEASURING[0]):
            if scope in self.workqueue:
                self.workqueue.move_to_end(scope, last=False)
        super()._assign_work_unit(node)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> _ByFile:
    """Hand out the tests to the workers by file."""
    return _ByFile(config, log)
