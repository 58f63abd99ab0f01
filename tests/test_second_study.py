"""A study that another package registers is judged as ours is; a broken one says whose it is."""

from __future__ import annotations

import json
import os
import re
import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from calls import PLUGIN, Command, python

from actbench.claims import load, metrics, references
from actbench.store import datasets, studies
from actbench.store.errors import ActbenchError
from actbench.tracking.records import load as load_record

pytest_plugins = ["pytester"]

PACKAGE = Path(__file__).parents[1] / "examples" / "package"
CLAIMS = PACKAGE / "coin_study" / "claims.toml"
EXPECTED = {"the-bent-coin-is-bent": "reproduced", "the-fair-coin-is-bent": "not_reproduced"}
ODD = """from actbench.store.studies import Experiment, Study
def experiment(key, *metrics):
    return Experiment(key, "nothing", place="odd", metrics=metrics)
"""

Install = Callable[..., None]


def written(folder: Path, project: dict[str, Any]) -> None:
    """Write what pip leaves of a package's metadata."""
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    told = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (info / "METADATA").write_text(told, encoding="utf-8")
    groups = [
        "\n".join([f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())])
        for group, entries in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(groups), encoding="utf-8")


def forget() -> None:
    """Have what is installed looked for again."""
    for found in (studies.registered, studies.experiments):
        found.cache_clear()
    for lookup in (metrics.METRICS, metrics.EXPERIMENTS_OF):
        assert isinstance(lookup, studies.Lookup)
        lookup._filled.cache_clear()
    studies._broken.clear()


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install a package that is one module, of which the source is given."""
    place = tmp_path / "installed"
    place.mkdir()
    monkeypatch.syspath_prepend(place)

    def call(source: str, name: str = "odd") -> None:
        (place / f"{name}.py").write_text(source, encoding="utf-8")
        points = {studies.GROUP: {name: f"{name}:STUDY"}}
        written(place, {"name": name, "version": "2.0", "entry-points": points})
        forget()

    yield call
    for name in ("odd", "even", "coin_study", "coin_study.metrics", "coin_study.tosses"):
        sys.modules.pop(name, None)
    forget()


@pytest.fixture
def coins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, install: Install) -> Path:
    """Install the package of the examples; the folder that is on Python's path for it."""
    project = tomllib.loads((PACKAGE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    written(tmp_path / "installed", project)
    monkeypatch.syspath_prepend(PACKAGE)
    forget()
    assert install is not None
    return tmp_path / "installed"


@pytest.mark.usefixtures("coins")
def test_its_claims_are_verified(actbench: Command, tmp_path: Path) -> None:
    """Run, judged, kept and shown on a page as claims about our own experiments are."""
    code, out, _ = actbench("verify", CLAIMS, "--report", "page.html")
    assert code == 0
    assert "2 claims: 1 reproduced, 1 not_reproduced; all as expected" in out
    ledger = json.loads((tmp_path / "results" / "claims" / "ledger.json").read_text())
    assert {row["id"]: row["verdict"] for row in ledger} == EXPECTED
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "A fair coin and a bent one" in page
    assert page.count('<svg class="strip"') == 2
    dataset = datasets.load(tmp_path / "results" / "claims" / "coin_tosses.nc")
    assert dataset["heads"].attrs["definition"] == "share of tosses that show heads"
    assert dataset["heads"].attrs["units"] == "1"
    chance = np.random.default_rng(42).binomial(1000, 0.5) / 1000
    assert dataset["heads"].sel(coin="fair", seed=42).item() == chance
    again = actbench("verify", CLAIMS)
    assert "coin-tosses: data reused from results/claims; same settings." in again[1]


@pytest.mark.usefixtures("coins")
def test_its_seeds_are_made_until_decided(actbench: Command) -> None:
    """A second batch joins the first, where that is of the same settings."""
    code, out, _ = actbench("verify", CLAIMS, "--until-decided", "--out", "until")
    assert (code, "all as expected" in out) == (0, True)
    kept = datasets.load(Path("until/coin_tosses.nc"))
    assert 8 < kept.sizes["seed"] == len(datasets.protocol_of(kept)["seeds"])
    assert kept["heads"].attrs["units"] == "1"
    tosses = import_module("coin_study.tosses")
    Path("other").mkdir()
    datasets.save(tosses.run(tosses.Config(tosses=9)), Path("other/coin_tosses.nc"))
    code, _, told = actbench("verify", CLAIMS, "--until-decided", "--out", "other")
    assert (code, told.startswith("actbench: error: other/coin_tosses.nc holds re")) == (2, True)


@pytest.mark.usefixtures("coins")
def test_it_is_listed_beside_ours(actbench: Command) -> None:
    """By the distribution that brings it, with its experiments, its claims and its metrics."""
    _, out, err = actbench("list")
    assert "experiments of 'coins' (coin-study 1.0): A fair coin and a bent one\n  coin-to" in out
    assert f"judge its claims with: actbench verify {CLAIMS}\n" in out
    assert err == ""
    ours, theirs = json.loads(actbench("list", "--format", "json")[1])["studies"]
    assert (ours["name"], len(ours["experiments"])) == ("activation-functions", 11)
    assert theirs == {
        "name": "coins",
        "title": "A fair coin and a bent one",
        "experiments": ["coin-tosses"],
        "claims": str(CLAIMS),
    }
    told = actbench("verify", "--metrics")[1]
    assert told.endswith(
        "coin-tosses\n  share_of_heads(coin)\n      Share of tosses that show heads, per seed.\n"
    )
    assert '"const": "coin-tosses"' in actbench("verify", "--schema")[1]


@pytest.mark.usefixtures("coins")
def test_it_is_recorded(actbench: Command, tmp_path: Path) -> None:
    """The versions of the package, the verdicts, and each claim's values."""
    code, out, _ = actbench("record", "--claims", CLAIMS, "--package", "coin-study")
    assert (code, out) == (0, "coin-study-1.0.json: coin-study 1.0, 2 of 2 claims measured\n")
    record = load_record(tmp_path / "coin-study-1.0.json")
    assert {verdict.id: verdict.verdict for verdict in record.verdicts} == EXPECTED
    assert record.environment["coin-study"] == "1.0"
    assert [len(values.values) for values in record.distributions] == [16, 16]


@pytest.mark.usefixtures("coins", "no_other_plugins")
def test_its_claims_are_tests(pytester: pytest.Pytester) -> None:
    """One for each."""
    done = pytester.runpytest_inprocess(*PLUGIN, "-v", "--actbench-claims", str(CLAIMS))
    assert done.ret == 0
    done.stdout.fnmatch_lines(
        ["*::the-bent-coin-is-bent PASSED*", "*::the-fair-coin-is-bent XFAIL*"]
    )


@pytest.mark.usefixtures("coins")
@pytest.mark.parametrize(
    ("old", "new", "text"),
    [
        (
            '"bent" }',
            '"bend" }',
            "claim 'the-bent-coin-is-bent', field 'metric': coin is 'bend', but the claim's "
            "protocol has fair, bent; change its setting 'coins', or name one that it has",
        ),
        ("coin = ", "con = ", "share_of_heads has no argument 'con'; share_of_heads takes coin"),
        ("share_of_heads", "share_of_head", "Did you mean 'share_of_heads'?"),
        (
            '"share_of_heads", coin = "bent"',
            '"derivative_max", activation = "relu"',
            "'derivative_max' is computed from activation-derivatives or closed-forms, but the "
            "claim's protocol runs coin-tosses, whose metrics are share_of_heads",
        ),
        ("coin-tosses", "coin-toses", "Did you mean 'coin-tosses'?"),
        ('"coin-tosses"', '"coin-tosses"\nsettings = { toses = 1 }', "Did you mean 'tosses'?"),
    ],
    ids=["coin", "argument", "metric", "other metric", "experiment", "setting"],
)
def test_a_slip_in_its_claims_is_told(
    actbench: Command, tmp_path: Path, old: str, new: str, text: str
) -> None:
    """Names are those that the study registers; what a protocol has is read off its settings."""
    file = tmp_path / "claims.toml"
    file.write_text(CLAIMS.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    code, out, err = actbench("verify", file)
    assert (code, out) == (2, "")
    assert text in err
    assert err.count("\n") == 1


BROKEN = "{} of odd 2.0 can't be used: {}; repair or uninstall it"
MISSING = "ModuleNotFoundError: No module named 'nothere'"


STUDY = "STUDY = Study('odd', 't', {})"


@pytest.mark.parametrize(
    ("source", "what", "why"),
    [
        ("import nothere", "study 'odd'", MISSING),
        ("import sys\nsys.exit(3)", "study 'odd'", "it ends with SystemExit(3)"),
        ("STUDY = 3", "study 'odd'", "TypeError: odd:STUDY is no actbench.Study"),
        (
            ODD + STUDY.format("('one',)"),
            "study 'odd'",
            "ActbenchError: an experiment of 'odd' is 'one', but must be an actbench.Experiment",
        ),
        (ODD + STUDY.format("(experiment('one', 'nothere'),)"), "module 'nothere'", MISSING),
        (
            f"{ODD}def size(dataset, of: list): ...\nMETRICS = (size,)\n"
            + STUDY.format("(experiment('one', 'odd'),)"),
            "module 'odd'",
            "TypeError: the argument 'of' of the metric 'size' is annotated 'list', but must be "
            "str, int, float",
        ),
    ],
    ids=["import", "exit", "no study", "no experiment", "no metrics", "annotation"],
)
def test_a_broken_study_says_whose_it_is(
    install: Install, actbench: Command, source: str, what: str, why: str
) -> None:
    """Where it is missed and in the list, in one line; what does not need it is not stopped."""
    install(source)
    told = BROKEN.format(f"the {what}", why)
    assert "final_mse" in metrics.METRICS
    assert studies.problems() == (told,)
    with pytest.raises(ActbenchError) as caught:
        studies.experiment("oddity")
    assert str(caught.value).endswith(f" ({told})")
    assert studies.experiment("closed-forms").key == "closed-forms"
    assert studies.shipped().name == "activation-functions"
    code, out, err = actbench("list")
    assert (code, "sine-regression" in out) == (0, True)
    assert err == f"Note: {told}\n"


def test_an_experiment_that_cannot_be_imported_is_told(install: Install) -> None:
    """Its module is imported when it runs, and not before."""
    odd = "(Experiment('odd-one', 'nothing', place='nothere'),)"
    install(ODD + STUDY.format(odd))
    found = studies.experiment("odd-one")
    with pytest.raises(ActbenchError) as caught:
        found.module()
    assert str(caught.value) == (
        "the experiment 'odd-one' can't be used: its module 'nothere' can't be imported "
        f"({MISSING})"
    )


def test_an_experiment_of_two_studies_is_refused(install: Install, actbench: Command) -> None:
    """Both are named, with what to do."""
    install(ODD + STUDY.format("(experiment('sine-regression'),)"))
    assert actbench("run", "closed-forms") == (
        2,
        "",
        "actbench: error: two studies register the experiment 'sine-regression': "
        "'activation-functions' (actbench-claims 0.1.0) and 'odd' (odd 2.0). Uninstall one of "
        "them, or have it renamed there\n",
    )


WHOLE = (
    ODD.replace("metrics=metrics)", 'metrics=metrics, figures="odd", findings="odd")')
    + """
FIGURES = {"dots": lambda dataset: dataset}
CAPTIONS = {"dots": "Dots."}
def findings(dataset):
    return [f"{dataset} dots were found."]
def dots() -> None:
    \"\"\"Count dots.\"\"\"
    print("three dots")
def remarks(file, judgments):
    return {"a-claim": "It has dots."}
from actbench.cli.options import Command
COMMANDS = {"Dots": ((dots, Command),)}
STUDY = Study("odd", "t", (experiment("one"),), parts={"commands": "odd", "remarks": "odd"})
"""
)


def test_it_brings_figures_findings_remarks_and_commands(install: Install) -> None:
    """What ours registers beside experiments, another study registers too."""
    install(WHOLE)
    one = studies.experiment("one")
    assert (list(one.drawn()), one.drawn("CAPTIONS")) == (["dots"], {"dots": "Dots."})
    assert one.drawn("ANIMATIONS") == {}
    assert one.found(3) == ["3 dots were found."]
    (part,) = [part for part in studies.parts("remarks") if part.__name__ == "odd"]
    assert part.remarks(None, []) == {"a-claim": "It has dots."}
    # In a process that finds the package as it finds any.
    path = os.pathsep.join([str(Path(str(import_module("odd").__file__)).parent), *sys.path])
    done = python("-m", "actbench", "dots", timeout=120, variables={"PYTHONPATH": path})
    assert done == (0, "three dots\n", "")


def test_a_part_that_cannot_be_imported_stops_nothing(install: Install, actbench: Command) -> None:
    """The command line works without it, and the list says whose it is."""
    install(ODD + STUDY.format("(), parts={'remarks': 'nothere'}"))
    assert [part.__name__ for part in studies.parts("remarks")] == [
        "actbench.study.robustness.sentences"
    ]
    code, _, told = actbench("list")
    assert (code, BROKEN.format("the part 'remarks'", MISSING) in told) == (0, True)


def test_a_metric_of_two_studies_is_refused(install: Install) -> None:
    """A second function of one name, be it of a third study; one function may serve two studies."""
    shared = "from odd import size\nMETRICS = (size,)\n"
    metric = "def size(dataset): ...\nMETRICS = (size,)\n"
    study = "STUDY = Study('{0}', 't', (experiment('{0}-one', '{0}'),))"
    install(ODD + metric + study.format("odd"))
    install(ODD + shared + study.format("even"), "even")
    assert metrics.METRICS["size"].__module__ == "odd"
    assert metrics.EXPERIMENTS_OF["size"] == ("even-one", "odd-one")
    sys.modules.pop("even")
    Path(sys.path[0], "even.py").write_text(ODD + metric + study.format("even"), encoding="utf-8")
    forget()
    with pytest.raises(ActbenchError) as caught:
        len(metrics.METRICS)
    assert str(caught.value) == (
        "two studies register the metric 'size': 'even' (even 2.0) and 'odd' (odd 2.0). Uninstall "
        "one of them, or have it renamed there"
    )


def test_a_metric_that_fails_is_one_line(coins: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a stranger's function raises."""
    assert coins.is_dir()
    theirs, tosses = (import_module(f"coin_study.{name}") for name in ("metrics", "tosses"))

    def fails(dataset: object, coin: str) -> float:
        raise ValueError(coin, dataset is None)

    dataset = tosses.run(tosses.Config(seeds=2))
    assert metrics.measure({"name": "share_of_heads", "coin": "bent"}, dataset).shape == (2,)
    fails.__name__ = "share_of_heads"
    monkeypatch.setattr(theirs, "METRICS", (fails,))
    forget()
    with pytest.raises(ActbenchError, match=r"'coin-tosses': ValueError: \('bent', False\)$"):
        metrics.measure({"name": "share_of_heads", "coin": "bent"}, dataset)
    asked = {"name": "share_of_heads", "coin": "bent"}
    assert references.of(asked, "coin-tosses", tosses.Config())["coin"].setting == "coins"


@pytest.mark.usefixtures("install")
def test_a_clone_is_found_without_its_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what was installed before it had one, or not at all, the clone itself is read."""
    monkeypatch.setattr(studies, "entry_points", lambda group: ())
    forget()
    assert studies.shipped().name == "activation-functions"
    monkeypatch.setattr(studies, "__file__", "/nowhere/actbench/studies.py")
    forget()
    with pytest.raises(ActbenchError, match=r"is not registered: .* Install it again$"):
        studies.shipped()


@pytest.mark.usefixtures("install")
def test_our_study_comes_by_the_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is declared where any package declares its own, and what is declared is what is found."""
    file = Path(__file__).parents[1] / "pyproject.toml"
    project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
    ((name, value),) = project["entry-points"][studies.GROUP].items()
    study = EntryPoint(name, value, studies.GROUP).load()
    written(tmp_path / "installed", {**project, "name": "actbench", "version": "9.9"})
    monkeypatch.setattr(studies, "__file__", "/nowhere/actbench/studies.py")
    forget()
    assert str(studies.registered()[0]) == "'activation-functions' (actbench 9.9)"
    assert study is studies.shipped()
    assert isinstance(study, studies.Study)
    assert study.claims is not None
    assert load(study.claims).of_the_study


def test_the_page_shows_the_package() -> None:
    """What stands in the documentation is what the tests above install."""
    page = (PACKAGE.parents[1] / "docs" / "own_study.md").read_text(encoding="utf-8")
    for name in ("__init__", "tosses", "metrics"):
        source = (PACKAGE / "coin_study" / f"{name}.py").read_text(encoding="utf-8")
        assert f"```python\n{source}```\n" in page
    project = (PACKAGE / "pyproject.toml").read_text(encoding="utf-8")
    table = re.search(r"```ini\n(\[project\.entry-points.*?)```", page, re.DOTALL)
    assert table is not None
    assert table[1] in project
