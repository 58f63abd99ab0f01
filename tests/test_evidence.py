"""Each claim is judged from its own protocol's dataset, and from no other."""

from __future__ import annotations

from pathlib import Path

import pytest
import xarray as xr

from actbench import claims
from actbench.claims import ClaimsFile, Protocol, Verdict, measured
from actbench.claims.measured import Entry, Measured
from actbench.runs import evidence
from actbench.store import datasets
from actbench.store.errors import ActbenchError
from actbench.study.experiments import closed_forms, gradient_flow, sine_regression

CLOSED: dict[str, str | int | float] = {
    "name": "closed_form",
    "quantity": "best_constant_mse",
    "target": "sine_two_periods",
}


def test_two_runs_give_the_same_measured_values() -> None:
    """On one machine and thread, two runs agree bit for bit: every metric, verdict and interval."""
    published = claims.published()
    settings = {"epochs": 12, "depth": 3}

    def judged() -> list[dict[str, object]]:
        protocol = Protocol(experiment="sine-regression", settings=settings)
        dataset = sine_regression.run(evidence.config_for(protocol, 11, "cpu", 1))
        about = [c for c in published.claim if c.protocol == "stated"]
        about = [c for c in about if c.metric.get("layer", 1) == 1 and "seed" not in c.metric]
        return [j.row() for j in evidence.judge_all(published, lambda name: dataset, about)]

    first = judged()
    assert len(first) > 20
    assert repr(judged()) == repr(first)


def file() -> ClaimsFile:
    """Two testable claims of two protocols, and one that is not testable."""
    common = {
        "source": "s",
        "statement": "s",
        "metric": CLOSED,
        "quantifier": "exact",
        "expected": "reproduced",
        "because": "b",
        "relation": {"kind": "equals", "value": 0.4975, "tolerance": 1e-6, "reason": "r"},
    }
    return ClaimsFile.model_validate(
        {
            "study": "s",
            "protocol": {
                "first": {"experiment": "closed-forms"},
                "second": {"experiment": "closed-forms", "settings": {"points": 100}},
            },
            "claim": [
                {**common, "id": "a", "protocol": "first"},
                {**common, "id": "b", "protocol": "second"},
                {
                    "id": "c",
                    "source": "s",
                    "statement": "s",
                    "expected": "not_testable",
                    "because": "no way",
                },
            ],
        }
    )


def run(name: str) -> xr.Dataset:
    """The dataset of one of its protocols."""
    return closed_forms.run(evidence.config_for(file().protocol[name], 1))


def test_config_takes_the_protocols_settings() -> None:
    """What a protocol states is set, and its own seeds come before those asked for."""
    protocol = Protocol(experiment="sine-regression", settings={"depth": 3, "skip": True})
    config = evidence.config_for(protocol, 5, "cpu", 2)
    assert isinstance(config, sine_regression.Config)
    assert (config.depth, config.skip, config.device, config.threads) == (3, True, "cpu", 2)
    assert config.seeds == (42, 43, 44, 45, 46)
    fixed = Protocol(experiment="gradient-flow", settings={"depths": [5]}, seeds=3)
    found = evidence.config_for(fixed, 100)
    assert isinstance(found, gradient_flow.Config)
    assert (found.seeds, found.depths) == ((42, 43, 44), (5,))


@pytest.mark.parametrize("name", ["dept", "seeds", "device", "threads"])
def test_config_refuses_what_is_no_setting(name: str) -> None:
    """A setting that is unknown, or not a protocol's to set, is named with those that exist."""
    protocol = Protocol(experiment="sine-regression", settings={"width": 3, name: 1})
    with pytest.raises(ActbenchError, match=f"sine-regression has no setting '{name}'.*depth"):
        evidence.config_for(protocol, 1)


def test_file_names_tell_protocols_apart() -> None:
    """Default settings have the experiment's own file, others one with the protocol's name."""
    names = {n: evidence.file_name(n, p) for n, p in claims.published().protocol.items()}
    assert names["stated"] == "sine_regression.nc"
    assert names["deep-skip"] == "sine_regression-deep-skip.nc"
    assert len(set(names.values())) == len(names)


def test_each_claim_is_judged_from_its_own_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dataset where there is one, stored values elsewhere, nothing for what is not testable."""
    monkeypatch.setattr("actbench.claims.measured.baselines_folder", lambda: tmp_path)
    (tmp_path / "measured").mkdir()
    entry = Entry(metric=CLOSED, definition="d", exact=True, values=[0.6])
    values = Measured(
        schema_version=1, protocol="second", settings={}, environment={}, entries=[entry]
    )
    measured.save(values)
    asked: list[str] = []

    def dataset_of(name: str) -> xr.Dataset | None:
        asked.append(name)
        return run(name) if name == "first" else None

    found = evidence.judge_all(file(), dataset_of)
    assert {j.claim.id: j.verdict for j in found} == {
        "a": Verdict.REPRODUCED,
        "b": Verdict.NOT_REPRODUCED,
        "c": Verdict.NOT_TESTABLE,
    }
    assert found[0].measured == pytest.approx(199 / 400)
    assert found[1].measured == 0.6
    assert asked == ["first", "second"]
    chosen = [file().get("b")]
    assert evidence.judge_all(file(), dataset_of, chosen) == [found[1]]
    with pytest.raises(ActbenchError, match=r"there is no file .*first\.json"):
        evidence.judge_all(file(), lambda name: None)


def test_a_stored_dataset_is_read_back_unless_it_is_of_other_settings(tmp_path: Path) -> None:
    """Neither a stated setting nor one that the protocol leaves at its default may differ."""
    protocols = file().protocol
    made = {name: run(name) for name in protocols}
    for name, other, told in (
        ("first", "second", "points=100, but protocol 'first' states 200"),
        ("second", "first", "points=200, but protocol 'second' states 100"),
    ):
        path = tmp_path / evidence.file_name(name, protocols[name])
        datasets.save(made[name], path)
        found = evidence.stored_dataset(tmp_path, name, protocols[name])
        xr.testing.assert_identical(found, made[name])
        datasets.save(made[other], path)
        with pytest.raises(ActbenchError, match=told):
            evidence.stored_dataset(tmp_path, name, protocols[name])
    with pytest.raises(ActbenchError, match="can't read"):
        evidence.stored_dataset(tmp_path / "nowhere", "first", protocols["first"])


def test_results_of_a_shortened_run_do_not_judge_the_stated_protocol(tmp_path: Path) -> None:
    """A study run with fewer epochs is refused; another number of seeds is not another study."""
    settings: dict[str, object] = {"activations": ["linear"], "depth": 1, "width": 2}
    stated = Protocol(experiment="sine-regression", settings=settings)
    short = Protocol(experiment="sine-regression", settings={**settings, "epochs": 2})
    dataset = sine_regression.run(evidence.config_for(short, 3, "cpu", 1))
    datasets.save(dataset, tmp_path / evidence.file_name("stated", stated))
    with pytest.raises(ActbenchError, match="epochs=2, but protocol 'stated' states 500"):
        evidence.stored_dataset(tmp_path, "stated", stated)
    assert evidence.stored_dataset(tmp_path, "stated", short).sizes["seed"] == 3
