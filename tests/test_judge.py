"""Numbers judged from Python and in tests: what ends how, and what is told of it."""

from __future__ import annotations

import json
import math
import re
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import actbench
from actbench import judging
from actbench.errors import ActbenchError
from actbench.pytest_plugin import fixture, saved
from actbench.statistics import prediction_interval, values_for_prediction

pytest_plugins = ["pytester"]

PLUGIN = ("-p", "actbench.pytest_plugin")
GOOD = (0.93, 0.94, 0.95, 0.94, 0.93, 0.94, 0.96, 0.94)

VERDICTS: list[tuple[Any, dict[str, Any], str]] = [
    (GOOD, {"above": 0.92}, "reproduced"),
    (GOOD, {"above": 0.97}, "not_reproduced"),
    (GOOD, {"below": 0.97}, "reproduced"),
    (GOOD, {"above": 0.94}, "inconclusive"),
    (GOOD[:7], {"above": 0.92}, "inconclusive"),  # 2 * 0.5^7 is more than 0.01
    (GOOD[:7], {"above": 0.92, "alpha": 0.02}, "reproduced"),
    (GOOD, {"equals": 0.94, "tolerance": 0.03}, "reproduced"),
    (GOOD, {"equals": 1.0, "tolerance": 0.1, "relative": True}, "reproduced"),
    (GOOD, {"above": 0.92, "quantifier": "every"}, "inconclusive"),
    ([0.93] * 104, {"above": 0.92, "quantifier": "every"}, "reproduced"),
    ([1.0], {"equals": 1.0, "tolerance": 1e-6, "quantifier": "exact"}, "reproduced"),
    ([*GOOD[:7], math.nan], {"above": 0.92}, "inconclusive"),  # a run without a number agrees not
    ({1: 0.93, 2: 0.95}, {"above": 0.92, "alpha": 0.5}, "reproduced"),
    (np.linspace(0, 1, 38), {"plausible": 0.5}, "inconclusive"),
    (np.linspace(0, 1, 39), {"plausible": 0.5}, "reproduced"),
    (np.linspace(0, 1, 39), {"plausible": 1.01}, "not_reproduced"),
]


@pytest.mark.parametrize(("values", "asked", "verdict"), VERDICTS)
def test_verdicts_on_numbers(values: Any, asked: dict[str, Any], verdict: str) -> None:
    """One bound, one verdict; a notebook and a terminal can show each."""
    judgment = actbench.judge(values, **asked)
    assert judgment.verdict == verdict
    assert str(judgment).startswith(f"{verdict}: ")
    assert verdict.replace("_", " ") in judgment._repr_html_()


MISTAKES: list[tuple[Any, dict[str, Any], str]] = [
    (GOOD, {}, "judge takes one of above, below, equals and plausible, not none"),
    (GOOD, {"above": 1, "below": 2}, "not above and below"),
    (GOOD, {"equals": 1}, "'equals' needs a tolerance"),
    (GOOD, {"above": 1, "alpha": 2}, "alpha is 2, but must lie between 0 and 1"),
    (GOOD, {"above": 1, "quantifier": "most"}, "field 'quantifier' is 'most', but must be 'exact'"),
    ([], {"above": 1}, "there are no values; give one number per run"),
    (None, {"above": 1}, "there are no values"),
    (["high"], {"above": 1}, "the values are no numbers"),
    (["0.95"] * 10, {"above": 0.9}, "the values are no numbers, one per run, but ['0.95'"),
    (np.ones((10, 20)), {"above": 0.9}, "the values have shape (10, 20), but must be one number"),
    (GOOD, {"above": "0.9"}, "above is '0.9', but must be a number"),
    (GOOD, {"above": 1, "alpha": None}, "alpha is None, but must be a number"),
    (GOOD, {"equals": 1, "tolerance": 0}, "field 'tolerance' is 0, but must be above 0"),
]


@pytest.mark.parametrize(("values", "asked", "text"), MISTAKES)
def test_a_mistake_is_told(values: Any, asked: dict[str, Any], text: str) -> None:
    """In one sentence, with what to give instead."""
    with pytest.raises(ActbenchError, match=re.escape(text)):
        actbench.judge(values, **asked)


