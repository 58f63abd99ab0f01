"""Making records: from what was run, for what was asked, and by the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from calls import Command
from record_factory import a_record, chain, step

from actbench import claims
from actbench.store.errors import ActbenchError
from actbench.study.experiments import activation_derivatives, sine_regression
from actbench.tracking import recording, records


def test_only_what_was_measured_here_counts_as_fresh() -> None:
    """Claims of the protocol that was run are fresh; all others are judged from the store."""
    dataset = activation_derivatives.run(activation_derivatives.Config())
    made = recording.make(only=["verdicts"], already={"derivatives": dataset})
    own = {c.id for c in claims.published().claim if c.protocol == "derivatives"}
    assert own
    assert {v.id for v in made.verdicts if v.fresh} == own
    assert len(made.verdicts) == len(claims.published().claim)
    assert all(v.verdict == v.expected for v in made.verdicts)
    assert {d.protocol for d in made.distributions} == {"derivatives"}
    assert list(made.protocols) == ["derivatives"]
    assert made.chains == []
    assert made.timings is None


def test_losses_carry_the_spread_over_the_seeds() -> None:
    """A stack's float32 losses know how far seeds lie apart, for activations that were trained."""
    dataset = sine_regression.run(
        sine_regression.Config(activations=("relu",), seeds=3, epochs=2, depth=2, width=4)
    )
    losses = dataset["loss"].sel(activation="relu", epoch=1).to_numpy()
    loss = step("loss", [1.0], 1)
    trained = chain("stack/relu/float32", loss)
    (with_spread,) = recording._with_spread(trained, {"stated": dataset}).steps
    assert with_spread.spread == (losses.min(), losses.max())
    for name in ("stack/relu/float64", "reference/relu/float32", "stack/tanh/float32"):
        other = chain(name, loss)
        assert recording._with_spread(other, {"stated": dataset}) == other
    assert recording._with_spread(trained, {}).steps[0].spread is None


def test_the_environment_says_what_torch_was_built_from() -> None:
    """Two records can be told apart by release, build, libraries and threads."""
    made = recording.make(only=[], threads=1)
    assert made.environment["torch"] == torch.__version__
    assert made.environment["threads"] == 1
    assert {"torch_blas", "torch_mkl", "numpy_blas", "cpu_capability", "commit"} <= set(
        made.environment
    )
    assert made.torch == torch.__version__.partition("+")[0]


def test_an_unknown_part_is_refused() -> None:
    """The parts that exist are named."""
    with pytest.raises(ActbenchError, match=r"unknown part of a record 'verdict'; known: verdicts"):
        recording.make(only=["verdict"])


def test_the_command_writes_a_record(actbench: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was made lies in the file that was named, its folder made too, and one line says so."""
    monkeypatch.setattr(recording, "make", lambda *given: a_record())
    assert actbench("record", "--out", "new/r.json") == (
        0,
        "new/r.json: torch 2.13.0, 1 of 1 claim measured, 1 fingerprint, 1 workload timed\n",
        "",
    )
    assert records.load(Path("new/r.json")) == a_record()


def test_the_command_touches_no_earlier_record(
    actbench: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is there is refused before anything is computed, unless told otherwise."""
    path = Path("r.json")
    path.write_text("precious")
    assert actbench("record", "--out", "r.json") == (
        2,
        "",
        "actbench: error: r.json is there already. Replace it with --overwrite, or name another "
        "file with --out\n",
    )
    assert path.read_text() == "precious"
    monkeypatch.setattr(recording, "make", lambda *given: a_record())
    assert actbench("record", "--out", "r.json", "--overwrite", "-q")[0] == 0
    assert json.loads(path.read_text())["kind"] == "actbench record"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "timing"], "unknown part of a record 'timing'"),
        (["--seeds", "0"], "--seeds is 0"),
        (["--device", "tpu"], "unknown device 'tpu'"),
    ],
)
def test_wrong_usage_is_one_line(actbench: Command, arguments: list[str], message: str) -> None:
    """It exits with 2, says what was given, and writes nothing."""
    code, _, error = actbench("record", "--out", "r.json", *arguments)
    assert (code, error.count("\n")) == (2, 1)
    assert message in error
    assert not Path("r.json").exists()


def test_a_dry_run_writes_nothing(actbench: Command, tmp_path: Path) -> None:
    """It says what would be done and how long that takes."""
    code, out, _ = actbench("record", "--dry-run", "--only", "timings")
    assert code == 0
    assert out.startswith("timings of torch 2.")
    assert "about a minute" in out
    assert list(tmp_path.iterdir()) == []
