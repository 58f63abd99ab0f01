"""Judging any file of claims: the command, the schema, the page that teaches it, pytest."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from calls import PLUGIN, Command, Ended

import actbench
from actbench import claims
from actbench.claims import metrics
from actbench.runs import drafting, evidence
from actbench.store import studies
from actbench.store.errors import ActbenchError
from actbench.store.files import baselines_folder
from actbench.study.catalog.activations import ACTIVATIONS, FURTHER
from actbench.study.experiments import closed_forms, signal_propagation

pytest_plugins = ["pytester"]

# The inner runs drop what they loaded, and parts of torch can't be loaded twice in one process.
LOADED = (closed_forms, signal_propagation)

ROOT = Path(__file__).parents[1]
SHIPPED = (baselines_folder() / "published.toml", *claims.further_studies())
PAGE = (ROOT / "docs" / "own_networks.md").read_text(encoding="utf-8")
KNOWN = ", ".join([*ACTIVATIONS, *FURTHER])
WHOLE_FILE = re.findall(r"^```toml\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)[-1]

SMALL = """
study = "A small study"
[protocol.floors]
experiment = "closed-forms"
[[claim]]
id = "best-constant"
source = "a table"
statement = "It is 0.4975."
protocol = "floors"
metric = { name = "closed_form", quantity = "best_constant_mse", target = "sine_two_periods" }
published = 0.4975
quantifier = "exact"
expected = "reproduced"
because = "It is what the sum of squares gives."
relation = { kind = "equals", tolerance = 0.001, reason = "Digits." }
"""

WITH_NETWORKS = (
    SMALL
    + """
