"""Seeds that are made batch by batch are those of one run, and none is trained twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from calls import PLUGIN, Command
from claim_factory import as_toml, least

from actbench import claims, verify
from actbench.runs import early, results
from actbench.runs.early import STEP, Batches
from actbench.store import datasets
from actbench.store.errors import ActbenchError
from actbench.study.experiments import get

pytest_plugins = ["pytester"]

LOADED = (early, results)  # the inner runs drop what they loaded

SMALL: dict[str, dict[str, Any]] = {
    "sine-regression": {"activations": ("relu",), "depth": 2, "width": 8, "epochs": 3},
    "stability": {
        "activations": ("relu",),
        "depths": (2,),
        "learning_rates": (0.01, 0.1),
        "skip": (False,),
        "width": 8,
        "epochs": 3,
    },
    "capacity": {
        "activations": ("relu",),
        "targets": ("sine",),
        "points": 20,
        "depths": (2,),
        "widths": (8,),
        "epochs": 3,
    },
    "training-dynamics": {"activations": ("relu",), "depth": 2, "width": 8, "epochs": 3},
    "plateau-escape": {
        "activations": ("relu",),
        "depths": (2,),
        "adam_epsilons": (1e-8,),
        "width": 8,
        "epochs": 3,
    },
    "signal-propagation": {
        "activations": ("relu",),
        "initializers": ("he_normal",),
        "widths": (2,),
        "depth": 2,
        "networks": 20,
    },
    "gradient-flow": {
        "activations": ("relu",),
        "depths": (2,),
        "robust_depths": (2,),
        "initializers": ("he_normal",),
        "width": 8,
        "deep_depth": 3,
        "spread_widths": (),
    },
    "activation-statistics": {
        "activations": ("relu",),
        "initializers": ("he_normal",),
        "trained_initializers": ("he_normal",),
        "trained_seeds": 2,
        "depth": 2,
        "width": 8,
        "epochs": 3,
    },
}
"""Every experiment that has seeds, at its smallest."""

ERROR = {"name": "final_mse", "activation": "relu"}


def small(quantifier: str = "every", **protocol: Any) -> str:
    """A file of two claims about one protocol, which take different numbers of runs."""
    net = {"experiment": "sine-regression", "settings": SMALL["sine-regression"], **protocol}
    how: dict[str, Any] = {"quantifier": quantifier, "share": 0.7}
    stated = (
        least("loss", "net", ERROR, "below", 10.0, expected="reproduced", **how),
        least("typical", "net", ERROR, "below", 10.0, expected="reproduced"),
    )
    return as_toml({"study": "A study", "alpha": 0.05, "protocol": {"net": net}, "claim": stated})


def batches_of(key: str, out: Path, **options: Any) -> Batches:
    """Return the smallest dataset of an experiment in a folder, without any seed."""
    config = get(key).module().Config(**SMALL[key], threads=1, device="cpu")
    return Batches(get(key), config, out, "small.nc", **options)


@pytest.mark.parametrize("key", SMALL)
def test_a_dataset_in_batches_is_that_of_one_run(key: str, tmp_path: Path) -> None:
    """Up to rounding, attributes too; whatever is left in the folder is the dataset alone."""
    grown = batches_of(key, tmp_path / "grown")
    for runs in (2, 3, 5, 4):
        found = grown.up_to(runs)
    assert grown.made == 5
    once = batches_of(key, tmp_path / "once").up_to(5)
    assert found.attrs == once.attrs
    assert list(found["seed"]) == list(range(42, 47))
    for name, variable in once.variables.items():
        other = found.variables[name]
        assert (other.dims, other.dtype, other.attrs) == (
            variable.dims,
            variable.dtype,
            variable.attrs,
        )
        if variable.dtype.kind == "f":
            np.testing.assert_allclose(other, variable, rtol=1e-4, atol=1e-6)
        else:
            assert (other == variable).all()
    assert {path.name for path in (tmp_path / "grown").iterdir()} == {
        "small.nc",
        "small.nc.sha256",
    }
    assert datasets.load(tmp_path / "grown" / "small.nc").identical(found)


def test_seeds_that_are_there_are_not_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of an earlier run, however many; of other settings none are taken, nor replaced."""
    module = get("sine-regression").module()
    trained: list[tuple[int, ...]] = []
    run = module.run

    def counted(config: Any, *rest: Any) -> Any:
        trained.append(config.seeds)
        return run(config, *rest)

    monkeypatch.setattr(module, "run", counted)
    batches_of("sine-regression", tmp_path).up_to(3)
    again = batches_of("sine-regression", tmp_path)
    assert again.up_to(2).sizes["seed"] == 3
    again.up_to(4)
    assert trained == [(42, 43, 44), (45,)]
    (tmp_path / "small.nc").write_bytes(b"cut")
    mended = batches_of("sine-regression", tmp_path)
    mended.up_to(2)
    assert trained[2:] == [(42, 43)]
    assert [note[:21] for note in mended.finish()] == ["recomputed, because /"]
    config = module.Config(**{**SMALL["sine-regression"], "depth": 3}, threads=1, device="cpu")
    other = Batches(get("sine-regression"), config, tmp_path, "small.nc")
    with pytest.raises(ActbenchError, match=r"other settings \(depth: 2 there, 3 now\)"):
        other.up_to(2)
    assert len(trained) == 3
    other = Batches(get("sine-regression"), config, tmp_path, "small.nc", overwrite=True)
    assert other.up_to(1).sizes["seed"] == other.up_to(2).sizes["seed"] - 1 == 1


