"""The tutorial's numbers are those that its own lines print."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "tutorial.md"


def lesson(text: str) -> doctest.DocTest:
    """All Python lines of a page with what stands below them, as one session."""
    # Blank where the prose stands, so that line numbers in a failure are the page's.
    parts = re.split(r"^```(?:pycon)?$", text, flags=re.MULTILINE)
    kept = [part if n % 2 else "\n" * part.count("\n") for n, part in enumerate(parts)]
    return doctest.DocTestParser().get_doctest("".join(kept), {}, PAGE.name, str(PAGE), 0)


def failures(text: str) -> int:
    """Run a page and count the lines that print something else."""
    return doctest.DocTestRunner(verbose=False).run(lesson(text)).failed


@pytest.mark.slow
def test_every_number_of_the_tutorial_is_printed_again() -> None:
    """Each block follows from the ones before it, on this machine as on the author's."""
    text = PAGE.read_text(encoding="utf-8")
    assert len(lesson(text).examples) > 20
    assert failures(text) == 0


def test_a_wrong_number_would_be_seen(capsys: pytest.CaptureFixture[str]) -> None:
    """The check can fail."""
    page = "Text\n\n```pycon\n>>> 1 + 1\n2\n```\n\nand\n\n```pycon\n>>> 1 + 2\n4\n```\n"
    assert failures(page) == 1
    assert "Expected:\n    4" in capsys.readouterr().out


def test_the_tutorials_pictures_are_there() -> None:
    """Every picture that the page shows lies beside it."""
    shown = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", PAGE.read_text(encoding="utf-8"))
    assert shown
    assert all((PAGE.parent / name).exists() for name in shown)
