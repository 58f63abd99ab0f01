"""What a claim may ask of a protocol, told from its settings: as the experiment then has it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import xarray as xr
from small_runs import SMALL, config_of, dataset_of

from actbench import claims
from actbench.claims import ClaimsFile, metrics, references
from actbench.runs import evidence
from actbench.store.errors import ActbenchError
from actbench.study.experiments import get as get_experiment

# Without a dead unit, with every network dead, or still on the plateau, these have no number.
NO_NUMBER = ("dead_share_ratio", "spread_over_theory", "escape_epoch_ratio")
NO_SETTINGS = {"z": 0.0, "quantity": "best_line_mse"}
OUTSIDE = {"activation": "sigmoid", "over": "sigmoid", "initializer": "lecun_normal"}


def first_choices(name: str, experiment: str, config: Any) -> dict[str, Any]:
    """A metric with the first value of each argument; the last of what it is compared with."""
    arguments = list(inspect.signature(metrics.METRICS[name]).parameters)[1:]
    # Where a layer must be one of its depth's, the depth is needed to tell which.
    metric: dict[str, Any] = {"name": name, **dict.fromkeys(arguments, 1), **NO_SETTINGS}
    metric = {key: value for key, value in metric.items() if key in {"name", *arguments}}
    for argument, values in references.of(metric, experiment, config).items():
        metric[argument] = values.values[-1 if argument.startswith("over") else 0]
    return metric


def answers(metric: Mapping[str, Any], dataset: xr.Dataset) -> bool:
    """Whether a dataset has what a metric asks for."""
    try:
        return not np.isnan(metrics.measure(metric, dataset)).all()
    except ActbenchError:
        return False


@pytest.mark.parametrize("experiment", [key for key in SMALL if key != "closed-forms"])
def test_what_is_told_is_what_the_experiment_has(experiment: str) -> None:
    """Each value that a protocol is said to have can be judged, and another one can't be."""
    config, dataset = config_of(experiment), dataset_of(experiment)
    names = [name for name, keys in metrics.EXPERIMENTS_OF.items() if experiment in keys]
    for name in names:
        metric = first_choices(name, experiment, config)
        if name in {"closed_form"}:
            continue
        assert list(references.metric_problems(metric, experiment, config)) == []
        told = references.of(metric, experiment, config)
        assert told.keys() == metric.keys() - {"name", *NO_SETTINGS}
        for argument, coordinate in told.items():
            outside = {**metric, argument: OUTSIDE.get(argument, 4321)}
            assert len(list(references.metric_problems(outside, experiment, config))) == 1
            assert not answers(outside, dataset), outside
            for value in coordinate.values:
                inside = {**metric, argument: value}
                if list(references.metric_problems(inside, experiment, config)) == []:
                    assert answers(inside, dataset) or name in NO_NUMBER, inside


@pytest.mark.parametrize(
    ("experiment", "settings", "metric", "text"),
    [
        (
            "gradient-flow",
            {"deep_depth": 20},
            {"name": "pooled_slope", "activation": "relu", "initializer": "he_normal"},
            "pooled_slope needs a deep_depth of at least 40, but the claim's protocol has 20; "
            "change that setting",
        ),
        (
            "gradient-flow",
            {"spread_widths": ()},
            {"name": "spread_over_theory", "activation": "relu"},
            "spread_over_theory needs spread_widths, but the claim's protocol has none; change "
            "that setting",
        ),
        (
            "gradient-flow",
            {},
            {"name": "recovered_magnitude", "activation": "relu", "depth": 5, "layer": 7},
            "layer is 7, but the claim's protocol has 1 to 6; name one that it has",
        ),
        (
            "activation-statistics",
            {"trained_seeds": 0},
            {"name": "dead_share", "activation": "relu", "initializer": "he_normal"},
            "initializer is 'he_normal', but the claim's protocol has none; change its setting "
            "'trained_seeds', or name one that it has",
        ),
        (
            "stability",
            {"skip": (True,)},
            {"name": "stability_border", "activation": "relu", "skip": 0, "depth": 5},
            "skip is 0, but the claim's protocol has 1; change its setting 'skip', or name one "
            "that it has",
        ),
        (
            "signal-propagation",
            {},
            {"name": "difference_kept", "layer": 2, "over_layer": 2},
            "layer and over_layer are both 2; name two layers",
        ),
    ],
)
def test_what_a_protocol_leaves_out_is_told(
    experiment: str, settings: dict[str, Any], metric: dict[str, Any], text: str
) -> None:
    """By its settings or by the experiment's defaults: what there is, and what to change."""
    config = get_experiment(experiment).module().Config(**settings)
    assert list(references.metric_problems(metric, experiment, config)) == [text]


def test_an_error_when_judging_names_the_claim() -> None:
    """What only the dataset tells is said with the claim, and without the advice to guess."""
    file = claims.published()
    claim = file.get("relu-final-mse")
    config = config_of("sine-regression", activations=("gelu", "linear"), depth=1, width=2)
    without = get_experiment("sine-regression").module().run(config)
    with pytest.raises(ActbenchError) as caught:
        evidence.judge_one(file, claim, lambda name: without)
    assert str(caught.value) == (
        f"{file.path}: claim 'relu-final-mse', field 'metric': metric {claim.metric} can't be "
        "computed from the dataset of 'sine-regression': its activation is gelu or linear"
    )
    unread = ClaimsFile.model_validate(file.model_dump(exclude_unset=True))
    with pytest.raises(ActbenchError, match=r"^claim 'relu-final-mse', field"):
        evidence.judge_one(unread, claim, lambda name: without)
