"""The search for unstated settings: it finds what was planted, and says what chance would find."""

from __future__ import annotations

import itertools
import json
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rounding
import torch
from calls import Command
from hypothesis import example, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from scipy import stats
from torch import nn

from actbench.store.errors import ActbenchError
from actbench.study.catalog import initializers, targets
from actbench.study.catalog.activations import ACTIVATIONS
from actbench.study.recover import (
    evaluators,
    folder,
    numbers,
    outcome,
    report,
    schema,
    search,
    space,
    streams,
)
from actbench.study.recover.numbers import Printed

EIGHT = tuple(ACTIVATIONS)
SMALL = """
schema_version = 1
quantity = "gradient_ratio"
title = "A test"
source = "a test"
width = 16
misses = 1

[[number]]
activation = "linear"
published = "1.0"
depth = 3

[[number]]
activation = "sigmoid"
published = "1.0"
depth = 3

[[number]]
activation = "relu"
published = "1.0"
depth = 3

[space]
seed = [42, 7]
reset = ["once", "per_model"]
order = [["linear", "sigmoid", "relu"], ["relu", "tanh", "sigmoid", "linear"]]
depths = [[2, 3], [3]]
outer_loop = ["depth", "activation"]
depth_counts = ["hidden", "linear"]
construction = ["all_first", "layer_by_layer"]
drawn = ["before_model", "after_model", "once"]
initializer = ["xavier_uniform", { else = "he_normal", relu = "torch_default" }]
bias = ["zero", "constructed"]
input = ["normal", "uniform", "evenly_spaced"]
points = [9]
loss = ["mean", "mse_zeros", "mse_sine", "mse_noisy_sine"]
measure = ["mean_abs", "l2", "max_abs"]
layers = ["output/first", "first/last_hidden"]
"""
TRAINED = """
schema_version = 1
quantity = "final_loss"
title = "A test"
source = "a test"
width = 8
sample = 4

[[number]]
activation = "relu"
published = "1.0"
depth = 2

[[number]]
activation = "gelu"
published = "1.0"
depth = 2

[space]
order = [["relu", "gelu"]]
initializer = ["torch_default", "normal(0.3)"]
bias = ["zero", "constructed"]
learning_rate = [0.01, 0.003]
weight_decay = [0.0, 0.01]
epochs = [4]
noise_seed = [42, 1]
read = ["before_last_update", "after_last_update", "lowest"]
"""


def read(text: str, tmp_path: Path) -> schema.Search:
    """Load a search from its text."""
    path = tmp_path / "numbers.toml"
    path.write_text(text, encoding="utf-8")
    return schema.load(path)


def publish(wanted: schema.Search, values: list[float], digits: int = 4) -> schema.Search:
    """Print other numbers in a search's place."""
    numbers = [
        number.model_copy(update={"published": f"{value:.{digits - 1}e}"})
        for number, value in zip(wanted.number, values, strict=True)
    ]
    return wanted.model_copy(update={"number": tuple(numbers)})


def narrow(wanted: schema.Search, **axes: tuple[Any, ...]) -> schema.Search:
    """Leave only some choices of some axes."""
    return wanted.model_copy(update={"space": wanted.space.model_copy(update=axes)})


def script(protocol: dict[str, Any], wanted: schema.Search) -> list[float]:
    """Compute gradient ratios as anyone would write it down, one plain network after another."""
    p, width = protocol, wanted.width

    def inputs() -> torch.Tensor:
        if p["input"] == "evenly_spaced":
            return torch.linspace(-math.pi, math.pi, p["points"])[:, None]
        return (torch.randn if p["input"] == "normal" else torch.rand)(p["points"], 1)

    def network(activation: str, depth: int) -> list[nn.Module]:
        hidden = depth if p["depth_counts"] == "hidden" else depth - 1
        rule = p["initializer"]
        key = rule if isinstance(rule, str) else rule.get(activation, rule["else"])
        sizes = [1, *[width] * hidden, 1]
        modules: list[nn.Module] = []
        first_biases = []
        linears = []
        for fan_in, fan_out in itertools.pairwise(sizes):
            linears.append(nn.Linear(fan_in, fan_out))
            first_biases.append(linears[-1].bias.detach().clone())
            if p["construction"] == "layer_by_layer":
                initializers.get(key).apply(linears[-1])
        for linear in linears if p["construction"] == "all_first" else []:
            initializers.get(key).apply(linear)
        for linear, bias in zip(linears, first_biases, strict=True):
            linear.bias.data = bias if p["bias"] == "constructed" else torch.zeros_like(bias)
            modules += [linear, ACTIVATIONS[activation].module()]
        return modules[:-1]

    def ratio(modules: list[nn.Module], x: torch.Tensor) -> float:
        output = nn.Sequential(*modules)(x)
        noise = np.random.RandomState(42).normal(0, 0.1, p["points"])
        target = {
            "mse_zeros": torch.zeros_like(x),
            "mse_sine": torch.sin(x),
            "mse_noisy_sine": torch.sin(x) + torch.tensor(noise, dtype=torch.float32)[:, None],
        }.get(p["loss"])
        loss = output.mean() if target is None else nn.functional.mse_loss(output, target)
        loss.backward()
        linears = [m for m in modules if isinstance(m, nn.Linear)]
        named = {"output": linears[-1], "first": linears[0], "last_hidden": linears[-2]}
        size: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
            "mean_abs": lambda g: g.abs().mean(),
            "l2": torch.linalg.vector_norm,
            "max_abs": lambda g: g.abs().max(),
        }
        top, bottom = (
            size[p["measure"]](torch.as_tensor(named[name].weight.grad)).item()
            for name in p["layers"].split("/")
        )
        return top / bottom if bottom else math.inf

    pairs = [(a, d) for d in p["depths"] for a in p["order"]]
    if p["outer_loop"] == "activation":
        pairs = [(a, d) for a in p["order"] for d in p["depths"]]
    found = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(p["seed"])
        common = inputs() if p["drawn"] == "once" else None
        for activation, depth in pairs:
            if p["reset"] == "per_model":
                torch.manual_seed(p["seed"])
            x = inputs() if p["drawn"] == "before_model" else common
            modules = network(activation, depth)
            x = inputs() if x is None else x
            found[activation, depth] = ratio(modules, x)
    return [found[number.activation, number.depth] for number in wanted.number]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> schema.Search:
    """A space of gradient ratios with several choices on every axis."""
    return read(SMALL, tmp_path_factory.mktemp("small"))


