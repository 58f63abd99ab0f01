"""What all experiments' settings have in common is checked in one way, and told in one line."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from actbench.store import studies
from actbench.store.errors import ActbenchError
from actbench.study.catalog import activations
from actbench.study.experiments import EXPERIMENTS, FURTHER, settings


def test_one_name_stands_for_a_list_of_one() -> None:
    """A name alone is not taken letter by letter."""
    assert settings.names("activations", "relu", activations.get) == ("relu",)
    assert settings.names("activations", ["relu", "gelu"], activations.get) == ("relu", "gelu")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ([], r"^activations are \[\], but must be at least one, each named once$"),
        (["relu", "relu"], r"^activations are \['relu', 'relu'\], but must be at least one"),
        (["rellu"], r"^unknown activation 'rellu'; .* Did you mean 'relu'\?$"),
    ],
)
def test_names_that_will_not_do(given: Sequence[str], text: str) -> None:
    """None, one twice, or one that is not known."""
    with pytest.raises(ActbenchError, match=text):
        settings.names("activations", given, activations.get)


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_what_is_not_positive(value: float) -> None:
    """Zero, what lies below and what is not finite are refused."""
    with pytest.raises(ActbenchError, match=r"^rate is .*, but must be a finite number above 0$"):
        settings.positive("rate", value)
    assert settings.positive("rate", 1e-9) == 1e-9


@pytest.mark.parametrize("value", [-1e-9, math.nan, math.inf])
def test_what_is_below_zero(value: float) -> None:
    """Zero itself is allowed."""
    with pytest.raises(ActbenchError, match=r"^decay is .*, but must be a finite number, at least"):
        settings.at_least_zero("decay", value)
    assert settings.at_least_zero("decay", 0.0) == 0.0


def test_seeds_begin_at_the_studys() -> None:
    """A count stands for 42 and on; a list stands for itself."""
    assert studies.expand(3) == (42, 43, 44)
    assert studies.expand([7, 0, 2**31 - 1]) == (7, 0, 2**31 - 1)


@pytest.mark.parametrize("given", [[], [1, 1], [-1], [2**31]])
def test_seeds_that_will_not_do(given: Sequence[int]) -> None:
    """None, one twice, or one that a file can't hold."""
    with pytest.raises(ActbenchError, match=r"^seeds are \[.*\], but must be at least one"):
        studies.expand(given)
    with pytest.raises(ActbenchError, match=r"^seeds is 0, but must be a whole number"):
        studies.expand(0)


SHARED: Mapping[str, tuple[object, str]] = {
    "activations": ("rellu", "unknown activation 'rellu'; known: "),
    "initializer": ("he_norml", "unknown initializer 'he_norml'"),
    "initializers": (("he",), "unknown initializer 'he'"),
    "targets": (["cosine"], "unknown target 'cosine'; known: sine, fast_sine, step,"),
    "depths": ((), "depths are [], but must be at least one, each named once"),
    "epochs": (0, "epochs is 0, but must be a whole number of at least 1"),
    "depth": (0, "depth is 0, but must be a whole number of at least 1"),
    "width": (1.5, "width is 1.5, but must be a whole number of at least 1"),
    "points": (0, "points is 0, but must be a whole number of at least 1"),
    "dtype": ("float16", "unknown dtype 'float16'; known: float32, float64."),
    "learning_rate": (0.0, "learning_rate is 0.0, but must be a finite number above 0"),
    "weight_decay": (-1.0, "weight_decay is -1.0, but must be a finite number, at least 0"),
    "noise_std": (math.inf, "noise_std is inf, but must be a finite number, at least 0"),
    "seeds": (0, "seeds is 0, but must be a whole number of at least 1"),
    "threads": (0, "threads is 0, but must be a whole number of at least 1"),
}
FEWEST = {"capacity": 5, "activation-derivatives": 1}
"""Points that an experiment needs, where it is not two."""


@pytest.mark.parametrize("key", [*EXPERIMENTS, *FURTHER])
def test_every_experiment_checks_what_it_shares_with_others(key: str) -> None:
    """A setting of the same name is refused with the same words wherever it is one."""
    config = studies.experiment(key).module().Config
    unused = set() if config().seeds is not None else {"seeds", "threads"}
    for name in SHARED.keys() & config.__dataclass_fields__.keys() - unused:
        value, text = SHARED[name]
        with pytest.raises(ActbenchError, match=f"^{re.escape(text)}"):
            config(**{name: value})
    if "points" in config.__dataclass_fields__ and (fewest := FEWEST.get(key, 2)) > 1:
        text = f"^points is {fewest - 1}, but must be at least {fewest}$"
        with pytest.raises(ActbenchError, match=text):
            config(points=fewest - 1)