SHAPES: dict[str, Callable[[np.random.Generator, tuple[int, int]], Any]] = {
    "normal": lambda rng, size: rng.normal(size=size),
    "lognormal": lambda rng, size: rng.lognormal(size=size),
    "Cauchy": lambda rng, size: rng.standard_cauchy(size=size),
    "discrete": lambda rng, size: rng.poisson(2, size=size).astype(float),
    "bimodal": lambda rng, size: rng.normal(size=size) + 10 * rng.integers(0, 2, size=size),
    "half diverged": lambda rng, size: np.where(rng.random(size) < 0.5, rng.random(size), np.inf),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_further_run_lies_where_it_is_said_to(shape: str) -> None:
    """At least 95 % of the time whatever the distribution, in 4000 repetitions of 39 and 100."""
    rng = np.random.default_rng(7)
    for count in (39, 100):
        drawn = SHAPES[shape](rng, (4000, count + 1))
        found = [prediction_interval(row[:-1], 0.95) for row in drawn]
        held = np.mean(
            [i is not None and i[0] <= x <= i[1] for i, x in zip(found, drawn[:, -1], strict=True)]
        )
        assert held > 0.95 - 3 * math.sqrt(0.95 * 0.05 / 4000)
    assert values_for_prediction(0.95) == 39
    assert prediction_interval(np.arange(38), 0.95) is None
    assert prediction_interval(np.arange(39), 0.95) == (0, 38)


@pytest.mark.parametrize("shape", ["normal", "lognormal", "Cauchy"])
def test_no_more_verdicts_are_wrong_than_alpha_allows(shape: str) -> None:
    """Where the bound is the median itself, any decided verdict is chance; 2000 times of 8 and 25.

    Some are decided for all that: a judge that never decides would be never wrong.
    """
    rng = np.random.default_rng(11)
    median = {"lognormal": 1.0}.get(shape, 0.0)
    for count in (8, 25):
        drawn = SHAPES[shape](rng, (2000, count))
        verdicts = [actbench.judge(row, above=median, alpha=0.05).verdict for row in drawn]
        decided = np.mean([verdict != "inconclusive" for verdict in verdicts])
        assert 0 < decided < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 2000)


def test_runs_pair_on_their_seed() -> None:
    """Wherever it stands; one that only one of both ran is refused."""
    first = judging.run(lambda seed: 2.0 * seed, [1, 2, 3])
    second = judging.run(lambda seed, by: float(seed) / by, [3, 1, 2], by=2)
    assert (first - second).values.tolist() == [1.5, 3.0, 4.5]
    assert (first / second).values.tolist() == [4.0, 4.0, 4.0]
    with pytest.raises(ActbenchError, match=r"do not pair: only one of them ran seed 3"):
        _ = first - judging.run(lambda seed: 1.0, [1, 2])


@pytest.mark.parametrize(
    "seeds", [3, np.int64(3), range(42, 45), np.arange(42, 45), iter((42, 43, 44))]
)
def test_seeds_may_be_counted_or_named(seeds: Any) -> None:
    """The function gets Python's numbers, whatever they were given as."""
    runs = judging.run(lambda seed: isinstance(seed, int) * seed, seeds)
    assert runs.seeds == (42, 43, 44)
    assert runs.values.tolist() == [42, 43, 44]