@dataclass(frozen=True)
class Planted:
    """A small space in which one protocol was made to give the numbers, and what is found there."""

    wanted: schema.Search
    protocol: dict[str, Any]
    folder: Path
    result: outcome.Result


@pytest.fixture(scope="module")
def planted(small: schema.Search, tmp_path_factory: pytest.TempPathFactory) -> Planted:
    """The search for a planted protocol, done once."""
    wanted = narrow(
        small,
        depth_counts=("hidden",),
        loss=("mean", "mse_sine"),
        measure=("mean_abs", "max_abs"),
        input=("normal",),
        seed=(42,),
        drawn=("before_model", "after_model"),
        initializer=small.space.initializer[1:],
    ).model_copy(update={"title": 'Quotes " and \\ and\nlines'})
    protocol = {axis: choices[-1] for axis, choices in wanted.axes.items()}
    protocol.update(reset="once", depths=(2, 3), outer_loop="depth", construction="all_first")
    wanted = publish(wanted, script(protocol, wanted))
    path = tmp_path_factory.mktemp("planted")
    return Planted(wanted, plain(protocol), path, folder.fulfil(space.lay_out(wanted), path).result)


def searched(wanted: schema.Search) -> outcome.Result:
    """Search a whole space, in memory."""
    return outcome.summarize(search.run(space.lay_out(wanted)), {})


def computed(
    plan: space.Plan, number: int, drawings: int, readings: Sequence[int] | slice = slice(None)
) -> Any:
    """One number of the first drawings of a plan, under every reading or those that are asked."""
    needed = np.zeros((drawings, len(plan.readings)), dtype=bool)
    needed[:, readings] = True
    return search.table(plan, evaluators.evaluator(plan), number, range(drawings), needed)[0]


def refuse(done: int) -> None:
    """In place of progress, where nothing is to be computed."""
    pytest.fail(f"{done} drawings were searched")


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the figures of searches empty, where nobody looks at them: each takes half a second."""
    monkeypatch.setattr(folder, "draw_search", lambda result: Figure(figsize=(1, 1)))


def plain(protocol: dict[str, Any]) -> dict[str, Any]:
    """A protocol as it is written down, with lists for tuples."""
    listed: dict[str, Any] = json.loads(json.dumps(protocol))
    return listed


# Digits


@settings(max_examples=40)
@given(st.floats(1e-12, 1e12), st.integers(1, 12), st.floats(-0.49, 0.49))
def test_what_rounds_to_a_number_gives_all_its_digits(
    value: float, digits: int, part: float
) -> None:
    """Within half a unit of the last printed digit, every digit is given; beyond it, not all."""
    text = f"{value:.{digits - 1}e}"
    unit = float(Decimal(1).scaleb(int(text.partition("e")[2]) - digits + 1))
    printed = Printed(text)
    assert printed.digits == digits
    near, far = float(text) + part * unit, float(text) + math.copysign(0.51, part) * unit
    assert printed.agreed(np.array([near, far])).tolist()[0] == digits
    assert printed.agreed(np.array([far]))[0] < digits
    low, high = printed.interval
    assert low <= near <= high
    assert not low <= far <= high


@settings(max_examples=40)
@given(st.floats(1e-6, 1e6), st.integers(1, 9), st.lists(st.floats(-10, 10), min_size=2))
@example(0.5, 3, [0.0, -0.0])
def test_nearer_values_never_give_fewer_digits(
    value: float, digits: int, steps: list[float]
) -> None:
    """Digits fall with the distance, on both sides alike, and lie between none and all."""
    printed = Printed(f"{value:.{digits - 1}e}")
    distance = np.sort(np.abs(steps)) * value
    for side in (1, -1):
        given_digits = printed.agreed(printed.value + side * distance)
        assert (np.diff(given_digits) <= 0).all()
        assert ((given_digits >= 0) & (given_digits <= digits)).all()


def test_digits_as_people_count_them() -> None:
    """The study's near miss gives two digits of three, and what is not finite gives none."""
    given_digits = Printed("2.59e7").agreed(
        np.array([2.6024e7, 2.5949e7, 2.7e7, 3.9e7, 9e7, np.inf, np.nan])
    )
    assert given_digits.tolist() == [2, 3, 1, 0, 0, 0, 0]
    assert Printed("0.0080").digits == 2
    assert Printed("0.518152952", 6).matches(np.array([0.5181533, 0.5181536])).tolist() == [
        True,
        False,
    ]


