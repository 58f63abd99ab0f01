"""What the terminal shows: numbers, bars and sentences that are true and fit in."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from rich.console import Console, RenderableType

from actbench.claims import Claim, Relation, final_loss_claims, published
from actbench.claims.statistics import quantiles
from actbench.cli.console import progress_bar, written_files
from actbench.study.commands.session import final_mse_table, gradient_bars
from actbench.study.experiments.sine_regression.findings import against_published

STUDY = ("linear", "sigmoid", "relu", "leaky_relu", "gelu")
PUBLISHED = {
    "linear": 0.213001385,
    "sigmoid": 0.518152952,
    "relu": 0.008041415,
    "leaky_relu": 0.008040654,
    "gelu": 0.008317092,
}
AGREEMENT = {**dict.fromkeys(STUDY, "yes"), "sigmoid": "NO"}
MEASURED = {"linear": 0.213, "sigmoid": 0.0776, "relu": 0.0076, "leaky_relu": 0.0074, "gelu": 0.008}


def claim(activation: str) -> Claim:
    """The study's claim about one final loss."""
    return Claim.model_validate(
        {
            "id": f"{activation.replace('_', '-')}-final-mse",
            "source": "a table",
            "statement": "It ends there.",
            "protocol": "stated",
            "metric": {"name": "final_mse", "activation": activation},
            "published": PUBLISHED[activation],
            "relation": {"kind": "equals", "tolerance": 0.1, "relative": True, "reason": "One."},
            "expected": "reproduced",
            "because": "It does.",
        }
    )


def about(*names: str) -> dict[str, Claim]:
    """Those claims by activation, as the console takes them."""
    return {name: claim(name) for name in names}


def outcome(
    names: Sequence[str] = STUDY,
    *,
    seeds: int = 3,
    layers: int = 11,
    magnitudes: Sequence[float] | None = None,
) -> xr.Dataset:
    """A plausible dataset of `sine-regression`, every seed near what is known to be measured."""
    spread = 1 + 0.01 * np.arange(seeds)
    final = np.array([MEASURED[name] * spread for name in names])
    column = np.geomspace(1e-8, 1e-1, layers) if magnitudes is None else np.array(magnitudes)
    gradient = np.tile(column, (len(names), seeds, 2, 1))
    gradient[:, 1:] = gradient[:, :, 1:] = 7.0  # other seeds, later epochs: not to be shown
    return xr.Dataset(
        {
            "final_mse": (("activation", "seed"), final),
            "diverged": (("activation", "seed"), np.full((len(names), seeds), -1, np.int32)),
            "gradient_magnitude": (("activation", "seed", "recorded_epoch", "layer"), gradient),
        },
        coords={
            "activation": list(names),
            "seed": np.arange(42, 42 + seeds),
            "recorded_epoch": [0, 1],
            "layer": np.arange(1, len(column) + 1),
        },
        attrs={"protocol": json.dumps({"epochs": 500, "depth": 10, "initializer": "he_normal"})},
    )


def shown(*parts: RenderableType, width: int = 80) -> list[str]:
    """Render as on a terminal of that width, and return the lines."""
    console = Console(width=width, record=True, file=io.StringIO())
    for part in parts:
        console.print(part)
    return console.export_text().splitlines()


def squeezed(lines: Sequence[str]) -> str:
    """Undo the wrapping of lines."""
    return " ".join(" ".join(lines).split())


def row(lines: Sequence[str], name: str) -> list[str]:
    """Return the cells of the one row that begins with a name."""
    (line,) = [line for line in lines if line.split()[:1] == [name]]
    return line.split()


