"""What all experiments' settings have in common is checked in one way, and told in one line."""

from __future__ import annotations

import math
from collections.abc import Sequence

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


@pytest.mark.parametrize("key", [*EXPERIMENTS, *FURTHER])
def test_every_experiment_checks_what_it_shares_with_others(key: str) -> None:
    """A setting of the same name is refused with the same words wherever it is one."""
    config = studies.experiment(key).module().Config
    texts: dict[str, tuple[object, str]] = {
        "activations": ("rellu", "unknown activation 'rellu'"),
        "initializer": ("he_norml", "unknown initializer 'he_norml'"),
        "epochs": (0, "epochs is 0, but must be a whole number of at least 1"),
        "depth": (0, "depth is 0, but must be a whole number of at least 1"),
        "width": (1.5, "width is 1.5, but must be a whole number of at least 1"),
        "points": (0, "points is 0, but must be a whole number of at least 1"),
        "dtype": ("float65", "unknown dtype 'float65'"),
        "learning_rate": (0.0, "learning_rate is 0.0, but must be a finite number above 0"),
        "weight_decay": (-1.0, "weight_decay is -1.0, but must be a finite number, at least 0"),
        "noise_std": (-1.0, "noise_std is -1.0, but must be a finite number, at least 0"),
    }
    if config().seeds is not None:
        texts["seeds"] = (0, "seeds is 0, but must be a whole number of at least 1")
        texts["threads"] = (0, "threads is 0, but must be a whole number of at least 1")
    for name in texts.keys() & config.__dataclass_fields__.keys():
        value, text = texts[name]
        with pytest.raises(ActbenchError, match=f"^{text}"):
            config(**{name: value})