# The file


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('"1.0"\ndepth = 3\n\n[[number]]\nactivation = "sigmoid"', "", "can't read the search"),
        ('quantity = "gradient_ratio"', "", "unknown quantity None; known: gradient_ratio, final_"),
        ("gradient_ratio", "gradient_ration", "Did you mean 'gradient_ratio'?"),
        ("schema_version = 1", "schema_version = 2", "field 'schema_version' is 2, but must be 1"),
        ('title = "A test"\n', "", "field 'title' is missing; add it"),
        ("width = 16", "width = 0", "field 'width' is 0, but must be at least 1"),
        ("width = 16", 'width = "16"', "field 'width' is '16', but must be a whole number"),
        ("misses = 1", "misses = 3", "misses is 3, but there are 3 numbers; fewer may be missed"),
        ("misses = 1", "mises = 1", "unknown field 'mises'; known: schema_version, title, source"),
        ('"1.0"', "1.0", "number 1: published is 1.0, but must be in quotes, as printed: its dig"),
        ('"1.0"', '"one"', "published is 'one', but must be a number above 0 as it is print"),
        ('"1.0"', '"0.00"', "published is '0.00', but must be a number above 0"),
        ('"1.0"', '"-1.0"', "published is '-1.0', but must be a number above 0"),
        (
            'published = "1.0"',
            'publishd = "1.0"',
            "number 1, unknown field 'publishd'; known: activ",
        ),
        ('"1.0"', '"nan"', "published is 'nan', but must be a number above 0"),
        ('"1.0"', '"1.0"\ndigits = 3', "digits is 3, but '1.0' has 2: ask for 1 to 2,"),
        ('"1.0"', '"1.0"\nlayer = 2', "layer and updates say together which gradient a number"),
        ('"1.0"', '"1.0"\nlayer = 2\nupdates = 1', "layer is of numbers of a training; in a sea"),
        ('"1.0"', '"1.0"\ndigit = 3', "number 1, unknown field 'digit'; known: activation, publ"),
        ('"linear"\n', '"os:system"\n', "unknown activation 'os:system'; known: linear, sigmoid"),
        ('activation = "sigmoid"', 'activation = "linear"', "two numbers have the same activat"),
        ('["linear", "sigmoid", "relu"]', '["linear", "relu"]', "lacks 'sigmoid'; add it"),
        ('["linear", "sigmoid", "relu"]', '["relu", "relu"]', "names an activation twice; name"),
        ("[2, 3]", "[2, 4]", "depths [2, 4] lack the number's 3; add it"),
        (
            "seed = [42, 7]",
            "seed = 42",
            "space, field 'seed' is 42, but must be a list of choices, with at",
        ),
        (
            "seed = [42, 7]",
            "seed = []",
            "space, field 'seed' is [], but must be a list of choices, with at",
        ),
        ("seed = [42, 7]", "seed = [-1]", "space, field 'seed' is -1, but must be at least 0"),
        (
            '"output/first"',
            '"first/first"',
            "layers name 'first/first', which is always 1; name two",
        ),
        ("seed = [42, 7]", "seed = [7, 7]", "seed lists a choice twice; list each once"),
        ('["once", "per_model"]', '["never"]', "field 'reset' is 'never', but must be 'once'"),
        ("loss = ", "los = ", "space, unknown field 'los'; known: seed, reset, order"),
        ('"mean", ', '"meen", ', "field 'loss' is 'meen', but must be 'mean', 'sum', 'mse"),
        (
            '"output/first"',
            '"output-first"',
            "field 'layers' is 'output-first', but must be two of",
        ),
        ('"xavier_uniform"', '"xavier"', "unknown initializer 'xavier'; known: torch_default"),
        ('"xavier_uniform"', '"mean_field(2,0)"', "draws biases of its own, which a search can't"),
        ("else = ", "tanh = ", "has no 'else', which says how the networks of the other activ"),
        ("points = [9]", f"points = {list(range(1, 1000))}", "but at most 1e+08 can be searched"),
    ],
)
def test_a_mistake_in_the_file_is_told(old: str, new: str, complaint: str, tmp_path: Path) -> None:
    """One line that names the file, the field and what to do."""
    assert old in SMALL
    with pytest.raises(ActbenchError) as caught:
        read(SMALL.replace(old, new, 1), tmp_path)
    assert complaint in str(caught.value)
    assert str(tmp_path / "numbers.toml") in str(caught.value)
    assert ": :" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """The text names the shipped searches."""
    with pytest.raises(ActbenchError, match=r"nowhere\.toml.*named gradient_ratios, main_run$"):
        schema.load(schema.find(str(tmp_path / "nowhere.toml")))