def bars(lines: Sequence[str]) -> list[tuple[int, float, str]]:
    """Read layer, bar length in cells and printed number of each row of a chart of one column."""
    eighths = " ▏▎▍▌▋▊▉█"
    rows = []
    for line in lines:
        if match := re.match(rf" *(\d+) +([{eighths}]*?) *(\S+) *$", line):
            length = sum(eighths.index(cell) / 8 for cell in match[2].strip())
            rows.append((int(match[1]), length, match[3]))
    return rows


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([3.0], (3.0, 3.0, 3.0)),
        ([1.0, 2.0, 3.0], (1.05, 2.0, 2.95)),
        (list(range(41)), (1.0, 20.0, 39.0)),
        ([1.0, 2.0, 3.0, math.nan], (1.0, 2.0, math.inf)),
        ([math.nan, 2.0, 1.0, math.inf, 3.0], (1.0, 3.0, math.inf)),
        ([1.0, math.nan, math.nan], (1.0, math.inf, math.inf)),
        ([math.nan, math.inf], (math.inf, math.inf, math.inf)),
    ],
)
def test_diverged_seeds_count_as_infinite(
    values: list[float], expected: tuple[float, float, float]
) -> None:
    """A seed that diverged lies above every other, and is neither dropped nor averaged in."""
    assert quantiles(np.array(values)) == pytest.approx(expected)
    # Values as they come from training give quantiles in double precision.
    assert quantiles(np.array(values, dtype=np.float32)) == pytest.approx(expected)


def test_published_and_measured_stand_side_by_side() -> None:
    """Each activation shows what was published, median, interval, first seed, and agreement."""
    table = final_mse_table(outcome(), about(*STUDY))
    assert [row.style for row in table.rows] == [None, "bold", None, None, None]
    lines = shown(table)
    assert row(lines, "activation") == [
        *("activation", "published", "median", "2.5-97.5", "%", "seed", "42", "agrees"),
    ]
    assert row(lines, "relu") == [
        *("relu", "0.0080414", "0.007676", "0.007604", "-", "0.007748", "0.0076", "yes"),
    ]
    assert {name: row(lines, name)[-1] for name in STUDY} == AGREEMENT
    assert "Mean squared error on the noisy targets, 3 seeds" in "\n".join(lines)


def test_the_studys_own_claims_fill_the_table() -> None:
    """The published column is the study's, and sigmoid is what does not agree with it."""
    own = final_loss_claims(published())
    assert {name: own[name].published for name in STUDY} == PUBLISHED
    dataset = outcome()
    dataset["final_mse"].loc[{"activation": "linear"}] = 0.21301  # its claim has little tolerance
    lines = shown(final_mse_table(dataset, own))
    assert [row(lines, name)[1] for name in STUDY] == [
        f"{PUBLISHED[n]:.7f}".rstrip("0") for n in STUDY
    ]
    assert {name: row(lines, name)[-1] for name in STUDY} == AGREEMENT


BOUND = {"published": None, "relation": Relation(kind="above", value=1.0, reason="One.")}


@pytest.mark.parametrize(
    ("name", "values", "claims", "cells"),
    [
        # Where nothing was published, nothing is said to agree.
        ("gelu", [0.5] * 3, {}, "gelu - 0.5 0.5 0.5 -"),
        # Where most seeds diverged, the table says so in its numbers.
        (
            "relu",
            [0.0076, math.nan, math.nan],
            about("relu"),
            "relu 0.0080414 inf 0.0076 - inf 0.0076 NO",
        ),
        # A bound that nobody published a number for is judged all the same.
        (
            "sigmoid",
            [0.5] * 3,
            {"sigmoid": claim("sigmoid").model_copy(update=BOUND)},
            "sigmoid - 0.5 0.5 0.5 NO",
        ),
        # Neither a median nor an interval of one value; both ends alike are one number.
        ("relu", [0.0076], about("relu"), "relu 0.0080414 0.0076 yes"),
        (
            "relu",
            [0.213, 0.2130001, 0.2130002],
            about("relu"),
            "relu 0.0080414 0.213 0.213 0.213 NO",
        ),
    ],
)
def test_a_row_of_final_losses(
    name: str, values: list[float], claims: dict[str, Claim], cells: str
) -> None:
    """What was published, median, interval, first seed, and whether it agrees."""
    dataset = outcome(("linear", name), seeds=len(values))
    dataset["final_mse"][1] = values
    lines = shown(final_mse_table(dataset, {"linear": claim("linear"), **claims}))
    assert row(lines, name) == cells.split()
    seeds = "1 seed" if len(values) == 1 else f"{len(values)} seeds"
    assert squeezed(lines).startswith(f"Mean squared error on the noisy targets, {seeds} ")


