"""pytest's outcome of a claim's test is what the verdict says, in whole runs of pytest."""

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray as xr
from calls import PLUGIN
from claim_factory import NOT_TESTABLE, entry, text_of
from record_factory import a_record

from actbench.claims import Claim, Protocol, Verdict, measured, published
from actbench.claims.measured import Entry, Measured
from actbench.claims.verdicts import Judgment
from actbench.pytest_plugin.claim_tests import NotReproduced, check_expected
from actbench.pytest_plugin.trainings import FOLDER, Writer
from actbench.runs import evidence
from actbench.store import datasets
from actbench.store.studies import shipped
from actbench.study.catalog import activations
from actbench.study.experiments import closed_forms, sine_regression
from actbench.tracking import records
from actbench.tracking.records import Record

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.usefixtures("no_other_plugins")

SETTINGS = {"activations": ["linear"], "depth": 1, "width": 2, "points": 4, "epochs": 1}
PROTOCOLS: dict[str, dict[str, Any]] = {
    "closed": {"experiment": "closed-forms"},
    "trained": {"experiment": "sine-regression", "settings": SETTINGS},
    "long": {"experiment": "closed-forms", "settings": {"points": 50}, "slow": True},
}
CONSTANT: dict[str, str | int | float]
CONSTANT = {"name": "closed_form", "quantity": "best_constant_mse", "target": "sine_two_periods"}
NOWHERE = {**CONSTANT, "target": "nowhere"}
FINAL_MSE = {"name": "final_mse", "activation": "linear"}


def claim(name: str, value: float, expected: str, **other: Any) -> dict[str, Any]:
    """A claim that a metric is a value, unless told otherwise."""
    stated: dict[str, Any] = {
        "protocol": "closed",
        "metric": CONSTANT,
        "published": value,
        "quantifier": "exact",
        "relation": {"kind": "equals", "tolerance": 0.001},
        "because": "of what was seen",
    }
    return entry(name, **{**stated, "expected": expected, **other})


def as_file(claims: Sequence[Mapping[str, Any]]) -> str:
    """A file of these claims, with the protocols that they name."""
    used = {claim["protocol"] for claim in claims if "protocol" in claim}
    return text_of(*claims, **{name: PROTOCOLS[name] for name in PROTOCOLS if name in used})


HOLDS = claim("holds", 0.4975, "reproduced")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> xr.Dataset:
    """Twenty seeds of the protocol that trains, saved and read back.

    This also loads what the inner runs would load lazily: they drop the modules that they loaded,
    and parts of torch can't be loaded twice in one process.
    """
    protocol = Protocol(experiment="sine-regression", settings=SETTINGS)
    path = tmp_path_factory.mktemp("trained") / "trained.nc"
    datasets.save(sine_regression.run(evidence.config_for(protocol, 20, "cpu", 1)), path)
    return datasets.load(path)


Suite = Callable[..., pytest.RunResult]


@pytest.fixture
def suite(
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
    trained: xr.Dataset,  # noqa: ARG001 - for what it loads
) -> Suite:
    """Run pytest on a study of these claims, whose baselines are the folder's own."""
    folder = pytester.path
    (folder / "measured").mkdir()
    study = dataclasses.replace(shipped(), claims=folder / "published.toml")
    for module in ("claims", "claims.claims_file"):
        monkeypatch.setattr(f"actbench.{module}.shipped", lambda: study)
    monkeypatch.setattr("actbench.claims.measured.baselines_folder", lambda: folder)
    pytester.makeini("[pytest]\nxfail_strict = true\nfilterwarnings = error\n")

    def run_study(claims: Sequence[Mapping[str, Any]], *arguments: str) -> pytest.RunResult:
        (folder / "published.toml").write_text(as_file(claims), encoding="utf-8")
        return run(pytester, "--actbench-claims", "published.toml", *arguments)

    return run_study


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """Run pytest here, with our plugin and no other."""
    return pytester.runpytest_inprocess(*PLUGIN, "--strict-markers", "-rA", *arguments)


