"""The command line: what it prints, what it refuses, and with which exit code it ends."""

from __future__ import annotations

import errno
import inspect
import io
import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
import xarray as xr
from calls import Command, Ended, python
from claim_factory import NOT_TESTABLE, least, text_of
from drawings import draw_instead
from matplotlib.figure import Figure

import actbench as package
from actbench import claims, ledger
from actbench.cli.console import Session
from actbench.runs.early import Job
from actbench.store import datasets
from actbench.store.checkpoints import Checkpoint
from actbench.store.environment import duration
from actbench.study import experiments, figures
from actbench.study.catalog import activations
from actbench.study.catalog.activations import ACTIVATIONS, FURTHER
from actbench.study.catalog.initializers import KEYS
from actbench.study.commands import doctor
from actbench.study.commands.doctor import Finding
from actbench.study.commands.session import COSTS, study_jobs
from actbench.study.experiments import EXPERIMENTS, sine_regression
from actbench.study.sweeps.grid_files import build

TINY = (
    *("--depth", "2", "--width", "8", "--epochs", "3", "--seeds", "2"),
    *("--device", "cpu", "--threads", "1"),
)
RUN = ("run", "sine-regression", "-a", "relu", *TINY)


@pytest.fixture
def plain_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """One empty figure instead of the real ones, which take seconds."""
    for key in ("sine-regression", "gradient-flow"):
        draw_instead(monkeypatch, key, {"drawing": lambda dataset: Figure(figsize=(1, 1))})


def contents(folder: Path) -> dict[str, bytes]:
    """Read all files of a folder, hidden ones too."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def forbid_running(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make computing anything a failure."""
    monkeypatch.setattr(sine_regression.experiment, "run", lambda *_: pytest.fail("computed"))


def squeezed(text: str) -> str:
    """Undo the wrapping of lines."""
    return " ".join(text.split())


NAMES = ", ".join([*ACTIVATIONS, *FURTHER])
EXPERIMENT_NAMES = ", ".join((*EXPERIMENTS, *experiments.FURTHER))
INITIALIZERS = (
    "torch_default, xavier_uniform, xavier_normal, he_uniform, he_normal, lecun_uniform, "
    "lecun_normal, normal(STD), mean_field(W2,B2)"
)
VERDICTS = "reproduced, direction_only, not_reproduced, inconclusive, not_testable"
CLAIMS = len(claims.published().claim)
WHOLE = "but must be a whole number of at least 1"
POSITIVE = "but must be a finite number above 0"
FROM_0 = "but must be a finite number, at least 0"
FLOW = "it takes --activation, --width, --seeds, --device, --threads"
REST = "Leave it out, or run each experiment by itself"

SETTINGS = {
    "-a rellu": f"unknown activation 'rellu'; known: {NAMES}. Did you mean 'relu'?",
    "-a GeLU": f"unknown activation 'GeLU'; known: {NAMES}. Did you mean 'gelu'?",
    "-a zzz": f"unknown activation 'zzz'; known: {NAMES}.",
    "-a relu -a relu": (
        "activations are ['relu', 'relu'], but must be at least one, each named once"
    ),
    "--device cuda": (
        "device 'cuda' is not present; present here: cpu, mps. Choose one of them, or 'auto'"
    ),
    "--device cpuu": "unknown device 'cpuu'; known: auto, cpu, cuda, mps, xpu. Did you mean 'cpu'?",
    "--initializer he_norml": (
        f"unknown initializer 'he_norml'; known: {INITIALIZERS}. Did you mean 'he_normal'?"
    ),
    "--initializer normal(-1)": (
        "initializer 'normal(-1)' has standard deviation '-1', but it must be a positive number, "
        "as in 'normal(0.05)'"
    ),
    "--dtype float16": "unknown dtype 'float16'; known: float32, float64. Did you mean 'float64'?",
    "--seeds 0": f"--seeds is 0, {WHOLE}",
    "--seeds -3": f"--seeds is -3, {WHOLE}",
    **{
        f"--{name} {value}": f"{name} is {value}, {WHOLE}"
        for name in ("epochs", "width", "depth", "threads")
        for value in (0, -2)
    },
    "--learning-rate nan": f"learning_rate is nan, {POSITIVE}",
    "--learning-rate inf": f"learning_rate is inf, {POSITIVE}",
    "--learning-rate 0": f"learning_rate is 0.0, {POSITIVE}",
    "--learning-rate -0.1": f"learning_rate is -0.1, {POSITIVE}",
    "--weight-decay -1": f"weight_decay is -1.0, {FROM_0}",
    "--weight-decay nan": f"weight_decay is nan, {FROM_0}",
    "--out /dev/null/results": (
        "can't write to the output folder '/dev/null/results': Not a directory. Choose another "
        "with --out"
    ),
}
"""What is wrong with `actbench run sine-regression`, of otherwise tiny settings, and the error."""