OWN: Sequence[tuple[str, Mapping[str, Any], str]] = [
    (
        "sine-regression",
        {"seeds": True},
        "seeds is True, but must be a whole number of at least 1",
    ),
    (
        "gradient-flow",
        {"depths": (5, 5)},
        "depths are [5, 5], but must be at least one, each named once",
    ),
    ("gradient-flow", {"depths": (0,)}, "depth is 0"),
    ("gradient-flow", {"robust_depths": (1.5,)}, "depth is 1.5"),
    ("gradient-flow", {"deep_points": 1}, "deep_points is 1, but must be at least 2"),
    ("gradient-flow", {"deep_depth": -1}, "deep_depth is -1"),
    ("gradient-flow", {"deep_seeds": 0}, "deep_seeds is 0"),
    ("gradient-flow", {"spread_widths": (64, 64)}, "spread_widths are [64, 64]"),
    ("gradient-flow", {"spread_widths": (8, 0)}, "width is 0"),
    ("activation-statistics", {"initializers": ()}, "initializers are []"),
    (
        "activation-statistics",
        {"initializers": ("he_normal",), "trained_initializers": ("he_uniform",)},
        "unknown trained initializer 'he_uniform'; known: he_normal",
    ),
    ("activation-statistics", {"trained_seeds": -1}, "trained_seeds is -1"),
    ("activation-statistics", {"trained_seeds": 1.5}, "trained_seeds is 1.5"),
    ("activation-statistics", {"epsilon": -0.1}, "epsilon is -0.1"),
    ("activation-statistics", {"saturation": math.nan}, "saturation is nan"),
    (
        "stability",
        {"depths": [5, 5]},
        "depths are [5, 5], but must be at least one, each named once",
    ),
    ("stability", {"depths": [0]}, "depth is 0, but must be a whole number of at least 1"),
    (
        "stability",
        {"learning_rates": [0.1, 0.1]},
        "learning_rates are [0.1, 0.1], but must be at least one, each named once",
    ),
    (
        "stability",
        {"learning_rates": [0.1, 0.0]},
        "learning_rate is 0.0, but must be a finite number above 0",
    ),
    ("stability", {"skip": []}, "skip are [], but must be at least one, each named once"),
    ("stability", {"skip": [2]}, "skip is [2], but must hold False, True or both"),
    ("capacity", {"targets": []}, "targets are [], but must be at least one, each named once"),
    ("capacity", {"depths": [2, 2]}, "depths are [2, 2], but must be at least one, each named"),
    ("capacity", {"depths": [0, 2]}, "depth is 0, but must be a whole number of at least 1"),
    (
        "capacity",
        {"depths": [2]},
        "widths are [192, 64], but must be one for each of the depths [2]",
    ),
    ("capacity", {"widths": [8, 0]}, "width is 0, but must be a whole number of at least 1"),
    ("training-dynamics", {"looks": 0}, "looks is 0"),
    ("plateau-escape", {"depths": [0]}, "depths is 0, but must be a whole number of at least 1"),
    (
        "plateau-escape",
        {"adam_epsilons": [1e-8, 1e-8]},
        "adam_epsilons are [1e-08, 1e-08], but must be at",
    ),
    (
        "plateau-escape",
        {"adam_epsilons": [0.0]},
        "adam_epsilons is 0.0, but must be a finite number above 0",
    ),
    (
        "signal-propagation",
        {"widths": ()},
        "widths are [], but must be at least one, each named once",
    ),
    ("signal-propagation", {"widths": (0,)}, "width is 0, but must be a whole number of at"),
    ("signal-propagation", {"networks": 0}, "networks is 0, but must be a whole number"),
    (
        "signal-propagation",
        {"input_variances": (0.0,)},
        "input_variances is 0.0, but must be a finite number above",
    ),
    (
        "signal-propagation",
        {"input_mean": math.inf},
        "input_mean is inf, but must be a finite number",
    ),
    (
        "signal-propagation",
        {"features": 3},
        "inputs are 'even' with 3 features, but must be 'even' with one feature",
    ),
    (
        "signal-propagation",
        {"inputs": "odd"},
        "inputs are 'odd' with 1 features, but must be 'even' with one feature, or 'normal'",
    ),
    (
        "moment-map",
        {"means": (1, 0)},
        "means are [1, 0], but must be two finite numbers, the smaller first",
    ),
    (
        "moment-map",
        {"means": (0, 1, 2)},
        "means are [0, 1, 2], but must be two finite numbers",
    ),
    (
        "moment-map",
        {"weight_sums": (0, math.nan)},
        "weight_sums are [0, nan], but must be two finite numbers",
    ),
    (
        "moment-map",
        {"variances": (0, 1)},
        "variances is 0.0, but must be a finite number above 0",
    ),
    ("moment-map", {"layers": 0}, "layers is 0, but must be a whole number of at least 1"),
]


@pytest.mark.parametrize(("key", "given", "text"), OWN)
def test_a_bad_setting_is_refused_before_anything_runs(
    key: str, given: Mapping[str, Any], text: str
) -> None:
    """The error says what was given and what is expected."""
    with pytest.raises(ActbenchError) as caught:
        studies.experiment(key).module().Config(**given)
    assert str(caught.value).startswith(text)
