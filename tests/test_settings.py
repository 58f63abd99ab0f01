"""What all experiments' settings have in common is checked in one way, and told in one line."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from actbench.store import studies
from actbench.store.errors import ActbenchError
from actbench.study.catalog import activations
from actbench.study.experiments import settings


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
