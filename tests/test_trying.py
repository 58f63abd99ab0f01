"""The command `try` and own code on the command line: one line for a mistake, and no traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from calls import Command

from actbench.cli.console import Session
from actbench.runs.early import Job
from actbench.study.catalog import activations, initializers, targets

_FILE = '''
def act(x):
    """x + x^3 / 10"""
    return x + x**3 / 10

def bad(x):
    return x.sum()

def late(x):
    if x.numel() > 9000:
        raise ValueError("too many")
    return x.relu()

def leaves(x):
    raise SystemExit(0)

def interrupted(x):
    raise KeyboardInterrupt

def wave(x):
    return x**2

def draw(layer):
    layer.weight.normal_(0, 0.3)
    layer.bias.zero_()
'''


@pytest.fixture
def actbench(actbench: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """Call the command line in a folder with a user's file, of which nothing stays registered."""
    for registry in (activations, targets, initializers):
        monkeypatch.setattr(registry, "OWN", {})
    (tmp_path / "mine.py").write_text(_FILE, encoding="utf-8")
    return actbench


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "there is nothing to try; name an activation, as in: actbench try my_act"),
        (("mine.py:bad",), "mine.py:bad returns shape () for inputs of shape (7, 5)"),
        (("mine.py:leaves",), "mine.py:leaves raises SystemExit: 0 on inputs of shape (7, 5)"),
        (("nowhere.py:f",), "there is no file 'nowhere.py'"),
        (("gelo",), "unknown activation 'gelo'; known: linear"),
        (("relu", "--target", "mine.py:bad"), "mine.py:bad returns ()"),
        (("relu", "--initializer", "mine.py:wave"), "mine.py:wave raises TypeError"),
        (("relu", "--initializer", "hee"), "unknown initializer 'hee'"),
    ],
)
def test_a_mistake_is_one_line(
    actbench: Command, arguments: tuple[str, ...], complaint: str
) -> None:
    """Exit code 2, one line that says what to do, and no folder left behind."""
    code, out, err = actbench("try", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"actbench: error: {complaint}")
    assert err.count("\n") == 1
    assert not Path("results").exists()


def test_an_interruption_in_own_code_ends_with_its_own_exit_code(
    actbench: Command,
) -> None:
    """Ctrl-C is no mistake of the code that happens to run."""
    code, _, err = actbench("try", "mine.py:interrupted")
    assert code == 130
    assert err.strip().startswith("actbench: interrupted")


def test_help_says_that_files_run(actbench: Command) -> None:
    """Whoever reads the help learns that a file is code."""
    code, out, _ = actbench("try", "--help")
    assert code == 0
    said = " ".join(out.replace("│", " ").split())
    assert "A file runs as code." in said
    assert "The code that you name is run: try only files that you trust." in said


@pytest.mark.parametrize("further", [(), ("--dry-run",)])
def test_what_own_code_raises_in_a_run_is_one_line(
    actbench: Command, further: tuple[str, ...]
) -> None:
    """Also where it was fit when it was checked, on fewer numbers."""
    settings = ("-a", "mine.py:late", "--seeds", "1", "--epochs", "1", "--quiet")
    code, _, err = actbench("run", "sine-regression", *settings, *further)
    assert code == 2
    assert err.splitlines()[-1].startswith(
        "actbench: error: mine.py:late raises ValueError: too many"
    )
    assert "Traceback" not in err


def test_run_takes_own_code_too(actbench: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """An experiment with an activation, a target and an initializer of one's own says so."""
    jobs: list[Job] = []
    monkeypatch.setattr(Session, "execute", lambda session, asked: jobs.extend(asked))
    own = ("-a", "mine.py:act", "--initializer", "mine.py:draw")
    code, _, err = actbench("run", "capacity", "--target", "mine.py:wave", *own)
    assert (code, err) == (0, "")
    protocol = jobs[0].config.protocol()
    assert protocol["own_code"].keys() == {"mine.py:act", "mine.py:wave", "mine.py:draw"}
    assert protocol["targets"] == ["mine.py:wave"]
    code, _, err = actbench("run", "sine-regression", "--target", "mine.py:wave")
    assert code == 2
    assert err.startswith("actbench: error: sine-regression has no setting --target; it takes ")
