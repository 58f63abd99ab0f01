"""The history over torch releases: what it finds in records, its page, and its command."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from calls import Command, Ended
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from record_factory import STEADY, chain, record, step, timings, verdict

from actbench import claims
from actbench.store.errors import ActbenchError
from actbench.tracking import history, records
from actbench.tracking.history import History, page
from actbench.tracking.history.drawing import FIGURES
from actbench.tracking.records import Record, Timings

CLAIM = "relu-final-mse"
SLOW = "gelu-final-mse"
RELEASES = ("2.6.0", "2.9.1", "2.10.0", "2.15.0")


LOOP = "loop/relu/float32"


def takes(durations: dict[str, float]) -> Timings:
    """Workloads that take so long, give or take what noise does."""
    return timings({name: [more * v for v in STEADY] for name, more in durations.items()})


def four() -> list[Record]:
    """Four releases: bits move at 2.9.1 and back at 2.15.0, a claim flips and work slows at 2.10.0.

    2.9.1 judged the claim from stored values; they say another thing, which must not count.
    """
    made = []
    for number, release in enumerate(RELEASES):
        moved = 0.75 + (4 * 2.0**-53 if number in (1, 2) else 0)
        said = "inconclusive" if number >= 2 else "reproduced"
        made.append(
            record(
                release,
                verdicts=[
                    verdict(CLAIM, said, margin=0.5)
                    if number != 1
                    else verdict(CLAIM, "not_reproduced", fresh=False),
                    verdict(SLOW, fresh=False),
                ],
                chains=[
                    chain(
                        "operations/gelu/float64",
                        step("forward", [0.5]),
                        step("derivative", [moved]),
                    ),
                    chain("stack/relu/float32", step("linear", [0.3]), step("loss", [0.1], 1)),
                ],
                timings=takes({LOOP: 1.5 if number >= 2 else 1.0, "stack/relu/float32": 1.0}),
            )
        )
    return made


def laid_out(*found: Record, refused: tuple[str, ...] = ()) -> History:
    """The history of some records, each from a file of its own."""
    pairs = [(Path(f"{number}.json"), given) for number, given in enumerate(found)]
    return history.of(pairs, claims.published(), refused)


def test_a_flip_counts_against_the_last_measured_verdict() -> None:
    """Verdicts from stored values neither flip nor agree; they are no cell of the strip."""
    found = laid_out(*four())
    (row,) = found.claims
    assert row.id == CLAIM
    assert row.verdicts == ("reproduced", None, "inconclusive", "inconclusive")
    assert [n for n, flip in enumerate(row.flips) if flip] == [2]
    assert [release.fresh for release in found.releases] == [1, 0, 1, 1]
    assert [release.stored for release in found.releases] == [1, 2, 1, 1]
    assert [release.as_expected for release in found.releases] == [1, 0, 0, 0]
    assert f"2.10.0: {CLAIM} is inconclusive, before it was reproduced." in page.verdicts(found)


def test_claims_that_nothing_decides_are_not_judged_from_stored_values() -> None:
    """They take no time to measure, and so aren't left out for that."""
    (only,) = laid_out(
        record(verdicts=[verdict(SLOW, fresh=False), verdict("x", "not_testable", fresh=False)])
    ).releases
    assert only.stored == 1


def test_records_of_other_packages_are_left_out() -> None:
    """A release of NumPy is no release of torch; a folder without torch's is refused."""
    other = record(environment={"package": "numpy"})
    why = r"1.json (numpy): a history is torch's. Compare two records with: actbench drift OLD NEW"
    assert f"Left out: {why}" in laid_out(record(), other).notes
    with pytest.raises(ActbenchError, match=r"^there is no record of torch, but 0.json"):
        laid_out(other)


def test_bits_are_followed_in_both_directions() -> None:
    """A chain that moves and moves back is named at both releases, and only where it moved."""
    found = laid_out(*four())
    rows = {row.name: row for row in found.chains}
    moved = rows["operations/gelu/float64"]
    assert (moved.changed_at, moved.back_at) == ((1, 3), (3,))
    assert rows["stack/relu/float32"].changed_at == ()
    told = page.numbers(found)
    assert any(line.startswith("2.9.1: other bits in 1 chain ") for line in told)
    assert "operations/gelu/float64 has at 2.15.0 the bits of its first release again." in told


def test_each_chain_says_where_it_parted() -> None:
    """The first release that changed it, the step, how far, and later changes; no other chain."""
    (line,) = page.partings(laid_out(*four()))
    assert len(line) == len(page.PARTINGS)
    name, release, where, far, later = line
    assert (name, release, later) == ("operations/gelu/float64", "2.9.1", "2.15.0")
    assert where == "derivative"
    assert re.match(r"up to [1-9]\d* units? in the last place", far)