@pytest.mark.parametrize("count", [1, 5])
def test_everything_fits_in_80_columns(count: int) -> None:
    """For the study's activations nothing is wrapped, cut or longer than a line."""
    names = STUDY[:count]
    table = final_mse_table(outcome(names), about(*names))
    tables = gradient_bars(outcome(names), 80)
    assert len(tables) == 1
    lines = shown(table, *tables)
    assert max(len(line) for line in lines) <= 80
    assert not any("…" in line for line in lines)
    for name in names:
        row(lines, name)
    (heading,) = [line for line in lines if line.split()[:1] == ["layer"] and names[0] in line]
    assert heading.split() == ["layer", *names]
    assert [line.split()[0] for line in lines if "e-" in line] == [str(n) for n in range(1, 12)]


@pytest.mark.parametrize(("width", "count"), [(80, 1), (60, 2), (45, 3), (30, 5)])
def test_a_narrow_terminal_gets_several_charts(width: int, count: int) -> None:
    """No activation is left out and none is cut, however narrow the terminal."""
    tables = gradient_bars(outcome(), width)
    assert len(tables) == count
    lines = shown(*tables, width=width)
    assert max(len(line) for line in lines) <= width
    headings = [line.split()[1:] for line in lines if line.split()[:1] == ["layer"]]
    assert [name for heading in headings for name in heading if name in STUDY] == list(STUDY)
    assert not any("…" in line for line in lines)


def test_layers_are_numbered_from_the_input() -> None:
    """Layer 1 stands first with the gradient at the input, the output layer stands last."""
    lines = shown(*gradient_bars(outcome(("relu",), magnitudes=[1e-4, 1e-3, 1e-1]), 80))
    assert [(layer, number) for layer, _, number in bars(lines)] == [
        (1, "1.0e-04"),
        (2, "1.0e-03"),
        (3, "1.0e-01"),
    ]
    text = squeezed(lines)
    assert "layer 1 is nearest the input, layer 3 is the output layer" in text
    assert "at epoch 0, seed 42" in text


def test_bars_grow_with_the_logarithm() -> None:
    """Equal factors make equal steps, the largest value fills the cells, and order is kept."""
    values = np.geomspace(1e-8, 1e-1, 8)
    lengths = [
        length
        for _, length, _ in bars(
            shown(*gradient_bars(outcome(("relu",), magnitudes=list(values)), 80))
        )
    ]
    assert lengths == sorted(lengths)
    assert lengths[-1] == 4
    assert lengths[1:] == pytest.approx([4 * n / 7 for n in range(1, 8)], abs=1 / 16)
    assert 0 < lengths[0] < lengths[1]


def test_bars_follow_the_values_whatever_their_order() -> None:
    """A larger gradient never has the shorter bar."""
    values = np.random.default_rng(3).permutation(np.geomspace(1e-6, 1e-1, 11))
    rows = bars(shown(*gradient_bars(outcome(("gelu",), magnitudes=list(values)), 80)))
    lengths = [length for _, length, _ in rows]
    assert [lengths[n] for n in np.argsort(values)] == sorted(lengths)


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0.0e+00"), (math.nan, "nan"), (math.inf, "inf")]
)
def test_what_has_no_logarithm_has_no_bar(value: float, text: str) -> None:
    """Vanished and overflowed gradients are printed, without a bar, and spoil no other."""
    rows = bars(shown(*gradient_bars(outcome(("relu",), magnitudes=[value, 1e-3, 1e-1]), 80)))
    assert rows[0] == (1, 0.0, text)
    assert rows[2] == (3, 4.0, "1.0e-01")


