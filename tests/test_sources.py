"""Claims files whose numbers come from code: refused, run, kept and told, whoever asks."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import pytest
from calls import PLUGIN, Command
from claim_factory import least, text_of

import actbench
from actbench.runs import sources, worker
from actbench.store.errors import ActbenchError

pytest_plugins = ["pytester"]

TRAIN = """
import random

def train(seed, mean):
    with open("calls.txt", "a") as calls:
        calls.write(f"{seed}\\n")
    if seed == 44:
        raise RuntimeError("diverged")
    return {"acc": random.Random(seed).gauss(mean, 0.004), "seed": seed}
"""
CLAIMS = text_of(
    least("reaches-90", "f", {"column": "acc"}, "above", 0.9, expected="reproduced"),
    least("reaches-99", "f", {"column": "acc"}, "above", 0.99, expected="not_reproduced"),
    f={"function": "train.py:train", "settings": {"mean": 0.94}},
)
SLOPE = {"name": "derivative_max", "activation": "mine.py:half"}
OWN_ACTIVATION = text_of(
    least("a-half", "x", SLOPE, "equals", 0.5, 1e-6, quantifier="exact", expected="reproduced"),
    x={"experiment": "activation-derivatives", "settings": {"activations": ["mine.py:half"]}},
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a stranger with a function and claims about it."""
    assert {sources, worker} <= set(sys.modules.values())  # inner runs drop what they loaded
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "claims.toml").write_text(CLAIMS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def verify(actbench: Command) -> Command:
    """Verify the claims: exit code, standard output, standard error."""
    return partial(actbench, "verify", "claims.toml")


def test_code_runs_when_that_is_allowed_and_once(verify: Command, project: Path) -> None:
    """A run that fails counts as one and is told; nothing is run again, unless it is asked for."""
    calls = project / "calls.txt"
    code, _, said = verify()
    assert code == 2
    assert "protocol 'f' runs code, function = 'train.py:train'. If you trust it, give" in said
    code, out, _ = verify("--allow-code", "--dry-run")
    assert (code, out) == (0, "f: 16 of 16 runs to make\n")
    assert not calls.exists()
    code, out, said = verify("--allow-code")
    assert code == 0
    assert "Note: f, seed 44: failed, train.py, line 8: RuntimeError: diverged" in said
    assert calls.read_text().split() == [str(seed) for seed in range(42, 58)]
    code, out, _ = verify("--allow-code", "--dry-run", "--seeds", "20")
    assert out.startswith("f: 4 of 20 runs to make, about ")
    assert verify("--allow-code", "--workers", "2")[0] == 0
    assert len(calls.read_text().split()) == 16
    assert verify("--allow-code", "--fresh")[0] == 0
    assert len(calls.read_text().split()) == 32


def test_until_decided_makes_each_run_once(verify: Command, project: Path) -> None:
    """Anew at every look would be many times as many, and what failed is told once."""
    code, out, said = verify("--allow-code", "--until-decided", "--fresh")
    calls = (project / "calls.txt").read_text().split()
    assert code == 0
    assert calls == [str(42 + place) for place in range(len(calls))]
    assert f"f: {len(calls)} runs" in out
    assert said.count("RuntimeError: diverged") == 1


def test_python_has_the_same_verdicts(project: Path) -> None:
    """As a sequence, which a notebook shows with a picture each; refused without being allowed."""
    with pytest.raises(ActbenchError, match="runs code"):
        actbench.verify(project / "claims.toml")
    ledger = actbench.verify(project / "claims.toml", allow_code=True)
    assert [str(judgment.verdict) for judgment in ledger] == ["reproduced", "not_reproduced"]
    assert ledger.changed == []
    assert ledger.notes == ("f, seed 44: failed, train.py, line 8: RuntimeError: diverged",)
    assert str(ledger) == "2 claims: 1 reproduced, 1 not_reproduced; all as expected"
    assert ledger._repr_html_().count("<article") == len(ledger) == 2
    assert ledger[0]._repr_html_().count("<circle") == 15 + 1  # 15 runs and their median


@pytest.mark.usefixtures("no_other_plugins")
def test_pytest_judges_code_too(project: Path, pytester: pytest.Pytester) -> None:
    """One usage line where it is not allowed; else a test per claim."""
    arguments = (*PLUGIN, f"--actbench-claims={project / 'claims.toml'}")
    result = pytester.runpytest_inprocess(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: *protocol 'f' runs code*(pytest: --actbench-allow-code)"])
    result = pytester.runpytest_inprocess(*arguments, "--actbench-allow-code")
    result.assert_outcomes(passed=1, xfailed=1)


@pytest.mark.usefixtures("no_other_plugins")
def test_an_activation_of_ones_own_is_code(tmp_path: Path, pytester: pytest.Pytester) -> None:
    """It is seen from the file's folder, and refused unless that is allowed; under pytest too."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    path = folder / "claims.toml"
    (folder / "mine.py").write_text("def half(x):\n    return x / 2\n")
    path.write_text(OWN_ACTIVATION)
    refused = r"protocol 'x' runs code, activations = 'mine\.py:half'\. If you trust it"
    with pytest.raises(ActbenchError, match=refused):
        actbench.verify(path, out=tmp_path)
    (judgment,) = actbench.verify(path, out=tmp_path, allow_code=True, threads=1)
    assert (judgment.verdict, judgment.values.tolist()) == ("reproduced", [0.5])
    arguments = (*PLUGIN, f"--actbench-claims={path}")
    result = pytester.runpytest_inprocess(*arguments)
    result.stderr.fnmatch_lines(["ERROR: *protocol 'x' runs code*"])
    pytester.runpytest_inprocess(*arguments, "--actbench-allow-code").assert_outcomes(passed=1)
