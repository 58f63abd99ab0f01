"""What the terminal shows: numbers, bars and sentences that are true and fit in."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
import xarray as xr
from rich.console import Console, RenderableType

from actbench.claims import Claim, Relation, final_loss_claims, published
from actbench.claims.statistics import quantiles
from actbench.cli.console import final_mse_table, gradient_bars, progress_bar, written_files
from actbench.study.experiments.sine_regression.findings import against_published

STUDY = ("linear", "sigmoid", "relu", "leaky_relu", "gelu")
PUBLISHED = {
    "linear": 0.213001385,
    "sigmoid": 0.518152952,
    "relu": 0.008041415,
    "leaky_relu": 0.008040654,
    "gelu": 0.008317092,
}
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


def plain(stream: io.StringIO, *, quiet: bool = False) -> Console:
    """A console that is no terminal, whatever the environment says."""
    return Console(file=stream, width=80, quiet=quiet, force_terminal=False, color_system=None)


def shown(*parts: RenderableType, width: int = 80) -> list[str]:
    """Render as on a terminal of that width, and return the lines."""
    console = Console(width=width, record=True, file=io.StringIO())
    for part in parts:
        console.print(part)
    return console.export_text().splitlines()


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


def test_single_precision_is_enough_for_quantiles() -> None:
    """Values as they come from training give quantiles in double precision."""
    assert quantiles(np.array([1.0, 2.0, 3.0], dtype=np.float32)) == pytest.approx((1.05, 2, 2.95))


def test_published_and_measured_stand_side_by_side() -> None:
    """Each activation shows what was published, median, interval, first seed, and agreement."""
    lines = shown(final_mse_table(outcome(), about(*STUDY)))
    assert row(lines, "activation") == [
        *("activation", "published", "median", "2.5-97.5", "%", "seed", "42", "agrees"),
    ]
    assert row(lines, "relu") == [
        *("relu", "0.0080414", "0.007676", "0.007604", "-", "0.007748", "0.0076", "yes"),
    ]
    agreement = {name: row(lines, name)[-1] for name in STUDY}
    assert agreement == {**dict.fromkeys(STUDY, "yes"), "sigmoid": "NO"}
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
    agreement = {name: row(lines, name)[-1] for name in STUDY}
    assert agreement == {**dict.fromkeys(STUDY, "yes"), "sigmoid": "NO"}


def test_what_disagrees_stands_out() -> None:
    """The row of a claim that does not reproduce is bold, no other."""
    table = final_mse_table(outcome(), about(*STUDY))
    assert [row.style for row in table.rows] == [None, "bold", None, None, None]


def test_an_activation_without_a_claim_shows_no_agreement() -> None:
    """Where nothing was published, nothing is said to agree."""
    cells = row(shown(final_mse_table(outcome(("relu", "gelu")), about("relu"))), "gelu")
    assert (cells[1], cells[-1]) == ("-", "-")


def test_a_diverged_median_does_not_agree() -> None:
    """Where most seeds diverged, the table says so in its numbers."""
    dataset = outcome(("relu",))
    dataset["final_mse"][0, 1:] = np.nan
    assert row(shown(final_mse_table(dataset, about("relu"))), "relu") == [
        *("relu", "0.0080414", "inf", "0.0076", "-", "inf", "0.0076", "NO"),
    ]


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
    text = " ".join(" ".join(lines).split())
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


def test_what_does_not_reproduce_is_said_in_a_sentence() -> None:
    """The one claim that fails is named with its numbers; those that hold need no words."""
    assert against_published(outcome(), about(*STUDY)) == [
        "sigmoid: the published 0.51815 does not reproduce; the median is 0.07838, and 0 of 3 "
        "seeds end near the published value."
    ]


def test_other_settings_are_no_evidence_against_the_study() -> None:
    """What a shorter or shallower training ends at says nothing about a published loss."""
    dataset = outcome(("sigmoid",))
    dataset.attrs["protocol"] = json.dumps({"epochs": 20, "depth": 10, "width": 8})
    assert against_published(dataset, about("sigmoid")) == [
        "Other settings than the study's (epochs 20 instead of 500 and width 8 instead of 64), so "
        "what it published is not compared."
    ]


def test_seeds_that_do_agree_are_counted() -> None:
    """Where some seeds end at the published value, the sentence says how many."""
    dataset = outcome(("sigmoid",))
    dataset["final_mse"][0, 2] = 0.518
    (sentence,) = against_published(dataset, about("sigmoid"))
    assert sentence.endswith("and 1 of 3 seeds end near the published value.")


def test_diverged_seeds_are_said_in_a_sentence() -> None:
    """How many diverged and when the first did, for each activation that has any."""
    dataset = outcome(("relu", "gelu"))
    dataset["diverged"][0] = [7, -1, 3]
    dataset["diverged"][1] = [-1, 0, -1]
    assert against_published(dataset, {}) == [
        "relu: 2 of 3 seeds diverged, the first at epoch 3.",
        "gelu: 1 of 3 seeds diverged, the first at epoch 0.",
    ]


def test_a_claim_without_a_published_value_needs_no_sentence() -> None:
    """A bound that nobody published a number for is judged in the ledger, not here."""
    bound = claim("sigmoid").model_copy(
        update={"published": None, "relation": Relation(kind="above", value=1.0, reason="One.")}
    )
    dataset = outcome(("sigmoid",))
    assert against_published(dataset, {"sigmoid": bound}) == []
    cells = row(shown(final_mse_table(dataset, {"sigmoid": bound})), "sigmoid")
    assert (cells[1], cells[-1]) == ("-", "NO")


def test_claims_about_what_was_not_run_are_passed_over() -> None:
    """An activation that was left out neither fails nor crashes."""
    dataset = outcome(("relu",))
    assert against_published(dataset, about("sigmoid", "relu")) == []


def test_written_files_are_listed_with_their_sizes(tmp_path: Path) -> None:
    """A line for each file, sizes rounded up so that no file seems empty."""
    (tmp_path / "a.json").write_bytes(b"x")
    (tmp_path / "b.nc").write_bytes(b"x" * 12_345)
    paths = [tmp_path / "a.json", tmp_path / "b.nc"]
    assert written_files(paths) == f"  {paths[0]}  (1 kB)\n  {paths[1]}  (13 kB)"


def test_progress_reaches_its_end() -> None:
    """The steps add up on the bar, which carries the name of what is going on."""
    stream = io.StringIO()
    with progress_bar(plain(stream), "sine-regression", 10) as advance:
        advance(4)
        advance(6)
    assert re.search(r"sine-regression .* 100% ", stream.getvalue())


def test_progress_shows_how_far_it_came() -> None:
    """When stopped in between, the bar shows the share that was done."""
    stream = io.StringIO()

    def stop_early() -> NoReturn:
        with progress_bar(plain(stream), "sine-regression", 10) as advance:
            advance(4)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_early()
    assert re.search(r" 40% ", stream.getvalue())


def test_no_steps_draw_nothing() -> None:
    """What is reused or refused at once leaves not even an empty line."""
    stream = io.StringIO()
    with progress_bar(plain(stream), "sine-regression", 10):
        pass
    assert stream.getvalue() == ""


def test_a_quiet_console_shows_no_progress() -> None:
    """When asked to be quiet, no bar is drawn."""
    stream = io.StringIO()
    with progress_bar(plain(stream, quiet=True), "sine-regression", 1) as advance:
        advance(1)
    assert stream.getvalue() == ""


def test_one_seed_has_no_interval() -> None:
    """Neither a median nor an interval of one value; where both ends look alike, one stands."""
    lines = shown(final_mse_table(outcome(("relu",), seeds=1), about("relu")))
    assert row(lines, "relu") == ["relu", "0.0080414", "0.0076", "yes"]
    assert "targets, 1 seed" in " ".join(" ".join(lines).split())
    alike = outcome(("relu",))
    alike["final_mse"][:] = [[0.213, 0.2130001, 0.2130002]]
    assert row(shown(final_mse_table(alike, {})), "relu") == ["relu", "0.213", "0.213", "0.213"]