@pytest.mark.parametrize("name", schema.shipped())
def test_the_shipped_searches_are_whole(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They load by name, also beside a folder of that name, and hold what was published."""
    monkeypatch.chdir(tmp_path)
    Path(name).mkdir()
    found = schema.load(schema.find(name))
    published = {n.activation: n.published for n in found.number if n.layer is None}
    assert published.keys() == {"linear", "sigmoid", "relu", "leaky_relu", "gelu"}
    assert published["sigmoid"] in {"2.59e7", "0.518152952"}
    assert found.size >= 4_000


# What a protocol draws and reads


def test_protocols_follow_a_plain_script(small: schema.Search) -> None:
    """Whatever is chosen on each axis, the search computes what a plain loop does."""
    plan = space.lay_out(small)
    generator = np.random.default_rng(5)
    which = evaluators.evaluator(plan)
    for outer in generator.choice(len(plan.outers), 25, replace=False).tolist():
        reading = int(generator.integers(len(plan.readings)))
        needed = np.zeros((1, len(plan.readings)), dtype=bool)
        needed[0, reading] = True
        found = np.array([search.table(plan, which, n, [outer], needed)[0] for n in range(3)])
        protocol = plan.protocol(outer, reading)
        defined = np.array([not cancels(protocol, n.activation) for n in small.number])
        np.testing.assert_array_equal(np.isfinite(found[:, 0, reading]), defined)
        wanted = np.array(script(protocol, small))
        np.testing.assert_allclose(found[defined, 0, reading], wanted[defined], rtol=2e-4)


def cancels(protocol: dict[str, Any], activation: str) -> bool:
    """Whether every gradient is zero but for rounding.

    Without biases an odd activation makes layers odd in the input and error signals of a mean
    even, so that their products cancel over inputs that lie symmetrically.
    """
    chosen = {"bias": "zero", "input": "evenly_spaced", "loss": "mean"}
    return activation in ("linear", "tanh") and chosen.items() <= protocol.items()


def test_what_is_nothing_but_rounding_is_no_answer(small: schema.Search) -> None:
    """A quotient of gradients that cancel is undefined, is never found, and leaves no value."""
    plan = space.lay_out(
        narrow(small, bias=("zero",), input=("evenly_spaced",), loss=("mean", "mse_zeros"))
    )
    values = [computed(plan, number, 4) for number in range(3)]
    rounding = [reading["loss"] == "mean" for reading in plan.readings]
    assert any(rounding)
    assert np.isinf(values[0][:, rounding]).all()  # linear
    assert np.isfinite(values[0][:, np.logical_not(rounding)]).all()
    assert np.isfinite(values[1:]).all()  # sigmoid and ReLU are not odd
    # Whatever such a quotient came to, no number finds it, and chance does not count it.
    result = searched(narrow(plan.search, loss=("mean",)))
    assert result.nearest[0].value is None
    assert all(found.values[0] is None for found in result.classes)
    assert result.chance.shares[0] == 0


def test_protocols_that_draw_the_same_are_one(small: schema.Search) -> None:
    """What a reset before each model makes irrelevant is not searched again."""
    plan = space.lay_out(narrow(small, reset=("per_model",), input=("evenly_spaced",)))
    different = {(o.choices["seed"], str(o.choices["initializer"])) for o in plan.outers}
    assert len(different) == 4
    assert len(plan.outers) == 4 * 2 * 2  # construction and depth_counts
    (same,) = space.same_drawings(plan, {0}).values()
    assert len(same) == 2 * 2 * 2 * 3  # order, depths, outer_loop, drawn
    assert len({outer.draws for outer in plan.outers}) == len(plan.outers)
    random = space.lay_out(narrow(small, reset=("per_model",), input=("normal",)))
    assert len(random.outers) == 3 * len(plan.outers)  # each drawn gives other inputs or weights


def test_drawing_leaves_the_users_stream_alone(small: schema.Search) -> None:
    """A search takes nothing from torch's own random stream."""
    plan = space.lay_out(small)
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    streams.Streams().network(plan.outers[5].draws[2])
    assert torch.equal(torch.random.get_rng_state(), before)


def plain_training(p: dict[str, Any], last: str, updates: int) -> tuple[list[float], list[float]]:
    """Train a network of `TRAINED` as anyone would write it down.

    Returns the losses and the mean magnitudes of layer 2's gradient before each update.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(42)
        for _ in ("relu", "gelu")[: 1 + (last == "gelu")]:
            layers = [nn.Linear(1, 8), nn.Linear(8, 8), nn.Linear(8, 1)]
            biases = [layer.bias.detach().clone() for layer in layers]
            for layer in layers:
                initializers.get(p["initializer"]).apply(layer)
    for layer, bias in zip(layers, biases, strict=True):
        layer.bias.data = bias * (p["bias"] == "constructed")
    activation = {"relu": nn.ReLU, "gelu": nn.GELU}[last]
    network = nn.Sequential(layers[0], activation(), layers[1], activation(), layers[2])
    data = targets.noisy_sine(noise_seed=p["noise_seed"])
    x, y = (torch.tensor(v, dtype=torch.float32)[:, None] for v in (data.x, data.noisy))
    optimizer = torch.optim.Adam(
        network.parameters(), lr=p["learning_rate"], weight_decay=p["weight_decay"]
    )
    losses, magnitudes = [], []
    for _ in range(updates + 1):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(network(x), y)
        losses.append(loss.item())
        loss.backward()  # type: ignore[no-untyped-call]
        magnitudes.append(layers[1].weight.grad.abs().mean().item())  # type: ignore[union-attr]
        optimizer.step()
    return losses, magnitudes


def test_trained_losses_follow_a_plain_loop(tmp_path: Path) -> None:
    """Rate, decay, bias, data and what is read reach the training as autograd and Adam have it."""
    plan = space.lay_out(read(TRAINED, tmp_path))
    cases = ((0, 5), (1, 22), (1, 47), (0, 36))
    found = computed(plan, 1, 2, [reading for _, reading in cases])
    for outer, reading in cases:
        p = plan.protocol(outer, reading)
        losses, _ = plain_training(p, "gelu", p["epochs"])
        read_off = {"before_last_update": losses[-2], "after_last_update": losses[-1]}
        expected = read_off.get(p["read"], min(losses[:-1]))
        np.testing.assert_allclose(found[outer, reading], expected, rtol=2e-5)


@pytest.mark.parametrize("updates", [0, 1, 3])
def test_a_gradient_on_the_way_follows_a_plain_loop(updates: int, tmp_path: Path) -> None:
    """Of the layer that is asked, counted from the input, whatever is read of the losses."""
    gradient = f'"1.0"\ndepth = 2\nlayer = 2\nupdates = {updates}'
    wanted = read(TRAINED.replace('"1.0"\ndepth = 2', gradient, 1), tmp_path)
    only: dict[str, Any] = {"bias": ("constructed",), "weight_decay": (0.01,), "noise_seed": (1,)}
    plan = space.lay_out(narrow(wanted, initializer=("torch_default",), **only))
    (found,) = computed(plan, 0, 1)
    for reading, value in enumerate(found):
        _, magnitudes = plain_training(plan.protocol(0, reading), "relu", updates)
        assert value == pytest.approx(magnitudes[-1], rel=2e-5)


# Searching


@pytest.mark.usefixtures("undrawn")
def test_the_gradients_after_one_update_settle_the_depth_of_the_main_run(tmp_path: Path) -> None:
    """Ten hidden layers as documented give none of them; eleven give all printed digits."""
    shipped = schema.load(schema.find("main_run"))
    first = tuple(number for number in shipped.number if number.layer is not None)
    wanted = narrow(shipped, read=("before_last_update",), initializer=("torch_default",))
    wanted = wanted.model_copy(update={"number": first, "sample": 20})
    result = searched(wanted)
    assert [found.protocol["depth_counts"] for found in result.classes] == ["square"]
    (found,) = result.classes
    assert (found.digits, found.matches) == ([5, 5, 5, 2], [True] * 4)
    # The linear network is built first: its gradients can't tell whether the stream runs on.
    assert found.undecided["reset"] == ["once", "per_model"]
    (part,) = result.parts
    assert part.numbers == [0, 1, 2, 3]
    assert part.chance * shipped.size < 1e-6
    folder.write(result, tmp_path)
    page = (tmp_path / folder.PAGE).read_text(encoding="utf-8")
    assert "square (11 hidden layers)" in page
    assert "gradients of layer 2, 3, 4, 5" in page
    assert "The match is no accident: of one part alone the chance is" in page


def test_what_rounding_makes_of_a_loss_is_told(tmp_path: Path) -> None:
    """A number of which no digit is asked drops no protocol, and its reading is held to it."""
    wanted = read(TRAINED.replace('"1.0"\ndepth = 2', '"1.0"\ndepth = 2\ndigits = 0', 1), tmp_path)
    plan = space.lay_out(narrow(wanted, epochs=(2,), noise_seed=(42,)))
    value = computed(plan, 1, 2)[0, 0]
    number = wanted.number[1].model_copy(update={"published": f"{value:.5e}"})
    wanted = plan.search.model_copy(update={"number": (wanted.number[0], number)})
    result = searched(wanted)
    relu, gelu = result.parts
    assert relu.chance == 1.0
    low, high = gelu.rounding["before_last_update"]
    assert low <= value <= high < low * (1 + 1e-5)  # two updates leave rounding no time
    sentence = report.parts_sentence(result)
    assert (
        "If before_last_update was read, rounding leaves out what is published of relu." in sentence
    )
    assert "gelu" not in sentence.partition("If before_last_update")[2].partition(".")[0]


def test_what_was_planted_is_found(planted: Planted) -> None:
    """The only protocol that gives all numbers comes first, and its class says what is open."""
    result = planted.result
    assert result.whole
    assert result.classes[0].protocol == planted.protocol
    assert result.classes[0].digits == [4, 4, 4]
    assert [all(other.matches) for other in result.classes[1:]].count(True) == 0
    assert result.different == len(space.lay_out(planted.wanted).outers) * 16
    assert planted.wanted.size > result.different


@pytest.mark.bits
def test_pruning_changes_nothing_but_the_work(planted: Planted) -> None:
    """The same protocols are left, in the same order, after fewer evaluations."""
    published = [number.value for number in planted.wanted.printed]
    plan = space.lay_out(publish(planted.wanted, published, digits=1))
    pruned, brute = (search.run(plan, prune=prune) for prune in (True, False))
    assert pruned.sifted.matched == brute.sifted.matched > 1
    for name in ("outer", "reading", "values"):  # the values from other stacks
        rounding.assert_same(
            *(getattr(found.sifted, name) for found in (pruned, brute)),
            terms=plan.search.width,
            depth=3,
            updates=0,
            dtype=np.float32,
            name=name,
        )
    assert (brute.sifted.evaluated == plan.size).all()
    assert pruned.sifted.evaluated.min() < plan.size / 3
    assert pruned.sifted.networks.sum() < brute.sifted.networks.sum()


def test_threads_change_nothing(planted: Planted) -> None:
    """Parts that run side by side draw what they would draw alone."""
    plan = space.lay_out(planted.wanted)
    one, two = (search.run(plan, threads=threads) for threads in (1, 2))
    np.testing.assert_array_equal(one.sifted.values, two.sifted.values)
    assert one.chance == two.chance


def test_a_fault_in_the_order_of_the_stream_loses_the_match(
    planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Layers that are initialized from the output backwards no longer give the numbers."""
    correct = streams._fill

    def backwards(layers: Any, construction: str, initializer: Any) -> list[torch.Tensor]:
        return correct(layers[::-1], construction, initializer)[::-1]

    monkeypatch.setattr(streams, "_fill", backwards)
    assert not searched(planted.wanted).whole


def test_the_published_ratios_are_found_in_a_part_of_the_shipped_space() -> None:
    """Four of the study's five numbers, and the fifth within a unit of its last digit."""
    wanted = narrow(
        schema.load(schema.find("gradient_ratios")),
        seed=(42,),
        depth_counts=("hidden",),
        construction=("all_first",),
        drawn=("before_model", "after_model"),
        depths=((5, 10, 20, 50), (10,)),
        outer_loop=("depth",),
        initializer=("xavier_uniform", "xavier_normal"),
        input=("normal",),
        points=(32,),
    )
    result = searched(wanted)
    best = result.classes[0]
    assert best.matches == [True, False, True, True, True]
    assert best.digits == [2, 2, 3, 2, 2]
    assert {axis: best.protocol[axis] for axis in ("reset", "depths", "drawn", "order")} == {
        "reset": "once",
        "depths": [5, 10, 20, 50],
        "drawn": "after_model",
        "order": list(EIGHT),
    }
    assert best.undecided == {"loss": ["mean", "sum"]}
    assert result.matched == 2
    assert result.chance.largest < 0.01


def test_the_cheapest_number_comes_first(small: schema.Search) -> None:
    """Of equally rare numbers, the one that the stream reaches first is looked at first."""
    plan = space.lay_out(narrow(small, order=(("linear", "sigmoid", "relu"),), reset=("once",)))
    printed = small.printed
    rare = np.full((3, 4, 4), 77.0)
    assert search.best_order(plan, rare, printed) == (0, 1, 2)
    rare[0] = 1.0  # every protocol gives the first: it rules out none
    assert search.best_order(plan, rare, printed) == (1, 2, 0)


def test_the_best_are_ranked_first() -> None:
    """Numbers that match count more than digits, digits more than distance."""
    printed = [Printed("1.00"), Printed("2.00")]
    values = np.array([[1.4, 2.4], [1.0, 9.0], [1.0, 2.04], [1.0, 2.01], [1.0, 2.0], [1.0, 2.0]])
    assert search.ranking(values, printed).tolist() == [4, 5, 3, 2, 1, 0]
    # Beyond the digits that are asked rounding decides, which is no reason to prefer one.
    few = [Printed("1.00", 1), Printed("2.00", 0)]
    values = np.array([[1.3, 9.0], [1.0, 2.0], [1.7, 2.0]])
    assert search.ranking(values, few).tolist() == [0, 1, 2]


# Chance


@pytest.mark.parametrize("count", [24, 400, 5_000])
def test_the_share_that_matches_is_that_of_a_known_density(count: int) -> None:
    """On a log-normal the neighbors' density gives the probability of the printed interval."""
    printed, spread = Printed("2.0"), 0.7
    generator = np.random.default_rng(0)
    found = [
        numbers.share_matching(np.exp(generator.normal(0.3, spread, count)), printed)
        for _ in range(40)
    ]
    low, high = np.log(printed.interval)
    truth = stats.norm(0.3, spread).cdf(high) - stats.norm(0.3, spread).cdf(low)
    assert np.mean(found) == pytest.approx(truth, rel=0.15)


@pytest.mark.parametrize("correlation", [0.0, 0.9])
def test_the_share_that_gives_several_numbers_counts_how_they_move_together(
    correlation: float,
) -> None:
    """Against a count among many; as if independent it would be off by a factor at 0.9."""
    printed, generator = [Printed("2.0"), Printed("2.1")], np.random.default_rng(0)
    together = [[0.09, 0.09 * correlation], [0.09 * correlation, 0.09]]

    def drawn(count: int) -> Any:
        return np.exp(generator.multivariate_normal([0.6, 0.6], together, count))

    many = drawn(400_000)
    truth = np.mean(printed[0].matches(many[:, 0]) & printed[1].matches(many[:, 1]))
    found = np.mean([numbers.joint_share(drawn(40), printed) for _ in range(100)])
    assert found == pytest.approx(truth, rel=0.15)
    assert numbers.joint_share(drawn(9), printed) == 1.0  # too few to tell


def test_a_narrow_cluster_at_the_number_is_counted() -> None:
    """As of networks that all stay on one plateau; among all neighbors they would be lost."""
    printed, generator = Printed("2.000"), np.random.default_rng(0)
    many = np.exp(generator.normal(0.0, 3.0, 4_980))
    values = np.concatenate([many, generator.uniform(1.9996, 2.0004, 20)])
    assert numbers.share_matching(values, printed) == pytest.approx(20 / 5_000, rel=0.1)


@pytest.mark.parametrize(
    ("values", "share"),
    [([2.0] * 9, 1), ([-2.0] * 9, 0), ([math.inf] * 9, 0), ([], 0)],
    ids=["all there", "none of the sign", "none finite", "none at all"],
)
def test_shares_at_the_ends(values: list[float], share: float) -> None:
    """What needs no density."""
    assert numbers.share_matching(np.array(values), Printed("2.0")) == share


@pytest.mark.parametrize("misses", [0, 1, 3, 5])
def test_misses_are_counted_as_a_binomial_counts_them(misses: int) -> None:
    """Five numbers of one probability follow the closed form."""
    found = numbers.at_most(misses, [0.3] * 5)
    assert found == pytest.approx(stats.binom(5, 0.7).cdf(misses))


def test_the_number_of_chance_matches_is_that_of_a_space_whose_answer_is_known() -> None:
    """Where a setting decides both numbers, counting within settings is right, pooling is not."""
    generator = np.random.default_rng(1)
    printed = [Printed("1.0"), Printed("1.0")]
    centers, drawings, spread = (-0.1, 0.0, 0.1, *range(2, 11)), 20_000, 0.2
    whole = [np.exp(generator.normal(c, spread, (2, drawings, 1))) for c in centers]
    actual = sum(int(np.all(np.abs(v - 1) <= 0.05, axis=0).sum()) for v in whole)
    groups = [numbers.Group(drawings, values[:, :400]) for values in whole]
    found = numbers.estimate(groups, printed, readings=1, misses=0)
    assert actual > 1000
    assert found.given_settings == pytest.approx(actual, rel=0.2)
    assert found.pooled < actual / 2
    few = [numbers.Group(drawings, values[:, :2]) for values in whole]
    assert numbers.estimate(few, printed, 1, 0).given_settings is None


# The folder and the command


def test_an_interrupted_search_goes_on(planted: Planted, tmp_path: Path) -> None:
    """Its finished parts are not computed again, and the outcome is that of one go."""
    plan, seen = space.lay_out(planted.wanted), 0

    def stop(done: int) -> None:
        nonlocal seen
        seen += done > 0
        if seen == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        folder.fulfil(plan, tmp_path, stop)
    assert not (tmp_path / folder.RESULT).exists()
    again = folder.fulfil(plan, tmp_path)
    assert again.notes == ["went on after an interrupted search: 1 part was there already"]
    assert again.result == planted.result
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        name: (planted.folder / name).read_bytes()
        for name in (folder.PAGE, folder.PROTOCOL, folder.RESULT, "search.png", "search.svg")
    }