TRAIN = """
import random
import unittest

import pytest

def train(seed, mean=0.94):
    return random.Random(seed).gauss(mean, 0.004)

def both(seed):
    return {"acc": train(seed), "loss": 1.0}
"""
TESTS = f"""{TRAIN}
def test_it_holds(judge):
    judgment = judge(train, seeds=10).above(0.92, reason="Table 2")
    assert judgment.verdict == "reproduced"

def test_settings_reach_the_function(judge):
    judge(train, seeds=10, mean=0.5).below(0.6)

def test_one_of_several_numbers(judge):
    judge(both)["acc"].above(0.92)

def test_two_in_pairs(judge):
    judge(judge.runs(train) - judge.runs(train, mean=0.9)).above(0.03)

def test_numbers_that_are_there(judge):
    judge([train(seed) for seed in range(10)]).equals(0.94, tolerance=0.01)

def test_another_verdict_may_be_expected(judge):
    judge(train, mean=0.5).above(0.92, expected="not_reproduced")

def test_numbers_by_seed_in_pairs(judge):
    judge(judge.runs({{1: 1.0, 2: 2.0}}) - judge.runs({{2: 2.0, 1: 1.0}})).equals(
        0, tolerance=0.1, quantifier="exact"
    )

@pytest.mark.parametrize("setting", ["what", "function"])
def test_a_setting_may_have_any_name(judge, setting):
    judge(lambda seed, **settings: settings[setting], **{{setting: 1}}).above(0.5)

class TestClass:
    def test_in_a_class(self, judge):
        judge(train).above(0.92)

class UnittestStyle(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def _take_judge(self, judge):
        self.judge = judge

    def test_in_a_test_case(self):
        self.judge(train).above(0.92)
"""


@pytest.fixture(autouse=True, scope="module")
def loaded() -> None:
    """Load what inner runs would: they drop what they loaded, and not all can be loaded twice."""
    assert {fixture, saved} <= set(sys.modules.values())


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """Run pytest as in a stranger's project, with the plugin once."""
    result = pytester.runpytest_inprocess(*PLUGIN, *arguments)
    assert not any("INTERNALERROR" in line for line in result.outlines)
    return result


WAYS = [
    (),
    ("--import-mode=importlib",),
    ("-p", "no:cacheprovider"),
    ("-W", "error"),
    ("--doctest-modules",),
]


@pytest.mark.usefixtures("no_other_plugins")
@pytest.mark.parametrize("way", WAYS, ids=" ".join)
def test_the_fixture_reads_like_documentation(
    pytester: pytest.Pytester, way: tuple[str, ...]
) -> None:
    """A function, its settings, a bound; in classes, in pairs, and of numbers that are there."""
    pytester.makepyfile(TESTS)
    run(pytester, *way).assert_outcomes(passed=11)


FAILURES = [
    ("judge(train, mean=0.5).above(0.92, reason='Table 2')", "not_reproduced, but reproduced was"),
    (
        "judge(train, mean=0.5).above(0.92, reason='Table 2')",
        "asked      median at least 0.92 (Tab",
    ),
    ("judge(train, mean=0.5).above(0.92, reason='Table 2')", "holds here"),
    ("judge(train, mean=0.94).above(0.94)", "to settle  about * seeds"),
    ("judge(train, seeds=5).above(0.92)", "to settle  8 seeds"),
    ("judge(train)", "judge(train, ...) was not judged; end it with .above(...)"),
    ("judge(train); judge(both)['acc'].above(0.9)", "judge(train, ...) was not judged; end it"),
    ("judge(train, seeds=[1] * 10).above(0.9)", "seed 1 is named twice"),
    ("judge(train, seeds=2.5).above(0.9)", "seeds is 2.5, but must be at least 1, or whole number"),
    ("judge([0.9], lr=0.1).above(0.8)", "lr is for a function, not for [0.9]"),
    ("judge(train).above('high')", "above is 'high', but must be a number"),
    ("judge(both).above(0.92)", "both gives acc, loss; choose one, as in judge(...)['acc']"),
    (
        "judge(both)['accuracy'].above(0.92)",
        "*unknown number of both 'accuracy'*Did you mean 'acc'?",
    ),
    (
        "judge(lambda seed: None).above(1)",
        "for seed 42 <lambda> returned None; a number, numbers by name",
    ),
    ("judge(lambda seed: 'good').above(1)", "for seed 42 <lambda> returned 'good'"),
    ("judge(train, seeds=0).above(1)", "seeds is 0, but must be at least 1"),
    (
        "judge(train, seeds=60).plausible(0.99)",
        "asked      0.99 lies where 95 % of further runs do",
    ),
]


