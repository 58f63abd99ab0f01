"""What a publication states beside the verdict: means of runs, and numbers of one table."""

from __future__ import annotations

import html
import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from calls import Command
from scipy import stats

from actbench import claims, judge, ledger, verify
from actbench.claims import simulations
from actbench.claims.claim import PublishedMean, from_text
from actbench.claims.published_value import (
    RULES,
    WORST,
    Sample,
    compare,
    equal_means_p,
    equal_spreads_p,
    equivalence_p,
    joint_p,
    published_run,
)
from actbench.ledger import pages, published_table
from actbench.runs import evidence
from actbench.store.errors import ActbenchError

PAGE = Path(__file__).parents[1] / "docs" / "statistics.md"
RUNS = np.random.default_rng(1).normal(0.93, 0.02, 20)


def test_the_rules_are_the_textbooks() -> None:
    """Against scipy: Welch's t, two one-sided t, the F distribution, and Student's with our std."""
    random = np.random.default_rng(2)
    for _ in range(50):
        n, m = (int(count) for count in random.integers(2, 30, 2))
        means, stds = random.normal(size=2).tolist(), random.uniform(0.1, 2, 2).tolist()
        ours, theirs = (Sample(*given) for given in zip(means, stds, (n, m), strict=True))

        def welch(shift: float, way: Any, of: Any = (means, stds, n, m)) -> float:
            (one, other), (std, its), count, its_count = of
            given = (one - shift, std, count, other, its, its_count)
            return float(
                stats.ttest_ind_from_stats(*given, equal_var=False, alternative=way).pvalue
            )

        assert equal_means_p(ours, theirs) == pytest.approx(welch(0, "two-sided"), rel=1e-9)
        sides = welch(-1.5, "greater"), welch(1, "less")
        assert equivalence_p(ours, theirs, -1.5, 1.0) == pytest.approx(max(sides), rel=1e-9)
        ratio = (stds[1] / stds[0]) ** 2
        tails = stats.f.cdf(ratio, m - 1, n - 1), stats.f.sf(ratio, m - 1, n - 1)
        assert equal_spreads_p(ours, theirs) == pytest.approx(2 * min(tails), rel=1e-9)
        # A further mean lies about ours with our own error and its.
        t = (means[0] - means[1]) / (stds[0] * math.sqrt(1 / n + 1 / m))
        borrowed = equal_means_p(ours, Sample(means[1], None, m))
        assert borrowed == pytest.approx(2 * stats.t.sf(abs(t), n - 1), rel=1e-9)


def test_of_normal_runs_the_rules_err_as_they_say() -> None:
    """Exact where theory says so, in 10,000 repetitions at 5 % and 1 %; Welch's is nearly."""
    found = simulations.wrong_answers("normal", 5, 16, 10_000)
    for rule in ("equal means, our spread", "equivalence, our spread", "equal spreads"):
        for share, level in zip(found[rule], simulations.LEVELS, strict=True):
            # The worse of two sides is a little more than either.
            assert abs(share - level) < 4 * math.sqrt(level * (1 - level) / 10_000)
    assert found["equal means"][0] < 0.07


def test_the_worst_that_is_printed_is_what_is_simulated() -> None:
    """Of every shape and number of runs, in short; the docs have the long form."""
    for published, stated in WORST.items():
        every = [
            simulations.wrong_answers(shape, published, ours, 1_500)
            for shape, ours in itertools.product(simulations.SHAPES, simulations.OURS)
        ]
        for rule, both in zip(RULES, stated, strict=True):
            for place, worst in enumerate(both):
                found = max(rates[rule][place] for rates in every)
                assert found == pytest.approx(worst, abs=0.035), (published, rule)


def percents(lines: list[str]) -> dict[str, list[float]]:
    """The numbers of each line of the table of errors, by its shape and number of runs."""
    cells = [line.split("|") for line in lines]
    return {
        f"{row[1].strip()} {row[2].strip()}": [
            float(number.strip(" %")) for cell in row[3:-1] for number in cell.split("/")
        ]
        for row in cells
    }


@pytest.mark.slow
def test_the_page_shows_the_table_of_errors() -> None:
    """What the command beside it prints, but for what a processor's last digit may turn."""
    table = simulations.published_mean_table().splitlines()
    page = PAGE.read_text(encoding="utf-8").splitlines()
    start = page.index(table[0])
    shown = percents(page[start + 2 : start + len(table)])
    printed = percents(table[2:])
    assert shown.keys() == printed.keys()
    for name, numbers in shown.items():
        assert numbers == pytest.approx(printed[name], abs=0.15), name