def test_each_verdict_has_its_outcome(suite: Suite) -> None:
    """Pass, strict xfail, flip, contradiction, skip and error in one run, with what JUnit gets."""
    few = {"protocol": "trained", "metric": FINAL_MSE, "quantifier": "median"}
    study = (
        HOLDS,
        claim("fails-as-pinned", 0.6, "not_reproduced"),
        claim("flipped", 0.4975, "not_reproduced"),
        claim("broken", 0.6, "reproduced"),
        claim("error-in-code", 0.6, "not_reproduced", metric=NOWHERE),
        claim("few", 0.5, "reproduced", **few),
        claim("stored", 0.7, "reproduced", protocol="long"),
        claim("close-call", 0.4, "reproduced", relation={"kind": "above", "value": 0.4}),
        NOT_TESTABLE,
    )
    stored = Entry(metric=CONSTANT, definition="d", exact=True, values=[0.7])
    values = Measured(
        schema_version=1, protocol="long", settings={}, environment={}, entries=[stored]
    )
    measured.save(values)
    settings = ("--actbench-seeds=2", "--actbench-threads=1", "--junitxml=junit.xml")
    result = suite(study, *settings)
    result.assert_outcomes(passed=3, xfailed=1, failed=3, skipped=2)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines_random(
        [
            "XFAIL published.toml::fails-as-pinned - not_reproduced: measured 0.4975; "
            "published 0.6. of what was seen",
            "flipped is reproduced, but not_reproduced was expected.",
            "broken is not_reproduced, but reproduced was expected.",
            "measured: measured 0.4975; published 0.6",
            "look at:  actbench claims show broken",
            "*published.toml: claim 'error-in-code', field 'metric': *",
            "SKIPPED*needs 8 seeds, 2 were run",
            "SKIPPED*not testable: Beauty is not measured.",
            "1 inconclusive, 2 not_reproduced, 4 reproduced",
            "judged from stored measurements (--actbench-slow trains them): stored",
            "margin 1.24x: close-call (reproduced)",
        ]
    )
    properties = {
        case.get("name"): {p.get("name"): p.get("value") for p in case.iter("property")}
        for case in ET.parse("junit.xml").iter("testcase")  # noqa: S314 - written just now
    }
    found = properties["broken"]
    assert found["verdict"] == "not_reproduced"
    assert found["expected"] == "reproduced"
    assert found["published"] == "0.6"
    assert float(str(found["measured"])) == pytest.approx(0.4975)
    assert found["seeds"] == "1"
    assert found["judged_from_stored_measurements"] == "False"
    assert properties["stored"]["measured"] == "0.7"
    assert properties["stored"]["judged_from_stored_measurements"] == "True"
    assert properties["few"]["verdict"] == "inconclusive"
    assert properties["few"]["seeds"] == "2"