[protocol.other]
experiment = "signal-propagation"
settings = { activations = ["relu"], initializers = ["he_normal"], widths = [2], depth = 2 }
seeds = 12
[[claim]]
id = "few-die"
source = "a table"
statement = "Few die."
protocol = "other"
metric = { name = "born_dead_share", activation = "relu", initializer = "he_normal", \
width = 2, depth = 1 }
expected = "reproduced"
because = "One layer seldom does."
relation = { kind = "below", value = 0.9, reason = "What few means at least." }
"""
)
CPU = ("--threads", "1", "--device", "cpu")


@pytest.fixture
def verify(actbench: Command) -> Command:
    """Call ``actbench verify`` on a file of this content."""

    def call(content: str, *arguments: str) -> Ended:
        Path("mine.toml").write_text(content, encoding="utf-8")
        return actbench("verify", "mine.toml", *arguments)

    return call


def test_the_pages_file_does_what_the_page_says(verify: Command, tmp_path: Path) -> None:
    """Two claims, judged: one holds, one in direction only; ledger written, data reused."""
    assert WHOLE_FILE.count("[[claim]]") == 2
    code, out, _ = verify(WHOLE_FILE, *CPU)
    last = out.splitlines()[-1]
    assert (code, last) == (0, "2 claims: 1 reproduced, 1 direction_only; all as expected")
    assert last in PAGE
    folder = tmp_path / "results" / "mine"
    assert {path.name for path in folder.iterdir()} == {
        "signal_propagation-narrow.nc",
        "signal_propagation-narrow.nc.sha256",
        "ledger.json",
        "ledger.md",
    }
    rows = {row["id"]: row for row in json.loads((folder / "ledger.json").read_text())}
    assert {row["seeds"] for row in rows.values()} == {32}
    # what the reasons say was measured
    assert rows["two-units-mostly-die"]["measured"] == pytest.approx(0.62, abs=0.01)
    assert rows["four-units-are-safe"]["measured"] == pytest.approx(0.11, abs=0.01)
    assert "noise of standard" not in (folder / "ledger.md").read_text(encoding="utf-8")
    code, out, _ = verify(WHOLE_FILE, *CPU)
    assert (code, "data reused" in out) == (0, True)


def test_too_few_seeds_are_no_pass(verify: Command) -> None:
    """Undecided is told with the number that is needed."""
    code, out, _ = verify(WITH_NETWORKS.replace("seeds = 12\n", ""), "--seeds", "3", *CPU)
    assert (code, out.splitlines()[-1]) == (
        0,
        "2 claims: 1 reproduced, 1 inconclusive; 1 claim needs more seeds: --seeds 8; the "
        "others as expected",
    )
    assert re.search(r"few-die +inconclusive *\n.* needs 8 seeds", out)


def test_exact_is_refused_where_seeds_differ(verify: Command) -> None:
    """One seed of twelve does not stand for all."""
    exact = WITH_NETWORKS.replace('because = "One layer', 'quantifier = "exact"\nbecause = "One')
    code, _, err = verify(exact.replace("depth = 1 }", "depth = 2 }"), *CPU, "--quiet")
    assert code == 2
    assert "claim 'few-die'" in err
    assert "'exact' is for a value that no seed changes, but 12 seeds give 0." in err


def test_another_verdict_is_exit_code_1(verify: Command, tmp_path: Path) -> None:
    """What was found and what was expected is named; on a first run nothing has changed."""
    flipped = SMALL.replace('"reproduced"', '"not_reproduced"')
    code, out, _ = verify(flipped, "--out", "here", *CPU)
    assert (code, out.splitlines()[-1]) == (
        1,
        "1 claim: 1 reproduced; not as expected: best-constant (reproduced; expected "
        "not_reproduced)",
    )
    assert {path.suffix for path in (tmp_path / "here").iterdir()} == {
        *(".nc", ".sha256", ".json", ".md")
    }
    assert verify(flipped, "--out", "here", "--threads", "1", "--quiet") == (1, "", "")


def test_a_dry_run_runs_nothing(verify: Command, tmp_path: Path) -> None:
    """It says what would run, and writes no folder."""
    told = "closed-forms: about 0 s, into results/mine/\n"
    assert verify(SMALL, "--dry-run", *CPU) == (0, told, "")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.toml"]
    (tmp_path / "runs.csv").write_text("seed,acc\n1,0.5\n")
    table = SMALL.replace('experiment = "closed-forms"', 'table = "runs.csv"')
    table = re.sub(r"metric = .*", 'metric = { column = "acc" }', table)
    told = "Nothing would run: what the claims rest on is there.\n"
    assert verify(table, "--dry-run") == (0, told, "")


# What stands in the file, what it becomes, and the line that is printed after "mine.toml: ".
METRIC = 'name = "closed_form", quantity = "best_constant_mse", target = "sine_two_periods"'
MISTAKES = [
    (
        "width = 2, depth = 1",
        "width = 5, depth = 1",
        "claim 'few-die', field 'metric': width is 5, but the claim's protocol has 2; change its "
        "setting 'widths', or name one that it has",
    ),
    (
        "width = 2, depth = 1",
        "width = 2, depth = 3",
        "claim 'few-die', field 'metric': depth is 3, but the claim's protocol has 1 to 2; change "
        "its setting 'depth', or name one that it has",
    ),
    (
        'name = "closed_form"',
        'name = "closed_forms"',
        "claim 'best-constant', field 'metric': there is no metric 'closed_forms'. Did you mean "
        "'closed_form'? 'actbench verify --metrics' lists what there is",
    ),
    (
        'name = "closed_form"',
        'name = "xyz"',
        "claim 'best-constant', field 'metric': there is no metric 'xyz'. "
        "'actbench verify --metrics' lists what there is",
    ),
    (
        ', target = "sine_two_periods"',
        "",
        "claim 'best-constant', field 'metric': the argument 'target' is missing; closed_form "
        "takes quantity, target",
    ),
    (
        'target = "sine_two_periods"',
        'target = "sine_two_periods", depth = 3',
        "claim 'best-constant', field 'metric': closed_form has no argument 'depth'; closed_form "
        "takes quantity, target",
    ),
    (
        'target = "sine_two_periods"',
        "target = 3",
        "claim 'best-constant', field 'metric': target is 3, but must be a text",
    ),
    (
        METRIC,
        'name = "derivative_at", activation = "rely", z = 1',
        "claim 'best-constant', field 'metric': there is no activation 'rely'. Did you mean "
        f"'relu'? (known: {KNOWN})",
    ),
    (
        METRIC,
        'name = "final_mse", activation = "os.getcwd"',
        "claim 'best-constant', field 'metric': there is no activation 'os.getcwd'. Use one of "
        f"these; known: {KNOWN}",
    ),
    (
        METRIC,
        'name = "robust_ratio", activation = "relu", initializer = "he_norml", depth = 5',
        "claim 'best-constant', field 'metric': unknown initializer 'he_norml'; known: "
        "torch_default, xavier_uniform, xavier_normal, he_uniform, he_normal, lecun_uniform, "
        "lecun_normal, normal(STD), mean_field(W2,B2). Did you mean 'he_normal'?",
    ),
    (
        METRIC,
        'name = "stability_border", activation = "relu", skip = 0, depth = 5',
        "claim 'best-constant', field 'metric': 'stability_border' is computed from stability, but "
        "the claim's protocol runs closed-forms, whose metrics are derivative_min, derivative_max, "
        "derivative_at, largest_derivative_at, smallest_derivative_above_zero, "
        "largest_derivative_step, closed_form",
    ),
    (
        'protocol = "floors"',
        'protocol = "floor"',
        "claim 'best-constant', field 'protocol': 'floor' is not one of ['floors', 'other']. Add a "
        "table [protocol.floor], or name one that is there",
    ),
    (
        '"signal-propagation"',
        '"signal-propagaton"',
        "protocol 'other', field 'experiment': there is no experiment 'signal-propagaton'. Did you "
        f"mean 'signal-propagation'? (known: {', '.join(studies.experiments())})",
    ),
    (
        'activations = ["relu"]',
        'activations = ["gleu"]',
        "protocol 'other', field 'settings.activations': there is no activation 'gleu'. Did you "
        f"mean 'gelu'? (known: {KNOWN})",
    ),
    (
        'initializers = ["he_normal"]',
        'initializers = "normal(0)"',
        "protocol 'other', field 'settings.initializers': initializer 'normal(0)' has standard "
        "deviation '0', but it must be a positive number, as in 'normal(0.05)'",
    ),
    (
        'experiment = "closed-forms"',
        'experiment = "closed-forms"\n[protocol.twice]\nexperiment = "closed-forms"',
        "protocol 'twice', field 'experiment': 'floors' is closed-forms without settings already. "
        "Let the claims of both name one protocol, or give this one settings of its own",
    ),
    (
        "depth = 2",
        "depht = 2",
        "protocol 'other', field 'settings': signal-propagation has no setting 'depht'; it has "
        "activations, initializers, widths, depth, networks, features, inputs, points, input_mean, "
        "input_variances. Did you mean 'depth'?",
    ),
    (
        "depth = 2",
        "depth = 0",
        "protocol 'other', field 'settings': depth is 0, but must be a whole number of at least 1",
    ),
    (
        'activations = ["relu"], initializers = ["he_normal"], widths = [2], depth = 2',
        "widths = 2",
        "protocol 'other', field 'settings': widths = 2: one of these is of another kind than "
        "signal-propagation takes ('int' object is not iterable). By default: widths = "
        "[2, 3, 5, 10]",
    ),
    (
        "seeds = 12",
        "seeds = 3",
        "claim 'few-die' needs 8 seeds for 'reproduced' with quantifier 'median', but protocol "
        "'other' fixes 3; raise its seeds, or leave them out for --seeds (pytest's "
        "--actbench-seeds) to decide",
    ),
    # Above 0.9 says nothing beside above 0.2.
    (
        'relation = { kind = "equals", tolerance = 0.001, reason = "Digits." }',
        'relation = { kind = "above", value = 0.2, reason = "R." }\n'
        'direction = { kind = "above", value = 0.9, reason = "R." }',
        "claim 'best-constant': 'direction' is no weaker than 'relation': what satisfies it "
        "satisfies the relation too, so it would never decide; widen it, or leave it out",
    ),
]


@pytest.mark.parametrize(("old", "new", "text"), MISTAKES)
def test_a_mistake_is_one_line(
    verify: Command, tmp_path: Path, old: str, new: str, text: str
) -> None:
    """File, claim or protocol, field, what was given and what to do; nothing has run."""
    assert WITH_NETWORKS.count(old) >= 1
    # A byte order mark hides no file.
    content = f"\ufeff{WITH_NETWORKS.replace(old, new)}"
    assert verify(content) == (2, "", f"actbench: error: mine.toml: {text}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.toml"]


def test_an_activation_that_the_protocol_leaves_out_is_told(tmp_path: Path) -> None:
    """A claim about an activation that its protocol does not run can't be judged."""
    path = tmp_path / "mine.toml"
    path.write_text(WHOLE_FILE.replace("{ widths", '{ activations = ["tanh"], widths'), "utf-8")
    with pytest.raises(ActbenchError) as caught:
        evidence.check_settings(claims.load(path))
    assert str(caught.value) == (
        f"{path}: claim 'two-units-mostly-die', field 'metric': activation is 'relu', but the "
        "claim's protocol has tanh; change its setting 'activations', or name one that it has"
    )


