"""Records of somebody's own claims: made without torch, compared seed by seed."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from calls import Command, printed
from claim_factory import least, text_of
from record_factory import chain, distribution, record, step, verdict

from actbench.claims import load
from actbench.store.errors import ActbenchError
from actbench.tracking import fingerprinting, records
from actbench.tracking.drift import writing
from actbench.tracking.drift.comparing import Drift, compare
from actbench.tracking.drift.distributions import Level
from actbench.tracking.records import Chain, Record
from actbench.tracking.releases import measuring
from actbench.tracking.releases.subject import Subject, subject_of

CLAIMS = text_of(
    least("error-is-small", "run", {}, "below", 2, expected="reproduced"),
    least("table-is-large", "there", {"column": "acc"}, "above", 0.5),
    run={"function": "ours.py:error"},
    there={"table": "runs.csv"},
)


@pytest.fixture
def claims(tmp_path: Path) -> Path:
    """A file of claims, one about a function that fails for seed 43, one about a table."""
    (tmp_path / "ours.py").write_text(
        "def error(seed):\n    return float('nan') if seed == 43 else seed / 100\n"
    )
    rows = "".join(f"{seed},0.9\n" for seed in range(10))
    (tmp_path / "runs.csv").write_text(f"seed,acc\n{rows}")
    path = tmp_path / "claims.toml"
    path.write_text(CLAIMS)
    return path


def test_a_record_of_own_claims_needs_no_torch(claims: Path) -> None:
    """Verdicts, values by seed and versions; neither torch nor what draws is imported."""
    out = claims.with_name("r.json")
    script = (
        "import sys; from actbench.cli import main; "
        "heavy = {'torch', 'xarray', 'matplotlib', 'PIL', 'threadpoolctl'}; "
        "sys.modules.update(dict.fromkeys(heavy)); main()"
    )
    asked = ("record", "--claims", claims, "--out", out, "--package", "numpy", "--seeds", 9)
    assert printed("-c", script, *asked, "--allow-code").startswith(f"{out}: numpy ")
    made = records.load(out)
    assert (made.package, made.of_study, made.parts) == ("numpy", False, {"verdicts"})
    assert [(v.id, v.expected, v.seeds, v.fresh) for v in made.verdicts] == [
        ("error-is-small", "reproduced", 9, True),
        ("table-is-large", "", 10, True),
    ]
    assert [v.digest for v in made.verdicts] == [load(claims).digest(c) for c in load(claims).claim]
    run, there = made.distributions
    assert (run.seeds, there.seeds) == (
        [str(s) for s in range(42, 51)],
        [str(s) for s in range(10)],
    )
    assert run.values[0] == 0.42
    assert str(run.values[1]) == "nan"
    assert {"python", "system", "cpu", "pandas", "pytest"} <= made.environment.keys()


def a_record(values: list[float], seeds: list[str], **more: Any) -> Record:
    """One claim's values on a release of a package."""
    name = "error-is-small"
    metric = {"name": "values", "claim": name}
    return record(
        environment={"package": "ours", "ours": "1.0", "torch": "not installed", **more},
        protocols={"run": {"function": "ours.py:error"}},
        verdicts=[verdict(name, digest=more.get("asks", "0" * 16))],
        distributions=[distribution(values, "run", metric=metric, seeds=seeds)],
    )


VALUES = [float(n) for n in range(1, 17)]
SEEDS = [str(n) for n in range(16)]
OLD = a_record(VALUES, SEEDS)


def drift_to(new: Record) -> Drift:
    """Compare with the old record."""
    return compare(OLD, new, {"error-is-small": "run"})


def test_values_are_compared_seed_by_seed() -> None:
    """How many seeds have other bits, and by how much the one in the middle changed."""
    changed = [*VALUES[:4], *(value + 0.5 for value in VALUES[4:])]
    found = drift_to(a_record(changed, SEEDS, ours="1.1"))
    (metric,) = found.metrics.metrics
    assert (metric.differing, metric.median_change) == (12, 0.5)
    assert metric.level is Level.WITHIN_SPREAD
    assert found.claims.unexpected == ()
    page = writing.markdown(found, [])
    assert page.startswith("# Drift from ours 1.0 to 1.1\n")
    assert "| 12 of 16 | +0.5 |" in page
    assert "fingerprints:" not in page
    assert json.loads(writing.as_json(found, []))["old"]["environment"]["ours"] == "1.0"


def test_other_seeds_are_compared_as_distributions() -> None:
    """The same numbers on other seeds do not pair; another distribution is outside."""
    others = [str(n) for n in range(100, 116)]
    (metric,) = drift_to(a_record([v + 100 for v in VALUES], others)).metrics.metrics
    assert (metric.level, metric.differing) == (Level.OUTSIDE_SPREAD, None)
    (metric,) = drift_to(a_record([v + 1e-15 for v in VALUES], others)).metrics.metrics
    assert metric.level is Level.WITHIN_SPREAD


def test_a_claim_that_asks_something_else_is_left_out_with_its_values() -> None:
    """Its numbers may be those of another metric."""
    found = drift_to(a_record(VALUES, SEEDS, asks="1" * 16))
    assert (found.claims.compared, found.metrics.metrics, found.metrics.left_out) == (0, (), 1)


