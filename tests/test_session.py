"""A command that computes: which jobs it has, what it shows, and how long it says they take."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray as xr
from drawings import draw_instead
from matplotlib.figure import Figure

from actbench import claims, ledger
from actbench.claims import Verdict
from actbench.claims.verdicts import Judgment
from actbench.cli.console import Session
from actbench.runs.early import Job
from actbench.runs.results import Outcome
from actbench.store.environment import duration
from actbench.store.errors import ActbenchError
from actbench.study import figures
from actbench.study.commands.session import COSTS, StudySession, make_config, study_jobs
from actbench.study.experiments import EXPERIMENTS, Experiment, gradient_flow, sine_regression

SINE, FLOW = EXPERIMENTS["sine-regression"], EXPERIMENTS["gradient-flow"]
TINY = sine_regression.Config(
    activations=("relu",), seeds=2, epochs=3, depth=2, width=4, points=10, device="cpu", threads=1
)
SMALL_FLOW = gradient_flow.Config(
    activations=("relu",),
    depths=(2,),
    robust_depths=(2,),
    initializers=("he_normal",),
    seeds=2,
    width=4,
    deep_depth=0,
    spread_widths=(),
    threads=1,
)


@pytest.fixture(autouse=True)
def plain(actbench: object, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001 - its columns
    """80 columns without color, an empty folder, one plain figure per experiment."""
    drawing = {"drawing": lambda dataset: Figure(figsize=(1, 1))}
    for key in figures.FIGURES:
        draw_instead(monkeypatch, key, drawing)


@pytest.fixture
def session(tmp_path: Path) -> StudySession:
    """A session that writes to a folder and shows what it does."""
    return StudySession(tmp_path / "out", quiet=False, overwrite=False)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """Have experiments take so many seconds per step, and the first run 1000; what they ran."""
    now = [0.0]

    def slow(*experiments: Experiment, step_s: float) -> list[Any]:
        ran: list[Any] = []

        def work(config: Any, *_: object) -> None:
            now[0] += (step_s if ran else 1000.0) * config.steps
            ran.append(config)

        for experiment in experiments:
            monkeypatch.setattr(experiment.module(), "run", work)
        return ran

    time = SimpleNamespace(perf_counter=lambda: now[0])
    monkeypatch.setattr("actbench.study.commands.session.time", time)
    return slow


def squeezed(text: str) -> str:
    """Undo the wrapping of lines."""
    return " ".join(text.split())


def test_the_study_needs_every_protocol_that_is_not_slow() -> None:
    """One job per protocol; one with settings of its own is a variant with a file of its own."""
    jobs = study_jobs(3, "cpu", 2, quick=True)
    file = claims.published()
    fast = {name: p for name, p in file.protocol.items() if not p.slow}
    assert 0 < len(fast) < len(file.protocol)
    assert [job.experiment.key for job in jobs] == [p.experiment for p in fast.values()]
    for job, (name, protocol) in zip(jobs, fast.items(), strict=True):
        stem = protocol.experiment.replace("-", "_")
        assert job.name == (f"{stem}-{name}.nc" if protocol.settings else None)
        assert (job.config.device, job.config.threads) == ("cpu", 2)
        for setting, value in protocol.settings.items():
            stored = getattr(job.config, setting)
            assert (list(stored) if isinstance(stored, tuple) else stored) == value


def test_a_quick_look_says_what_it_leaves_out(
    session: StudySession, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every experiment is either run or named."""
    jobs = study_jobs(3, "cpu", 1, quick=True)
    session.say_left_out(jobs)
    said = squeezed(capsys.readouterr().out)
    left = set(EXPERIMENTS) - {job.experiment.key for job in jobs}
    assert left
    assert all((key in said) is (key in left) for key in EXPERIMENTS)


def test_the_study_covers_every_experiment_once_at_its_defaults() -> None:
    """Each gives its files and figures, no two jobs share a file, and stated seeds are kept."""
    jobs = study_jobs(3, "cpu", 1)
    assert sorted(job.experiment.key for job in jobs if job.name is None) == sorted(EXPERIMENTS)
    variants = [job.name for job in jobs if job.name is not None]
    assert len(variants) == len(set(variants))
    by_key = {job.experiment.key: job for job in jobs if job.name is None}
    assert by_key["sine-regression"].config.seeds == (42, 43, 44)
    assert by_key["gradient-flow"].config.seeds == tuple(range(42, 442))


