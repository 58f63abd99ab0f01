"""The core alone: what works without the study's packages, and what says which one it needs.

`.ci/run` and a workflow run this file where they are not installed; elsewhere they are hidden.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest
from calls import Ended, python
from claim_factory import least, text_of

from actbench.store.errors import DISTRIBUTION, EXTRAS

ROOT = Path(__file__).parents[1]
ABSENT = [name for extra in ("study", "scale") for name in EXTRAS[extra]]
INSTALL = f'which is not installed. Run: pip install "{DISTRIBUTION}[study]"\n'

HIDE = f"""
import sys

class Without:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        absent = name.partition(".")[0] in {ABSENT}
        return None if absent else self.finder.find_spec(name, path, target)

sys.meta_path[:] = map(Without, sys.meta_path)
"""
CALL = """
import contextlib, io, json, sys

def called(program, words):
    sys.argv[1:] = words
    if program == "python":
        return exec(words[0], {})
    if program == "actbench":
        from actbench.cli import main
    else:
        from pytest import console_main as main
    return main()

said = []
for program, *words in json.loads(sys.argv[1]):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = called(program, words) or 0
        except SystemExit as end:
            code = end.code or 0
    said.append([code, out.getvalue(), err.getvalue()])
print(json.dumps(said))
"""
PYTHON = """
import json
import actbench

assert str(actbench.verify("claims.toml")).startswith("3 claims: 2 reproduced")
assert "reproduced" in str(actbench.judge([0.9] * 8, above=0.8))
said = {}
for name in ("networks", "figures", "experiments.sine_regression"):
    try:
        thing = actbench
        for part in name.split("."):
            thing = getattr(thing, part)
    except ImportError as error:
        said[name] = [str(error), error.name, isinstance(error, actbench.ActbenchError)]
print(json.dumps(said))
"""
FUNCTION = text_of(
    least("ours", "train", {}, "above", 0.92),
    train={"function": "ours.py:train", "settings": {"lr": 0.1}},
)
NETWORKS = text_of(
    least("theirs", "sine", {"name": "final_mse", "activation": "relu"}, "below", 1.0),
    sine={"experiment": "sine-regression"},
)
OURS = "def train(seed, lr):\n    return 0.95 + lr * (seed % 7) / 100\n"
TEST = """
from ours import train

def test_table_2(judge):
    judge(train, seeds=10, lr=0.1).above(0.92, reason="Table 2")
"""

README = (ROOT / "README.md").read_text(encoding="utf-8")
JUDGE = shlex.split(re.search(r"^actbench (judge .*)$", README, re.MULTILINE)[1])  # type: ignore[index]
RECORD = ("record", "--claims", "claims.toml", "--package", "numpy", "--out")
WORKS: Sequence[tuple[Sequence[str], str]] = (
    (["--version"], "actbench "),
    (["--help"], "reproduce"),
    (["run", "--help"], "sine-regression"),
    (JUDGE, "reproduced: test_acc where method is neighbors: median at least 0.97"),
    (["init", "examples/table/runs.csv", "--out", "drafted.toml"], "drafted.toml written."),
    (["verify", "claims.toml", "--report", "page.html", "--badge", "badge.svg"], "3 claims: 2 rep"),
    (["verify", "function.toml", "--allow-code"], "1 claim: 1 reproduced"),
    (["plan", "claims.toml"], "needed: runs for a verdict"),
    (["claims"], "All are judged from stored measurements."),
    (["claims", "show", "relu-final-mse"], "rerun"),
    (["robustness", "relu-final-mse"], "torch_default"),
    (["list"], "sine-regression"),
    ([*RECORD, "one.json"], "3 of 3 claims measured"),
    ([*RECORD, "two.json"], "3 of 3 claims measured"),
    (["drift", "one.json", "two.json"], "Passed."),
)
"""Commands that the core has, in this order, and a part of what they print."""

REFUSED: Sequence[tuple[Sequence[str], str]] = (
    (["run", "sine-regression"], "actbench run needs torch, "),
    (["reproduce", "--quick"], "actbench reproduce needs torch, "),
    (["report"], "actbench report needs torch, "),
    (["try", "ours.py:train"], "actbench try needs torch, "),
    (["sweep", "grid.toml"], "actbench sweep needs torch, "),
    (["recover", "main_run"], "actbench recover needs torch, "),
    (["record"], "actbench record without --claims needs torch, "),
    (["history"], "actbench history needs matplotlib, "),
    (["doctor", "--devices"], "actbench doctor needs torch, "),
    (["claims", "--out", "made"], "actbench claims needs xarray, "),
    (["claims", "show", "relu-final-mse", "--out", "made"], "actbench claims show needs xarray, "),
    (
        ["verify", "networks.toml"],
        "networks.toml: protocol 'sine' (sine-regression) needs torch, ",
    ),
)
"""Commands that it has not, and what they say before the way to get what they need."""

UNTESTED = {
    "--actbench-activation=relu": "pytest --actbench-activation needs torch, ",
    "--actbench-record=made.json": "pytest --actbench-record needs torch, ",
    "--actbench-claims=networks.toml": "protocol 'sine' (sine-regression) needs torch, ",
}
"""Options of `pytest` that it has not, and the same."""

# What the commands have imported is not rewritten.
PYTEST = ("-q", "-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning")
TESTED = [
    (*PYTEST, "test_ours.py", option) for option in ("--actbench-claims=claims.toml", *UNTESTED)
]


class Light:
    """A folder of somebody's who installed the core."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(ROOT / "examples" / "table", folder / "examples" / "table")
        shutil.copy(ROOT / "examples" / "table" / "runs.csv", folder)
        shutil.copy(ROOT / "examples" / "table" / "claims.toml", folder)
        (folder / "made").mkdir()
        (folder / "made" / "sine_regression.nc").touch()
        for name, text in {
            "function.toml": FUNCTION,
            "networks.toml": NETWORKS,
            "ours.py": OURS,
            "test_ours.py": TEST,
            "site/sitecustomize.py": HIDE if find_spec("torch") else "",
        }.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        path = os.pathsep.join(
            [str(folder / "site"), *filter(None, [os.environ.get("PYTHONPATH")])]
        )
        self._variables = {"NO_COLOR": "1", "COLUMNS": "200", "PYTHONPATH": path}

    def call(self, calls: Sequence[Sequence[str]]) -> Mapping[str, Ended]:
        """Call `python`, `actbench` and `pytest` in one process."""
        words = ("-c", CALL, json.dumps(calls))
        done = python(*words, folder=self.folder, variables=self._variables)
        assert done.code == 0, done.err
        ends = (Ended(*end) for end in json.loads(done.out))
        return {shlex.join(words): end for words, end in zip(calls, ends, strict=True)}


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Light:
    """The folder, with a table, a function, a test and three claims files."""
    return Light(tmp_path_factory.mktemp("light"))