def test_no_file_at_all_is_told(actbench: Command) -> None:
    """Without a file, or with one that is not there, it says how to go on."""
    code, _, err = actbench("verify")
    assert (code, err.startswith("actbench: error: which claims? Name a file")) == (2, True)
    code, _, err = actbench("verify", "nowhere.toml")
    assert (code, "there is no file nowhere.toml. docs/own_study.md shows" in err) == (2, True)
    assert actbench("verify", "nowhere.toml", "--seeds", "0") == (
        *(2, ""),
        "actbench: error: --seeds is 0, but must be a whole number of at least 1\n",
    )


def test_a_name_with_a_colon_is_not_imported(tmp_path: Path) -> None:
    """A claims file can't make anything be loaded: the trap would leave a file behind."""
    trap = tmp_path / "trap.py"
    trap.write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')\n", encoding="utf-8")
    path = tmp_path / "mine.toml"
    for old, new in (
        ('["relu"]', '["trap:f"]'),
        ('["he_normal"]', '["trap:f"]'),
        ('"signal-propagation"', '"trap:f"'),
        ('name = "closed_form"', 'name = "trap:f"'),
    ):
        path.write_text(WITH_NETWORKS.replace(old, new), encoding="utf-8")
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(tmp_path)
            with pytest.raises(ActbenchError, match="trap:f"):
                actbench.verify(path)
    assert not (tmp_path / "sprung").exists()


