"""The command line: what it prints, what it refuses, and with which exit code it ends."""

from __future__ import annotations

import errno
import io
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pytest
import xarray as xr
from matplotlib.figure import Figure

from actbench import datasets, doctor, figures
from actbench.activations import ACTIVATIONS
from actbench.cli import main
from actbench.doctor import Finding
from actbench.experiments import EXPERIMENTS, sine_regression
from actbench.initializers import KEYS

TINY = (
    *("--depth", "2", "--width", "8", "--epochs", "3", "--seeds", "2"),
    *("--device", "cpu", "--threads", "1"),
)
STUDY_FILES = {
    "final_losses.json",
    "loss_histories.json",
    "gradient_magnitudes.json",
    "gradient_magnitudes_epochs.json",
}


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def actbench(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., Ended]:
    """Call the command line in this process, in an empty folder, on 80 columns without color."""
    monkeypatch.chdir(tmp_path)
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")

    def call(*arguments: str) -> Ended:
        monkeypatch.setattr(sys, "argv", ["actbench", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        shown = capsys.readouterr()
        code = caught.value.code
        return Ended(code if isinstance(code, int) else 0, shown.out, shown.err)

    return call


@pytest.fixture
def plain_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """One empty figure instead of the real ones, which take seconds."""

    def draw(dataset: xr.Dataset) -> Figure:
        return Figure(figsize=(1, 1), label=str(dataset.sizes))

    monkeypatch.setitem(figures.FIGURES, "sine-regression", {"drawing": draw})


def contents(folder: Path) -> dict[str, bytes]:
    """Read all files of a folder, hidden ones too."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def forbid_running(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make computing anything a failure."""
    monkeypatch.setattr(sine_regression, "run", lambda *_: pytest.fail("computed"))


def squeezed(text: str) -> str:
    """Undo the wrapping of lines."""
    return " ".join(text.split())


NAMES = "linear, sigmoid, tanh, relu, leaky_relu, elu, gelu, swish"
INITIALIZERS = "torch_default, xavier_uniform, xavier_normal, he_uniform, he_normal, normal(STD)"
WHOLE = "but must be a whole number of at least 1"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["-a", "rellu"], f"unknown activation 'rellu'; known: {NAMES}. Did you mean 'relu'?"),
        (["-a", "GeLU"], f"unknown activation 'GeLU'; known: {NAMES}. Did you mean 'gelu'?"),
        (["-a", "zzz"], f"unknown activation 'zzz'; known: {NAMES}."),
        (
            ["-a", "relu", "-a", "relu"],
            "activations are ['relu', 'relu'], but must be at least one, each named once",
        ),
        (
            ["--device", "cuda"],
            "device 'cuda' is not present; present here: cpu. Choose one of them, or 'auto'",
        ),
        (
            ["--device", "cpuu"],
            "unknown device 'cpuu'; known: auto, cpu, cuda, mps, xpu. Did you mean 'cpu'?",
        ),
        (
            ["--initializer", "he_norml"],
            f"unknown initializer 'he_norml'; known: {INITIALIZERS}. Did you mean 'he_normal'?",
        ),
        (
            ["--initializer", "normal(-1)"],
            "initializer 'normal(-1)' has standard deviation '-1', but it must be a positive "
            "number, as in 'normal(0.05)'",
        ),
        (
            ["--dtype", "float16"],
            "unknown dtype 'float16'; known: float32, float64. Did you mean 'float64'?",
        ),
        (["--seeds", "0"], f"--seeds is 0, {WHOLE}"),
        (["--seeds", "-3"], f"--seeds is -3, {WHOLE}"),
        (["--epochs", "0"], f"epochs is 0, {WHOLE}"),
        (["--epochs", "-1"], f"epochs is -1, {WHOLE}"),
        (["--width", "0"], f"width is 0, {WHOLE}"),
        (["--width", "-8"], f"width is -8, {WHOLE}"),
        (["--depth", "0"], f"depth is 0, {WHOLE}"),
        (["--depth", "-2"], f"depth is -2, {WHOLE}"),
        (["--threads", "0"], f"threads is 0, {WHOLE}"),
        (["--learning-rate", "nan"], "learning_rate is nan, but must be a finite number above 0"),
        (["--learning-rate", "inf"], "learning_rate is inf, but must be a finite number above 0"),
        (["--learning-rate", "0"], "learning_rate is 0.0, but must be a finite number above 0"),
        (["--learning-rate", "-0.1"], "learning_rate is -0.1, but must be a finite number above 0"),
        (["--weight-decay", "-1"], "weight_decay is -1.0, but must be a finite number, at least 0"),
        (["--weight-decay", "nan"], "weight_decay is nan, but must be a finite number, at least 0"),
    ],
)
def test_a_bad_setting_is_one_line(
    actbench: Callable[..., Ended],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    options: Sequence[str],
    text: str,
) -> None:
    """Bad input says what was given and what is expected, ends with 2, and leaves no folder."""
    monkeypatch.setattr("actbench.devices.available", lambda: ("cpu",))
    ended = actbench("run", "sine-regression", *TINY, *options)
    assert ended == Ended(2, "", f"actbench: error: {text}\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ["run", "sine-regresion"],
            "unknown experiment 'sine-regresion'; known: sine-regression. "
            "Did you mean 'sine-regression'?",
        ),
        (["reproduce", "--seeds", "0"], f"--seeds is 0, {WHOLE}"),
        (["reproduce", "--threads", "-1"], f"threads is -1, {WHOLE}"),
    ],
)
def test_a_bad_request_is_one_line(
    actbench: Callable[..., Ended], tmp_path: Path, arguments: Sequence[str], text: str
) -> None:
    """What is wrong before any setting is read ends in the same way."""
    if arguments[1] == "sine-regresion":
        known = ", ".join(EXPERIMENTS)
        text = text.replace("known: sine-regression.", f"known: {known}.")
    assert actbench(*arguments) == Ended(2, "", f"actbench: error: {text}\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["run", "sine-regression", "--epochs", "many"], "Invalid value for '--epochs'"),
        (["run", "sine-regression", "--epoch", "3"], "No such option: --epoch"),
        (["run"], "Missing argument"),
        (["reprodcue"], "No such command 'reprodcue'"),
    ],
)
def test_a_slip_in_the_command_is_shown(
    actbench: Callable[..., Ended], arguments: Sequence[str], text: str
) -> None:
    """What the command line itself can't read is named, with exit code 2 and without traceback."""
    ended = actbench(*arguments)
    assert ended.code == 2
    assert text in squeezed(ended.err)
    assert "Traceback" not in ended.err