@pytest.mark.parametrize("magnitudes", [[0.5, 0.5], [math.nan, math.nan]])
def test_a_chart_needs_no_range(magnitudes: list[float]) -> None:
    """Equal gradients, or none that is finite, are still a chart."""
    rows = bars(shown(*gradient_bars(outcome(("relu",), magnitudes=magnitudes), 80)))
    assert [layer for layer, _, _ in rows] == [1, 2]


SIGMOID = "sigmoid: the published 0.51815 does not reproduce; the median is 0.07838, and"
NEAR = "of 3 seeds end near the published value."
OTHER = (
    "Other settings than the study's (epochs 20 instead of 500 and width 8 instead of 64), so what "
    "it published is not compared."
)


@pytest.mark.parametrize(
    ("last", "protocol", "claims", "sentences"),
    [
        # The one claim that fails is named with its numbers; those that hold need no words.
        (0.08, {}, about(*STUDY), [f"{SIGMOID} 0 {NEAR}"]),
        (0.518, {}, about(*STUDY), [f"{SIGMOID} 1 {NEAR}"]),
        # What a shorter or shallower training ends at says nothing about a published loss.
        (0.08, {"epochs": 20, "depth": 10, "width": 8}, about("sigmoid"), [OTHER]),
        # A bound without a published number is judged in the ledger, not here.
        (0.08, {}, {"sigmoid": claim("sigmoid").model_copy(update=BOUND)}, []),
    ],
)
def test_what_does_not_reproduce_is_said_in_a_sentence(
    last: float, protocol: dict[str, int], claims: dict[str, Claim], sentences: list[str]
) -> None:
    """With how many seeds do, unless nothing can be compared."""
    dataset = outcome()
    dataset["final_mse"].loc[{"activation": "sigmoid", "seed": 44}] = last
    if protocol:
        dataset.attrs["protocol"] = json.dumps(protocol)
    assert against_published(dataset, claims) == sentences


def test_activations_that_diverged_or_were_not_run() -> None:
    """How many diverged and when the first did; what was left out neither fails nor crashes."""
    dataset = outcome(("relu", "gelu"))
    assert against_published(dataset, about("sigmoid", "relu")) == []
    dataset["diverged"][:] = [[7, -1, 3], [-1, 0, -1]]
    assert against_published(dataset, {}) == [
        "relu: 2 of 3 seeds diverged, the first at epoch 3.",
        "gelu: 1 of 3 seeds diverged, the first at epoch 0.",
    ]


def test_written_files_are_listed_with_their_sizes(tmp_path: Path) -> None:
    """A line for each file, sizes rounded up so that no file seems empty."""
    (tmp_path / "a.json").write_bytes(b"x")
    (tmp_path / "b.nc").write_bytes(b"x" * 12_345)
    paths = [tmp_path / "a.json", tmp_path / "b.nc"]
    assert written_files(paths) == f"  {paths[0]}  (1 kB)\n  {paths[1]}  (13 kB)"


@pytest.mark.parametrize(
    ("steps", "quiet", "said"),
    [
        ([4, 6], False, r"sine-regression .* 100% "),
        ([4], False, r"sine-regression .* 40% "),  # stopped in between
        ([], False, ""),  # what is reused or refused at once leaves not even an empty line
        ([10], True, ""),
    ],
)
def test_progress_shows_how_far_it_came(steps: list[int], quiet: bool, said: str) -> None:
    """The steps add up on the bar, which carries the name of what is going on."""
    stream = io.StringIO()
    screen = Console(file=stream, width=80, quiet=quiet, force_terminal=False, color_system=None)
    with suppress(KeyboardInterrupt), progress_bar(screen, "sine-regression", 10) as advance:
        for done in steps:
            advance(done)
        if sum(steps) < 10:
            raise KeyboardInterrupt
    assert re.search(said, stream.getvalue()) if said else stream.getvalue() == ""