def test_every_metric_is_listed(actbench: Command) -> None:
    """By experiment, with arguments and definition."""
    code, out, _ = actbench("verify", "--metrics")
    assert code == 0
    for name in metrics.METRICS:
        assert re.search(rf"^  {name}\(", out, flags=re.MULTILINE)
        assert metrics.definition(name) in out
    assert "signal-propagation\n  born_dead_share(activation, initializer, width, depth)\n" in out


SCHEMA = (baselines_folder() / "claims.schema.json").read_text(encoding="utf-8")


def problems(content: dict[str, Any]) -> list[Any]:
    """What the shipped schema finds wrong."""
    return list(jsonschema.Draft202012Validator(json.loads(SCHEMA)).iter_errors(content))


def test_the_shipped_schema_is_the_models(actbench: Command) -> None:
    """To be written anew by: actbench verify --schema > baselines/claims.schema.json."""
    assert actbench("verify", "--schema") == (0, SCHEMA, "")
    assert drafting.text() == SCHEMA
    jsonschema.Draft202012Validator.check_schema(json.loads(SCHEMA))
    described = json.loads(SCHEMA)["$defs"]["Claim"]["properties"]
    assert all("description" in part for name, part in described.items() if name != "metric")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_file_is_valid(path: Path) -> None:
    """By the schema and by the reader, settings included; the page's file too."""
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    assert problems(content) == []
    assert problems(tomllib.loads(WHOLE_FILE)) == []
    evidence.check_settings(claims.load(path))


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["claim"][0].update(expected="fine"),
        lambda content: content["claim"][0].update(tolerance=1),
        lambda content: content["claim"][0]["metric"].update(name="closed_forms"),
        lambda content: content["claim"][0]["metric"].pop("target"),
        lambda content: content["claim"][0]["relation"].pop("kind"),
        lambda content: content["claim"][0].update(metric={"colum": "acc"}),
        lambda content: content["protocol"]["floors"].update(experiment="closed"),
        lambda content: content.pop("study"),
    ],
)
def test_an_editor_would_mark_a_mistake(change: Callable[[dict[str, Any]], object]) -> None:
    """The schema can fail: what the reader refuses of these, it refuses too."""
    content = tomllib.loads(SMALL)
    assert problems(content) == []
    change(content)
    assert problems(content) != []


def test_each_further_study_has_claims_enough() -> None:
    """Two studies with at least eight testable claims each, of the paper's and not ours alone."""
    assert len(claims.further_studies()) == 2
    for path in claims.further_studies():
        file = claims.load(path)
        judged = [claim for claim in file.claim if claim.relation]
        assert len([claim for claim in judged if not claim.ours]) >= 8