@pytest.mark.usefixtures("undrawn")
def test_a_folder_of_another_search_is_left_alone(planted: Planted, tmp_path: Path) -> None:
    """The same search is reused, another refused unless it may be replaced."""
    shutil.copytree(planted.folder, tmp_path, dirs_exist_ok=True)
    plan = space.lay_out(planted.wanted)
    assert folder.fulfil(plan, tmp_path, refuse) == folder.Kept(planted.result)
    few = narrow(planted.wanted, drawn=("before_model",), reset=("once",), depths=((3,),))
    other = space.lay_out(publish(few, [3.0, 3.0, 3.0]))
    with pytest.raises(ActbenchError, match=r"another search.*--overwrite, or choose another fol"):
        folder.fulfil(other, tmp_path)
    assert not folder.fulfil(other, tmp_path, overwrite=True).result.whole
    (tmp_path / folder.RESULT).write_text("{}", encoding="utf-8")
    with pytest.raises(ActbenchError, match=r"search\.json states no schema version"):
        folder.fulfil(other, tmp_path)


@pytest.mark.usefixtures("undrawn")
def test_the_protocol_that_was_found_gives_its_numbers_again(
    planted: Planted, tmp_path: Path
) -> None:
    """The file that is written is a search of one protocol, and every choice comes back."""
    again = schema.load(planted.folder / folder.PROTOCOL)
    assert (again.size, again.title, again.misses) == (1, planted.wanted.title, 0)
    assert plain({axis: choices[0] for axis, choices in again.axes.items()}) == planted.protocol
    repeated = folder.fulfil(space.lay_out(again), tmp_path).result
    np.testing.assert_allclose(
        np.array(repeated.classes[0].values, float),
        np.array(planted.result.classes[0].values, float),
        rtol=1e-5,
    )


