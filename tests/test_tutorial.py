"""The tutorial's numbers are those that its own lines print."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "tutorial.md"


@pytest.mark.slow
def test_every_number_of_the_tutorial_is_printed_again() -> None:
    """As ``python -m doctest`` runs the page: each block follows from the ones before it."""
    found = doctest.testfile(str(PAGE), module_relative=False)
    assert (found.failed, found.attempted > 20) == (0, True)


def test_no_fence_is_taken_for_output() -> None:
    """Doctest knows no Markdown: what a line prints ends at a blank one, before the fence."""
    examples = doctest.DocTestParser().get_examples(PAGE.read_text(encoding="utf-8"))
    assert [example.want for example in examples if "```" in example.want] == []


def test_the_tutorials_pictures_are_there() -> None:
    """Every picture that the page shows lies beside it."""
    shown = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", PAGE.read_text(encoding="utf-8"))
    assert shown
    assert all((PAGE.parent / name).exists() for name in shown)
