"""Making records: from what was run, for what was asked, and by the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from record_factory import a_record

from actbench import claims
from actbench.cli import main
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

    def chain(engine: str, dtype: str, activation: str = "relu") -> records.Chain:
        step = records.Step(name="loss", epoch=1, count=1, digest="0" * 16, values=[1.0])
        return records.Chain.model_validate(
            {"engine": engine, "activation": activation, "dtype": dtype, "steps": [step]}
        )

    losses = dataset["loss"].sel(activation="relu", epoch=1).to_numpy()
    (with_spread,) = recording._with_spread(chain("stack", "float32"), {"stated": dataset}).steps
    assert with_spread.spread == (losses.min(), losses.max())
    for other in (
        chain("stack", "float64"),
        chain("reference", "float32"),
        chain("stack", "float32", "tanh"),
    ):
        assert recording._with_spread(other, {"stated": dataset}) == other
    assert recording._with_spread(chain("stack", "float32"), {}).steps[0].spread is None


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


def _run(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("sys.argv", ["actbench", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_the_command_writes_a_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was made lies in the file that was named, its folder made too, and one line says so."""
    monkeypatch.setattr(recording, "make", lambda *given: a_record())
    path = tmp_path / "new" / "r.json"
    assert _run(["record", "--out", str(path)], monkeypatch) == 0
    assert records.load(path) == a_record()
    assert capsys.readouterr().out == (
        f"{path}: torch 2.13.0, 1 of 1 claim measured, 1 fingerprint, 1 workload timed\n"
    )


def test_the_command_touches_no_earlier_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that is there is refused before anything is computed, unless told otherwise."""
    path = tmp_path / "r.json"
    path.write_text("precious")
    assert _run(["record", "--out", str(path)], monkeypatch) == 2
    assert capsys.readouterr().err == (
        f"actbench: error: {path} is there already. Replace it with --overwrite, or name another "
        "file with --out\n"
    )
    assert path.read_text() == "precious"
    monkeypatch.setattr(recording, "make", lambda *given: a_record())
    assert _run(["record", "--out", str(path), "--overwrite", "-q"], monkeypatch) == 0
    assert json.loads(path.read_text())["kind"] == "actbench record"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "timing"], "unknown part of a record 'timing'"),
        (["--seeds", "0"], "--seeds is 0"),
        (["--device", "tpu"], "unknown device 'tpu'"),
    ],
)
def test_wrong_usage_is_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It exits with 2, says what was given, and writes nothing."""
    path = tmp_path / "r.json"
    assert _run(["record", "--out", str(path), *arguments], monkeypatch) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not path.exists()


def test_a_dry_run_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says what would be done and how long that takes."""
    monkeypatch.chdir(tmp_path)
    assert _run(["record", "--dry-run", "--only", "timings"], monkeypatch) == 0
    out = capsys.readouterr().out
    assert out.startswith("timings of torch 2.")
    assert "about a minute" in out
    assert list(tmp_path.iterdir()) == []