def test_the_worst_of_the_page_is_what_answers_print() -> None:
    """Each column's largest number, of each number of published runs."""
    page = PAGE.read_text(encoding="utf-8").splitlines()
    start = page.index(next(line for line in page if line.startswith(f"| runs | n | {RULES[0]} |")))
    size = len(simulations.SHAPES) * len(WORST)
    shown = percents(page[start + 2 : start + 2 + size])
    for published, stated in WORST.items():
        rows = [numbers for name, numbers in shown.items() if name.endswith(f" {published}")]
        largest = [max(column) for column in zip(*rows, strict=True)]
        told = [100 * share for both in stated for share in both]
        assert told == pytest.approx(largest, abs=0.51), published


def test_what_is_not_said_can_only_weaken_an_answer() -> None:
    """Digits that are not printed, and by what a standard deviation divides."""
    by_n, by_one_less, either = (
        compare(RUNS, PublishedMean(mean=0.9, std=0.012, n=4, ddof=ddof), (-0.05, 0.05))
        for ddof in (0, 1, None)
    )
    assert by_n
    assert by_one_less
    assert either
    for p in ("equal_p", "equivalence_p", "spread_p"):
        weaker = max(getattr(by_n, p), getattr(by_one_less, p))
        assert getattr(either, p) == pytest.approx(weaker, rel=1e-6)
    # 0.012 has three digits; between these ends the F test refutes no ratio of spreads.
    widest = 0.0125 * math.sqrt(4 / 3) / math.sqrt(stats.f.ppf(0.025, 3, 19))
    narrowest = 0.0115 / math.sqrt(stats.f.ppf(0.975, 3, 19))
    assert either.spread_interval == pytest.approx(
        (narrowest / RUNS.std(ddof=1), widest / RUNS.std(ddof=1))
    )
    ours = Sample(float(RUNS.mean()), float(RUNS.std(ddof=1)), 20)
    assert by_one_less.equal_p > equal_means_p(ours, Sample(0.9, 0.012, 4))


@pytest.mark.parametrize(
    ("values", "published"),
    [
        ([0.9], PublishedMean(mean=0.9, std=0.1, n=3)),
        ([0.9, math.inf, 0.8], PublishedMean(mean=0.9, std=0.1, n=3)),
        ([0.9, math.nan, 0.8], PublishedMean(mean=0.9, n=3)),
        ([0.9, 0.9], PublishedMean(mean=0.9, n=3)),
    ],
)
def test_where_there_is_no_mean_or_spread_nothing_is_told(
    values: list[float], published: PublishedMean
) -> None:
    """One run, one that diverged, or runs that are all equal where no spread is published."""
    assert compare(np.array(values), published) is None


def test_an_answer_stands_beside_and_decides_nothing() -> None:
    """The verdict of the median is the same whatever mean is published; the answers differ."""
    asked: dict[str, Any] = {"equals": 0.93, "tolerance": 0.05}
    far = judge(RUNS, published={"mean": 0.2, "std": 0.01, "n": 5}, **asked)
    near = judge(RUNS, published={"mean": 0.93, "std": 0.02, "n": 5}, **asked)
    assert far.verdict == near.verdict == judge(RUNS, **asked).verdict == "reproduced"
    assert far.published_mean
    assert near.published_mean
    assert far.published_mean.equal_p < 1e-3
    assert near.published_mean.equal_p > 0.1
    assert (near.published_mean.equivalence_p or 1) < 0.05
    assert (far.published_mean.equivalence_p or 0) > 0.95
    for text in (
        "the mean of 5 runs is 0.93, of our 20 it is 0.93075",
        "(Welch's test)",
        "(two one-sided tests)",
        "(F test)",
        "takes runs to be independent and normal, and decides nothing",
        "simulated with n = 5, other shapes are wrong in up to equal means 21% (14%)",
    ):
        assert text in near.published_run
    assert near.published_run in html.unescape(near._repr_html_())
    assert near.row()["published"] == 0.93
    assert "published 0.93 ± 0.02 (5)" in near.sentence
    alone = judge(RUNS, published={"mean": 0.93, "n": 10}, above=0.9).published_run
    assert "(Student's test); all this takes runs" in alone
    assert "and spread as ours do" in alone
    every = judge(RUNS, published={"mean": 1, "n": 9}, above=0, quantifier="every")
    assert every.published_run == ""  # a share of runs is no mean of them