def test_a_result_says_whether_it_could_be_chance() -> None:
    """A rare match is told from one that a space of this size gives anyway, or that is alone."""
    shares = [0.1, 0.1]

    def sentence(pooled: float, within: float | None, sampled: int = 100) -> str:
        expected = numbers.Chance(
            sampled=sampled, shares=shares, pooled=pooled, given_settings=within, spreads=[]
        )
        return report.chance_sentence(
            outcome.Result.model_construct(chance=expected, matched=1, parts=[])
        )

    assert "The match is no accident" in sentence(1e-4, 0.04)
    assert "may be an accident" in sentence(1e-4, 0.06)
    assert "may be an accident" in sentence(0.2, None)
    untold = sentence(1e-4, None)
    assert "Too few were sampled of each setting" in untold
    assert "can't be told" in untold
    assert "no accident" not in untold
    assert sentence(0.0, 0.0, 1) == (
        "A sample of 1 is too small to say what chance alone would give."
    )


def test_the_figure_shows_every_number_among_the_samples(planted: Planted) -> None:
    """A panel per number, its published value in sight, the found value on it, all counted."""
    wanted, result = planted.wanted, planted.result
    figure = folder.draw_search(result)
    panels = figure.axes
    assert [axes.get_ylabel().split("\n")[1] for axes in panels] == [
        number.published for number in wanted.number
    ]
    for axes, number, spread in zip(panels, wanted.number, result.chance.spreads, strict=True):
        low, high = axes.get_xlim()
        assert low < number.printed.value < high
        published = np.asarray(axes.lines[0].get_xdata())
        assert published[0] == number.printed.value
        assert 0.9 * result.chance.sampled <= sum(spread.counts) <= result.chance.sampled


