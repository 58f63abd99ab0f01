"""The examples do what their page says, run as a reader would run them."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from actbench.cli import main

pytest_plugins = ["pytester"]

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def verify(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, dict[str, str], str]]:
    """Verify a copy of an example, and return the exit code, the verdicts and what was said."""

    def call(name: str, *options: str) -> tuple[int, dict[str, str], str]:
        folder = tmp_path / name
        if not folder.exists():
            shutil.copytree(EXAMPLES / name, folder, ignore=shutil.ignore_patterns(".actbench"))
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", ["actbench", "verify", "claims.toml", *options])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        ledger = folder / "results" / "claims" / "ledger.json"
        found = json.loads(ledger.read_text()) if ledger.exists() else []
        return int(end.value.code or 0), {row["id"]: row["verdict"] for row in found}, said.err

    return call


def test_a_table(verify: Callable[..., tuple[int, dict[str, str], str]], tmp_path: Path) -> None:
    """Two claims hold, one that was read off one run does not; the page needs nothing else."""
    code, verdicts, _ = verify("table", "--report", "page.html", "--badge", "badge.svg")
    assert code == 0
    assert verdicts == {
        "neighbors-reach-98": "reproduced",
        "neighbors-beat-linear": "reproduced",
        "linear-reaches-96": "not_reproduced",
    }
    page = (tmp_path / "table" / "page.html").read_text()
    assert page.count('<svg class="strip"') == 3
    assert "2 of 3 hold" in (tmp_path / "table" / "badge.svg").read_text()


def test_a_program(verify: Callable[..., tuple[int, dict[str, str], str]], tmp_path: Path) -> None:
    """It runs when that is allowed, once per seed and never again."""
    code, verdicts, said = verify("program")
    assert (code, verdicts) == (2, {})
    assert "protocol 'eight' runs code, command = 'python train.py" in said
    code, verdicts, _ = verify("program", "--allow-code", "--workers", "2")
    assert (code, verdicts["eight-units-learn-xor"]) == (0, "reproduced")
    assert verdicts["two-units-suffice"] == "not_reproduced"
    kept = sorted((tmp_path / "program" / ".actbench" / "runs").glob("*/*.json"))
    times = [path.stat().st_mtime_ns for path in kept]
    assert len(kept) == 16 + 40 + 2  # two say what their folder is of
    assert verify("program", "--allow-code")[0] == 0
    assert [path.stat().st_mtime_ns for path in kept] == times


@pytest.mark.usefixtures("no_other_plugins")
def test_a_classifier_in_a_test(pytester: pytest.Pytester) -> None:
    """Over splits and in pairs, with the fixture."""
    pytest.importorskip("sklearn")
    pytester.makepyfile((EXAMPLES / "classifier" / "test_digits.py").read_text())
    result = pytester.runpytest_subprocess("-p", "actbench.pytest_plugin")
    result.assert_outcomes(passed=2)
