"""How often one run exceeds another, and several tasks at once: the rules, their errors, words."""

from __future__ import annotations

import math
import re
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
from calls import Command
from scipy import stats

from actbench import claims
from actbench.claims import Verdict, comparisons, simulations
from actbench.claims.published_value import mean_beside
from actbench.claims.statistics import proportion_interval
from actbench.claims.verdicts import Judgment
from actbench.runs import evidence
from actbench.runs.judging import Runs, judge
from actbench.store.errors import ActbenchError

PAGE = (Path(__file__).parents[1] / "docs" / "statistics.md").read_text(encoding="utf-8")
TIES = (0.0, 0.001, 0.01, 0.05, 0.1, 0.3, 0.6, 0.9)


def sums(count: int, shares: tuple[float, float, float]) -> np.ndarray:
    """Chance of each sum of so many numbers 0, 0.5 and 1 of these shares; places are half units."""
    each = np.array(shares)
    total = np.ones(1)
    for _ in range(count):
        total = np.convolve(total, each)
    return total


@pytest.mark.parametrize("count", [5, 8, 20, 60, 100])
@pytest.mark.parametrize("alpha", [0.05, 0.01, 1e-4])
def test_the_interval_of_pairs_holds_its_level_with_any_share_of_ties(
    count: int, alpha: float
) -> None:
    """By exact calculation at the probabilities just below each lower end, where it is worst."""
    lows = np.array([proportion_interval(k / 2, count, alpha)[0] for k in range(2 * count + 1)])
    for truth, ties in product(lows[1 :: max(1, count // 8)] - 1e-12, TIES):
        if truth >= ties / 2 and truth + ties / 2 <= 1:
            chances = sums(count, (1 - truth - ties / 2, ties, truth - ties / 2))
            assert chances[lows > truth].sum() <= alpha / 2 * (1 + 1e-9)


@pytest.mark.parametrize("count", [1, 2, 8, 40])
@pytest.mark.parametrize("alpha", [0.05, 0.01, 1e-4])
def test_the_interval_of_a_bounded_mean_holds_for_the_widest_numbers(
    count: int, alpha: float
) -> None:
    """Coins are the widest: the error is theirs, by exact calculation, and not much below it."""
    ends = [comparisons.bounded_mean(k / count, count, alpha) for k in range(count + 1)]
    lows, highs = np.array(ends).T
    assert lows == pytest.approx(1 - highs[::-1])
    assert all(one < two for one, two in pairwise(lows))
    assert lows[-1] == pytest.approx((alpha / 2) ** (1 / count))
    for truth in lows[1:] - 1e-9:
        missed = stats.binom.pmf(np.arange(count + 1), count, truth)[lows > truth].sum()
        assert missed <= alpha / 2 * (1 + 1e-9)
    exact = [proportion_interval(k, count, alpha)[0] for k in range(count + 1)]
    assert (np.array(exact) - lows).max() < 0.02


def test_the_bound_is_the_least_over_every_threshold() -> None:
    """E(B - t)+ / (s - t), summed as it is defined, is the level at the end that is found."""
    mean, count, level = 0.7, 20, 0.005
    low = comparisons.bounded_mean(mean, count, 2 * level)[0]
    chances = stats.binom.pmf(np.arange(count + 1), count, low)
    total = mean * count
    at = [
        chances @ np.maximum(0, np.arange(count + 1) - t) / (total - t)
        for t in np.linspace(-5, total - 1e-3, 2001)
    ]
    assert min(at) == pytest.approx(level, rel=1e-3)


@pytest.mark.parametrize("case", simulations.SETS)
def test_unpaired_runs_are_told_apart_no_more_often_than_the_level(case: str) -> None:
    """Simulated as in the page's table, with fewer repetitions."""
    for sizes, alpha in (((5, 5), 0.05), ((5, 5), 0.01), ((10, 40), 0.05)):
        missed, width, *_ = simulations.missed_superiority(case, sizes, alpha, 1000)
        assert missed <= alpha + 3 * math.sqrt(alpha / 1000)
        assert 0 < width < 0.9


def cells(start: str) -> list[float]:
    """All shares in the row of a table on the page that begins so."""
    (row,) = [line for line in PAGE.splitlines() if line.startswith(start)]
    return [float(share) / 100 for share in re.findall(r"([\d.]+)%", row)]


def about(share: float, repetitions: int) -> object:
    """What so many repetitions should find of a share, within four standard errors."""
    return pytest.approx(share, abs=4 * math.sqrt(max(share, 0.01) / repetitions))


def test_the_page_says_why_no_verdict_rests_on_the_usual_interval() -> None:
    """It misses most where runs hardly overlap, as often as the table of the page tells."""
    missed = cells("| normal, 2 sd apart | 5, 5 |")
    assert missed[3] > 0.3
    for place, alpha in ((0, 0.05), (2, 0.01)):
        here, _, usual, _ = simulations.missed_superiority(
            "normal, 2 sd apart", (5, 5), alpha, 1000
        )
        assert [here, usual] == [about(m, 1000) for m in missed[place : place + 2]]


def test_the_usual_interval_is_brunner_and_munzels() -> None:
    """Its end reaches one half at the level that scipy's test gives as p."""
    random = np.random.default_rng(0)
    first, second = random.normal(0.8, 1, 15), random.normal(0, 3, 9)
    p = stats.brunnermunzel(second, first).pvalue
    low, high = simulations.brunner_munzel(comparisons.wins(first[:, None], second), p)
    assert min(abs(low - 0.5), abs(high - 0.5)) == pytest.approx(0, abs=1e-9)


def test_the_interquartile_mean_is_a_trimmed_mean() -> None:
    """As scipy trims it and rliable asks for it, a quarter rounded down to whole runs."""
    random = np.random.default_rng(0)
    for count in (3, 4, 7, 40, 101):
        values = random.standard_cauchy((2, count))
        expected = stats.trim_mean(values, 0.25, axis=-1)
        assert comparisons.iqm(values) == pytest.approx(expected)


def test_the_bootstrap_draws_within_tasks_and_is_as_wide_as_the_error() -> None:
    """Tasks that lie apart add nothing to it; of a plain mean its variance is the unbiased one."""
    random = np.random.default_rng(1)
    tasks = np.repeat(np.arange(8), 4)
    values = random.normal(size=32)
    moved = values + 1000 * tasks
    near, far = (comparisons.resampled(v, tasks, 1, 4000).std() for v in (values[:32], moved))
    # Of tasks far apart the middle half is that of four of them: the mean of their runs.
    middle = values[8:24].reshape(4, 4)
    assert far == pytest.approx(math.sqrt((middle.var(axis=1, ddof=1) / 4).mean() / 4), rel=0.06)
    assert near < far * 2
    low, high = comparisons.iqm_interval(values, tasks, 0.01)
    assert (low, high) == comparisons.iqm_interval(values, tasks, 0.01)
    half = stats.t.ppf(1 - 0.01 / 4, 24) * comparisons.resampled(values, tasks, 1).std()
    assert (low + high, high - low) == pytest.approx((2 * comparisons.iqm(values), 2 * half))
    values[:9] = -math.inf
    assert comparisons.iqm_interval(values, tasks, 0.01) == (-math.inf, math.inf)


@pytest.mark.parametrize(("place", "case"), list(enumerate(simulations.TASK_SHAPES)))
def test_the_interval_of_an_interquartile_mean_holds_from_its_fewest_runs_on(
    place: int, case: str
) -> None:
    """As the page's table tells of it and of rliable's percentiles; the table holds its levels."""
    for tasks, runs in product(simulations.TASKS, simulations.RUNS):
        told = cells(f"| {tasks} | {runs} |")[4 * place + 2 : 4 * place + 4]
        if tasks * runs >= comparisons.FEWEST_RUNS and runs >= comparisons.FEWEST_OF_A_TASK:
            assert told[0] <= 0.05
            assert told[1] <= 0.01 + 3 * math.sqrt(0.01 / 1000)
    found = simulations.missed_iqm(case, 5, 20, 150, 200)
    assert list(found) == [about(m, 150) for m in cells("| 20 | 5 |")[4 * place : 4 * place + 4]]


@pytest.mark.slow
def test_the_tables_on_the_page_are_what_their_lines_print() -> None:
    """All repetitions, which take minutes."""
    assert simulations.superiority_table() in PAGE
    assert simulations.iqm_table() in PAGE


HEADER = "method,game,seed,score"
CLAIM = """
study = "Ours"
[protocol.table]
table = "runs.csv"
[[claim]]
id = "ours"
statement = "Ours is better."
protocol = "table"
metric = {{ column = "score", where = {{ method = "ours" }}{metric} }}
relation = {relation}
quantifier = "{quantifier}"
expected = "reproduced"
"""
BASE = '{ where = { method = "base" } }'
IQM = ', per = "game", aggregate = "iqm"'
RANK = ', per = "game", aggregate = "rank", among = "method"'


def rows(games: int, runs: int, other: int = 0, gap: float = 2.0) -> list[str]:
    """Runs of three methods, ours ahead by a gap; the other two have other seeds if so asked."""
    random = np.random.default_rng(0)
    return [
        f"{method},g{game},{seed + other * (method != 'ours')},"
        f"{random.normal() + gap * (method == 'ours') + 10 * game:.4f}"
        for method in ("ours", "base", "poor")
        for game in range(games)
        for seed in range(runs)
    ]


def judged(
    folder: Path,
    lines: list[str],
    metric: str,
    relation: str = "{ kind = 'above', value = 0.5 }",
    quantifier: str = "mean",
) -> Judgment:
    """Judge one claim on a table of these rows."""
    (folder / "runs.csv").write_text("\n".join([HEADER, *lines]))
    text = CLAIM.format(metric=metric, relation=relation, quantifier=quantifier)
    (folder / "claims.toml").write_text(text)
    return evidence.judge_all(claims.load(folder / "claims.toml"), lambda name: None)[0]


def test_pairs_tell_their_effect(tmp_path: Path) -> None:
    """How often, the difference and the ratio, each but the one that the claim is about."""
    lines = [f"{m},g,{s},{1 + s + (m == 'ours')}" for m in ("ours", "base") for s in range(20)]
    zero = "{ kind = 'above', value = 0 }"
    found = judged(tmp_path, lines, f", minus = {BASE}", zero, "median").sentence
    assert found.startswith("median 1 over 20 seeds, between 1 and 1; the first is larger in 20 of")
    low = 0.005 ** (1 / 20)
    assert f"20 runs (probability 1, between {low:.3g} and 1); ratio 1.095" in found
    assert "difference" not in found
    found = judged(tmp_path, lines, f", over = {BASE}", zero, "median").sentence
    assert "; difference 1, between 1 and 1" in found
    assert "ratio" not in found
    below = "{ kind = 'below', value = 2 }"
    found = judged(tmp_path, lines, f", minus = {BASE}", below, "median").sentence
    assert "the first is smaller in 0 of 20 runs" in found


def test_the_fixture_tells_the_effect_too() -> None:
    """Of runs that were subtracted or divided, and of nothing else."""
    seeds = tuple(range(12))
    ours, base = (
        Runs(seeds, {"value": np.arange(1.0, 13.0) + gap}, name)
        for gap, name in ((0.5, "o"), (0, "b"))
    )
    for pair in (ours - base, ours / base):
        sentence = judge(pair, above=0).sentence
        assert "the first is larger in 12 of 12 runs" in sentence
        assert "; difference 0.5, between 0.5 and 0.5; ratio 1." in sentence
    assert "larger" not in judge(ours, above=0).sentence


def test_how_often_one_exceeds_the_other(tmp_path: Path) -> None:
    """Pairs by their seed; ties are half; without a number a pair counts against the claim."""
    lines = [f"{m},g,{s},{s + (m == 'ours')}" for m in ("ours", "base") for s in range(40)]
    exceeds = f", exceeds = {BASE}"
    found = judged(tmp_path, lines, exceeds)
    assert (found.verdict, found.measured) == (Verdict.REPRODUCED, 1.0)
    assert found.interval == proportion_interval(40, 40, 0.01)
    assert found.flip_probability is None
    lines[0], lines[1] = "ours,g,0,", "ours,g,1,1"
    found = judged(tmp_path, lines, exceeds)
    assert found.measured == 38.5 / 40
    assert found.interval == proportion_interval(38.5, 40, 0.01)
    assert "1 of 40 pairs without a number; the first is larger in 38 of 39 runs, 1 tied" in str(
        found
    )
    assert (
        judged(tmp_path, lines, exceeds, "{ kind = 'below', value = 0.975 }").measured == 39.5 / 40
    )
    few = judged(tmp_path, lines[2:9] + lines[42:49], exceeds)
    assert (few.verdict, few.seeds_needed) == (Verdict.INCONCLUSIVE, 8)
    near = judged(tmp_path, lines, exceeds, "{ kind = 'equals', value = 0.9, tolerance = 0.1 }")
    assert near.verdict is Verdict.INCONCLUSIVE


def test_runs_of_other_seeds_are_compared_when_that_is_asked_for(tmp_path: Path) -> None:
    """Otherwise they are refused, and the refusal says how to ask."""
    lines = [line for line in rows(1, 20, other=100, gap=4) if "base,g0,10" not in line]
    with pytest.raises(ActbenchError, match=r"do not pair: .* exceeds = \{ … \}, paired = false$"):
        judged(tmp_path, lines, f", exceeds = {BASE}")
    found = judged(tmp_path, lines, f", exceeds = {BASE}, paired = false")
    assert found.verdict is Verdict.REPRODUCED
    own, other = (
        [float(r.split(",")[3]) for r in lines if r.startswith(m)] for m in ("ours", "ba")
    )
    share = float(np.mean(np.array(own)[:, None] > np.array(other)))
    assert found.measured == pytest.approx(share)
    assert found.interval == comparisons.bounded_mean(share, len(other), 0.01)
    assert f"pairs of 20 and {len(other)} runs" in found.sentence


def test_an_interquartile_mean_over_tasks(tmp_path: Path) -> None:
    """From enough runs on; runs that failed are trimmed, or leave it open; pairs within tasks."""
    lines = rows(5, 20)
    found = judged(tmp_path, lines, IQM)
    own = np.array([float(r.split(",")[3]) for r in lines if r.startswith("ours")])
    assert found.verdict is Verdict.REPRODUCED
    assert found.measured == pytest.approx(stats.trim_mean(own, 0.25))
    assert found.interval == comparisons.iqm_interval(own, np.repeat(np.arange(5), 20), 0.01)
    few = judged(tmp_path, rows(5, 19), IQM)
    assert (few.verdict, few.seeds, few.seeds_needed) == (Verdict.INCONCLUSIVE, 95, 100)
    assert "errs too often with less than 100 runs" in few.sentence
    paired = judged(tmp_path, lines, f"{IQM}, minus = {BASE}", "{ kind = 'above', value = 1 }")
    assert paired.verdict is Verdict.REPRODUCED
    assert paired.measured == pytest.approx(2, abs=0.5)
    lines[0], own[0] = "ours,g0,0,", -math.inf
    found = judged(tmp_path, lines, IQM)
    assert found.verdict is Verdict.REPRODUCED
    assert found.measured == pytest.approx(stats.trim_mean(own, 0.25))
    lines[:25] = [",".join([*r.split(",")[:3], ""]) for r in lines[:25]]
    assert judged(tmp_path, lines, IQM).verdict is Verdict.INCONCLUSIVE
    with pytest.raises(
        ActbenchError, match="has 19 runs of game g0, but 20 of g1, which would wei"
    ):
        judged(tmp_path, rows(5, 20)[1:], IQM)


def test_the_mean_rank_among_methods(tmp_path: Path) -> None:
    """Of the mean over runs in each task; ties share, and a run without number is last."""
    lines = rows(30, 3, gap=30)
    below = "{ kind = 'below', value = 1.5 }"
    found = judged(tmp_path, lines, RANK, below)
    assert (found.verdict, found.measured, found.seeds) == (Verdict.REPRODUCED, 1, 30)
    assert found.interval is not None
    assert found.interval == pytest.approx((1, 1 + 2 * (1 - 0.005 ** (1 / 30))))
    assert "mean rank 1 of 3 over 30 tasks" in found.sentence
    assert judged(tmp_path, lines, RANK.replace("rank", "rank_ascending"), below).measured == 3
    lines[0] = "ours,g0,0,"
    assert judged(tmp_path, lines, RANK, below).measured == pytest.approx(32 / 30)
    with pytest.raises(ActbenchError, match="has no run of method poor for game g29, so its rank"):
        judged(tmp_path, lines[:-3], RANK, below)


def test_a_published_mean_of_runs_is_not_compared_with_ranks(tmp_path: Path) -> None:
    """Nor with wins or tasks: those are no runs of the kind whose mean was published."""
    exactly = "{ kind = 'equals', value = 2, tolerance = 1 }"
    published = f"{exactly}\npublished = {{ mean = 2.0, std = 0.5, n = 5 }}"
    found = judged(tmp_path, rows(30, 1), RANK, published)
    assert found.values is not None
    assert mean_beside(found.claim, found.values) is None


WRONG = [
    (f", exceeds = {BASE}, minus = {BASE}", "mean", "one of 'minus', 'over' and 'exceeds'"),
    (f", minus = {BASE}, paired = false", "mean", "paired = false goes with 'exceeds' only"),
    (', aggregate = "iqm"', "mean", "'aggregate' needs 'per', the column that names the task"),
    (f"{IQM}, exceeds = {BASE}", "mean", "'exceeds' has no 'aggregate'"),
    (', per = "game", aggregate = "rank"', "mean", "a rank needs 'among', the column of methods"),
    (f'{IQM}, among = "method"', "mean", "'among' goes with aggregate = 'rank'"),
    (IQM, "median", "give one number of all runs, a mean; say quantifier = 'mean'"),
    (IQM.replace("game", "gam"), "mean", "unknown column of runs.csv 'gam'.*mean 'game'"),
]


@pytest.mark.parametrize(("metric", "quantifier", "message"), WRONG)
def test_what_does_not_go_together_is_refused(
    metric: str, quantifier: str, message: str, tmp_path: Path
) -> None:
    """In one line that names the claim and says what to do."""
    with pytest.raises(ActbenchError, match=message) as error:
        judged(tmp_path, rows(2, 3), metric, quantifier=quantifier)
    assert "claim 'ours'" in str(error.value)
    assert "\n" not in str(error.value)


def test_runs_of_code_pair_by_themselves(tmp_path: Path) -> None:
    """Their tasks and unpaired comparisons are refused before anything runs."""
    text = CLAIM.format(
        metric=IQM, relation="{ kind = 'above', value = 0.5 }", quantifier="mean"
    ).replace('table = "runs.csv"', 'function = "train.py:train"')
    (tmp_path / "claims.toml").write_text(text)
    with pytest.raises(ActbenchError, match="'aggregate' and paired = false are for tables"):
        claims.load(tmp_path / "claims.toml")


LINES = [
    ("--exceeds method=base --above 0.5", "how often score where method is ours exceeds score"),
    ("--exceeds method=base --unpaired --above 0.5", "each run with all of the other: at least"),
    ("--iqm-over game --above 1", "interquartile mean over all runs of each game: at least 1"),
    ("--rank-over game --among method --below 2.5", "rank among all method, 1 for the largest"),
    ("--iqm-over game --above 1 --quantifier median", "say quantifier = 'mean'"),
]


@pytest.mark.parametrize(("options", "text"), LINES)
def test_the_options_of_judge_ask_for_the_same(
    options: str, text: str, tmp_path: Path, actbench: Command
) -> None:
    """Without a quantifier, as there is one that fits."""
    path = tmp_path / "runs.csv"
    games = 1 if "exceeds" in options else 20
    path.write_text("\n".join([HEADER, *rows(games, 100 // games, gap=30)]))
    asked = ("judge", path, "-c", "score", "--where", "method=ours", *options.split())
    code, out, err = actbench(*asked)
    assert text in out + err
    assert code == (2 if "median" in options else 0)