def test_verdicts_by_two_claims_files_are_no_comparison() -> None:
    """They neither flip nor agree, and a sentence says why; nor is anything said of 'none'."""
    before = record("2.6.0", verdicts=[verdict(CLAIM)])
    after = record("2.9.1", verdicts=[verdict(CLAIM, "inconclusive")], claims_sha256="1" * 64)
    found = laid_out(before, after)
    assert not any(found.claims[0].flips)
    assert [line[3] for line in page.lines(found)] == ["-", "-"]
    told = " ".join(page.verdicts(found))
    assert "None of" not in told
    assert "Some verdicts can't be compared with those before" in told
    assert "can't be compared" not in " ".join(page.verdicts(laid_out(*four())))


def test_work_that_joins_later_does_not_thin_the_mean() -> None:
    """The mean is over the workloads of the first timed release, which need not be the first."""
    made = [
        record("2.5.0"),
        record("2.6.0", timings=takes({LOOP: 0.003})),
        record("2.9.1", timings=takes({LOOP: 0.006, "stack/relu/float32": 1.0})),
        record("2.10.0", timings=takes({LOOP: 0.006, "stack/relu/float32": 1.0})),
    ]
    found = laid_out(*made)
    assert [line[-1] for line in page.lines(found)] == ["-", "1.00", "2.00", "2.00"]
    (told,) = [line for line in page.speed(found) if "geometric mean" in line]
    assert "2.00 times as long as at the first timed release, 2.6.0 (" in told
    assert "of 1 workload," in told


def test_what_a_release_was_built_with_belongs_to_it() -> None:
    """Only what one could have kept the same is named as a second difference."""
    built = record("2.9.1", environment={"torch_onednn": "3.7", "torch_cuda": "13.0"})
    assert not any("besides torch" in note for note in laid_out(record("2.6.0"), built).notes)


def test_a_slowdown_is_told_where_it_happened() -> None:
    """Work that takes 1.5 times as long is named once, at its release; mean is sqrt(1.5)."""
    found = laid_out(*four())
    told = [line for line in page.speed(found) if "slower" in line]
    assert len(told) == 1
    assert told[0].startswith("2.10.0: slower than before is loop/relu/float32 (1.5 times as long")
    assert float(page.lines(found)[2][-1]) == pytest.approx(1.5**0.5, abs=0.005)


def test_each_release_has_a_line() -> None:
    """Claims measured, as expected and flipped, and chains with other bits than before."""
    told = [line[:-1] for line in page.lines(laid_out(*four()))]
    assert told == [
        ("2.6.0", "1", "1", "-", "-"),
        ("2.9.1", "-", "-", "-", "1 of 2"),
        ("2.10.0", "1", "0", "1", "0 of 2"),
        ("2.15.0", "1", "0", "0", "1 of 2"),
    ]
    assert {len(line) for line in page.lines(laid_out(*four()))} == {len(page.HEADING)}


def test_other_machines_are_left_out_and_named() -> None:
    """Bits of another processor never stand in the same row; its file is named."""
    foreign = record("2.13.0", environment={"cpu": "Other CPU"})
    found = laid_out(*four(), foreign)
    assert [release.name for release in found.releases] == list(RELEASES)
    (said,) = [note for note in found.notes if "another machine" in note]
    assert "4.json" in said
    assert "Other CPU" in said


def test_of_one_release_the_newest_record_counts() -> None:
    """The older one is named as left out."""
    older = record("2.6.0", made_at="2026-01-01T00:00:00+00:00", verdicts=[verdict(CLAIM)])
    newer = record("2.6.0", made_at="2026-02-01T00:00:00+00:00")
    found = laid_out(older, newer)
    assert [release.file for release in found.releases] == ["1.json"]
    assert "Of torch 2.6.0 the newest record counts, 1.json; left out: 0.json." in found.notes


def test_what_differs_besides_torch_is_told() -> None:
    """Drift between records of two versions of NumPy may not be torch's."""
    found = laid_out(record("2.6.0"), record("2.9.1", environment={"numpy": "2.4.0"}))
    assert any("besides torch itself: numpy" in note for note in found.notes)
    assert not any("besides torch" in note for note in laid_out(*four()).notes)