def test_settings_become_a_configuration() -> None:
    """What is given replaces a default, what is not given stays; the experiment may refuse it."""
    assert make_config(SINE, {}) == sine_regression.Config()
    given = {"activations": ["relu"], "epochs": 7, "seeds": 2, "device": "cpu", "threads": 1}
    assert make_config(SINE, given) == sine_regression.Config(
        activations=("relu",), epochs=7, seeds=2, device="cpu", threads=1
    )
    assert make_config(FLOW, {"width": 5}) == gradient_flow.Config(width=5)
    with pytest.raises(ActbenchError, match=r"^epochs is 0, but must be a whole number"):
        make_config(SINE, {"epochs": 0})


TAKEN = {
    "gradient-flow": "--activation, --width, --seeds, --device, --threads",
    "activation-derivatives": "--activation, --seeds, --device, --threads",
    "closed-forms": "--seeds, --device, --threads",
}


@pytest.mark.parametrize("key", TAKEN)
@pytest.mark.parametrize(
    "setting", ["epochs", "learning_rate", "weight_decay", "initializer", "depth", "dtype"]
)
def test_a_setting_that_an_experiment_lacks_is_refused(key: str, setting: str) -> None:
    """The option is named as it is typed, with those that the experiment takes."""
    option = f"--{setting.replace('_', '-')}"
    with pytest.raises(ActbenchError) as caught:
        make_config(EXPERIMENTS[key], {"seeds": 2, setting: 1})
    assert str(caught.value) == (
        f"{key} has no setting {option}; it takes {TAKEN[key]}. Leave it out, or run each "
        "experiment by itself"
    )


def test_every_option_of_the_command_can_be_named() -> None:
    """No option of `actbench run` that sets something is unknown to the text of a refusal."""
    from actbench.study.commands.session import _OPTIONS
    from actbench.study.commands.studying import run

    others = {"experiments", "protocol", "out", "quiet", "dry_run", "overwrite"}
    plural = {"activation": "activations", "target": "targets"}
    given = {plural.get(name, name) for name in run.__annotations__}
    assert given - others - {"return"} == _OPTIONS.keys()


def test_a_training_is_shown(session: StudySession, capsys: pytest.CaptureFixture[str]) -> None:
    """Progress, the table, bars, findings, and what was written; no losses of other settings."""
    session.execute([Job(SINE, TINY)])
    shown = capsys.readouterr()
    assert "sine-regression" in shown.err
    assert "100%" in shown.err
    assert "Mean squared error on the noisy targets, 2 seeds" in shown.out
    assert "0.008041" not in shown.out
    assert "agrees" not in shown.out
    assert "Mean |dloss/dW| per layer at epoch 0, seed 42" in squeezed(shown.out)
    assert "Note: Other settings than the study's (epochs " in squeezed(shown.out)
    assert "sine_regression.nc  (" in shown.out
    assert "reused" not in shown.out