def test_nothing_found_leaves_no_protocol(planted: Planted, tmp_path: Path) -> None:
    """A protocol of an earlier search does not stand beside a result that found none."""
    wanted = publish(planted.wanted, [1e9, 1e9, 1e9])
    wanted = narrow(wanted, drawn=("before_model",), reset=("once",), depths=((3,),))
    (tmp_path / folder.PROTOCOL).write_text("old", encoding="utf-8")
    result = folder.fulfil(space.lay_out(wanted), tmp_path).result
    assert (result.matched, result.classes) == (0, [])
    assert not (tmp_path / folder.PROTOCOL).exists()
    page = (tmp_path / folder.PAGE).read_text(encoding="utf-8")
    assert "None of " in page
    assert "gives the 3 numbers but for at most 1." in page
    assert [number for number in result.evaluated if number == 0] == [0]
    assert page.count("not looked at") == 1, "what was pruned has no nearest value"
    json.loads(
        (tmp_path / folder.RESULT).read_text(encoding="utf-8"),
        parse_constant=pytest.fail,
    )


@pytest.fixture
def command(actbench: Command) -> Command:
    """Call `actbench recover` with further arguments, in an empty folder."""
    return partial(actbench, "recover")


def test_the_command_searches_trainings(
    command: Command, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """It finds planted losses, writes them down, and ends with 1 where nothing gives them."""
    plan, text = space.lay_out(read(TRAINED, tmp_path)), TRAINED
    for number in (0, 1):
        value = computed(plan, number, 2, [30])[1, 30]
        text = text.replace('"1.0"', f'"{value:.4e}"', 1)
    Path("plant.toml").write_text(text, encoding="utf-8")
    code, out, err = command("plant.toml", "--out", "here", "--threads", "1")
    assert code == 0, err
    assert "gives all 2 numbers" in out
    assert "5 of 5" in out
    assert "written" in out.lower()
    protocol = plan.protocol(1, 30)
    found = schema.load(Path("here") / folder.PROTOCOL)
    assert {axis: choices[0] for axis, choices in found.axes.items()} == protocol
    code, out, _ = command("plant.toml", "--out", "here", "--threads", "1")
    assert (code, "Reused from here; same search." in out) == (0, True)
    request.getfixturevalue("undrawn")
    Path("none.toml").write_text(text.replace('published = "', 'published = "9'), encoding="utf-8")
    code, out, _ = command("none.toml", "--out", "there", "--threads", "1")
    assert code == 1
    assert (
        "None of 96 different protocols gives the 2 numbers. Near misses are shown with misses = 1 "
        "in the search file."
    ) in " ".join(out.split())


def test_the_command_says_what_it_would_do(command: Command, planted: Planted) -> None:
    """A dry run gives size and time and writes nothing; a mistake is one line."""
    shutil.copy(planted.folder / folder.PROTOCOL, "small.toml")
    code, out, _ = command("small.toml", "--dry-run", "--threads", "1")
    assert code == 0
    assert "differ" in out
    assert "s of computing, shared by 1 thread." in " ".join(out.split())
    assert [path.name for path in Path().iterdir()] == ["small.toml"]
    code, out, err = command("gradient_ratio")
    assert (code, out) == (2, "")
    assert err.startswith(
        "actbench: error: there is no file gradient_ratio. Shipped searches are named "
    )
    assert err.count("\n") == 1