class _Tags(HTMLParser):
    """Names of a page's tags, its links and its ids."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.names: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        for key, value in attrs:
            if key in ("href", "src") and value:
                self.links.append(value)
            if key == "id" and value:
                self.ids.append(value)


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    """Four drawings inside, links to its own parts only, nothing active; Markdown says the same."""
    odd = record("2.16.0<b>|x", verdicts=[verdict("<i>claim|", margin=None)])
    written = page.write(laid_out(*four(), odd), tmp_path)
    assert sorted(path.name for path in written) == sorted(
        [
            *("history.html", "history.md"),
            *(f"{name}.{kind}" for name in FIGURES for kind in ("png", "svg")),
        ]
    )
    text = (tmp_path / "history.html").read_text(encoding="utf-8")
    tags = _Tags(text)
    assert tags.names.count("svg") == len(FIGURES) == 4
    assert not {"script", "iframe", "object", "b", "i"} & set(tags.names)
    assert len(tags.ids) == len(set(tags.ids))
    outside = [link for link in tags.links if not link.startswith(("#", "data:"))]
    assert outside == []
    assert {link[1:] for link in tags.links if link.startswith("#")} <= set(tags.ids)
    markdown = (tmp_path / "history.md").read_text(encoding="utf-8")
    table = [line for line in markdown.splitlines() if line.startswith("| 2.")]
    assert len(table) == len(RELEASES) + 1
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {len(page.HEADING) + 1}
    assert "<b>" not in markdown
    for section in ("Verdicts", "Margins", "Numbers", "Speed", "Environment"):
        assert f"\n## {section}\n" in markdown
        assert f">{section}</h2>" in text


@pytest.fixture
def command(actbench: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Call `actbench history`, without drawing unless asked to."""

    def call(*arguments: object, drawn: bool = False) -> Ended:
        if not drawn:
            monkeypatch.setattr(page, "write", lambda gathered, out: [])
        return actbench("history", *arguments)

    return call


def test_the_command_shows_the_table_and_what_it_skipped(command: Command, tmp_path: Path) -> None:
    """A line per release, oldest first, unlike the names of files; a broken file is named."""
    for given in four():
        records.save(given, tmp_path / f"{given.torch}.json")
    (tmp_path / "cut.json").write_text('{"kind": "actbench record", ', encoding="utf-8")
    code, out, err = command(".")
    assert (code, err) == (0, "")
    shown = [line.split()[0] for line in out.splitlines() if line.strip().startswith("2.")]
    assert shown == list(RELEASES)
    assert "cut.json: Expecting" in " ".join(out.split())
    code, out, err = command(".", "--quiet")
    assert (code, out) == (0, "")
    assert "cut.json: Expecting" in err


def names(figure: Figure) -> list[str]:
    """What stands beside the rows, from the top."""
    return [label.get_text() for axes in figure.axes for label in axes.get_yticklabels()]


def test_what_never_changes_is_folded() -> None:
    """A claim that flips or moves has its row; those that never do share one."""
    still = ["linear-final-mse", "leaky-relu-final-mse", SLOW]
    said = ["reproduced", "reproduced", "reproduced", "inconclusive"]
    found = laid_out(
        *(
            record(
                release,
                verdicts=[
                    verdict(CLAIM, said, margin=margin),
                    *map(verdict, still),
                    verdict("sigmoid-final-mse", "inconclusive"),
                ],
            )
            for release, said, margin in zip(RELEASES, said, [0.5, 0.5, 0.4, 0.4], strict=True)
        )
    )
    drawn = FIGURES["history_verdicts"](found)
    assert names(drawn) == [
        "sine-regression:",
        CLAIM,
        "sigmoid-final-mse",
        "3 claims that never change",
    ]
    (axes,) = drawn.axes
    assert [patch.get_gid() for patch in axes.patches].count("flip") == 1
    greens = [p for p in axes.patches if to_hex(p.get_facecolor()) == "#116329"]
    assert len(greens) == 3 + 4  # the report's color: before the flip, and of the folded row
    margins = FIGURES["history_margins"](found)
    assert names(margins)[0] == CLAIM
    assert len(names(margins)) == 2
    assert "4 that never change" in margins.axes[0].get_title(loc="right")
    assert [text.get_text() for text in margins.axes[0].texts][:2] == ["0.5", "0.4"]


@pytest.mark.parametrize("slower", [1.0, 1.2, 2.0, 12.0])
def test_labels_of_ratios_do_not_overlap(slower: float) -> None:
    """Each is a line's height from the next, over small and large changes; 1 is among them."""
    two = (record(f"2.{6 + more}.0", timings=takes({LOOP: slower**more})) for more in (0, 1))
    figure = FIGURES["history_speed"](laid_out(*two))
    figure.draw_without_rendering()
    axes = figure.axes[0]
    boxes = [label.get_window_extent() for label in axes.get_yticklabels()]
    assert "1" in [label.get_text() for label in axes.get_yticklabels()]
    assert all(low.y1 < high.y0 for low, high in pairwise(boxes))


def test_one_record_is_drawn_and_has_nothing_to_compare_with(
    command: Command, tmp_path: Path
) -> None:
    """All files are written, even of a record without any part, and a sentence tells."""
    records.save(record("2.6.0"), tmp_path / "one.json")
    code, out, _ = command(str(tmp_path), "--out", str(tmp_path / "out"), drawn=True)
    assert code == 0
    assert "nothing to compare it with" in " ".join(out.split())
    assert len(list((tmp_path / "out").iterdir())) == 10


def test_a_folder_without_records_is_an_error(command: Command, tmp_path: Path) -> None:
    """One line says what to do; nothing is written."""
    code, out, err = command(str(tmp_path), "--out", str(tmp_path / "out"))
    assert (code, out) == (2, "")
    assert re.fullmatch(r"actbench: error: .* holds no record\. Make one with: .*\n", err)
    assert not (tmp_path / "out").exists()