NONSENSE: list[tuple[Any, str]] = [
    ({"mean": 0.9, "std": 0.1, "n": 1}, "n is 1, but a mean is of at least 2 runs; give the value"),
    ({"mean": 0.9, "std": -0.1, "n": 3}, "field 'std' is -0.1, but must be at least 0"),
    ({"mean": 0.9, "std": 0.1}, "field 'n' is missing; add it"),
    ({"std": 0.1, "n": 3}, "field 'mean' is missing; add it"),
    ({"mean": 0.9, "std": 0.1, "n": 3, "ddof": 2}, "field 'ddof' is 2, but must be 0 or 1"),
    ({"mean": 0.9, "n": 3, "ddof": 1}, "'ddof' says how 'std' was computed, but there is no 'std'"),
    ({"mean": 0.9, "sd": 0.1, "n": 3}, "unknown field 'sd'; known: mean, std, n, ddof. Did"),
    ({"mean": "0.9", "n": 3}, "field 'mean' is '0.9', but must be a number"),
    ({"mean": math.inf, "n": 3}, "field 'mean' is inf, but must be a finite number"),
    ({"mean": 0.9, "n": 3.0}, "field 'n' is 3.0, but must be a whole number"),
    (math.nan, "field 'published' is nan, but must be a finite number"),
    (True, "field 'published' is true, but must be a number"),
]


@pytest.mark.parametrize(("published", "text"), NONSENSE)
def test_nonsense_is_told(published: Any, text: str) -> None:
    """In one sentence, with the field and what it must be."""
    with pytest.raises(ActbenchError) as error:
        judge(RUNS, equals=0.9, tolerance=0.1, published=published)
    assert text in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("0.91", 0.91),
        ("-1e-3", -0.001),
        ("0.91 ± 0.02 (5)", {"mean": 0.91, "std": 0.02, "n": 5}),
        ("0.91±.02(n=5)", {"mean": 0.91, "std": 0.02, "n": 5}),
        ("91 +/- 2 (n = 5)", {"mean": 91, "std": 2, "n": 5}),
        ("0.91 +- 0.02 (5)", {"mean": 0.91, "std": 0.02, "n": 5}),
        ("0.91 (5)", {"mean": 0.91, "n": 5}),
        ("0.91 ± 0.02", None),
        ("about 0.9", None),
        ("", None),
    ],
)
def test_a_mean_is_read_as_it_is_printed(text: str, read: Any) -> None:
    """With the number of runs in parentheses, without which nothing follows from it."""
    if read is None:
        with pytest.raises(ActbenchError, match=r"0.91 ± 0.02 \(5\)"):
            from_text(text)
    else:
        assert from_text(text) == read


def table(folder: Path, runs: int = 40) -> Path:
    """Two numbers of each run that nearly agree, and claims about them."""
    random = np.random.default_rng(3)
    first = random.normal(0.9, 0.02, runs)
    second = first + random.normal(0, 0.001, runs)
    rows = [f"{k},{a},{b},{a * b}" for k, (a, b) in enumerate(zip(first, second, strict=True))]
    (folder / "runs.csv").write_text("\n".join(["seed,a,b,c", *rows]))
    claim = """
[[claim]]
id = "{id}"
statement = "It is so."
source = "{source}"
protocol = "table"
metric = {{ column = "{column}" }}
published = {published}
relation = {{ kind = "equals", tolerance = 0.1 }}
"""
    parts = [
        ("one", "Table 1", "a", "0.92"),
        ("two", "Table 1", "b", "0.88"),
        ("again", "Table 1", "a", "0.92"),
        ("elsewhere", "Table 2", "c", "0.81"),
        ("mean", "Table 1", "b", "{ mean = 0.9, std = 0.02, n = 5 }"),
    ]
    names = ("id", "source", "column", "published")
    filled = [claim.format(**dict(zip(names, part, strict=True))) for part in parts]
    path = folder / "claims.toml"
    path.write_text('study = "S"\n[protocol.table]\ntable = "runs.csv"\n' + "".join(filled))
    return path


def test_numbers_of_one_table_are_taken_together(tmp_path: Path, actbench: Command) -> None:
    """Each is usual, and both are not; every form of the ledger says so, once for each table."""
    path = table(tmp_path)
    found = verify(path)
    by_id = {judgment.claim.id: judgment for judgment in found}
    assert all("could be one of them" in by_id[name].published_run for name in ("one", "two"))
    (one,) = published_table.together(found)
    assert (one.claims, one.runs) == (("one", "two"), 40)
    assert one.p == pytest.approx(1 / 41)
    line = "table: one and 1 more are hardly of one such run (joint p = 0.024, 40 runs)."
    told = [published_table.ASSUMED, line]
    assert published_table.sentences(found) == told
    # What is left of a table after a choice is judged with what was left out.
    assert published_table.sentences([by_id["two"]], list(found)) == told
    assert published_table.sentences([by_id["elsewhere"]], list(found)) == []
    rows = {row["id"]: row for row in json.loads(ledger.as_json(list(found), {}))}
    assert rows["one"]["published_table"] == {**one.row(), "p": pytest.approx(1 / 41)}
    assert rows["again"]["published_table"] is None
    assert rows["mean"]["published_mean"]["published"] == {
        "mean": 0.9,
        "std": 0.02,
        "n": 5,
        "ddof": None,
    }
    assert f"- {line}" in ledger.markdown(list(found), {}, ()).splitlines()
    assert line in pages.page(list(found), found.claims)
    assert "mean" in ledger.export(list(found), "csv", found.claims)
    shown = " ".join(actbench("verify", path).out.split())
    assert " ".join(told) in shown
    assert "0.9 ± 0.02 (5)" in shown