def test_results_are_judged_without_training(
    suite: Suite, pytester: pytest.Pytester, trained: xr.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --actbench-from-results what lies in the folder decides, and nothing is run."""
    folder = pytester.path
    enough = {"protocol": "trained", "metric": FINAL_MSE, "quantifier": "median"}
    study = (
        claim("now-holds", 0.6, "reproduced"),
        claim("enough", 0.25, "reproduced", **enough),
    )
    closed = closed_forms.run(closed_forms.Config())
    closed["best_constant_mse"].loc[{"target": "sine_two_periods"}] = 0.6
    datasets.save(closed, folder / "closed_forms.nc")
    invented = trained.copy(deep=True)
    invented["final_mse"][:] = np.linspace(0.2495, 0.2505, 20)
    datasets.save(invented, folder / "sine_regression-trained.nc")

    def refuse(*_: object) -> None:
        raise AssertionError("this must not run")

    monkeypatch.setattr(closed_forms.experiment, "run", refuse)
    monkeypatch.setattr(sine_regression.experiment, "run", refuse)
    result = suite(study, "--actbench-from-results", str(folder))
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["2 reproduced"])
    # The check that nothing ran can fail: without the folder, training is asked for.
    suite(study, "-k", "now-holds").assert_outcomes(failed=1)


@pytest.mark.slow
def test_workers_share_what_one_of_them_computed(pytester: pytest.Pytester) -> None:
    """Two workers judge claims of one protocol, and its experiment runs once, on one thread."""
    folder = pytester.path
    claims = [claim(f"c{n}", 0.4975, "reproduced") for n in range(8)]
    (folder / "published.toml").write_text(as_file(claims), encoding="utf-8")
    pytester.makeconftest(
        """
        import dataclasses
        from pathlib import Path
        from actbench import claims
        from actbench.claims import claims_file
        from actbench.study.experiments import closed_forms

        HERE = Path(__file__).parent
        study = dataclasses.replace(claims.shipped(), claims=HERE / "published.toml")
        for module in (claims, claims_file):
            module.shipped = lambda: study
        run = closed_forms.experiment.run

        def counted(config, progress=lambda done: None):
            with (HERE / "runs.txt").open("a") as log:
                log.write(f"threads {config.threads}\\n")
            return run(config, progress)

        closed_forms.experiment.run = counted
        """
    )
    result = pytester.runpytest_subprocess(
        *("-p", "actbench.pytest_plugin", "-p", "xdist.plugin", "-n2"),
        "--actbench-claims=published.toml",
    )
    result.assert_outcomes(passed=8)
    assert (folder / "runs.txt").read_text(encoding="utf-8") == "threads 1\n"


def test_each_claim_is_judged_on_each_device(suite: Suite) -> None:
    """Two devices make two tests per claim, named after claim and device; one names the claim."""
    devices = [f"--actbench-device={name}" for name in ("cpu", "auto", "cpu")]
    result = suite([HOLDS], *devices)
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines_random(["*::holds[[]cpu]", "*::holds[[]auto]", "2 reproduced"])
    suite([HOLDS], devices[1]).stdout.fnmatch_lines(["*::holds"])


def judgment(verdict: str, expected: str, seeds: int = 20, needed: int = 11) -> Judgment:
    """A judgment without what it rests on."""
    subject = Claim.model_validate(
        {
            "id": "a",
            "source": "s",
            "statement": "It holds.",
            "protocol": "p",
            "metric": {"name": "final_mse", "activation": "relu"},
            "relation": {"kind": "above", "value": 1.0, "reason": "r"},
            "expected": expected,
            "because": "b",
        }
    )
    return Judgment(
        subject, Verdict(verdict), seeds=seeds, seeds_needed=needed, sentence="what was found"
    )


def ending(judgment: Judgment) -> BaseException:
    """What ended the test, for a judgment on which it must not pass.

    A skip is caught as well, as otherwise it would skip the test that looks for a failure.
    """
    with pytest.raises((pytest.fail.Exception, pytest.skip.Exception, NotReproduced)) as raised:
        check_expected(judgment)
    return raised.value


@pytest.mark.parametrize("expected", ["reproduced", "direction_only", "not_reproduced"])
@pytest.mark.parametrize(
    "verdict", ["reproduced", "direction_only", "not_reproduced", "inconclusive"]
)
def test_check_expected_ends_in_one_way_per_pair(verdict: str, expected: str) -> None:
    """As pinned passes or is not reproduced; any other pair fails, inconclusive ones too."""
    subject = judgment(verdict, expected)
    if verdict == expected == "reproduced":
        check_expected(subject)
    elif verdict == expected:
        assert isinstance(ending(subject), NotReproduced)
        assert str(ending(subject)) == f"{verdict}: what was found. {subject.claim.because}"
    else:
        assert isinstance(ending(subject), pytest.fail.Exception)
        assert f"a is {verdict}, but {expected} was expected" in str(ending(subject))


@pytest.mark.parametrize(
    ("verdict", "seeds", "skipped"),
    [("inconclusive", 10, True), ("inconclusive", 11, False), ("not_reproduced", 10, False)],
)
def test_only_too_few_seeds_skip(verdict: str, seeds: int, skipped: bool) -> None:
    """A straddling interval on enough seeds fails, and so does a decisive one on few."""
    wanted = pytest.skip.Exception if skipped else pytest.fail.Exception
    assert isinstance(ending(judgment(verdict, "reproduced", seeds)), wanted)


def test_a_record_is_made_of_what_the_session_trained(
    suite: Suite, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is written from the session's datasets; without the option nothing is."""
    given: dict[str, Any] = {}

    def make(**arguments: Any) -> Record:
        given.update(arguments)
        return a_record()

    monkeypatch.setattr("actbench.tracking.recording.make", make)
    result = suite([HOLDS], "--actbench-record=new/r.json")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["record written to new/r.json: 1 claims measured"])
    assert records.load(pytester.path / "new/r.json") == a_record()
    assert list(given["already"]) == ["closed"]
    assert given["device"] == "cpu"


