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


@pytest.mark.parametrize(
    ("check", "refused", "allowed", "text"),
    [
        (settings.positive, 0.0, 1e-9, "a finite number above 0"),
        (settings.at_least_zero, -1e-9, 0.0, "a finite number, at least 0"),
        (settings.finite, -math.inf, -1.0, "a finite number"),
    ],
)
def test_numbers_keep_their_bounds(
    check: settings.Check, refused: float, allowed: float, text: str
) -> None:
    """What lies at or below the bound and what is not finite is refused, the rest returned."""
    for value in (refused, -math.inf, math.nan, math.inf):
        with pytest.raises(ActbenchError, match=f"^rate is .*, but must be {text}$"):
            check("rate", value)
    assert check("rate", allowed) == allowed


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


ONCE = "but must be at least one, each named once"
WHOLE = "but must be a whole number of at least 1"
ABOVE_0 = "but must be a finite number above 0"
OWN: Mapping[str, Sequence[tuple[Mapping[str, Any], str]]] = {
    "sine-regression": [({"seeds": True}, f"seeds is True, {WHOLE}")],
    "gradient-flow": [
        ({"depths": (5, 5)}, f"depths are [5, 5], {ONCE}"),
        ({"depths": (0,)}, f"depth is 0, {WHOLE}"),
        ({"robust_depths": (1.5,)}, f"depth is 1.5, {WHOLE}"),
        ({"deep_points": 1}, "deep_points is 1, but must be at least 2"),
        ({"deep_depth": -1}, "deep_depth is -1"),
        ({"deep_seeds": 0}, "deep_seeds is 0"),
        ({"spread_widths": (64, 64)}, f"spread_widths are [64, 64], {ONCE}"),
        ({"spread_widths": (8, 0)}, f"width is 0, {WHOLE}"),
    ],
    "activation-statistics": [
        ({"initializers": ()}, f"initializers are [], {ONCE}"),
        (
            {"initializers": ("he_normal",), "trained_initializers": ("he_uniform",)},
            "unknown trained initializer 'he_uniform'; known: he_normal",
        ),
        ({"trained_seeds": -1}, "trained_seeds is -1"),
        ({"trained_seeds": 1.5}, "trained_seeds is 1.5"),
        ({"epsilon": -0.1}, f"epsilon is -0.1, {ABOVE_0}"),
        ({"saturation": math.nan}, f"saturation is nan, {ABOVE_0}"),
    ],
    "stability": [
        ({"depths": [5, 5]}, f"depths are [5, 5], {ONCE}"),
        ({"depths": [0]}, f"depth is 0, {WHOLE}"),
        ({"learning_rates": [0.1, 0.1]}, f"learning_rates are [0.1, 0.1], {ONCE}"),
        ({"learning_rates": [0.1, 0.0]}, f"learning_rate is 0.0, {ABOVE_0}"),
        ({"skip": []}, f"skip are [], {ONCE}"),
        ({"skip": [2]}, "skip is [2], but must hold False, True or both"),
    ],
    "capacity": [
        ({"targets": []}, f"targets are [], {ONCE}"),
        ({"depths": [2, 2]}, f"depths are [2, 2], {ONCE}"),
        ({"depths": [0, 2]}, f"depth is 0, {WHOLE}"),
        ({"depths": [2]}, "widths are [192, 64], but must be one for each of the depths [2]"),
        ({"widths": [8, 0]}, f"width is 0, {WHOLE}"),
    ],
    "training-dynamics": [({"looks": 0}, f"looks is 0, {WHOLE}")],
    "plateau-escape": [
        ({"depths": [0]}, f"depths is 0, {WHOLE}"),
        ({"adam_epsilons": [1e-8, 1e-8]}, f"adam_epsilons are [1e-08, 1e-08], {ONCE}"),
        ({"adam_epsilons": [0.0]}, f"adam_epsilons is 0.0, {ABOVE_0}"),
    ],
    "signal-propagation": [
        ({"widths": ()}, f"widths are [], {ONCE}"),
        ({"widths": (0,)}, f"width is 0, {WHOLE}"),
        ({"networks": 0}, f"networks is 0, {WHOLE}"),
        ({"input_variances": (0.0,)}, f"input_variances is 0.0, {ABOVE_0}"),
        ({"input_mean": math.inf}, "input_mean is inf, but must be a finite number"),
        ({"features": 3}, "inputs are 'even' with 3 features, but must be 'even' with one"),
        ({"inputs": "odd"}, "inputs are 'odd' with 1 features, but must be 'even' with one"),
    ],
    "moment-map": [
        ({"means": (1, 0)}, "means are [1, 0], but must be two finite numbers, the smaller first"),
        ({"means": (0, 1, 2)}, "means are [0, 1, 2], but must be two finite numbers"),
        ({"weight_sums": (0, math.nan)}, "weight_sums are [0, nan], but must be two finite"),
        ({"variances": (0, 1)}, f"variances is 0.0, {ABOVE_0}"),
        ({"layers": 0}, f"layers is 0, {WHOLE}"),
    ],
}


@pytest.mark.parametrize(
    ("key", "given", "text"), [(key, *row) for key, rows in OWN.items() for row in rows]
)
def test_a_bad_setting_is_refused_before_anything_runs(
    key: str, given: Mapping[str, Any], text: str
) -> None:
    """The error says what was given and what is expected."""
    with pytest.raises(ActbenchError) as caught:
        studies.experiment(key).module().Config(**given)
    assert str(caught.value).startswith(text)