def test_too_few_runs_for_a_table_are_told(tmp_path: Path) -> None:
    """Of 18 none lies farther than 1 in 19; of 38 no interval holds 95 % of further runs."""
    found = verify(table(tmp_path, 18))
    line = "table: one and 1 more: 19 runs instead of 18 could tell."
    assert published_table.sentences(found)[1] == line
    assert found[0].published_run.endswith(
        "; 39 are needed to say whether it could be one of them, and where 95 % of further ones lie"
    )


def test_a_further_run_has_an_interval_beside_its_rank() -> None:
    """From 39 runs on, whatever the distribution."""
    assert published_run(np.arange(38.0), 12.5).interval is None
    told = published_run(np.arange(39.0), 12.5)
    assert told.interval == (0, 38)
    assert str(told).endswith("(p = 0.7): 95 % of further ones lie between 0 and 38")


def test_what_rounding_moves_is_not_far_out() -> None:
    """A number that is the same in all runs but for its last bits says nothing of the others."""
    random = np.random.default_rng(5)
    values = random.normal(1, 0.1, (100, 2))
    values[:, 1] = 0.2130014 + random.uniform(-1e-8, 1e-8, 100)
    assert joint_p(values, np.array([1.01, 0.2130014 + 5e-8])) > 0.5
    assert joint_p(values[:, 1:], np.array([0.2130014 + 5e-8])) == 1
    assert joint_p(values, np.array([1.01, 0.2131])) == pytest.approx(1 / 101)


@pytest.mark.parametrize("digits", [0, 1])
def test_a_table_like_ours_is_seldom_called_another(digits: int) -> None:
    """At most 5 % and 1 % of the time, whatever the digits, in 2,000 repetitions."""
    random = np.random.default_rng(6)
    drawn = random.normal(size=(2_000, 100, 2)) @ np.array([[1, 1], [0, 0.1]])
    p = np.array([joint_p(runs[:-1], np.round(runs[-1], digits)) for runs in drawn])
    for level in (0.05, 0.01):
        assert np.mean(p <= level) < level + 4 * math.sqrt(level * (1 - level) / len(p))


def test_the_main_run_would_have_been_told_on_the_first_day() -> None:
    """Equal within 15 %, above 100 of 100 seeds, and as a table farther out than every run of ours.

    What was run, as far as it is known, is less far out, but its table is not usual either: its
    leaky ReLU lies above 198 of 200 runs.
    """
    file = claims.published()
    about = [c for c in file.claim if c.metric.get("name") == "final_mse" and not c.ours]
    found = evidence.judge_all(file, lambda name: None, about)
    told = {one.claims[0]: one for one in published_table.together(found)}
    stated, as_run = told["relu-final-mse"], told["relu-final-mse-as-run"]
    assert (stated.protocol, len(stated.claims), stated.runs) == ("stated", 5, 100)
    assert stated.p == pytest.approx(1 / 101)
    assert (as_run.protocol, len(as_run.claims), as_run.runs) == ("as-run", 5, 200)
    assert as_run.p == pytest.approx(7 / 201)
    page = PAGE.read_text(encoding="utf-8")
    assert f"stated protocol (p = {stated.p:.2g})" in page
    assert f"far as it is known, p = {as_run.p:.2g}:" in page
    leaky = next(j for j in found if j.claim.id == "leaky-relu-final-mse")
    assert leaky.verdict == "reproduced"
    assert "above 100 of 100 runs" in leaky.published_run
    assert "the stated protocol is probably not the one that was run" in leaky.published_run


def test_the_command_takes_what_is_printed(tmp_path: Path, actbench: Command) -> None:
    """And names its option where that is nonsense."""
    table(tmp_path)
    asked = ("judge", "runs.csv", "-c", "a", "--equals", "0.9", "--tolerance", "0.1", "--published")

    def said(published: str) -> str:
        _, out, err = actbench(*asked, published)
        return out + err

    assert "the published value: it lies " in said("0.91")
    assert "the published value: the mean of 5 runs is 0.91" in said("0.91 ± 0.02 (5)")
    assert "--published is 'high', but must be a number" in said("high")
    assert "--published: n is 1, but" in said("0.91 ± 0.02 (1)")
