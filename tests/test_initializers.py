"""Initializers: torch's own draws, bit for bit, with the variances that they state."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from actbench.store.errors import ActbenchError
from actbench.study.catalog.initializers import KEYS, get

SPECIFIC = (
    *("torch_default", "xavier_uniform", "xavier_normal", "he_uniform", "he_normal"),
    *("lecun_uniform", "lecun_normal"),
)
NORMAL = ("xavier_normal", "he_normal", "lecun_normal", "normal(0.05)", "mean_field(1.7,0.3)")

# sigma_w^2 and sigma_b^2 of a layer with 20 inputs and 50 units, by hand.
_BY_HAND = {
    "torch_default": (1 / 3, 1 / 60),
    "xavier_uniform": (40 / 70, 0),
    "xavier_normal": (40 / 70, 0),
    "he_uniform": (2, 0),
    "he_normal": (2, 0),
    "lecun_uniform": (1, 0),
    "lecun_normal": (1, 0),
    "normal(0.05)": (20 * 0.0025, 0),
    "mean_field(1.7,0.3)": (1.7, 0.3),
}


def _drawn(key: str, layers: int) -> tuple[Tensor, Tensor]:
    weights, biases = [], []
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(3)
        for _ in range(layers):
            layer = nn.Linear(20, 50)
            get(key).apply(layer)
            weights.append(layer.weight.double().flatten())
            biases.append(layer.bias.double())
    return torch.cat(weights), torch.cat(biases)


def test_the_keys_are_the_contract_s() -> None:
    """What can be asked for is the shared list."""
    assert (*SPECIFIC, "normal(STD)", "mean_field(W2,B2)") == KEYS
    assert [get(key).key for key in SPECIFIC] == list(SPECIFIC)


@pytest.mark.parametrize("key", _BY_HAND)
def test_stated_variances_are_the_textbook_s(key: str) -> None:
    """sigma_w^2 and sigma_b^2 of a 20 to 50 layer are the numbers worked out by hand."""
    initializer = get(key)
    assert initializer.sigma_w2(20, 50) == pytest.approx(_BY_HAND[key][0], rel=1e-14)
    assert initializer.sigma_b2(20) == pytest.approx(_BY_HAND[key][1], rel=1e-14)


@pytest.mark.parametrize("key", _BY_HAND)
def test_drawn_weights_have_the_stated_variances_and_the_named_shape(key: str) -> None:
    """Over 200,000 weights and 10,000 biases, mean and variance lie within 4.5 standard errors.

    A uniform draw ends at sqrt(3) deviations, a normal one goes beyond four.
    """
    weights, biases = _drawn(key, 200)
    count, stated = len(weights), get(key).sigma_w2(20, 50) / 20
    # The variance of a sample variance is (kurtosis - 1) / n of its square.
    kurtosis = 3.0 if key in NORMAL else 1.8
    error = math.sqrt((kurtosis - 1) / count)
    assert weights.square().mean().item() == pytest.approx(stated, rel=4.5 * error)
    assert abs(weights.mean().item()) < 4.5 * math.sqrt(stated / count)
    furthest = weights.abs().max().item() / math.sqrt(stated)
    assert furthest > 4 if key in NORMAL else 1.73 < furthest <= math.sqrt(3) * (1 + 1e-6)
    spread = get(key).sigma_b2(20)
    if spread == 0:
        assert not biases.any()
    else:
        error = math.sqrt(0.8 / len(biases))
        assert biases.square().mean().item() == pytest.approx(spread, rel=4.5 * error)


def test_draws_are_torch_s_own_calls() -> None:
    """Every initializer gives the bits of the torch function that it names."""
    calls: dict[str, Callable[[Tensor], Tensor]] = {
        "xavier_uniform": nn.init.xavier_uniform_,
        "xavier_normal": nn.init.xavier_normal_,
        "he_uniform": lambda w: nn.init.kaiming_uniform_(w, nonlinearity="relu"),
        "he_normal": lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu"),
        "lecun_uniform": lambda w: nn.init.kaiming_uniform_(w, nonlinearity="linear"),
        "lecun_normal": lambda w: nn.init.kaiming_normal_(w, nonlinearity="linear"),
        "normal(0.05)": lambda w: nn.init.normal_(w, 0, 0.05),
    }
    for key, call in calls.items():
        ours, plain = nn.Linear(6, 4), nn.Linear(6, 4)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(11)
            get(key).apply(ours)
            torch.manual_seed(11)
            call(plain.weight)
        assert torch.equal(ours.weight, plain.weight)
        assert not ours.bias.any()


def test_the_default_draws_nothing() -> None:
    """Torch's default keeps the constructor's numbers and takes nothing from the stream."""
    layer = nn.Linear(6, 4)
    weight, bias = layer.weight.clone(), layer.bias.clone()
    state = torch.get_rng_state()
    get("torch_default").apply(layer)
    assert torch.equal(layer.weight, weight)
    assert torch.equal(layer.bias, bias)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("asked", "key"),
    [
        ("normal(0.05)", "normal(0.05)"),
        ("normal(5e-2)", "normal(0.05)"),
        ("normal(1)", "normal(1)"),
        ("normal(1e20)", "normal(1e+20)"),
        ("normal(0.123456789)", "normal(0.123456789)"),
    ],
)
def test_a_normal_s_key_is_its_number(asked: str, key: str) -> None:
    """However a deviation is written, its key is one, loses no digit and can be read again."""
    initializer = get(asked)
    assert initializer.key == key
    assert get(key).sigma_w2(9, 1) == initializer.sigma_w2(9, 1)


def test_a_huge_deviation_has_an_infinite_variance() -> None:
    """A deviation whose square is no float is an answer, not a crash."""
    assert get("normal(1e200)").sigma_w2(1, 1) == math.inf


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        *(
            (
                f"normal({std})",
                f"initializer 'normal({std})' has standard deviation '{std}', "
                "but it must be a positive number, as in 'normal(0.05)'",
            )
            for std in ("0", "x", "-1", "nan", "inf", "-0.0", "1e-400")
        ),
        *(
            (
                asked,
                f"unknown initializer {asked!r}; known: torch_default, xavier_uniform, "
                "xavier_normal, he_uniform, he_normal, lecun_uniform, lecun_normal, normal(STD), "
                f"mean_field(W2,B2).{hint}",
            )
            for asked, hint in (
                ("xavier", " Did you mean 'xavier_normal'?"),
                ("he_unifrom", " Did you mean 'he_uniform'?"),
                ("normal", " Did you mean 'he_normal'?"),
                ("normal()", " Did you mean 'normal(STD)'?"),
                ("normal(1) ", " Did you mean 'normal(STD)'?"),
                ("qqq", ""),
            )
        ),
    ],
)
def test_a_mistake_is_quoted_with_what_is_known(asked: str, said: str) -> None:
    """No positive number is quoted with an example, a wrong name with all forms and the nearest."""
    with pytest.raises(ActbenchError) as caught:
        get(asked)
    assert str(caught.value) == said