def test_an_unwritable_folder_is_one_line(actbench: Callable[..., Ended], tmp_path: Path) -> None:
    """A folder that can't be made is refused before anything is computed."""
    (tmp_path / "file").touch()
    ended = actbench("run", "sine-regression", *TINY, "--out", "file/results")
    assert ended == Ended(
        2,
        "",
        "actbench: error: can't write to the output folder 'file/results': Not a directory. "
        "Choose another with --out\n",
    )


def test_an_absent_device_is_named_beside_those_present(
    actbench: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is another accelerator, the error says which."""
    monkeypatch.setattr("actbench.devices.available", lambda: ("cpu", "mps"))
    ended = actbench("run", "sine-regression", *TINY, "--device", "cuda")
    assert ended.err == (
        "actbench: error: device 'cuda' is not present; present here: cpu, mps. "
        "Choose one of them, or 'auto'\n"
    )


def test_a_run_writes_data_and_real_figures(actbench: Callable[..., Ended], tmp_path: Path) -> None:
    """From the command to the files: data, checksum, study files, and each figure twice."""
    ended = actbench("run", "sine-regression", "-a", "relu", *TINY, "--out", "mine")
    assert ended.code == 0
    drawn = {
        f"{name}.{suffix}"
        for name in figures.FIGURES["sine-regression"]
        for suffix in figures.SUFFIXES
    }
    assert len(drawn) >= 10
    written = contents(tmp_path / "mine")
    assert written.keys() == drawn | STUDY_FILES | {
        "sine_regression.nc",
        "sine_regression.nc.sha256",
    }
    assert all(written.values())
    listed = re.findall(r"^  mine/(\S+)  \(\d+ kB\)$", ended.out, re.MULTILINE)
    assert set(listed) == written.keys() - {"sine_regression.nc.sha256"}
    assert re.search(r"sine-regression .* 100% ", ended.err)


@pytest.mark.usefixtures("plain_figures")
def test_every_option_reaches_the_protocol(actbench: Callable[..., Ended], tmp_path: Path) -> None:
    """No setting is dropped between the command line and what is stored."""
    ended = actbench(
        *("run", "sine-regression", "-a", "tanh", "--activation", "elu", "--epochs", "4"),
        *("--initializer", "he_normal", "--learning-rate", "0.01", "--weight-decay", "0.5"),
        *("--depth", "3", "--width", "5", "--dtype", "float64", "--seeds", "3"),
        *("--device", "cpu", "--threads", "1", "-o", "mine"),
    )
    assert ended.code == 0
    stored = datasets.load(tmp_path / "mine" / "sine_regression.nc")
    asked = {
        "activations": ["tanh", "elu"],
        "epochs": 4,
        "initializer": "he_normal",
        "learning_rate": 0.01,
        "weight_decay": 0.5,
        "depth": 3,
        "width": 5,
        "dtype": "float64",
        "seeds": [42, 43, 44],
        "device": "cpu",
        "threads": 1,
    }
    assert {name: datasets.protocol_of(stored)[name] for name in asked} == asked
    assert stored["prediction"].dtype == "float64"


@pytest.mark.usefixtures("plain_figures")
def test_what_is_printed_is_what_is_stored(actbench: Callable[..., Ended], tmp_path: Path) -> None:
    """The table shows the stored numbers beside the published ones, on 80 columns."""
    ended = actbench("run", "sine-regression", "-a", "relu", "-a", "sigmoid", *TINY)
    stored = datasets.load(tmp_path / "results" / "sine_regression.nc")
    for name, published in (("relu", "0.008041"), ("sigmoid", "0.5182")):
        values = stored["final_mse"].sel(activation=name)
        (cells,) = [line.split() for line in ended.out.splitlines() if line.split()[:1] == [name]]
        first = values.sel(seed=42).item()
        assert cells[1] == published
        assert cells[2] == f"{values.median().item():.4g}"
        assert cells[-2:] == [f"{first:.4g}", "NO"]
    assert max(len(line) for line in ended.out.splitlines()) <= 80
    assert "Note: sigmoid: the published 0.51815 does not reproduce" in squeezed(ended.out)


@pytest.mark.usefixtures("plain_figures")
def test_a_second_run_reuses_the_first(
    actbench: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The same command again computes nothing, writes nothing, and shows the same numbers."""
    command = ("run", "sine-regression", "-a", "relu", *TINY)
    first = actbench(*command)
    before = contents(tmp_path / "results")
    forbid_running(monkeypatch)
    second = actbench(*command)
    assert (second.code, second.err) == (0, "")
    assert "Data reused from results; its settings are those asked for." in second.out
    assert "Written:" not in second.out
    assert second.out.splitlines()[:5] == first.out.splitlines()[:5]
    assert contents(tmp_path / "results") == before


@pytest.mark.usefixtures("plain_figures")
def test_results_of_other_settings_are_refused_unless_asked(
    actbench: Callable[..., Ended], tmp_path: Path
) -> None:
    """What differs is named, nothing is touched, and --overwrite replaces it."""
    assert actbench("run", "sine-regression", "-a", "relu", *TINY, "-q").code == 0
    before = contents(tmp_path / "results")
    other = ("run", "sine-regression", "-a", "relu", *TINY, "--learning-rate", "0.5")
    assert actbench(*other) == Ended(
        2,
        "",
        "actbench: error: results/sine_regression.nc holds results of other settings "
        "(learning_rate: 0.001 there, 0.5 now). Replace them with --overwrite, or choose another "
        "folder with --out\n",
    )
    assert contents(tmp_path / "results") == before
    assert actbench(*other, "--overwrite").code == 0
    stored = datasets.load(tmp_path / "results" / "sine_regression.nc")
    assert datasets.protocol_of(stored)["learning_rate"] == 0.5


@pytest.mark.usefixtures("plain_figures")
def test_quiet_prints_errors_only(actbench: Callable[..., Ended]) -> None:
    """With --quiet a good run says nothing at all, and a bad one still says why."""
    command = ("run", "sine-regression", "-a", "relu", "--quiet", *TINY)
    assert actbench(*command) == Ended(0, "", "")
    ended = actbench(*command, "--epochs", "0")
    assert ended == Ended(2, "", f"actbench: error: epochs is 0, {WHOLE}\n")


@pytest.mark.parametrize("command", ["run", "reproduce"])
def test_a_dry_run_writes_nothing(
    actbench: Callable[..., Ended],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    command: str,
) -> None:
    """It says what would run, how long, and where to, and leaves no folder."""
    for experiment in EXPERIMENTS.values():
        monkeypatch.setattr(experiment.module(), "estimate_s", lambda config: 2.0 * config.epochs)
    forbid_running(monkeypatch)
    which = ["sine-regression"] if command == "run" else []
    ended = actbench(command, *which, "--seeds", "7", "--dry-run", "--out", "mine")
    assert (ended.code, ended.err) == (0, "")
    assert (
        "sine-regression: 5 activations x 7 seeds x 500 epochs, about 1000 s, into mine/"
        in squeezed(ended.out)
    )
    assert list(tmp_path.iterdir()) == []


def test_reproduce_asks_for_the_studys_settings(
    actbench: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without options, every experiment runs at its own defaults from 16 seeds."""
    asked: list[tuple[str, Any]] = []

    def remember(experiment: Any, config: Any, *_: object, **__: object) -> NoReturn:
        asked.append((experiment.key, config))
        raise KeyboardInterrupt

    monkeypatch.setattr("actbench.results.fulfil", remember)
    actbench("reproduce", "--quiet")
    assert asked == [("sine-regression", sine_regression.Config(seeds=16))]


@pytest.mark.usefixtures("plain_figures")
def test_networks_that_diverge_are_reported(actbench: Callable[..., Ended], tmp_path: Path) -> None:
    """Overflow is a result: told in a sentence, null in the files, exit code 0."""
    ended = actbench("run", "sine-regression", "-a", "relu", *TINY, "--initializer", "normal(1e15)")
    assert ended.code == 0
    assert "Note: relu: 2 of 2 seeds diverged, the first at epoch 0." in squeezed(ended.out)
    losses = (tmp_path / "results" / "final_losses.json").read_text(encoding="utf-8")
    assert json.loads(losses) == {"relu": None}


@pytest.mark.usefixtures("plain_figures")
def test_a_full_disk_is_one_line(
    actbench: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where the disk fills up, the old results stay whole and no temporary file does."""
    command = ("run", "sine-regression", "-a", "relu", *TINY, "-q")
    assert actbench(*command).code == 0
    before = contents(tmp_path / "results")

    def full(descriptor: int) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        ended = actbench(*command, "--learning-rate", "0.5", "--overwrite")
    assert ended == Ended(
        2,
        "",
        "actbench: error: can't write results/sine_regression.nc: No space left on device. Free "
        "some space or choose another folder with --out; what was there before is untouched\n",
    )
    assert contents(tmp_path / "results") == before


@pytest.mark.usefixtures("plain_figures")
def test_ctrl_c_in_the_middle_of_training_leaves_earlier_results(
    actbench: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An interrupt ends with 130 and one line, with nothing half-written."""
    command = ("run", "sine-regression", "-a", "relu", *TINY, "-q")
    assert actbench(*command).code == 0
    before = contents(tmp_path / "results")
    whole = sine_regression.run

    def interrupted(config: sine_regression.Config, progress: Callable[[int], None]) -> xr.Dataset:
        def stop(done: int) -> NoReturn:
            progress(done)
            raise KeyboardInterrupt

        return whole(config, stop)

    monkeypatch.setattr(sine_regression, "run", interrupted)
    ended = actbench(*command, "--overwrite")
    assert ended == Ended(
        130, "", "\nactbench: interrupted; finished files are whole, others untouched\n"
    )
    assert contents(tmp_path / "results") == before


@pytest.mark.usefixtures("plain_figures")
def test_ctrl_c_between_two_files_leaves_whole_ones(
    actbench: Callable[..., Ended], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Stopped while writing, what is there is whole, and the same command finishes the rest."""
    command = ("run", "sine-regression", "-a", "relu", *TINY, "-q")
    assert actbench(*command, "--out", "whole").code == 0
    whole, calls = os.fsync, iter(range(3))

    def stop(descriptor: int) -> None:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        whole(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", stop)
        assert actbench(*command).code == 130
    expected, left = contents(tmp_path / "whole"), contents(tmp_path / "results")
    assert left == {
        name: expected[name]
        for name in ("sine_regression.nc", "sine_regression.nc.sha256", "final_losses.json")
    }
    forbid_running(monkeypatch)
    assert actbench(*command).code == 0
    assert contents(tmp_path / "results") == expected


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_ctrl_c_from_the_terminal_ends_with_130(tmp_path: Path) -> None:
    """A real signal, sent once the progress bar shows that training is under way, stops it."""
    import pty

    terminal, their_end = pty.openpty()
    start = (  # a parent that ignores the signal would hand that down
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from actbench.cli import main; main()"
    )
    arguments = ("run", "sine-regression", "-a", "relu", *TINY, "--epochs", "1000000")
    with subprocess.Popen(  # noqa: S603 - our own code
        [sys.executable, "-c", start, *arguments, "--out", "results"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=their_end,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "80"},
    ) as process:
        os.close(their_end)
        shown = io.BytesIO()
        try:
            while b"%" not in shown.getvalue():
                shown.write(os.read(terminal, 1024))
            process.send_signal(signal.SIGINT)
            while b"interrupted" not in shown.getvalue():
                shown.write(os.read(terminal, 1024))
            output, _ = process.communicate(timeout=60)
        finally:
            process.kill()
            os.close(terminal)
    assert process.returncode == 130
    assert output == b""
    assert b"actbench: interrupted; finished files are whole, others untouched" in shown.getvalue()
    assert b"Traceback" not in shown.getvalue()
    assert list((tmp_path / "results").iterdir()) == []


def test_python_dash_m_is_the_same_command(tmp_path: Path) -> None:
    """The package can be run without its script, and hands its exit code to the shell."""
    done = subprocess.run(
        [sys.executable, "-m", "actbench", "run", "no-such-thing"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("actbench: error: unknown experiment 'no-such-thing'; known: ")


def test_help_names_every_command(actbench: Callable[..., Ended]) -> None:
    """Help says where to start and what there is."""
    ended = actbench("--help")
    assert ended.code == 0
    assert "Start with actbench reproduce" in squeezed(ended.out)
    for command in ("reproduce", "run", "list", "doctor"):
        assert re.search(rf"^\W*{command} ", ended.out, re.MULTILINE)


def test_help_of_run_names_every_setting(actbench: Callable[..., Ended]) -> None:
    """Each option is there with its default."""
    text = squeezed(actbench("run", "-h").out)
    for option in (
        *("--activation", "--epochs", "--initializer", "--learning-rate", "--weight-decay"),
        *("--depth", "--width", "--dtype", "--out", "--seeds", "--device", "--threads"),
        *("--quiet", "--dry-run", "--overwrite"),
    ):
        assert option in text
    for default in ("500", "torch_default", "0.001", "10", "64", "float32", "16", "auto"):
        assert f"[default: {default}]" in text


def test_list_names_everything_that_can_be_asked_for(actbench: Callable[..., Ended]) -> None:
    """Experiments, activations and initializers are listed by the names that are accepted."""
    ended = actbench("list")
    assert ended.code == 0
    first_words = {line.split()[0] for line in ended.out.splitlines()}
    assert first_words == {
        *("experiments", "activations", "initializers"),
        *EXPERIMENTS,
        *ACTIVATIONS,
        *KEYS,
    }
    assert "slope in [0.01, 1]" in ended.out


def test_version_is_printed(actbench: Callable[..., Ended]) -> None:
    """The version is the package's."""
    import actbench as package

    assert actbench("--version") == Ended(0, f"actbench {package.__version__}\n", "")


@pytest.mark.parametrize(("good", "code", "mark"), [(True, 0, "ok  "), (False, 1, "look")])
def test_doctor_prints_a_line_for_each_finding(
    actbench: Callable[..., Ended],
    monkeypatch: pytest.MonkeyPatch,
    good: bool,
    code: int,
    mark: str,
) -> None:
    """What is not good is marked, and then the exit code is 1."""
    found = [Finding(True, "one"), Finding(good, "two")]
    monkeypatch.setattr(doctor, "examine", lambda out: found)
    assert actbench("doctor") == Ended(code, f"ok   one\n{mark} two\n", "")


def test_doctor_says_where_results_can_not_go(
    actbench: Callable[..., Ended], tmp_path: Path
) -> None:
    """An unwritable folder is a line to look at, with exit code 1."""
    (tmp_path / "file").touch()
    ended = actbench("doctor", "--out", "file/results")
    assert (ended.code, ended.err) == (1, "")
    assert ended.out.splitlines()[-1] == (
        "look can't write to the output folder 'file/results': Not a directory. "
        "Choose another with --out"
    )


def test_doctor_leaves_no_folder(actbench: Callable[..., Ended], tmp_path: Path) -> None:
    """Asking about a folder does not make it."""
    ended = actbench("doctor", "--out", "a/b")
    assert "ok   output folder a/b: " in ended.out
    assert list(tmp_path.iterdir()) == []
