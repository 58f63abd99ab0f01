"""Training: the reference against an oracle, stacks against the reference and each other."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import oracle
import pytest
import rounding
import torch
from plain_networks import arrays
from torch import nn

from actbench.study.catalog.activations import ACTIVATIONS, Activation
from actbench.study.catalog.initializers import get as initializer
from actbench.study.catalog.targets import noisy_sine
from actbench.study.nets.devices import using_threads
from actbench.study.nets.networks import Architecture, linear_layers
from actbench.study.nets.stacks import bytes_per_member
from actbench.study.nets.training import (
    Member,
    Schedule,
    Training,
    stack_sizes,
    train,
    train_reference,
    train_stack,
)

# Depth, width, points, threads.
SHAPES = [(2, 64, 200, 1), (2, 64, 200, 2), (1, 64, 200, 2), (2, 5, 7, 1), (1, 1, 2, 1)]
_COMPANIES: tuple[list[int], ...] = ([0], [19], [3, 7], [19, 3, 0], [6, 5, 4, 3, 2, 1, 0])
FIELDS = ("loss", "prediction")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Run each test on one thread unless it says otherwise."""
    with using_threads(1):
        yield


def members(count: int) -> list[Member]:
    """Make members that differ in seed and initializer."""
    keys = ("torch_default", "xavier_uniform")
    return [Member(42 + i, initializer(keys[i % 2])) for i in range(count)]


def shape(key: str, depth: int, width: int) -> Architecture:
    """Build an architecture from an activation's key."""
    return Architecture(ACTIVATIONS[key], depth, width)


def run(
    loop: Callable[..., Training],
    architecture: Architecture,
    crew: Sequence[Member] | Member,
    points: int = 200,
    **settings: Any,
) -> Training:
    """Train on so many points of the study's data; the reference loop takes one member."""
    target = noisy_sine(points)
    return loop(architecture, crew, Schedule(**settings), target.x, target.noisy)


def assert_same_members(
    architecture: Architecture,
    one: Training,
    other: Training,
    picked: Sequence[int] | slice = slice(None),
) -> None:
    """Check that members are the same, to the bit where the library of products promises it."""
    terms = max(architecture.width, one.prediction.shape[1])
    size = {"terms": terms, "depth": architecture.depth, "updates": one.loss.shape[1]}
    for name in FIELDS:
        rounding.assert_same(getattr(one, name), getattr(other, name)[picked], name=name, **size)
    for name, values in one.recorded.items():
        rounding.assert_same(values, other.recorded[name][picked], name=name, **size)


def start_of(
    architecture: Architecture, member: Member
) -> tuple[list[oracle.Array], list[oracle.Array]]:
    """Copy a member's initial weights and biases."""
    return arrays(linear_layers(member.network(architecture)))


@pytest.mark.parametrize("weight_decay", [0.0, 0.03])
@pytest.mark.parametrize("key", ACTIVATIONS)
def test_both_loops_follow_adam_by_hand(key: str, weight_decay: float) -> None:
    """Losses, gradients, outputs and activity are the oracle's through 13 updates, in float64."""
    architecture, target, crew = shape(key, 2, 6), noisy_sine(11), members(2)
    settings: dict[str, Any] = {"epochs": 13, "learning_rate": 4e-3, "weight_decay": weight_decay}
    kept: dict[str, Any] = {**settings, "recorded_epochs": (0, 7), "dtype": "float64"}
    stacked = run(train_stack, architecture, crew, 11, **kept)
    for place, member in enumerate(crew):
        history, final = oracle.train(
            key, *start_of(architecture, member), target.x, target.noisy, **settings
        )
        alone = run(train_reference, architecture, member, 11, **kept)
        magnitudes = [
            [np.mean(np.abs(g)) for g in history[epoch].weight_gradients] for epoch in (0, 7)
        ]
        for training, index in ((alone, 0), (stacked, place)):
            losses = [result.loss for result in history]
            np.testing.assert_allclose(training.loss[index], losses, rtol=1e-9)
            np.testing.assert_allclose(
                training.recorded["gradient_magnitude"][index], magnitudes, rtol=1e-8
            )
            np.testing.assert_allclose(training.prediction[index], final.output, rtol=1e-7)
            if index == 0 and place == 0:
                np.testing.assert_allclose(
                    training.hidden_activation, final.hidden, rtol=1e-7, atol=1e-10
                )