@pytest.fixture(scope="module")
def said(light: Light) -> Mapping[str, Ended]:
    """What a program in Python says, then each command, then `pytest`."""
    commands = [*(words for words, _ in (*WORKS, *REFUSED)), ["doctor"]]
    calls = [*(["actbench", *words] for words in commands), *(["pytest", *w] for w in TESTED)]
    return light.call([["python", PYTHON], *calls])


@pytest.mark.parametrize(("words", "text"), WORKS, ids=[shlex.join(words) for words, _ in WORKS])
def test_the_core_works(said: Mapping[str, Ended], words: Sequence[str], text: str) -> None:
    """Exit code 0, and the answer."""
    code, out, err = said[shlex.join(["actbench", *words])]
    assert (code, text in out) == (0, True), out + err


@pytest.mark.parametrize(("words", "text"), REFUSED, ids=[shlex.join(w) for w, _ in REFUSED])
def test_what_is_missing_is_one_line(
    said: Mapping[str, Ended], words: Sequence[str], text: str
) -> None:
    """Exit code 2; what needs which package, and what to type."""
    assert said[shlex.join(["actbench", *words])] == (2, "", f"actbench: error: {text}{INSTALL}")


def test_nothing_is_half_done(said: Mapping[str, Ended], light: Light) -> None:
    """A refused command leaves nothing; the others left their files."""
    assert said
    left = {path.name for path in light.folder.iterdir()}
    assert {"drafted.toml", "page.html", "badge.svg", "one.json", "two.json"} <= left
    assert {path.name for path in (light.folder / "results").iterdir()} == {"claims", "function"}


def test_the_doctor_says_what_is_not_there(said: Mapping[str, Ended]) -> None:
    """It is no fault: what the core does is named, and how to get the rest."""
    assert re.search(
        r"^ok   without torch, xarray, matplotlib, .*: tables, functions and programs are judged; "
        rf'for the study, pip install "{DISTRIBUTION}\[study\]"$',
        said["actbench doctor"].out,
        re.MULTILINE,
    )


def test_python_says_it_as_an_import_error(said: Mapping[str, Ended]) -> None:
    """Judging works; of the study, the name that was asked for stands in the message."""
    done = said[shlex.join(["python", PYTHON])]
    assert json.loads(done.out) == {
        name: [f"actbench.{name} needs {package}, {INSTALL.rstrip()}", package, True]
        for name, package in (
            ("networks", "torch"),
            ("figures", "matplotlib"),
            ("experiments.sine_regression", "torch"),
        )
    }


def test_the_plugin_judges_and_says_what_is_missing(said: Mapping[str, Ended]) -> None:
    """`judge` in a test with a claims file beside it; what the study's options need, before any."""
    judged, *others = (said[shlex.join(["pytest", *words])] for words in TESTED)
    assert judged.code == 0, judged.out
    assert re.search(r"^4 passed in", judged.out, re.MULTILINE), judged.out
    for (code, out, err), text in zip(others, UNTESTED.values(), strict=True):
        assert (code, f"{text}{INSTALL}" in err, "passed" in out) == (4, True, False), out + err