def test_networks_of_another_file_are_not_held_against_the_study(
    session: StudySession, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is run for a file of claims of its own is shown, and not called other than the study."""
    session.execute([Job(SINE, TINY)], claims.load(claims.further_studies()[0]))
    shown = capsys.readouterr().out
    assert "Mean squared error" in shown
    assert "Note:" not in shown


def test_what_has_no_training_is_listed(
    session: StudySession, capsys: pytest.CaptureFixture[str]
) -> None:
    """An experiment without final losses shows its files alone."""
    session.execute([Job(FLOW, SMALL_FLOW)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Written:"
    written = [Path(line.split()[0]).name for line in lines[1:]]
    drawn = ["drawing.png", "drawing.svg"]
    assert written == ["gradient_flow.nc", "exp1_gradient_flow.json", *drawn]


def test_a_grid_has_no_table_of_final_losses(
    session: StudySession, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where final losses depend on more than activation and seed, no table is tried."""
    final = (("activation", "depth", "seed"), np.zeros((1, 2, 3)))
    grid = xr.Dataset({"final_mse": final}, coords={"activation": ["relu"]})
    monkeypatch.setattr("actbench.cli.console.fulfil", lambda *_, **__: Outcome(grid, True))
    session.execute([Job(SINE, TINY)])
    assert capsys.readouterr().out.startswith("sine-regression: data reused from ")


def test_a_variant_goes_by_its_name(
    session: StudySession, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two protocols of one experiment can be told apart on the bar and in the folder."""
    dataclasses.replace(session, verbose=False).execute(
        [Job(FLOW, SMALL_FLOW, "gradient_flow-small.nc")]
    )
    shown = capsys.readouterr()
    assert "gradient_flow-small " in shown.err
    # Losses, gradients and files are for who asks; progress is for all.
    assert (shown.out, "100%" in shown.err) == ("", True)
    assert sorted(path.name for path in session.out.iterdir()) == [
        "gradient_flow-small.nc",
        "gradient_flow-small.nc.sha256",
    ]


def test_jobs_run_in_order_and_reuse_what_is_there(
    session: StudySession, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second time nothing is written, and each job says so; a quiet session says nothing."""
    jobs = [Job(FLOW, SMALL_FLOW), Job(SINE, TINY)]
    session.execute(jobs)
    first = capsys.readouterr().out
    assert first.index("gradient_flow.nc") < first.index("sine_regression.nc")
    session.execute(jobs)
    second = capsys.readouterr()
    assert second.err == ""
    assert "Written:" not in second.out
    for key in ("gradient-flow", "sine-regression"):
        assert f"{key}: data reused from {session.out}; same settings." in squeezed(second.out)
    quiet = dataclasses.replace(session, quiet=True, overwrite=True)
    quiet.execute([Job(SINE, dataclasses.replace(TINY, epochs=4))])
    quiet.execute(jobs[:1])
    quiet.estimate(jobs[:1])
    quiet.show_ledger([judgment()])
    assert capsys.readouterr() == ("", "")


def test_other_settings_stop_the_session(session: StudySession) -> None:
    """Without leave to overwrite, the first refusal ends it, and later jobs do not run."""
    session.execute([Job(SINE, TINY)])
    other = sine_regression.Config(activations=("relu",), seeds=2, epochs=4, threads=1)
    with pytest.raises(ActbenchError, match="holds results of other settings"):
        session.execute([Job(SINE, other), Job(FLOW, SMALL_FLOW)])
    assert not (session.out / "gradient_flow.nc").exists()


@pytest.mark.parametrize(
    ("jobs", "text"),
    [
        ([Job(SINE, TINY)], "sine-regression: about 24 s, into out/\n"),
        ([Job(FLOW, SMALL_FLOW)], "gradient-flow: about 12 s, into out/\n"),
        # One thread is timed; two take half of it.
        (
            [Job(SINE, dataclasses.replace(TINY, threads=2))],
            "sine-regression: about 12 s, into out/\n",
        ),
        (
            [Job(FLOW, SMALL_FLOW, "named.nc"), Job(SINE, TINY)],
            "named.nc: about 12 s, into out/\nsine-regression: about 24 s, into out/\n"
            "In all about 36 s, and seconds for figures.\n",
        ),
    ],
)
def test_an_estimate_scales_a_short_run(
    clock: Callable[..., list[Any]],
    capsys: pytest.CaptureFixture[str],
    jobs: list[Job],
    text: str,
) -> None:
    """The very first short run loads modules and does not count; each job is timed once."""
    ran = clock(*(job.experiment for job in jobs), step_s=4.0)
    Session(Path("out"), quiet=False, overwrite=False).estimate(jobs)
    assert capsys.readouterr().out == text
    assert len(ran) == len(jobs) + 1
    assert all(config.threads == 1 for config in ran)
    assert not Path("out").exists()


def test_what_is_usual_is_estimated_without_running_it(
    monkeypatch: pytest.MonkeyPatch,
    clock: Callable[..., list[Any]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One experiment is timed; the others' steps cost so many of its steps."""
    jobs = [job for job in study_jobs(16, "cpu", 1) if job.experiment.key in COSTS and not job.name]
    assert {job.experiment.key for job in jobs} == COSTS.keys()
    for job in jobs:
        monkeypatch.setattr(job.experiment.module(), "run", lambda *_: pytest.fail("ran"))
    clock(SINE, step_s=0.001)
    Session(Path("out"), quiet=False, overwrite=False).estimate(jobs)
    seconds = sum(0.001 * COSTS[job.experiment.key] * job.config.steps for job in jobs)
    assert f"In all about {duration(seconds)}, and" in capsys.readouterr().out


def test_an_estimate_leaves_out_what_is_there(
    session: StudySession, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is finished costs nothing more, unless it will be replaced."""
    session.execute([Job(FLOW, SMALL_FLOW)])
    before = (session.out / "exp1_gradient_flow.json").read_bytes()
    capsys.readouterr()
    session.estimate([Job(FLOW, SMALL_FLOW)])
    assert capsys.readouterr().out.split()[:3] == ["gradient-flow:", "there", "already,"]
    other = [Job(FLOW, dataclasses.replace(SMALL_FLOW, activations=("tanh",)))]
    allowed = Session(session.out, quiet=False, overwrite=True)
    allowed.estimate(other)
    assert capsys.readouterr().out.startswith("gradient-flow: about ")
    allowed.execute(other)
    assert (session.out / "exp1_gradient_flow.json").read_bytes() != before


@pytest.mark.parametrize("key", EXPERIMENTS)
def test_a_short_run_is_one_of_the_same_shape(key: str) -> None:
    """What an estimate runs is small, and differs in seeds or epochs, or leaves widths out."""
    module = EXPERIMENTS[key].module()
    config = module.Config()
    small = module.calibration(config)
    assert small.steps <= config.steps
    changed = {
        name
        for name in config.__dataclass_fields__
        if getattr(small, name) != getattr(config, name)
    }
    assert changed <= {"seeds", "epochs", "spread_widths"}


def judgment(
    claim_id: str = "relu-final-mse", verdict: str = "reproduced", **more: Any
) -> Judgment:
    """A judgment of one of the study's claims."""
    given = {"measured": 0.5, "interval": (0.25, 0.75), "seeds": 100, "seeds_needed": 9, **more}
    return Judgment(claims.published().get(claim_id), Verdict(verdict), **given)


@pytest.mark.parametrize(
    ("judgments", "changed"),
    [
        ([judgment()], False),
        ([judgment(), judgment("gelu-for-transformers", "not_testable")], False),
        ([judgment(), judgment("sigmoid-final-mse")], True),
        ([judgment(verdict="inconclusive", seeds=3, interval=None)], False),
        ([judgment(verdict="inconclusive")], True),
        ([judgment(verdict="not_reproduced", seeds=3)], True),
    ],
)
def test_the_ledger_is_shown_and_written(
    session: StudySession,
    capsys: pytest.CaptureFixture[str],
    judgments: list[Judgment],
    changed: bool,
) -> None:
    """Screen, JSON and Markdown hold the same claims; the answer is whether a verdict changed."""
    session.out.mkdir()
    assert bool(ledger.changed(judgments)) is changed
    session.show_ledger(judgments)
    session.write_ledger(judgments)
    shown = capsys.readouterr().out
    rows = json.loads((session.out / "ledger.json").read_bytes())
    assert [row["id"] for row in rows] == [j.claim.id for j in judgments]
    assert [row["verdict"] for row in rows] == [str(j.verdict) for j in judgments]
    markdown = (session.out / "ledger.md").read_text(encoding="utf-8")
    tally = markdown.splitlines()[2]
    assert re.match(rf"{len(judgments)} claims?: ", tally)
    assert squeezed(shown).endswith(tally)
    for j in judgments:
        assert f"| `{j.claim.id}` |" in markdown
        assert j.claim.id in shown
    assert ("not as expected" in tally) is changed


def test_a_ledger_that_can_not_be_written_is_one_error(session: StudySession) -> None:
    """A folder that vanished is told as such."""
    with pytest.raises(ActbenchError, match=r"^can't write .*ledger\.json"):
        session.write_ledger([judgment()])


def test_the_ledger_of_an_empty_folder_is_that_of_the_store(tmp_path: Path) -> None:
    """Every claim of the study is judged, and none has changed."""
    found = ledger.from_results(claims.published(), tmp_path)
    assert [j.claim for j in found] == list(claims.published().claim)
    assert [j.claim.id for j in found if not j.as_expected] == []


def test_the_ledger_follows_the_results(
    session: StudySession, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a run gave other numbers, its claims flip and all others stay."""
    form = EXPERIMENTS["closed-forms"]
    whole = form.module().run

    def other(config: Any, progress: Callable[[int], None]) -> xr.Dataset:
        dataset: xr.Dataset = whole(config, progress)
        dataset["best_line_mse"][:] = np.nan
        return dataset

    monkeypatch.setattr(form.module(), "run", other)
    session.execute([Job(form, form.module().Config(threads=1))])
    flipped = {
        j.claim.id
        for j in ledger.from_results(claims.published(), session.out)
        if not j.as_expected
    }
    assert flipped == {"report-linear-loss-is-another-target", "linear-loss-is-the-best-line"}
