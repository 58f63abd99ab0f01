"""The fixture ``judge`` as its users write it, and what it stores and compares."""

from __future__ import annotations

import json
import re
import sys
import xml.etree.ElementTree as ET

import pytest

from actbench.pytest_plugin import fixture, saved

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.usefixtures("no_other_plugins")

PLUGIN = ("-p", "actbench.pytest_plugin")

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

def test_until_it_is_decided(judge):
    judgment = judge(train, seeds="until decided", max_seeds=60).above(0.92, reason="Table 2")
    assert judgment.seeds < 20
    judge(both, seeds="until decided")["acc"].above(0.92)

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


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
def test_the_fixture_reads_like_documentation(
    pytester: pytest.Pytester, way: tuple[str, ...]
) -> None:
    """A function, its settings, a bound; in classes, in pairs, and of numbers that are there."""
    pytester.makepyfile(TESTS)
    run(pytester, *way).assert_outcomes(passed=12)


LOW = "judge(train, mean=0.5).above(0.92, reason='Table 2')"
FAILURES = [
    (LOW, "not_reproduced, but reproduced was"),
    (LOW, "asked      median at least 0.92 (Tab"),
    (LOW, "holds here"),
    ("judge(train, mean=0.94).above(0.94)", "to settle  about * seeds"),
    ("judge(train, seeds=5).above(0.92)", "to settle  8 seeds"),
    ("judge(train)", "judge(train, ...) was not judged; end it with .above(...)"),
    ("judge(train); judge(train).above(0.9)", "judge(train, ...) was not judged; end it"),
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


def test_a_failure_says_what_was_found(pytester: pytest.Pytester) -> None:
    """Verdict, bound, interval, a picture, and what would settle it; no line of ours in between."""
    tests = [f"def test_{n}(judge):\n    {line}\n" for n, (line, _) in enumerate(FAILURES)]
    pytester.makepyfile("\n".join([TRAIN, *tests]))
    result = run(pytester, "--tb=short")
    assert result.ret == 1
    assert not any("actbench/" in line for line in result.outlines)
    heading = re.compile(r"^_+ (?:ERROR at teardown of )?test_(\d+) _+$", re.MULTILINE)
    _, *parts = heading.split(result.stdout.str().partition("short test summary")[0])
    told = dict(zip(map(int, parts[::2]), parts[1::2], strict=True))
    assert len(told) == len(parts) // 2 == len(FAILURES)  # each once
    for n, (_, text) in enumerate(FAILURES):
        pytest.LineMatcher(told[n].splitlines()).fnmatch_lines([f"*{text.replace('[', '[[]')}*"])


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
        ["compared with 0001_first: 1 matched (1 identical, *), 0 missing, 0 new"]
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
    result.stdout.fnmatch_lines(["compared with 0001_first: 0 matched (*), 1 missing, 1 new"])
    assert run(pytester, "--actbench-compare=0001", "--actbench-strict").ret == 1
    result = run(pytester, "--actbench-compare=second")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["*no stored results 'second' in *; there are: 0001_first, 0002_auto*"]
    )


CHOICES = [
    (("-k", "one"), "1 matched (1 identical, 0 within chance, 0 differ), 2 missing, 0 new", 0),
    (("--last-failed",), "1 matched (1 identical, 0 within chance, 0 differ), 2 missing, 0 new", 1),
    (("--exitfirst",), "2 matched (2 identical, 0 within chance, 0 differ), 1 missing, 0 new", 1),
]


def test_whatever_is_chosen_is_compared(pytester: pytest.Pytester) -> None:
    """A test that fails was measured too, in whichever phase it judged."""
    pytester.makepyfile(
        f"""{TRAIN}
def test_one(judge):
    judge(train).above(0.5)

@pytest.fixture
def judged(judge):
    return judge(train).above(0.99)

def test_two(judged):
    pass

def test_three(judge):
    judge(train).above(0.5)
"""
    )
    assert run(pytester, "--actbench-save=all").ret == 1
    for chosen, told, code in CHOICES:
        result = run(pytester, "--actbench-compare=all", *chosen)
        assert result.ret == code
        result.stdout.fnmatch_lines([f"compared with 0001_all: {told}"])