@pytest.mark.parametrize("width", [1, 16])
def test_the_linear_network_finds_the_best_line(width: int) -> None:
    """A deep linear network ends at ordinary least squares, 0.2130014, and never below."""
    target, architecture = noisy_sine(), shape("linear", 2, width)
    training = run(
        train_stack, architecture, members(2), epochs=700, learning_rate=0.02, dtype="float64"
    )
    line = np.polynomial.Polynomial.fit(target.x, target.noisy, 1)(target.x)
    best = np.mean((line - target.noisy) ** 2)
    assert best == pytest.approx(0.2130014, abs=5e-8)
    assert training.loss[:, -1] == pytest.approx(best, rel=1e-6)
    assert training.loss.min() >= best * (1 - 1e-12)
    np.testing.assert_allclose(training.prediction, [line, line], atol=1e-3)


@pytest.mark.parametrize("key", ACTIVATIONS)
def test_members_follow_the_reference_at_the_start(key: str) -> None:
    """At the study's shape, loss and gradients stay within 1e-5 of the plain loop, in float32.

    Six activations do so for 50 epochs. ReLU and leaky ReLU do for 10, after which rounding decides
    which kink is crossed; from then on final losses agree as distributions. Gradients are measured
    in units of the layer's largest: on sigmoid's plateau they pass through zero.
    """
    epochs = 10 if key in ("relu", "leaky_relu") else 50
    architecture, crew = shape(key, 10, 64), members(2)
    kept: dict[str, Any] = {"epochs": epochs, "recorded_epochs": tuple(range(epochs))}
    stacked = run(train_stack, architecture, crew, **kept)
    for place, member in enumerate(crew):
        alone = run(train_reference, architecture, member, **kept)
        np.testing.assert_allclose(stacked.loss[place], alone.loss[0], rtol=1e-5)
        found, expected = (
            training.recorded["gradient_magnitude"][index]
            for training, index in ((stacked, place), (alone, 0))
        )
        assert np.all(np.abs(found - expected) <= 1e-5 * expected.max(axis=0))
        np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)


@dataclasses.dataclass(frozen=True)
class _Made(Activation):
    """An activation that is not in ``torch.nn`` as such, or with unusual arguments."""

    made: type[nn.Module] = nn.Softplus

    def module(self) -> nn.Module:
        """Build the module."""
        return self.made(**self.arguments)


def _made(made: type[nn.Module], **arguments: float) -> Activation:
    return _Made("made", "Made", "f(x)", (0.0, 1.0), "none", "", arguments, made)


UNUSUAL = {
    "softplus": _made(nn.Softplus),
    "leaky slope 0": _made(nn.LeakyReLU, negative_slope=0.0),
    "leaky slope 0.4": _made(nn.LeakyReLU, negative_slope=0.4),
    "elu alpha 0": _made(nn.ELU, alpha=0.0),
    "elu alpha 2": _made(nn.ELU, alpha=2.0),
    "mish": _made(nn.Mish),
    "in-place relu6": _made(nn.ReLU6, inplace=True),
}
"""Without a kernel of their own, or with odd arguments."""


@pytest.mark.parametrize(
    ("architecture", "points", "epochs", "rtol"),
    [
        *(pytest.param(shape(key, 4, 16), 40, 30, 1e-11, id=key) for key in ACTIVATIONS),
        *(
            pytest.param(Architecture(made, 3, 12), 30, 12, 1e-10, id=name)
            for name, made in UNUSUAL.items()
        ),
    ],
)
def test_members_follow_the_reference_in_double(
    architecture: Architecture, points: int, epochs: int, rtol: float
) -> None:
    """In float64 losses of the two loops agree to 1e-12, whatever the activation."""
    crew = members(3)
    kept: dict[str, Any] = {"epochs": epochs, "recorded_epochs": (0, epochs - 1)}
    stacked = run(train_stack, architecture, crew, points, dtype="float64", **kept)
    for place, member in enumerate(crew):
        alone = run(train_reference, architecture, member, points, dtype="float64", **kept)
        np.testing.assert_allclose(stacked.loss[place], alone.loss[0], rtol=1e-12)
        np.testing.assert_allclose(
            stacked.recorded["gradient_magnitude"][place],
            alone.recorded["gradient_magnitude"][0],
            rtol=rtol,
        )


@pytest.mark.bits
@pytest.mark.parametrize(("depth", "width", "points", "threads"), SHAPES)
@pytest.mark.parametrize("key", ACTIVATIONS)
def test_a_member_does_not_know_its_stack(
    key: str, depth: int, width: int, points: int, threads: int
) -> None:
    """Alone, among 2, 3, 7 or 20, in any place and order, a member is the same."""
    crew, architecture = members(20), shape(key, depth, width)
    kept: dict[str, Any] = {"epochs": 3, "learning_rate": 0.01, "recorded_epochs": (0, 2)}
    with using_threads(threads):
        whole = run(train_stack, architecture, crew, points, **kept)
        for picked in _COMPANIES:
            part = run(train_stack, architecture, [crew[i] for i in picked], points, **kept)
            assert_same_members(architecture, part, whole, picked)