@pytest.mark.usefixtures("no_other_plugins")
@pytest.mark.parametrize(("line", "text"), FAILURES)
def test_a_failure_says_what_was_found(pytester: pytest.Pytester, line: str, text: str) -> None:
    """Verdict, bound, interval, a picture, and what would settle it; no line of ours in between."""
    pytester.makepyfile(f"{TRAIN}\ndef test_it(judge):\n    {line}\n")
    result = run(pytester, "--tb=short")
    assert result.ret == 1
    result.stdout.fnmatch_lines([f"*{text.replace('[', '[[]')}*"])
    assert result.parseoutcomes() in ({"failed": 1}, {"passed": 1, "errors": 1})  # told once
    assert not any("actbench/" in line for line in result.outlines)


@pytest.mark.usefixtures("no_other_plugins")
def test_what_was_judged_is_stored_and_compared(pytester: pytest.Pytester) -> None:
    """Equal values say nothing, another distribution fails, what has no counterpart counts."""
    path = pytester.makepyfile(f"{TRAIN}\ndef test_it(judge):\n    judge(train).above(0.5)\n")
    assert run(pytester, "--actbench-save=first").ret == 0
    stored = pytester.path / ".actbench" / "results" / "0001_first.json"
    entry = json.loads(stored.read_text())["results"][f"{path.name}::test_it"]
    assert len(entry["values"]) == len(entry["seeds"]) == 10
    result = run(pytester, "--actbench-compare")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["compared with 0001_first: 1 matched (0 differ), 0 missing, 0 new"]
    )
    path.write_text(path.read_text().replace("mean=0.94", "mean=0.6"))
    result = run(pytester, "--actbench-compare=first", "--actbench-autosave")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*test_it: differs, median 0.93* -> 0.59*, p = *"])
    assert [p.name for p in sorted(stored.parent.iterdir())] == [
        "0001_first.json",
        "0002_auto.json",
    ]
    path.write_text(path.read_text().replace("def test_it", "def test_other"))
    result = run(pytester, "--actbench-compare=0001")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["compared with 0001_first: 0 matched (0 differ), 1 missing, 1 new"]
    )
    assert run(pytester, "--actbench-compare=0001", "--actbench-strict").ret == 1
    result = run(pytester, "--actbench-compare=second")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["*no stored results 'second' in *; there are: 0001_first, 0002_auto*"]
    )


@pytest.mark.usefixtures("no_other_plugins")
def test_workers_send_what_they_judged_and_junit_files_have_it(pytester: pytest.Pytester) -> None:
    """One file is written, by the process that the user started."""
    pytester.makepyfile(f"{TRAIN}\ndef test_it(judge):\n    judge(train).above(0.5)\n")
    workers = ("-p", "xdist", "-n", "2", "--actbench-save=parallel", "--junitxml=junit.xml")
    result = pytester.runpytest_subprocess(*PLUGIN, *workers)
    assert result.ret == 0
    stored = json.loads((pytester.path / ".actbench/results/0001_parallel.json").read_text())
    assert len(stored["results"]) == 1
    properties = ET.parse(pytester.path / "junit.xml").getroot().iter("property")  # noqa: S314 - ours
    assert ("verdict", "reproduced") in [(p.get("name"), p.get("value")) for p in properties]


@pytest.mark.usefixtures("no_other_plugins")
def test_a_project_may_have_a_judge_of_its_own(pytester: pytest.Pytester) -> None:
    """Its fixture is the one that its tests get."""
    pytester.makeconftest("import pytest\n@pytest.fixture\ndef judge(): return 'Dredd'")
    pytester.makepyfile("def test_it(judge): assert judge == 'Dredd'")
    run(pytester).assert_outcomes(passed=1)


def test_stored_results_survive_values_that_are_not_finite() -> None:
    """They are stored by name, and compare as the values they were."""
    old = {"seeds": ["1", "2"], "values": ["nan", 1.0], "settings": {}}
    assert saved._difference(old, {**old}, 0.01) == ("", False)
    line, differs = saved._difference(old, {**old, "values": ["inf", 1.0]}, 0.01)
    assert not differs
    assert "inf" in line
