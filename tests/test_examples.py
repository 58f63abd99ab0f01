"""The examples do what their page says, run as a reader would run them."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
from calls import Command

from actbench.claims import ClaimsFile
from actbench.claims.statistics import FEWEST_FOR_MEAN, seeds_for_median, seeds_for_proportion
from actbench.runs.drafting import schema

pytest_plugins = ["pytester"]

EXAMPLES = Path(__file__).parents[1] / "examples"


def copied(name: str, tmp_path: Path) -> Path:
    """Copy an example, once."""
    folder = tmp_path / name
    if not folder.exists():
        shutil.copytree(EXAMPLES / name, folder, ignore=shutil.ignore_patterns(".actbench"))
    return folder


@pytest.fixture
def verify(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, actbench: Command
) -> Callable[..., tuple[int, dict[str, str], str]]:
    """Verify a copy of an example, and return the exit code, the verdicts and what was said."""

    def call(name: str, *options: str) -> tuple[int, dict[str, str], str]:
        folder = copied(name, tmp_path)
        monkeypatch.chdir(folder)
        code, _, said = actbench("verify", "claims.toml", *options)
        ledger = folder / "results" / "claims" / "ledger.json"
        found = json.loads(ledger.read_text()) if ledger.exists() else []
        return code, {row["id"]: row["verdict"] for row in found}, said

    return call


def test_a_table(verify: Callable[..., tuple[int, dict[str, str], str]], tmp_path: Path) -> None:
    """Two claims hold, one that was read off one run does not; the page needs nothing else."""
    code, verdicts, _ = verify("table", "--report", "page.html", "--badge", "badge.svg")
    assert code == 0
    assert verdicts == {
        "neighbors-reach-97": "reproduced",
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
    assert len(kept) == 16 + 24 + 2  # two say what their folder is of
    assert verify("program", "--allow-code")[0] == 0
    assert [path.stat().st_mtime_ns for path in kept] == times


@pytest.mark.slow
@pytest.mark.usefixtures("no_other_plugins")
def test_a_classifier_in_a_test(pytester: pytest.Pytester) -> None:
    """Over splits and in pairs, with the fixture."""
    pytest.importorskip("sklearn")
    pytester.makepyfile((EXAMPLES / "classifier" / "test_digits.py").read_text())
    result = pytester.runpytest_subprocess("-p", "actbench.pytest_plugin")
    result.assert_outcomes(passed=2)


PAGE = (Path(__file__).parents[1] / "docs" / "own_study.md").read_text(encoding="utf-8")


def test_the_page_shows_files_that_are_valid() -> None:
    """Each file of claims on it, by the schema and by the reader."""
    blocks = re.findall(r"^```toml\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        content = tomllib.loads(block)
        jsonschema.Draft202012Validator(schema()).validate(content)
        ClaimsFile.model_validate(content)


def test_the_page_says_how_many_runs_it_takes() -> None:
    """As the judge counts them."""
    row = re.search(r"100 pinned claims take (\d+) runs for a median", PAGE)
    assert row is not None
    assert int(row[1]) == seeds_for_median(0.01 / 100)
    for quantifier, runs in (
        ("median", seeds_for_median(0.01)),
        ("every", seeds_for_proportion(0.95, 0.01)),
        ("mean", FEWEST_FOR_MEAN),
    ):
        assert re.search(rf"^\| `{quantifier}` .*\| {runs} \|$", PAGE, flags=re.MULTILINE)


def test_the_readme_shows_what_its_command_prints(
    monkeypatch: pytest.MonkeyPatch, actbench: Command
) -> None:
    """The first screen's verdict is that of the file that it names."""
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    line = re.search(r"^actbench (judge .*)$", readme, flags=re.MULTILINE)
    shown = re.search(r"^```text\n(.*?)^```", readme, flags=re.MULTILINE | re.DOTALL)
    assert line is not None
    assert shown is not None
    monkeypatch.chdir(Path(__file__).parents[1])
    assert actbench(*shlex.split(line[1]))[:2] == (0, shown[1])
    assert len(readme.split()) <= 1000


def test_a_plan_says_how_many_runs_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, actbench: Command
) -> None:
    """Of a table from its rows; where all agree, about as many as the wording takes."""
    monkeypatch.chdir(copied("table", tmp_path))
    code, out, _ = actbench("plan", "claims.toml", "--format", "json")
    assert code == 0
    rows = {row["id"]: row for row in json.loads(out)}
    assert rows["neighbors-reach-97"]["runs"] == 20
    needed = {name: row["runs_needed"] for name, row in rows.items()}
    assert seeds_for_median(0.005) <= needed["neighbors-reach-97"] <= 12
    assert 0 < rows["neighbors-reach-97"]["smallest_difference"] < 0.02
    assert rows["linear-reaches-96"]["smallest_difference"] is None