def test_verify_trains_until_it_is_decided(tmp_path: Path, actbench: Command) -> None:
    """Both claims at the same looks; the data are those seeds', and the record has the looks."""
    path = tmp_path / "mine.toml"
    path.write_text(small(), encoding="utf-8")
    arguments = ("--until-decided", "--threads", "1", "--device", "cpu", "--max-seeds", "60")
    code, out, _ = actbench("verify", "mine.toml", *arguments)
    assert code == 0
    rows = {r["id"]: r for r in json.loads(Path("results/mine/ledger.json").read_text())}
    looks = {key: [look["runs"] for look in row["looks"]] for key, row in rows.items()}
    first = looks["typical"][0]
    assert looks["typical"] == [first]
    assert looks["loss"] == [*range(first, looks["loss"][-1] + 1, STEP)]
    assert len(looks["loss"]) > 1
    assert "which shows that at least 73 % do" in rows["loss"]["finding"]
    assert f"net: {looks['loss'][-1]} runs" in out
    ledger = verify(path, until_decided=True, max_seeds=60, threads=1, device="cpu")
    assert [judgment.seeds for judgment in ledger] == [rows[j.claim.id]["seeds"] for j in ledger]
    data = datasets.load(Path("results/mine/sine_regression-net.nc"))
    assert data.sizes["seed"] == looks["loss"][-1]


def test_a_protocols_own_number_is_the_most(tmp_path: Path) -> None:
    """The last look is at its seeds, and the verdicts are those at once."""
    path = tmp_path / "mine.toml"
    path.write_text(small(seeds=13), encoding="utf-8")
    early = verify(path, out=tmp_path, until_decided=True, threads=1, device="cpu")
    assert [[look.runs for look in judgment.looks] for judgment in early] == [[8, 13], [8]]
    at_once = verify(path, out=tmp_path, threads=1, device="cpu")
    assert [j.verdict for j in early] == [j.verdict for j in at_once]
    assert at_once[0].sentence.startswith("13 of 13 seeds agree: shows that at least 71.3 % do, ")


def test_a_mean_takes_its_number_though_there_are_more(tmp_path: Path) -> None:
    """How many seeds lie in the folder, for whatever reason, is no part of a mean's rule."""
    path = tmp_path / "mine.toml"
    path.write_text(small("mean"), encoding="utf-8")
    verify(path, out=tmp_path, seeds=40, threads=1, device="cpu")
    early = verify(path, out=tmp_path, seeds=20, until_decided=True, threads=1, device="cpu")
    assert early[0].seeds == 20


def test_defaults_have_their_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a dataset that is no variant has study files beside it."""
    config = get("signal-propagation").module().Config(**SMALL["signal-propagation"], threads=1)
    asked: list[str | None] = []

    def noted(*given: Any, name: str | None = None, **rest: Any) -> results.Outcome | None:
        asked.append(name)
        return results.fulfil(*given, name=name, **rest) if name else None

    monkeypatch.setattr(early, "fulfil", noted)
    usual = Batches(get("signal-propagation"), config, tmp_path)
    usual.up_to(1)
    usual.finish()
    assert asked == ["signal_propagation.nc", None]
    variant = Batches(get("signal-propagation"), config, tmp_path, "variant.nc")
    variant.up_to(1)
    variant.finish()
    assert asked[2:] == ["variant.nc"]


@pytest.mark.usefixtures("no_other_plugins")
def test_pytest_trains_until_it_is_decided(pytester: pytest.Pytester) -> None:
    """Each protocol once, all its claims from the same seeds."""
    (pytester.path / "mine.toml").write_text(small(), encoding="utf-8")
    result = pytester.inline_run(
        *(*PLUGIN, "--strict-markers"),
        "--actbench-claims=mine.toml",
        "--actbench-until-decided",
        "--actbench-threads=1",
    )
    result.assertoutcome(passed=2)
    file = claims.load(pytester.path / "mine.toml")
    reports = [r for r in result.getreports("pytest_runtest_logreport") if r.when == "call"]
    rows: list[Any] = [dict(report.user_properties)["actbench"] for report in reports]
    assert [row["id"] for row in rows] == [claim.id for claim in file.claim]
    assert rows[1]["looks"] == rows[1]["looks"][:1]
    assert len(rows[0]["looks"]) > 1