def test_a_change_of_code_is_told() -> None:
    """What drifts may be due to it."""
    found = compare(a_record(VALUES, SEEDS), a_record(VALUES, SEEDS, **{"code of run": "f"}), {})
    assert "Not only ours differs" in found.scope.notes[-1]
    assert "code of run not stated in the old record, f in the new" in found.scope.notes[-1]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("record --package numpy", "name their file with --claims"),
        ("record --only timings --claims claims.toml", "with --claims leave it out"),
        ("record --claims claims.toml", "protocol 'run' runs code, function = 'ours.py:er"),
        (
            "record --claims claims.toml --allow-code --package no-such",
            "no-such is not installed here",
        ),
        (
            "bisect --claims claims.toml --allow-code --good 1 --bad 2 table-is-large",
            "claim 'table-is-large' is judged from numbers that are there",
        ),
    ],
)
def test_a_mistake_is_one_line(claims: Path, actbench: Command, arguments: str, text: str) -> None:
    """Exit code 2, and nothing is run or written."""
    code, _, error = actbench(*arguments.split())
    assert code == 2
    assert text in error.replace("\n", " ")
    assert not (claims.parent / ".actbench").exists()


def test_an_environment_without_training_comes_without_torch(claims: Path, tmp_path: Path) -> None:
    """What was named, the release, and the core of actbench."""
    (tmp_path / "needed.txt").write_text("scipy==1.13.0  # of the paper\n")
    subject = subject_of(
        *(claims, "Scikit_Learn", (), ["numpy<2"], tmp_path / "needed.txt"), allow_code=True
    )
    python = tmp_path / "bin" / "python"
    assert subject.light
    assert measuring._installing("1.3.0", "SOURCE", python, subject)[7:] == [
        *("--only-binary=scikit-learn", "-r", str(tmp_path / "needed.txt"), "numpy<2"),
        *("scikit-learn==1.3.0", "SOURCE"),
    ]
    assert subject.pinned_apart() == {"scikit-learn", "numpy", "scipy"}
    command = measuring.record_command(python, tmp_path / "r.json", [], subject)
    assert command[command.index("--claims") + 1] == str(claims)
    assert command[-1] == "--allow-code"
    assert Subject().options() == []


MODEL = """
import numpy as np
def halves(seed, factor):
    return (lambda x: {"half": x / 2, "scaled": factor * x}), np.arange(1.0, 40.0)
def breaks(seed):
    return (lambda x: 1 / 0), 1
def alone(seed):
    return halves
"""
FINGERPRINTS = """
[fingerprint.halves]
function = "model.py:halves"
settings = { factor = 3 }
[fingerprint.breaks]
function = "model.py:breaks"
[fingerprint.alone]
function = "model.py:alone"
[fingerprint.lost]
function = "model.py:halve"
"""


def test_fingerprints_of_own_models_are_recorded_and_compared(claims: Path) -> None:
    """Without torch; another result of the same code is the first layer that parts."""
    claims.write_text(CLAIMS + FINGERPRINTS.partition("[fingerprint.breaks]")[0])
    model = claims.with_name("model.py")
    model.write_text(MODEL)
    subject = subject_of(claims, "numpy", (), seeds=9, allow_code=True)

    def made() -> Record:
        return subject.record("cpu", None, lambda title, steps: nullcontext(lambda done: None))[0]

    old = made()
    assert [chain.name for chain in old.chains] == ["own/halves/float64"]
    assert old.parts == {"verdicts", "fingerprints"}
    assert subject.fits(old)
    records.save(old, claims.with_name("old.json"))
    assert records.load(claims.with_name("old.json")).chains == old.chains
    assert compare(old, made(), {}).chains.first_parting == ""
    model.write_text(MODEL.replace("factor * x", "factor * x * (1 + 2**-50)"))
    assert not subject.fits(old)
    parting = compare(old, made(), {}).chains.first_parting
    assert parting.startswith("own/halves/float64: output.scaled, up to ")
    assert "units in the last place" in parting


def test_a_fingerprint_that_fails_is_a_note(claims: Path) -> None:
    """Where the user's code fails, what is wrong with what it returns, or that it is not there."""
    failing = FINGERPRINTS.partition("[fingerprint.breaks]")[2]
    claims.write_text(f"{CLAIMS}[fingerprint.breaks]{failing}")
    claims.with_name("model.py").write_text(MODEL)
    chains, notes = fingerprinting.take(load(claims))
    assert chains == []
    assert notes == [
        "fingerprint breaks: failed, model.py, line 6: ZeroDivisionError: division by zero",
        "fingerprint alone: failed, model.py:alone returned function, but must return two things: "
        "a module or a function, and its inputs",
        "fingerprint lost: failed, model.py has no 'halve'; did you mean 'halves'?",
    ]


def test_a_fingerprint_runs_when_allowed_only(claims: Path) -> None:
    """A record names the function that it would run; a file of tables is judged without."""
    small = least("table-is-small", "there", {"column": "acc"}, "below", 2)
    table = text_of(small, there={"table": "runs.csv"})
    claims.write_text(table + FINGERPRINTS)
    with pytest.raises(ActbenchError, match=r"fingerprint 'halves' runs code, function = 'model"):
        subject_of(claims, "numpy", ())
    assert load(claims).fingerprint["halves"].settings == {"factor": 3}
    claims.write_text(table + '[fingerprint.ours]\nfunction = "model.py"\n')
    with pytest.raises(ActbenchError, match=r"'model.py' does not name a function"):
        fingerprinting.take(load(claims))


def test_a_record_of_the_study_has_no_word_of_own_models() -> None:
    """Older versions refuse what they do not know."""
    streams = chain("streams/float32", step("rand", [0.5]))
    assert set(streams.model_dump()) == {"engine", "activation", "dtype", "steps"}
    own = streams.model_copy(update={"engine": "own", "model": "ours"})
    assert own.name == "own/ours/float32"
    assert Chain.model_validate(own.model_dump()) == own