EMPTY = '{"schema_version": 1, "machine": {}, "versions": {}, "results": {}}'
DAMAGED = {
    "{}": "states no schema version",
    EMPTY.replace("1", "99"): "schema*99",
    EMPTY.replace('"results": {}', '"results": 3'): "field 'results'",
    EMPTY.replace('"results": {}', '"results": {"t": {}}'): "field 'results.t.seeds'",
    "no JSON": "can't read the stored results in",
}


@pytest.mark.parametrize("content", DAMAGED)
def test_what_is_damaged_is_refused_before_anything_runs(
    pytester: pytest.Pytester, content: str
) -> None:
    """In one line that names the file, as wrong usage."""
    path = pytester.path / ".actbench" / "results" / "0001_old.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    result = run(pytester, "--actbench-compare")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"*{DAMAGED[content]}*"])
    assert "0001_old.json" in result.stderr.str()


def test_what_cannot_be_stored_fails_the_session(pytester: pytest.Pytester) -> None:
    """And says why, after all tests ran; where there is nothing to store, that is said too."""
    path = pytester.makepyfile(f"{TRAIN}\ndef test_it(judge):\n    judge(train).above(0.5)\n")
    (pytester.path / ".actbench").write_text("a file")
    result = run(pytester, "--actbench-autosave")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["not stored: *.actbench*"])
    path.write_text("def test_it(): pass")
    result = run(pytester, "--actbench-autosave")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["nothing stored: nothing judged"])


def test_workers_send_what_they_judged_and_junit_files_have_it(pytester: pytest.Pytester) -> None:
    """One file is written, by the process that the user started, which imported no test."""
    test = "def test_it(judge):\n    judge(train).above(0.5)\n"
    pytester.makepyfile(f"import hypothesis\n{TRAIN}\n{test}")
    workers = ("-p", "xdist", "-n", "1", "--actbench-save=parallel", "--junitxml=junit.xml")
    result = pytester.runpytest_subprocess(*PLUGIN, *workers)
    assert result.ret == 0
    stored = json.loads((pytester.path / ".actbench/results/0001_parallel.json").read_text())
    assert len(stored["results"]) == 1
    assert {"Python", "numpy", "hypothesis"} <= stored["versions"].keys()
    properties = ET.parse(pytester.path / "junit.xml").getroot().iter("property")  # noqa: S314 - ours
    assert ("verdict", "reproduced") in [(p.get("name"), p.get("value")) for p in properties]


def test_a_project_may_have_a_judge_of_its_own(pytester: pytest.Pytester) -> None:
    """Its fixture is the one that its tests get."""
    pytester.makeconftest("import pytest\n@pytest.fixture\ndef judge(): return 'Dredd'")
    pytester.makepyfile("def test_it(judge): assert judge == 'Dredd'")
    run(pytester).assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("then", "now", "line", "differs"),
    [
        # What is not finite is stored by name, and compares as the value that it was.
        (["nan", 1.0], ["nan", 1.0], r"", False),
        (["nan", 1.0], ["inf", 1.0], r"too few seeds to tell, median inf -> inf.*", False),
        # With 3 seeds each, no p is below 2 / 20; with 10, one is 2 / 184756.
        (list(range(3)), list(range(100, 103)), r"too few.*", False),
        (list(range(10)), list(range(100, 110)), r"differs.*", True),
    ],
)
def test_distributions_differ_where_that_can_be_told(
    then: list[float | str], now: list[float | str], line: str, differs: bool
) -> None:
    """Neither too few seeds nor what is not finite makes a difference of nothing."""
    old, new = ({"seeds": [], "values": values, "settings": {}} for values in (then, now))
    told, does = saved._difference(old, new, 0.01)
    assert (bool(re.fullmatch(line, told)), does) == (True, differs)