@pytest.mark.bits
@pytest.mark.parametrize("key", ["tanh", "gelu"])
def test_the_same_holds_in_double(key: str) -> None:
    """In float64, too, a member does not depend on its stack."""
    crew, architecture = members(7), shape(key, 2, 64)
    kept: dict[str, Any] = {"epochs": 4, "recorded_epochs": (3,), "dtype": "float64"}
    whole = run(train_stack, architecture, crew, **kept)
    for picked in ([4], [6, 0], [5, 1, 2]):
        part = run(train_stack, architecture, [crew[i] for i in picked], **kept)
        assert_same_members(architecture, part, whole, picked)


@pytest.mark.bits
@pytest.mark.parametrize(("most", "stacks"), [(0, 7), (1, 7), (2, 4), (3, 3), (4, 2), (7, 1)])
def test_a_cut_changes_no_member(most: int, stacks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However little memory there is, all members come back in order, in stacks that fit it."""
    architecture, target, crew = shape("swish", 2, 64), noisy_sine(), members(7)
    schedule = Schedule(epochs=3, recorded_epochs=(0, 2))
    whole = train_stack(architecture, crew, schedule, target.x, target.noisy)
    sizes = []

    def counted(architecture: Architecture, part: Sequence[Member], *rest: object) -> Training:
        sizes.append(len(part))
        return train_stack(architecture, part, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("actbench.study.nets.training.cutting.train_stack", counted)
    budget = most * bytes_per_member(architecture, 200, 4)
    done: list[int] = []
    cut = train(
        architecture,
        crew,
        schedule,
        target.x,
        target.noisy,
        done.append,
        memory_budget_bytes=budget,
    )
    assert_same_members(architecture, cut, whole)
    rounding.assert_same(  # of the first member
        cut.hidden_activation[None], whole.hidden_activation[None], terms=200, depth=2, updates=3
    )
    assert len(sizes) == stacks
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= max(1, most)
    assert sum(done) == 3 * 7


def test_double_precision_takes_twice_the_memory() -> None:
    """A budget that holds two members in float32 holds one in float64, and is kept to."""
    architecture, target = shape("relu", 1, 8), noisy_sine(20)
    done: list[int] = []
    train(
        architecture,
        members(2),
        Schedule(epochs=10, dtype="float64"),
        target.x,
        target.noisy,
        done.append,
        memory_budget_bytes=2 * bytes_per_member(architecture, 20, 4),
    )
    assert [step for step in done if step] == [10, 10]


@pytest.mark.parametrize(
    ("depth", "count", "threads", "sizes"),
    [(10, 20, 1, [5] * 4), (10, 20, 2, [5] * 4), (10, 12, 2, [3] * 4), (50, 8, 1, [4, 4])],
)
def test_by_default_stacks_fit_the_cache(
    depth: int, count: int, threads: int, sizes: list[int]
) -> None:
    """No thread waits for another's last stack, and a deep network still comes in fours."""
    done: list[int] = []
    target = noisy_sine()
    architecture, schedule = shape("relu", depth, 64), Schedule(epochs=1)
    train(
        architecture, members(count), schedule, target.x, target.noisy, done.append, threads=threads
    )
    assert [step for step in done if step] == sizes
    assert stack_sizes(architecture, count, 200, schedule, threads) == sizes


@pytest.mark.bits
@pytest.mark.parametrize("key", ACTIVATIONS)
def test_a_diverging_member_disturbs_no_other(key: str) -> None:
    """A member of absurd weights has no finite loss; its mates are as if it were not there."""
    # Bounded activations stay finite unless the sum is not.
    absurd = Member(1, initializer(f"normal({'1e38' if key in ('sigmoid', 'tanh') else '1e20'})"))
    architecture, crew = shape(key, 2, 64), members(3)
    kept: dict[str, Any] = {"epochs": 5, "recorded_epochs": (0, 4)}
    alone = run(train_stack, architecture, crew, **kept)
    mixed = run(train_stack, architecture, [crew[0], absurd, *crew[1:]], **kept)
    assert not np.isfinite(mixed.loss[1]).any()
    assert np.isfinite(alone.loss).all()
    assert_same_members(architecture, alone, mixed, [0, 2, 3])


def test_a_huge_learning_rate_shows_as_a_loss_that_is_not_finite() -> None:
    """Divergence is kept in the numbers, in both loops, and nothing is raised."""
    architecture, crew = shape("relu", 3, 8), members(2)
    for loop, given in ((train_stack, crew), (train_reference, crew[0])):
        training = run(loop, architecture, given, 50, epochs=6, learning_rate=1e30)
        assert np.isfinite(training.loss[:, 0]).all()
        assert not np.isfinite(training.loss[:, -1]).any()


def test_initializers_mix_in_one_stack() -> None:
    """Each member of a stack starts as its own initializer says."""
    keys = ("he_normal", "torch_default", "normal(0.3)", "xavier_normal")
    crew = [Member(5, initializer(key)) for key in keys]
    architecture, target = shape("tanh", 2, 8), noisy_sine(20)
    stacked = run(train_stack, architecture, crew, 20, epochs=2, dtype="float64")
    for place, member in enumerate(crew):
        truth = oracle.back_propagate(
            "tanh", *start_of(architecture, member), target.x, target.noisy
        )
        assert stacked.loss[place, 0] == pytest.approx(truth.loss, rel=1e-12)


@pytest.mark.parametrize("epochs", [1, 9, 10, 11, 25])
def test_progress_adds_up(epochs: int) -> None:
    """Whatever the number of epochs, progress reports them all, times the members, in steps."""
    target, done = noisy_sine(5), list[int]()
    train_stack(
        shape("relu", 1, 2), members(3), Schedule(epochs), target.x, target.noisy, done.append
    )
    assert sum(done) == 3 * epochs
    assert [step for step in done if step] == [30] * (epochs // 10) + (
        [3 * (epochs % 10)] if epochs % 10 else []
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("recorded", [(), (0,), (1, 4), (2, 5), (9,)])
def test_trainings_have_their_shapes(recorded: tuple[int, ...], dtype: str) -> None:
    """Every field has the documented shape, also when no epoch is recorded or none is reached."""
    architecture, crew = shape("gelu", 2, 4), members(3)
    kept = sum(epoch <= 5 for epoch in recorded)
    for loop, given, count in (
        (train_reference, crew[0], 1),
        (train_stack, crew, 3),
        (train, crew, 3),
    ):
        training = run(
            loop, architecture, given, 6, epochs=5, recorded_epochs=recorded, dtype=dtype
        )
        assert training.loss.shape == (count, 5)
        shapes = {name: kept.shape for name, kept in training.recorded.items()}
        assert shapes == ({"gradient_magnitude": (count, kept, 3)} if kept else {})
        assert training.prediction.shape == (count, 6)
        assert training.hidden_activation.shape == (2, 6, 4)
        assert training.loss.dtype == training.prediction.dtype == np.dtype(dtype)


def _losses(epochs: int) -> list[Any]:
    architecture, crew = shape("tanh", 1, 4), members(2)
    return [
        run(loop, architecture, given, 6, epochs=epochs).loss
        for loop, given in ((train_stack, crew), (train_reference, crew[0]))
    ]


def test_the_global_stream_is_left_alone() -> None:
    """Neither loop moves torch's global random stream, nor looks at it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        state = torch.get_rng_state()
        _losses(epochs=1)
        assert torch.equal(torch.get_rng_state(), state)


def test_both_loops_are_blind_to_the_session_s_default_dtype() -> None:
    """A member starts and trains as in a fresh process, whatever was set before."""
    fresh = _losses(epochs=2)
    torch.set_default_dtype(torch.float64)
    try:
        found = _losses(epochs=2)
    finally:
        torch.set_default_dtype(torch.float32)
    for one, other in zip(found, fresh, strict=True):
        np.testing.assert_array_equal(one, other, strict=True)


def test_the_documented_defaults_are_the_study_s() -> None:
    """Ten layers of 64 units; 500 epochs, learning rate 0.001, no decay, float32 on the CPU."""
    architecture, schedule = Architecture(ACTIVATIONS["relu"]), Schedule()
    assert (architecture.depth, architecture.width) == (10, 64)
    assert (schedule.epochs, schedule.learning_rate, schedule.weight_decay) == (500, 1e-3, 0.0)
    assert schedule.recorded_epochs == ()
    assert schedule.device == torch.device("cpu")
    assert schedule.dtype == "float32"


def test_settings_cannot_change_under_a_running_study() -> None:
    """Member, schedule, architecture, initializer, activation and data are frozen."""
    member, architecture = members(1)[0], shape("relu", 1, 2)
    for value in (
        member,
        member.initializer,
        architecture,
        architecture.activation,
        Schedule(),
        noisy_sine(3),
    ):
        name = dataclasses.fields(value)[0].name
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, name, None)


def test_an_accelerator_gets_all_members_at_once() -> None:
    """Its stacks are bounded by its memory, not by a processor's cache, and threads cut nothing."""
    on_gpu = Schedule(device=torch.device("cuda"))
    assert stack_sizes(shape("relu", 10, 64), 1000, 200, on_gpu, threads=2) == [1000]
