"""Grids: what their points are, in which order, and what is said about a mistake in one."""

from __future__ import annotations

import functools
import itertools
import tomllib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actbench.store.errors import ActbenchError
from actbench.study.catalog.activations import ACTIVATIONS, FURTHER
from actbench.study.catalog.initializers import KEYS
from actbench.study.catalog.targets import TARGETS
from actbench.study.sweeps import grid_files
from actbench.study.sweeps.grids import AXES, Column, Grid

KNOWN_AXES = (
    "activation, target, noise_std, noise_seed, skip, depth, width, learning_rate, weight_decay, "
    "initializer, seed"
)


def grid(text: str) -> Grid:
    """Make the grid that a file with this text holds."""
    return grid_files.build(tomllib.loads(text))


def test_a_product_has_every_combination_seeds_fastest() -> None:
    """The points are those of nested loops, whatever the order of the lines in the file."""
    lines = ["seed = 3", 'activation = ["gelu", "relu"]', "depth = [4, 2]"]
    expected = list(itertools.product(["gelu", "relu"], [4, 2], [42, 43, 44]))
    for order in itertools.permutations(lines):
        made = grid("\n".join(["[grid]", *order]))
        points = [(m["activation"], m["depth"], m["seed"]) for m in made.members(0, made.size)]
        assert points == expected
        assert made.digest == grid("\n".join(["[grid]", *lines])).digest


def test_zipped_axes_go_together() -> None:
    """A zip is one axis of rows; what is neither varied nor set is the main run's."""
    made = grid("[grid]\nseed = [7]\n[[zip]]\ndepth = [2, 3]\nwidth = [8, 4]")
    first, second = made.members(0, made.size)
    assert (first["depth"], first["width"], second["depth"], second["width"]) == (2, 8, 3, 4)
    defaults = {name: axis.default for name, axis in AXES.items()}
    assert first == {**defaults, "depth": 2, "width": 8, "seed": 7}


def test_settings_hold_for_every_member() -> None:
    """A constant is every member's, and part of the identity."""
    made = grid("[settings]\nweight_decay = 1e-4\nepochs = 7\n[grid]\nseed = 2")
    assert [m["weight_decay"] for m in made.members(0, 2)] == [1e-4, 1e-4]
    assert made.common.recorded_epochs == (0, 1)
    assert made.digest != grid("[settings]\nepochs = 7\n[grid]\nseed = 2").digest


RANDOM = """
[grid]
seed = 2
[random]
count = 4000
seed = 1
learning_rate = { low = 1e-4, high = 1e-1, scale = "log" }
noise_std = { low = 0, high = 2 }
depth = { low = 2, high = 5 }
activation = ["relu", "tanh"]
"""
LEARNING_RATES = [0.05814, 0.000194411, 0.00094313]
DEPTHS = [5, 5, 2]
DIGEST = "df073dec62d776e91bdddc534dbe818bba344f2684f88e2462dcb1875dc1b3cc"


def test_random_draws_have_their_distributions() -> None:
    """Uniform, log-uniform, whole and chosen values have the moments of their definitions."""
    made = grid(RANDOM)
    columns = made.columns(0, made.size)
    assert all((column[::2] == column[1::2]).all() for n, column in columns.items() if n != "seed")
    rate = np.log10(columns["learning_rate"][::2])
    # 4000 draws: four standard errors of each mean.
    assert -4 <= rate.min() < -3.99 < -1.01 < rate.max() <= -1
    assert rate.mean() == pytest.approx(-2.5, abs=4 * 3 / np.sqrt(12 * 4000))
    assert columns["noise_std"][::2].mean() == pytest.approx(1, abs=4 * 2 / np.sqrt(12 * 4000))
    counts = np.unique(columns["depth"][::2], return_counts=True)
    assert counts[0].tolist() == [2, 3, 4, 5]
    assert counts[1] == pytest.approx(1000, abs=4 * np.sqrt(4000 * 0.25 * 0.75))
    share = (columns["activation"][::2] == "relu").mean()
    assert share == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(4000))
    assert abs(np.corrcoef(rate, columns["noise_std"][::2])[0, 1]) < 4 / np.sqrt(4000)