WEIGHTED = """
study = "Weights"
alpha = 0.05
[protocol.t]
table = "runs.csv"
seed = "row"
""" + "".join(
    f"""
[[claim]]
id = "{name}"
statement = "It is so."
protocol = "t"
metric = {{ column = "x" }}
relation = {{ kind = "above", value = 0.0 }}
{fields}
"""
    for name, fields in {
        "one": 'expected = "reproduced"',
        "three": 'expected = "reproduced"\nweight = 3',
        "half": 'expected = "reproduced"\nquantifier = "every"\nweight = 0.5',
        "explored": "",
        "fixed": 'expected = "not_reproduced"\nquantifier = "exact"',
    }.items()
)


def test_weights_share_out_alpha(verify: Command) -> None:
    """In proportion, over pinned claims with a sampling error; the whole is alpha."""
    Path("runs.csv").write_text("x\n" + "1\n" * 7, encoding="utf-8")
    told = verify(WEIGHTED).out
    assert "judged at a level of 0.011 times its weight, its part of 0.05" in told
    file = claims.load(Path("mine.toml"))
    levels = {claim.id: file.level(claim) for claim in file.claim}
    assert levels["one"] == pytest.approx(0.05 / 4.5)
    assert levels["three"] == pytest.approx(3 * levels["one"])
    assert levels["half"] == pytest.approx(levels["one"] / 2)
    assert levels["explored"] == 0.05
    assert sum(levels[c.id] for c in file.claim if c.takes_level) == pytest.approx(0.05)
    # Seven agreeing runs decide at three times the level alone: 2 / 2^7 = 0.016.
    judged = {judgment.claim.id: judgment for judgment in actbench.verify("mine.toml")}
    assert {key: str(judged[key].verdict) for key in ("one", "three")} == {
        "one": "inconclusive",
        "three": "reproduced",
    }
    digests = [file.digest(claim) for claim in file.claim]
    told = verify(re.sub("weight.*", "", WEIGHTED)).out
    assert "judged at a level of 0.017, its part of 0.05" in told
    equal = claims.load(Path("mine.toml"))
    assert [equal.digest(claim) for claim in equal.claim] == digests
    assert equal.level(equal.get("one")) == 0.05 / 3


@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        ("weight = 3", "weight = 0", "field 'weight' is 0, but must be above 0"),
        ("weight = 3", 'weight = "3"', "field 'weight' is '3', but must be a number"),
        ('"exact"', '"exact"\nweight = 2', "'weight' shares out alpha over claims that are pinned"),
        ("weight = 3", "weight = inf", "field 'weight'"),
    ],
)
def test_a_weight_that_does_nothing_is_refused(
    verify: Command, old: str, new: str, text: str
) -> None:
    """One line, with the claim."""
    code, _, err = verify(WEIGHTED.replace(old, new))
    assert (code, err.count("\n"), text in err) == (2, 1, True)


@pytest.mark.usefixtures("no_other_plugins")
def test_pytest_judges_the_files_it_is_given(pytester: pytest.Pytester) -> None:
    """One test per claim of each file, nothing else, and a flip fails with what to look at."""
    (pytester.path / "one.toml").write_text(SMALL, encoding="utf-8")
    flipped = SMALL.replace('"reproduced"', '"not_reproduced"')
    (pytester.path / "two.toml").write_text(flipped, encoding="utf-8")
    pytester.makepyfile(test_else="def test_else(): pass")
    quiet = (*PLUGIN, "--strict-markers")
    files = [f"--actbench-claims={name}.toml" for name in ("one", "two")]
    result = pytester.runpytest_inprocess(*quiet, "-rA", *files, "--actbench-threads=1")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines_random(
        [
            "PASSED one.toml::best-constant",
            "best-constant is reproduced, but not_reproduced was expected.",
            f"look at:  actbench verify {pytester.path / 'two.toml'}",
        ]
    )
    (pytester.path / "bad.toml").write_text(SMALL.replace("closed_form", "close"), "utf-8")
    broken = pytester.runpytest_inprocess(*quiet, "--actbench-claims=bad.toml", "test_else.py")
    assert broken.ret == pytest.ExitCode.USAGE_ERROR
    broken.stderr.fnmatch_lines(["ERROR: *bad.toml: claim 'best-constant', field 'metric': *"])