REFUSED = {
    f"run sine-regression {' '.join(TINY)} {given}": text for given, text in SETTINGS.items()
}
REFUSED |= {
    "run sine-regresion": (
        f"unknown experiment 'sine-regresion'; known: {EXPERIMENT_NAMES}. "
        "Did you mean 'sine-regression'?"
    ),
    "reproduce --seeds 0": f"--seeds is 0, {WHOLE}",
    "reproduce --threads -1": f"threads is -1, {WHOLE}",
    # What an experiment does not have is refused even at a default value.
    **{
        f"run {key} --{given}": f"gradient-flow has no setting --{given.split()[0]}; {FLOW}. {REST}"
        for key, given in (
            *(("gradient-flow", given) for given in ("epochs 3", "epochs 500", "depth 5")),
            *(("gradient-flow", given) for given in ("initializer he_normal", "learning-rate 0.1")),
            ("sine-regression gradient-flow", "epochs 3"),
        )
    },
    "run closed-forms -a relu": (
        "closed-forms has no setting --activation; it takes --seeds, --device, --threads. " + REST
    ),
    "run activation-derivatives --dtype float32": (
        "activation-derivatives has no setting --dtype; it takes --activation, --seeds, --device, "
        f"--threads. {REST}"
    ),
    "run sine-regression --protocol as-rum": (
        f"unknown protocol 'as-rum'; known: {', '.join(claims.published().protocol)}. "
        "Did you mean 'as-run'?"
    ),
    "run gradient-flow --protocol as-run": (
        "protocol 'as-run' runs sine-regression, but gradient-flow was asked for. Give it: "
        "actbench run sine-regression --protocol as-run"
    ),
    "run sine-regression --protocol as-run --depth 10": (
        "protocol 'as-run' decides every setting, but --depth was given too. Leave it out, or "
        "leave out --protocol and give each setting"
    ),
    "claims --verdict reproducd": (
        f"unknown verdict 'reproducd'; known: {VERDICTS}. Did you mean 'reproduced'?"
    ),
    "claims --verdict xyz": f"unknown verdict 'xyz'; known: {VERDICTS}.",
    "claims --experiment gradient_flow": (
        f"unknown experiment 'gradient_flow'; known: {EXPERIMENT_NAMES}. "
        "Did you mean 'gradient-flow'?"
    ),
    "claims --format jsn": (
        "unknown format 'jsn'; known: table, markdown, json. Did you mean 'json'?"
    ),
    "claims show sigmoid-fail-completely": (
        "no claim has the id 'sigmoid-fail-completely'. Did you mean sigmoid-fails-completely? "
        f"'actbench claims' lists all {CLAIMS}"
    ),
    "claims show xyz": f"no claim has the id 'xyz'. 'actbench claims' lists all {CLAIMS}",
}


@pytest.mark.parametrize("line", REFUSED)
def test_a_mistake_is_one_line(
    actbench: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str
) -> None:
    """It says what was given and what is expected, ends with 2, runs nothing, leaves no folder."""
    monkeypatch.setattr("actbench.study.nets.devices.available", lambda: ("cpu", "mps"))
    forbid_running(monkeypatch)
    assert actbench(*line.split()) == (2, "", f"actbench: error: {REFUSED[line]}\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("run sine-regression --epochs many", "Invalid value for '--epochs'"),
        ("run sine-regression --epoch 3", "No such option: --epoch"),
        ("run", "Missing argument"),
        ("reprodcue", "No such command 'reprodcue'"),
    ],
)
def test_a_slip_in_the_command_is_shown(actbench: Command, line: str, text: str) -> None:
    """What the command line itself can't read is named, with exit code 2 and without traceback."""
    ended = actbench(*line.split())
    assert (ended.code, "Traceback" in ended.err) == (2, False)
    assert text in squeezed(ended.err)