def test_what_is_drawn_never_changes() -> None:
    """The first draws as they were when this was written: a stored grid means the same later."""
    drawn = grid(RANDOM).columns(0, 6)
    assert drawn["learning_rate"].tolist()[::2] == LEARNING_RATES
    assert drawn["depth"].tolist()[::2] == DEPTHS
    assert grid(RANDOM).digest == DIGEST


@functools.cache
def small_random() -> tuple[Grid, dict[str, Column]]:
    """A grid and all its points."""
    made = grid(RANDOM.replace("count = 4000", "count = 40"))
    return made, made.columns(0, made.size)


@given(st.integers(0, 79), st.integers(1, 80))
def test_a_part_of_a_grid_is_that_part_of_the_whole(start: int, count: int) -> None:
    """Cut anywhere, the coordinates are the same: no result depends on the partition."""
    made, whole = small_random()
    stop = min(start + count, made.size)
    part = made.columns(start, stop)
    assert all((whole[name][start:stop] == part[name]).all() for name in made.axes)


def test_a_trillion_points_cost_nothing() -> None:
    """The last of 2 x 10^12 points is there at once."""
    made = grid("[grid]\nseed = 1000000\n[random]\ncount = 1000000\nnoise_seed = {low=1,high=9}")
    more = grid("[grid]\nseed = 2\n[random]\ncount = 1000000000000\ndepth = {low=1,high=9}")
    assert (made.size, more.size) == (10**12, 2 * 10**12)
    (last,) = made.members(made.size - 1, made.size)
    assert last["seed"] == 41 + 10**6
    assert len(list(more.members(more.size - 1, more.size))) == 1


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[gird]\nseed = 2", "unknown table 'gird'; known: settings, grid, zip, random. "
            "Did you mean 'grid'?"),
        ("[grid]\nsed = 2", f"[grid]: unknown axis 'sed'; known: {KNOWN_AXES}. "
            "Did you mean 'seed'?"),
        ("[grid]\nactivation = ['rellu']", "[grid]: unknown activation 'rellu'; known: "
            f"{', '.join([*ACTIVATIONS, *FURTHER])}. Did you mean 'relu'?"),
        ("[grid]\nactivation = ['os:system']", "[grid]: activation 'os:system' is code. If you "
            "trust it, give 'actbench sweep' --allow-code"),
        ("[settings]\nepohcs = 2\n[grid]\nseed = 2", "[settings]: unknown setting 'epohcs'; known: "
            f"epochs, points, dtype, recorded_epochs, {KNOWN_AXES}. Did you mean 'epochs'?"),
        ("[settings]\nepochs = 0\n[grid]\nseed = 2", "[settings]: epochs is 0, but must be a whole "
            "number of at least 1"),
        ("[settings]\npoints = 1\n[grid]\nseed = 2", "[settings]: points is 1, but must be at "
            "least 2"),
        ("[settings]\ndtype = 'float16'\n[grid]\nseed = 2", "[settings]: unknown dtype 'float16'; "
            "known: float32, float64. Did you mean 'float64'?"),
        ("[settings]\nepochs = 5\nrecorded_epochs = [0, 5]\n[grid]\nseed = 2", "[settings]: "
            "recorded_epochs are [0, 5], but must be increasing whole numbers from 0 to 4, the "
            "last epoch"),
        ("[grid]\ndepth = [2, 0]", "[grid]: depth is 0, but must be a whole number of at least 1"),
        ("[grid]\nwidth = [10000000]", "[grid]: width is 10000000, but at most 10000 is "
            "sensible"),
        ("[grid]\nlearning_rate = [nan]", "[grid]: learning_rate is nan, but must be a finite "
            "number above 0"),
        ("[grid]\nlearning_rate = ['1']", "[grid]: learning_rate is '1', but must be a number"),
        ("[grid]\nskip = [1]", "[grid]: skip is 1, but must be true or false"),
        ("[grid]\nseed = [-1]", "[grid]: seed is -1, but must be a whole number from 0 to "
            "2147483647"),
        ("[grid]\nseed = 3000000000", "[grid]: the count of seeds is 3000000000, but at most "
            "2147483606 exist"),
        ("[grid]\nseed = true", "[grid]: seed is True, but must be a list of values, such as [42]"),
        ("[grid]\ndepth = 3", "[grid]: depth is 3, but must be a list of values, such as [10]"),
        ("[grid]\ndepth = [2, 2]", "[grid]: depth are [2, 2], but must be at least one, each named "
            "once"),
        ("[grid]\ninitializer = ['normal(0)']", "[grid]: initializer 'normal(0)' has standard "
            "deviation '0', but it must be a positive number, as in 'normal(0.05)'"),
        ("[grid]\ntarget = [['sine']]", "[grid]: unknown target ['sine']; known: "
            f"{', '.join(TARGETS)}. Did you mean 'sine'?"),
        ("[grid]\nwidth = [{a = 1}]", "[grid]: width is {'a': 1}, but must be a whole number of at "
            "least 1"),
        ("[grid]\ninitializer = [2]", "[grid]: unknown initializer '2'; known: "
            f"{', '.join(KEYS)}."),
        ("[grid]\ninitializer = ['os:system']", "[grid]: unknown initializer 'os:system'; known: "
            f"{', '.join(KEYS)}."),
        ("[grid]\ntarget = ['os:system']", "[grid]: target 'os:system' is code of one's own, which "
            "a sweep does not take, as its workers would have to have it; name one of "
            f"{', '.join(TARGETS)}"),
        ("[zip]\ndepth = [2]", "zip must be written [[zip]], with two brackets: it may be "
            "repeated"),
        ("[[zip]]\ndepth = [2]\nwidth = [2, 3]", "[[zip]]: its lists must be of one length, but "
            "have {'depth': 1, 'width': 2}"),
        ("[[zip]]", "[[zip]]: it is empty: give it at least one axis with a list of values"),
        ("[random]\ndepth = [2]", "[random]: it needs a count: how many rows to draw"),
        ("[random]\ncount = 2", "[random]: it draws nothing: give it at least one axis"),
        ("[random]\ncount = 2\nseed = [1]\ndepth = [2]", "[random]: seed is [1], but must be a "
            "whole number from 0 on; it is that of the draws: networks' seeds stand in [grid] or "
            "[[zip]]"),
        ("[random]\ncount = 2\ndepth = { low = 3, hihg = 4 }", "[random]: unknown part of depth "
            "'hihg'; known: low, high, scale. Did you mean 'high'?"),
        ("[random]\ncount = 2\ndepth = { low = 3 }", "[random]: depth needs both low and high"),
        ("[random]\ncount = 2\ndepth = { low = 3, high = 2 }", "[random]: depth has low = 3, high "
            "= 2: low < high, and both finite"),
        ("[random]\ncount = 2\nnoise_std = { low = 0, high = 2, scale = 'log' }", "[random]: "
            "noise_std has low = 0.0, high = 2.0: low < high, and low must be above 0 on a log "
            "scale"),
        ("[random]\ncount = 2\nactivation = { low = 3, high = 2 }", "[random]: activation is "
            "{'low': 3, 'high': 2}, but must be a list of values to choose from"),
        ("[grid]\ndepth = [2]\n[[zip]]\ndepth = [2]", "depth stands in two places, but can have "
            "only one"),
        ("[settings]\ndepth = 2\n[grid]\ndepth = [2]", "depth stands in two places, but can have "
            "only one"),
        ("[settings]\ndepth = 2", "no axis varies: give it [grid], [[zip]] or [random]"),
        ("grid = 2", "[grid]: grid is 2, but must be a table, [grid]"),
        ("[grid]\nseed = 2147483606\nnoise_seed = [1, 2]\n[random]\ncount = 1000000\ndepth = [1]",
            "the grid has 4.29e+15 points; 1e+15 can be counted"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(tmp_path: Path, text: str, complaint: str) -> None:
    """What is wrong in a grid is said with the file, the table and what is expected."""
    path = tmp_path / "grid.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ActbenchError) as caught:
        grid_files.load(path)
    assert str(caught.value) == f"{path}: {complaint}"


@pytest.mark.parametrize("content", [b"[grid", b"\xff\xfe", b"a = " + b"[" * 20_000])
def test_a_file_that_is_none_is_one_line(tmp_path: Path, content: bytes) -> None:
    """Neither a broken file nor a missing one shows more than a line."""
    path = tmp_path / "grid.toml"
    path.write_bytes(content)
    with pytest.raises(ActbenchError, match=r"^can't read the grid in .*grid\.toml: ") as caught:
        grid_files.load(path)
    assert "\n" not in str(caught.value)
    path.unlink()
    with pytest.raises(ActbenchError, match=r"^there is no file .*grid\.toml\. docs/sweeps\.md"):
        grid_files.load(path)
