"""The search for a change, against a walk over every release."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from actbench.tracking.releases.bisecting import Found, search


@dataclass
class Counting:
    """Measures from a list, and counts.

    Args:
        history: The true value of each release; ``None`` where it can't be measured.
        asked: What was measured, in order.
    """

    history: dict[str, str | None]
    asked: list[str] = field(default_factory=list)

    def __call__(self, release: str) -> str | None:
        """Return the true value."""
        self.asked.append(release)
        return self.history[release]


def names(count: int) -> list[str]:
    """Name releases in order."""
    return [f"2.{number}.0" for number in range(count)]


def searched(values: Sequence[str | None], known: Sequence[int] = ()) -> tuple[Found, Counting]:
    """Search a history whose ends, and those that are said, are known."""
    releases = names(len(values))
    counting = Counting(dict(zip(releases, values, strict=True)))
    there = {releases[i] for i in (0, len(values) - 1, *known)}
    free = {r: v for r, v in counting.history.items() if r in there and v is not None}
    return search(releases, free, counting), counting


@given(st.integers(1, 40), st.integers(1, 40))
def test_one_change_is_found_in_log2_steps(before: int, after: int) -> None:
    """A history that changes once: the release of the change, with no more than log2 questions."""
    found, counting = searched(["old"] * before + ["new"] * after)
    releases = names(before + after)
    assert found.first_change == (releases[before - 1], releases[before])
    assert found.suspects == [releases[before]]
    assert found.monotonic
    assert len(counting.asked) <= math.ceil(math.log2(before + after))


MEASURED = st.sampled_from(["a", "b", "c"])
HISTORIES = st.tuples(
    MEASURED, st.lists(st.one_of(MEASURED, st.none()), max_size=25), MEASURED
).map(lambda parts: [parts[0], *parts[1], parts[2]])


@given(HISTORIES, st.data())
def test_any_history_gives_a_true_change(values: list[str | None], data: st.DataObject) -> None:
    """Back and forth, third values, gaps: what is reported is a change that a walk finds too."""
    known = data.draw(st.lists(st.integers(0, len(values) - 1)))
    found, counting = searched(values, known)
    releases = names(len(values))
    assert len(set(counting.asked)) == len(counting.asked)
    assert not set(counting.asked) & {releases[i] for i in known if values[i] is not None}
    assert dict(found.values).items() <= counting.history.items()
    assert list(found.values) == [r for r in releases if r in found.values]
    walked = [
        (a, b) for a, b in pairwise(found.values) if counting.history[a] != counting.history[b]
    ]
    assert found.transitions == walked
    assert found.monotonic == (len(walked) < 2)
    if values[0] == values[-1]:
        assert counting.asked == []
        return
    assert found.first_change is not None
    before, after = map(releases.index, found.first_change)
    assert values[before] == values[0]
    assert values[after] not in {values[0], None}
    assert values[before + 1 : after] == [None] * (after - before - 1)
    assert found.suspects == releases[before + 1 : after + 1]


@given(st.integers(1, 20), st.integers(1, 20), st.data())
def test_skipped_releases_leave_suspects(before: int, after: int, data: st.DataObject) -> None:
    """Where some can't be measured, the true release is a suspect, and no more than need be are."""
    values: list[str | None] = [*["old"] * before, *["new"] * after]
    gaps = data.draw(st.sets(st.integers(1, len(values) - 2))) if len(values) > 2 else set()
    true = names(len(values))[before]
    with_gaps = [None if i in gaps else value for i, value in enumerate(values)]
    found, counting = searched(with_gaps)
    assert true in found.suspects
    assert set(found.suspects[:-1]) <= set(found.skipped)
    measured = [r for r in counting.asked if r not in found.skipped]
    assert len(measured) <= math.ceil(math.log2(len(values)))


def test_a_return_is_told_from_one_change() -> None:
    """Old, new, old, new: a known release in between shows that the history is not one change."""
    values = ["old", "old", "new", "new", "old", "old", "new"]
    found, _ = searched(values, known=[2, 4])
    assert found.first_change == ("2.1.0", "2.2.0")
    assert found.transitions == [("2.1.0", "2.2.0"), ("2.2.0", "2.4.0"), ("2.4.0", "2.6.0")]
    assert not found.monotonic


def test_ends_that_agree_are_not_searched_but_known_changes_are_listed() -> None:
    """Equal ends with a known other value between: nothing is measured, both changes are told."""
    found, counting = searched(["old", "old", "new", "old"], known=[2])
    assert counting.asked == []
    assert found.transitions == [("2.0.0", "2.2.0"), ("2.2.0", "2.3.0")]