def test_a_run_writes_data_and_real_figures(
    actbench: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """From the command to the files: data, checksum, study files, and each figure twice."""
    two = dict(list(figures.FIGURES["sine-regression"].items())[:2])  # each takes half a second
    draw_instead(monkeypatch, "sine-regression", two)
    ended = actbench(*RUN, "--out", "mine")
    assert ended.code == 0
    drawn = {f"{name}.{suffix}" for name in two for suffix in figures.SUFFIXES}
    assert len(drawn) == 4
    written = contents(tmp_path / "mine")
    assert written.keys() == drawn | {
        *("sine_regression.nc", "sine_regression.nc.sha256"),
        *("final_losses.json", "loss_histories.json"),
        *("gradient_magnitudes.json", "gradient_magnitudes_epochs.json"),
    }
    assert all(written.values())
    listed = re.findall(r"^  mine/(\S+)  \(\d+ kB\)$", ended.out, re.MULTILINE)
    assert set(listed) == written.keys() - {"sine_regression.nc.sha256"}
    assert re.search(r"sine-regression .* 100% ", ended.err)


@pytest.mark.usefixtures("plain_figures")
def test_every_option_reaches_the_protocol(actbench: Command, tmp_path: Path) -> None:
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
def test_what_is_printed_is_what_is_stored(actbench: Command, tmp_path: Path) -> None:
    """The table shows the stored numbers, on 80 columns, and none that other settings gave."""
    ended = actbench(*RUN, "-a", "sigmoid")
    stored = datasets.load(tmp_path / "results" / "sine_regression.nc")
    for name in ("relu", "sigmoid"):
        values = stored["final_mse"].sel(activation=name)
        (cells,) = [line.split() for line in ended.out.splitlines() if line.split()[:1] == [name]]
        first = values.sel(seed=42).item()
        assert cells[1] == f"{values.median().item():.4g}"
        assert cells[-1] == f"{round(first, 7):.7g}"
    notes = [line for line in ended.out.splitlines() if len(line) > 80]
    assert all(line.startswith("Note: ") for line in notes)  # what is piped is not wrapped
    assert "Note: Other settings than the study's (epochs " in squeezed(ended.out)


@pytest.mark.usefixtures("plain_figures")
def test_results_are_reused_or_refused_or_replaced(
    actbench: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The same settings compute nothing again; others are named, and need --overwrite."""
    first = actbench(*RUN)
    before = contents(tmp_path / "results")
    with monkeypatch.context() as patch:
        forbid_running(patch)
        second = actbench(*RUN)
        other = (*RUN, "--learning-rate", "0.5", "--quiet")
        refused = actbench(*other)
    assert (second.code, second.err) == (0, "")
    assert "sine-regression: data reused from results; same settings." in second.out
    assert "Written:" not in second.out
    assert second.out.splitlines()[:5] == first.out.splitlines()[:5]
    assert refused == (
        2,
        "",
        "actbench: error: results/sine_regression.nc holds results of other settings "
        "(learning_rate: 0.001 there, 0.5 now). Replace them with --overwrite, or choose another "
        "folder with --out\n",
    )
    assert contents(tmp_path / "results") == before
    assert actbench(*other, "--overwrite") == (0, "", "")
    stored = datasets.load(tmp_path / "results" / "sine_regression.nc")
    assert datasets.protocol_of(stored)["learning_rate"] == 0.5


# Recovered, robust and deep networks of eight activations; then five widths of four.
FLOW_STEPS = 8 * (4 + 5 * 400 + 5 * 64) + 4 * (64 + 64 + 48 + 24 + 12)


@pytest.mark.parametrize(
    ("arguments", "steps"),
    [
        (["run", "sine-regression", "--seeds", "7"], {"sine-regression": 5 * 7 * 500}),
        (["run", "sine-regression", "--epochs", "9", "-a", "elu"], {"sine-regression": 16 * 9}),
        (["run", "gradient-flow"], {"gradient-flow": FLOW_STEPS}),
        (
            ["run", "gradient-flow", "--seeds", "3"],
            {"gradient-flow": 8 * (4 + 2 * 5 * 3) + 4 * 5 * 3},
        ),
        (["run", "activation-derivatives"], {"activation-derivatives": 8}),
        (["run", "closed-forms"], {"closed-forms": 0}),
        (
            ["run", "closed-forms", "sine-regression", "closed-forms"],
            {"closed-forms": 0, "sine-regression": 5 * 16 * 500},
        ),
        (
            ["reproduce", "--quick", "--seeds", "7"],
            {
                "sine-regression": 5 * 7 * 500,
                "sine_regression-linear-at-start.nc": 400,
                "gradient-flow": FLOW_STEPS,
                "gradient_flow-gradients-deep.nc": 8 * (1 + 32),
                "activation-derivatives": 8,
                "closed-forms": 0,
            },
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_dry_run_writes_nothing(
    actbench: Command,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: Sequence[str],
    steps: dict[str, int],
) -> None:
    """It says what would run, how long, and where to, and leaves no folder."""
    clock = [0.0]

    def work(config: Any, *_: object) -> None:
        clock[0] += 2.0 * config.steps  # a step takes two seconds

    for experiment in EXPERIMENTS.values():
        monkeypatch.setattr(experiment.module(), "run", work)
    monkeypatch.setattr(
        "actbench.study.commands.session.time", SimpleNamespace(perf_counter=lambda: clock[0])
    )
    ended = actbench(*arguments, "--dry-run", "--out", "mine", "--threads", "1")
    # At its defaults an experiment is not run, but told from what a step of it costs.
    seconds = {name: 2.0 * count * COSTS.get(name, 1) for name, count in steps.items()}
    expected = [f"{name}: about {duration(took)}, into mine/" for name, took in seconds.items()]
    if len(steps) > 1:
        whole = duration(sum(seconds.values()))
        expected.append(f"In all about {whole}, and seconds for figures.")
    assert (ended.code, ended.err) == (0, "")
    said = ended.out.splitlines()
    assert said[-len(expected) :] == expected
    left_out = squeezed(" ".join(said[: -len(expected)]))
    assert left_out.startswith("Left out by --quick: ") is ("--quick" in arguments)
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_measures_this_machine(actbench: Command, tmp_path: Path) -> None:
    """The estimate comes from running a little, and is a number of seconds."""
    ended = actbench("run", "sine-regression", *TINY, "--dry-run")
    assert re.fullmatch(r"sine-regression: about \d+ s, into results/\n", ended.out)
    assert (ended.code, ended.err) == (0, "")
    assert list(tmp_path.iterdir()) == []


def asked_for(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """Run nothing, and return the list that will hold what was asked for."""
    jobs: list[Job] = []

    def remember(_: Session, asked: Sequence[Job]) -> NoReturn:
        jobs.extend(asked)
        raise KeyboardInterrupt

    monkeypatch.setattr(Session, "execute", remember)
    return jobs


@pytest.mark.parametrize("key", EXPERIMENTS)
def test_without_options_an_experiment_runs_at_its_own_defaults(
    actbench: Command, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    """No option has a default that overrides the experiment's."""
    jobs = asked_for(monkeypatch)
    actbench("run", key)
    experiment = EXPERIMENTS[key]
    assert jobs == [Job(experiment, experiment.module().Config())]


def test_reproduce_asks_for_the_studys_settings(
    actbench: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without options, every protocol that is not slow runs, trainings from 16 seeds."""
    jobs = asked_for(monkeypatch)
    actbench("reproduce", "--quiet")
    assert jobs == study_jobs(16, "auto", None)
    assert jobs[0].config == sine_regression.Config(seeds=16)


@pytest.mark.usefixtures("plain_figures")
def test_other_experiments_run_from_the_command_line(actbench: Command, tmp_path: Path) -> None:
    """One without training writes its data, study file and figure; a protocol runs by its name."""
    command = ("run", "gradient-flow", "-a", "relu", "--seeds", 2, "--width", 4, "--threads", 1)
    assert actbench(*command).code == 0
    written = {
        *("gradient_flow.nc", "gradient_flow.nc.sha256", "exp1_gradient_flow.json"),
        *("drawing.png", "drawing.svg"),
    }
    assert contents(tmp_path / "results").keys() == written
    protocol = datasets.protocol_of(datasets.load(tmp_path / "results" / "gradient_flow.nc"))
    assert [protocol[n] for n in ("activations", "seeds", "width")] == [["relu"], [42, 43], 4]
    reused = "gradient-flow: data reused from results; same settings.\n"
    assert actbench(*command) == (0, reused, "")
    named = actbench("run", "closed-forms", "--protocol", "closed-forms", "--quiet")
    assert (named.code, named.err) == (0, "")
    assert (tmp_path / "results" / "closed_forms.nc").exists()


SMALL_FLOW = {
    "activations": ["relu"],
    "depths": [2],
    "robust_depths": [2],
    "initializers": ["he_normal"],
    "width": 4,
    "deep_depth": 0,
    "spread_widths": [],
}
LINE = {"name": "closed_form", "quantity": "best_line_mse", "target": "noisy_sine"}
RATIO = {"name": "recovered_ratio", "activation": "relu", "depth": 2}
PROTOCOLS: dict[str, dict[str, Any]] = {
    "trained": {
        "experiment": "sine-regression",
        "settings": {"activations": ["relu"], "depth": 2, "width": 8, "epochs": 3},
    },
    "flow": {
        "experiment": "gradient-flow",
        "seeds": 3,
        "settings": SMALL_FLOW,
    },
    "closed-forms": {"experiment": "closed-forms"},
    "deep-plain": {
        "experiment": "sine-regression",
        "settings": {"activations": ["leaky_relu"], "depth": 50},
        "seeds": 16,
        "slow": True,
    },
}


def final_mse(name: str, protocol: str, activation: str) -> dict[str, Any]:
    """A claim that a final error is far above the noise."""
    metric = {"name": "final_mse", "activation": activation}
    return least(name, protocol, metric, "above", 0.1, expected="reproduced")


def tiny_claims(line: str = "not_reproduced") -> str:
    """A file of five claims, one of which fails as expected unless its expected verdict differs."""
    exact = partial(least, quantifier="exact")
    return text_of(
        final_mse("three-epochs-teach-nothing", "trained", "relu"),
        exact("relu-ratio-is-above-zero", "flow", RATIO, "above", 0.001, expected="reproduced"),
        exact("the-line-is-perfect", "closed-forms", LINE, "below", 0.01, expected=line),
        final_mse("deep-networks-learn-nothing", "deep-plain", "leaky_relu"),
        NOT_TESTABLE,
        **PROTOCOLS,
    )


@pytest.fixture
def tiny_study(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of five claims that is reproduced in a second; its file."""
    path = tmp_path_factory.mktemp("claims") / "tiny.toml"
    path.write_text(tiny_claims(), encoding="utf-8")

    def published() -> claims.ClaimsFile:
        file = claims.load(path)
        file._path = None  # it stands for the study's, whose measurements are the package's
        return file

    monkeypatch.setattr(claims, "published", published)
    used = {"sine-regression", "gradient-flow", "closed-forms"}
    few = {key: experiment for key, experiment in EXPERIMENTS.items() if key in used}
    monkeypatch.setattr("actbench.study.commands.session.EXPERIMENTS", few)
    return path


REPRODUCE = ("reproduce", "--seeds", "10", "--device", "cpu", "--threads", "1")
TALLY = "5 claims: 3 reproduced, 1 not_reproduced, 1 not_testable; all as expected"


@pytest.mark.usefixtures("tiny_study")
def test_reproduce_ends_with_the_ledger(actbench: Command, tmp_path: Path) -> None:
    """Data of every protocol is written, then each claim is judged, listed and counted."""
    ended = actbench(*REPRODUCE, "--verbose")
    assert ended.code == 0
    assert f"\n{TALLY}\n" in ended.out
    for claim in claims.published().claim:
        (line,) = [line for line in ended.out.splitlines() if line.split()[:1] == [claim.id]]
        assert line.split()[-1] == claim.expected
    table = ended.out.split("Written:")[-1].splitlines()
    assert max(len(line) for line in table if not line.startswith("Note: ")) <= 80
    # Those that take no steps are counted too.
    counts = re.findall(r"^(\d)/3 (\S+) ", ended.err, re.MULTILINE)
    assert [place for place, _ in counts] == ["1", "2", "3"]
    assert counts[-1] == ("3", "closed-forms")
    written = contents(tmp_path / "results")
    data = ("sine_regression-trained.nc", "gradient_flow-flow.nc", "closed_forms.nc")
    sums = tuple(f"{name}.sha256" for name in data)
    documents = ("ledger.json", "ledger.md", "report.html", "report.md")
    assert written.keys() == {*data, *sums, *documents}
    rows = json.loads(written["ledger.json"])
    assert [row["id"] for row in rows] == [claim.id for claim in claims.published().claim]
    assert [row["seeds"] for row in rows] == [10, 1, 1, 32, 0]
    assert TALLY in written["ledger.md"].decode().splitlines()
    again = actbench(*REPRODUCE)
    assert (again.code, again.err) == (0, "")
    assert again.out.count("data reused from results; same settings.") == 3
    ends = [line.split("  ")[0] for line in again.out.splitlines()[3:]]
    assert ends == ["The study", "Surprises", "Page", "Next"]
    assert squeezed(again.out).endswith("Page results/report.html Next actbench claims")


@pytest.mark.usefixtures("tiny_study")
def test_claims_are_judged_from_the_folder_that_is_named(actbench: Command, tmp_path: Path) -> None:
    """What reproduce wrote is printed, wherever the folder stands; damage in it is one line."""
    assert actbench(*REPRODUCE, "--quiet", "--out", "mine") == (0, "", "")
    written = contents(tmp_path / "mine")
    for form, name in (("json", "ledger.json"), ("markdown", "ledger.md")):
        ended = actbench("claims", "--out", "mine", "--format", form)
        assert (ended.code, ended.err) == (0, "")
        assert ended.out.rstrip() == written[name].decode().rstrip()
    for command in (
        ("claims", "--out", "mine", "show", "the-line-is-perfect"),
        ("claims", "show", "the-line-is-perfect", "--out", "mine"),
        ("claims", "--out", "other", "show", "the-line-is-perfect", "-o", "mine"),
    ):
        ended = actbench(*command)
        assert ended.code == 0
        assert re.search(r"found .* \(results\)$", ended.out, re.MULTILINE)
        assert "measured   with torch" not in ended.out
    with (tmp_path / "mine" / "closed_forms.nc").open("ab") as stream:
        stream.write(b"x")
    assert actbench("claims", "--out", "mine") == (
        2,
        "",
        "actbench: error: mine/closed_forms.nc is damaged: its SHA-256 is not the one in "
        "closed_forms.nc.sha256. Delete both and run the experiment again\n",
    )


def test_reproduce_says_what_changed(actbench: Command, tiny_study: Path, tmp_path: Path) -> None:
    """A verdict other than the pinned one is named, and the exit code is 1."""
    tiny_study.write_text(tiny_claims(line="reproduced"), encoding="utf-8")
    ended = actbench(*REPRODUCE)
    assert ended.code == 1
    assert squeezed(ended.out).endswith(
        "Surprises the-line-is-perfect (not_reproduced; expected reproduced) Page "
        "results/report.html Next actbench claims show the-line-is-perfect"
    )
    rows = json.loads((tmp_path / "results" / "ledger.json").read_bytes())
    wrong = [row["id"] for row in rows if row["verdict"] != row["expected"]]
    assert wrong == ["the-line-is-perfect"]
    assert actbench("claims").code == 1


@pytest.mark.usefixtures("tiny_study")
def test_too_few_seeds_are_no_change(actbench: Command) -> None:
    """A claim that needs more seeds than were asked for is undecided, and that is all."""
    ended = actbench("reproduce", "--seeds", "2", "--device", "cpu", "--threads", "1")
    assert ended.code == 0
    assert squeezed(ended.out).endswith(
        "Undecided 1 claim needs more seeds: --seeds 9 Page results/report.html Next actbench "
        "reproduce --seeds 9 --overwrite"
    )
    assert "1 claim needs more seeds: --seeds 9" in actbench("claims").out
    assert actbench("report").code == 0
    shown = actbench("claims", "show", "three-epochs-teach-nothing")
    assert re.search(r"to flip    \d+ seeds instead of 2$", shown.out, re.MULTILINE)
    assert "interval   none, error level 0.005" in shown.out


FIELDS = {
    *("id", "verdict", "expected", "published", "measured", "interval", "margin"),
    *("seeds", "seeds_needed", "statement", "source", "finding", "to_flip", "because"),
}


def ledger_rows(ended: Ended) -> list[dict[str, Any]]:
    """Read what was printed as JSON, strictly."""

    def refuse(constant: str) -> NoReturn:
        pytest.fail(f"{constant} is not JSON")

    rows: list[dict[str, Any]] = json.loads(ended.out, parse_constant=refuse)
    return rows


def test_claims_as_json(actbench: Command, tmp_path: Path) -> None:
    """From stored measurements, every claim is an object with its verdict and its evidence."""
    ended = actbench("claims", "--format", "json")
    assert (ended.code, ended.err) == (0, "")
    rows = ledger_rows(ended)
    assert len(rows) >= 35
    assert [row["id"] for row in rows] == [claim.id for claim in claims.published().claim]
    for row in rows:
        assert row.keys() >= FIELDS
        assert row["verdict"] == row["expected"]
        assert row["verdict"] in VERDICTS.split(", ")
        if row["verdict"] != "not_testable":
            # JSON has no infinity: an epoch that is never reached is null there.
            ends = [row["interval"][0], row["measured"], row["interval"][1]]
            finite = [end for end in ends if end is not None]
            assert finite == sorted(finite)
            # Fewer than are needed to confirm "every seed" can be enough to refute it.
            assert row["seeds"] >= row["seeds_needed"] or row["verdict"] == "not_reproduced"
    one = {row["id"]: row for row in rows}["relu-final-mse"]
    assert one["published"] == 0.008041415
    assert one["measured"] == pytest.approx(0.0076, rel=0.05)
    assert one["margin"] > 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("width", [80, 140])
def test_claims_as_a_table(actbench: Command, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """Every claim has its verdict on a terminal of any width, with the counts at the end."""
    monkeypatch.setenv("COLUMNS", str(width))
    ended = actbench("claims")
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    for claim in claims.published().claim:
        (line,) = [line for line in lines if line.split()[:1] == [claim.id]]
        assert line.split()[-1] == claim.expected
    assert re.fullmatch(r"\d+ statements: \d+ as documented, .*; all as expected", lines[-1])
    assert max(len(line) for line in lines[:-1]) <= width
    assert "0.008041" in ended.out


def test_claims_as_markdown(actbench: Command) -> None:
    """A row per claim, each with as many cells as the heading."""
    ended = actbench("claims", "--format", "markdown")
    assert (ended.code, ended.err) == (0, "")
    table = [line for line in ended.out.splitlines() if line.startswith("|")]
    rows = [line for line in table if line.startswith("| `")]
    assert len(rows) == len(claims.published().claim)
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {table[0].count("|")}
    assert table[0].startswith("| claim | what it says | verdict | found | holds if | why |")
    assert table[2].startswith("| `relu-final-mse` | ")
    assert re.search(r"^\d+ statements: .*; all as expected$", ended.out, re.MULTILINE)


def test_claims_can_be_chosen(
    actbench: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By verdict, by experiment, and by both; what is of no experiment can't be tested."""
    file = claims.published()
    judged = ledger.Results(file, tmp_path).judge()
    monkeypatch.setattr(ledger.Results, "judge", lambda results: judged)

    def rows(*options: str) -> list[str]:
        return [row["id"] for row in ledger_rows(actbench("claims", "--format", "json", *options))]

    for verdict in VERDICTS.split(", "):
        assert rows("--verdict", verdict) == [c.id for c in file.claim if c.expected == verdict]
    of = {c.id: c.protocol and file.protocol[c.protocol].experiment for c in file.claim}
    for key in ("closed-forms", "activation-derivatives", "stability"):
        assert rows("--experiment", key) == [name for name, other in of.items() if other == key]
    assert {str(c.expected) for c in file.claim if of[c.id] is None} == {"not_testable"}
    ended = actbench(
        "claims", "--experiment", "activation-derivatives", "--verdict", "not_reproduced"
    )
    assert ended.code == 0
    assert "gelu-derivative-min" in ended.out
    assert ended.out.splitlines()[-1] == "2 claims: 2 not_reproduced; all as expected"
    none = actbench("claims", "--experiment", "closed-forms", "--verdict", "inconclusive")
    assert none.code == 0
    assert none.out.splitlines()[-1] == "0 claims: none; all as expected"


def test_one_claim_in_full(actbench: Command) -> None:
    """Source, protocol, metric, bounds with their reason, evidence, and how to rerun just it."""
    ended = actbench("claims", "show", "relu-fits-the-sine-perfectly")
    assert (ended.code, ended.err) == (0, "")
    name, *lines = ended.out.splitlines()
    assert name == "relu-fits-the-sine-perfectly"
    shown = {line[2:13].strip(): line[13:] for line in lines}
    claim = claims.published().get(name)
    assert shown["says"] == claim.statement
    assert shown["stated in"] == claim.source
    assert shown["verdict"] == "direction_only (expected: direction_only)"
    assert shown["why"] == claim.because
    assert shown["protocol"] == "stated: sine-regression, defaults"
    assert shown["metric"].startswith("final_mse_clean(activation=relu): Final mean squared")
    assert claim.relation is not None
    assert shown["holds if"] == f"median in [-inf, 0.0001]: {claim.relation.reason}"
    assert claim.direction is not None
    assert shown["direction"] == f"in [-inf, 0.005]: {claim.direction.reason}"
    assert shown["found"].endswith("(stored measurements)")
    assert re.fullmatch(r"0\.000\d+ to 0\.00\d+, error level 0\.0001", shown["interval"])
    assert shown["rerun"] == f"pytest 'tests/test_claims.py::test_claim[{name}]'"
    assert shown["measured"].startswith("with torch ")


@pytest.mark.parametrize(
    ("claim", "lines"),
    [
        # As documented and as run: whichever is asked for, the other one is told.
        (
            "sigmoid-fails-completely",
            ["beside     sigmoid-fails-completely-as-run.*depth=11.*: reproduced;.*"],
        ),
        (
            "sigmoid-fails-completely-as-run",
            ["beside     sigmoid-fails-completely, .*: not_reproduced;.*"],
        ),
        # What is judged from the store unless asked for names the option that trains it.
        (
            "deep-leaky-relu-learns-with-skip-connections",
            [
                "protocol   deep-skip: sine-regression, .*skip=True.*",
                "rerun      pytest '.*' --actbench-slow",
            ],
        ),
    ],
)
def test_what_else_a_claim_shows(actbench: Command, claim: str, lines: Sequence[str]) -> None:
    """Another claim beside it, and how it is rerun."""
    ended = actbench("claims", "show", claim)
    assert ended.code == 0
    for line in lines:
        assert re.search(rf"^  {line}$", ended.out, re.MULTILINE)


def test_a_claim_that_nothing_decides_says_why(actbench: Command) -> None:
    """Without protocol and metric there is the reason, and no empty line."""
    ended = actbench("claims", "show", "gelu-for-transformers")
    assert ended.code == 0
    first_words = [line.split()[0] for line in ended.out.splitlines()[1:]]
    assert first_words == ["says", "stated", "verdict", "why"]
    assert "verdict    not_testable (expected: not_testable)" in ended.out


def test_a_changed_verdict_is_told_by_the_exit_code(
    actbench: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One flip among all claims ends with 1, in every form, also where it is filtered out."""
    file = claims.published()
    flipped = [
        claim.model_copy(update={"expected": claims.Verdict.NOT_REPRODUCED})
        if claim.id == "relu-final-mse"
        else claim
        for claim in file.claim
    ]
    changed = file.model_copy(update={"claim": tuple(flipped)})
    monkeypatch.setattr(claims, "published", lambda: changed)
    table = actbench("claims")
    assert (table.code, table.err) == (1, "")
    assert table.out.splitlines()[-1].endswith("(reproduced; expected not_reproduced)")
    assert table.out.count("expected not_reproduced") == 2  # in its row, and in the tally
    assert actbench("claims", "--format", "json").code == 1
    assert actbench("claims", "--format", "markdown", "--experiment", "closed-forms").code == 1


def test_results_of_other_settings_are_not_judged(actbench: Command) -> None:
    """A run with settings of one's own decides no claim; it is told, and the store decides."""
    assert actbench("run", "closed-forms", "-q", "--threads", "1").code == 0
    assert actbench("claims", "-o", "results").code == 0
    path = Path("results", "closed_forms.nc")
    other = datasets.load(path)
    other.attrs["protocol"] = json.dumps({"points": 100})
    datasets.save(other, path)
    shown = actbench("claims")
    assert (shown.code, shown.err) == (0, "")
    assert (
        "All are judged from stored measurements.\n"
        "results/closed_forms.nc was made with points=100, but protocol 'closed-forms' states 200; "
        "its claims are judged from stored measurements.\n"
    ) in shown.out
    one = actbench("claims", "show", "linear-output-for-regression")
    assert (one.code, one.err.startswith("Note: results/closed_forms.nc was made with")) == (
        0,
        True,
    )
    page = actbench("report")
    assert (page.code, "results/closed_forms.nc was made with" in page.err) == (0, True)
    assert Path("results", "report.html").exists()


@pytest.mark.usefixtures("plain_figures")
def test_networks_that_diverge_are_reported(actbench: Command, tmp_path: Path) -> None:
    """Overflow is a result: told in a sentence, null in the files, exit code 0."""
    ended = actbench(*RUN, "--initializer", "normal(1e15)")
    assert ended.code == 0
    assert "Note: relu: 2 of 2 seeds diverged, the first at epoch 0." in squeezed(ended.out)
    losses = (tmp_path / "results" / "final_losses.json").read_text(encoding="utf-8")
    assert json.loads(losses) == {"relu": None}


@pytest.mark.usefixtures("plain_figures")
def test_a_full_disk_is_one_line(
    actbench: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where the disk fills up, the old results stay whole and no temporary file does."""
    command = (*RUN, "-q")
    assert actbench(*command).code == 0
    before = contents(tmp_path / "results")

    def full(descriptor: int) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        ended = actbench(*command, "--learning-rate", "0.5", "--overwrite")
    assert (ended.code, ended.out) == (2, "")
    assert re.fullmatch(
        r"actbench: error: can't write results/\S+\.nc: No space left on device\. Free "
        r"some space or choose another folder with --out; what was there before is untouched\n",
        ended.err,
    )
    assert contents(tmp_path / "results") == before


@pytest.mark.usefixtures("plain_figures")
def test_ctrl_c_in_the_middle_of_training_leaves_earlier_results(
    actbench: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An interrupt ends with 130 and one line, with nothing half-written."""
    command = (*RUN, "-q")
    assert actbench(*command).code == 0
    before = contents(tmp_path / "results")
    whole = sine_regression.run

    def interrupted(
        config: sine_regression.Config, progress: Callable[[int], None], checkpoint: Checkpoint
    ) -> xr.Dataset:
        def stop(done: int) -> NoReturn:
            progress(done)
            raise KeyboardInterrupt

        return whole(config, stop, checkpoint)

    monkeypatch.setattr(sine_regression.experiment, "run", interrupted)
    ended = actbench(*command, "--overwrite")
    assert ended == (
        130,
        "",
        "\nactbench: interrupted; finished files are whole, others untouched\n",
    )
    assert contents(tmp_path / "results") == before


@pytest.mark.usefixtures("plain_figures")
def test_ctrl_c_between_two_files_leaves_whole_ones(
    actbench: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Stopped while writing, what is there is whole, and the same command finishes the rest."""
    command = (*RUN, "-q")
    assert actbench(*command, "--out", "whole").code == 0
    # A part of the run and its checksum, the dataset and its checksum, a study file.
    whole, calls = os.fsync, iter(range(5))

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


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_from_the_terminal_ends_with_130(tmp_path: Path) -> None:
    """A real signal, sent once the progress bar shows that training is under way, stops it."""
    import pty

    terminal, their_end = pty.openpty()
    arguments = (*RUN, "--epochs", "1000000")
    with subprocess.Popen(  # noqa: S603 - our own code
        [sys.executable, "-m", "actbench", *arguments, "--out", "results"],
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
    code, out, err = python("-m", "actbench", "run", "no-such-thing", folder=tmp_path)
    assert (code, out) == (2, "")
    assert err.startswith("actbench: error: unknown experiment 'no-such-thing'; known: ")


def test_help_names_every_command_and_setting(actbench: Command) -> None:
    """Help says where to start and what there is; that of run has each option with its default."""
    ended = actbench("--help")
    assert ended.code == 0
    assert "Start with actbench judge runs.csv on a table of yours" in squeezed(ended.out)
    for command in ("reproduce", "run", "claims", "list", "doctor"):
        assert re.search(rf"^\W*{command} ", ended.out, re.MULTILINE)
    text = squeezed(actbench("run", "-h").out)
    for option in (
        *("--activation", "--epochs", "--initializer", "--learning-rate", "--weight-decay"),
        *("--target", "--depth", "--width", "--dtype", "--out", "--seeds", "--device", "--threads"),
        *("--quiet", "--dry-run", "--overwrite"),
    ):
        assert option in text
    text = squeezed(text.replace("│", ""))
    for default in ("500", "torch_default", "0.001", "10", "64", "float32"):
        assert f"[default: ({default})]" in text
    assert text.count("[default: (the experiment's)]") == 3


@pytest.mark.parametrize("name", ["reproduce", "run", "sweep", "track", "claims", "robustness"])
def test_help_shows_flags_as_they_are_typed(actbench: Command, name: str) -> None:
    """Without the type of a value and without a form that switches them off."""
    shown = actbench(name, "--help").out
    assert "--help" in shown
    assert not re.search(r"--no-|bool", shown, re.IGNORECASE)
    if name == "sweep":  # what it shows can be copied: its lines and brackets are a grid's
        grid = shown.split("such as")[1].split("Further axes")[0]
        assert build(tomllib.loads(inspect.cleandoc(grid))).size == 2 * 2 * 100


def test_list_names_everything_that_can_be_asked_for(actbench: Command) -> None:
    """Experiments, activations and initializers are listed by the names that are accepted."""
    ended = actbench("list")
    assert ended.code == 0
    first_words = {line.split()[0].strip(":") for line in ended.out.splitlines()}
    assert first_words == {
        *("experiments", "activations", "initializers"),
        *(*EXPERIMENTS, *experiments.FURTHER),
        *(*ACTIVATIONS, *activations.FURTHER),
        *KEYS,
    }
    assert "slope in [0.01, 1]" in ended.out
    known = json.loads(actbench("list", "--format", "json").out)
    run = [experiment["key"] for experiment in known["experiments"] if experiment["reproduce"]]
    assert run == list(EXPERIMENTS)
    assert f"the {len(run)} of the study, which reproduce runs" in ended.out
    assert [activation["key"] for activation in known["activations"]] == [
        *ACTIVATIONS,
        *activations.FURTHER,
    ]


def test_robustness_is_a_table(actbench: Command) -> None:
    """Of all claims or of one, setting by setting, within 80 columns; and JSON alone on stdout."""
    for arguments in ((), ("relu-final-mse",)):
        ended = actbench("robustness", *arguments)
        assert max(map(len, ended.out.splitlines())) <= 80
        assert ("median" in ended.out) is bool(arguments)
        assert ("relu-final-mse" in ended.out) is not bool(arguments)
        rows = json.loads(actbench("robustness", *arguments, "--format", "json").out)
        assert len(rows) == (60 if arguments else 27)
        markdown = actbench("robustness", *arguments, "--format", "markdown").out
        assert len(markdown.splitlines()) == len(rows) + 2
    refused = actbench("robustness", "gelu-for-transformers")
    assert (refused.code, refused.out) == (2, "")
    assert "claim 'gelu-for-transformers' is not on the map" in refused.err


def test_version_is_printed(actbench: Command) -> None:
    """The version is the package's."""
    assert actbench("--version") == (0, f"actbench {package.__version__}\n", "")


@pytest.mark.parametrize(("good", "code", "mark"), [(True, 0, "ok  "), (False, 1, "look")])
def test_doctor_prints_a_line_for_each_finding(
    actbench: Command, monkeypatch: pytest.MonkeyPatch, good: bool, code: int, mark: str
) -> None:
    """What is not good is marked, and then the exit code is 1."""
    found = [Finding(True, "one"), Finding(good, "two")]
    monkeypatch.setattr(doctor, "examine", lambda out: found)
    assert actbench("doctor") == (code, f"ok   one\n{mark} two\n", "")
    told = actbench("doctor", "--format", "json")
    assert (told.code, json.loads(told.out)[1]) == (code, {"good": good, "text": "two"})


def test_doctor_looks_at_the_folder_that_is_named(actbench: Command, tmp_path: Path) -> None:
    """An unwritable one is a line to look at, with exit code 1; nothing is left of another."""
    ended = actbench("doctor", "--out", "/dev/null/results")
    assert (ended.code, ended.err) == (1, "")
    assert ended.out.splitlines()[-1] == (
        "look can't write to the output folder '/dev/null/results': Not a directory. "
        "Choose another with --out"
    )
    assert "ok   output folder a/b: " in actbench("doctor", "--out", "a/b").out
    assert list(tmp_path.iterdir()) == []