@pytest.mark.parametrize(
    ("option", "mistake"),
    [
        (
            "--actbench-record=r.json",
            "r.json is there already; name another file with --actbench-record",
        ),
        (
            "--actbench-from-results=nowhere",
            "--actbench-from-results is 'nowhere', but there is no such folder; write one with: "
            "actbench reproduce --out nowhere",
        ),
    ],
)
def test_a_wrong_option_is_one_line(
    suite: Suite, pytester: pytest.Pytester, option: str, mistake: str
) -> None:
    """Before anything is collected or trained; a record that is there is not touched."""
    (pytester.path / "r.json").write_text("precious")
    result = suite([HOLDS], option)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert [line for line in result.errlines if line] == [f"ERROR: {mistake}"]
    assert (pytester.path / "r.json").read_text() == "precious"


def test_the_process_in_front_learns_where_workers_trained(
    tmp_path: Path,
) -> None:
    """A worker's last message names the folder that all of them share."""
    writer = Writer(tmp_path / "r.json", published())
    node = SimpleNamespace(workeroutput={}, config=SimpleNamespace(stash=pytest.Stash()))
    writer.pytest_testnodedown(node)
    assert FOLDER not in node.config.stash
    node.workeroutput = {"actbench_folder": str(tmp_path)}
    writer.pytest_testnodedown(node)
    assert node.config.stash[FOLDER] == tmp_path


_OWN = """
import torch

def good(x):
    return x * torch.sigmoid(1.5 * x)

def bad(x):
    return x / (1 + x.abs().max())
"""


@pytest.mark.usefixtures("trained")  # what it loads the inner runs must find loaded
def test_activation_adds_a_test_per_property(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ready-made tests join one's own, and each fault fails its own test."""
    monkeypatch.setattr(activations, "OWN", {})
    pytester.makepyfile(mine=_OWN)
    pytester.makepyfile("def test_other(): pass")
    good, bad = ("--actbench-activation=mine.py:good", "--actbench-activation=mine.py:bad")
    result = run(pytester, good, "-v", "-k", "not learns and not plain_loop")
    result.assert_outcomes(passed=9, deselected=2)  # ten of them the suite's, as the docs say
    result.stdout.fnmatch_lines(["mine.py:good::is_elementwise PASSED*"])
    result = run(pytester, bad, "-k", "elementwise or shape or finite_differences")
    result.assert_outcomes(passed=1, failed=2, deselected=8)
    result.stdout.fnmatch_lines(["mine.py:bad is not elementwise: what it returns for a number*"])
    run(pytester).assert_outcomes(passed=1)  # without the option nothing is added
