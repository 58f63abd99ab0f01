"""A drift on screen, as Markdown and as JSON, and the command's exit codes."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from calls import Command, Ended
from record_factory import (
    LONGER,
    LOSSES,
    chain,
    distribution,
    step,
    timings,
    verdict,
    whole,
    with_chains,
)

from actbench.tracking import records
from actbench.tracking.records import Record

HEADINGS = ("Claims that flipped", "Numbers", "Speed")


@pytest.fixture
def drift(actbench: Command, tmp_path: Path) -> Command:
    """Save two records, or anything else, and compare them on the command line."""

    def call(old: Record, new: Record | bytes | None, *options: str) -> Ended:
        records.save(old, tmp_path / "old.json")
        if isinstance(new, Record):
            records.save(new, tmp_path / "new.json")
        elif new is not None:
            (tmp_path / "new.json").write_bytes(new)
        return actbench("drift", "old.json", "new.json", *options)

    return call


def drifted() -> Record:
    """A later release: a claim flipped, an operation and a loss moved, everything is slower."""
    moved = chain(
        "operations/gelu/float64",
        step("forward", [1.5]),
        step("derivative", [0.75 + 2 * 2.0**-53]),
    )
    changed = whole(
        verdicts=[verdict("first", "not_reproduced", measured=None), verdict("second")],
        distributions=[distribution([2 * v for v in LOSSES])],
        timings=timings({"loop/relu/float32": LONGER, "stack/relu/float32": LONGER}),
        environment={"torch": "2.15.0+cpu"},
    )
    return with_chains(changed, operations=moved)


def strictly(text: str) -> dict[str, Any]:
    """Read JSON that holds no NaN and no infinity."""

    def refuse(constant: str) -> float:
        raise AssertionError(constant)

    content: dict[str, Any] = json.loads(text, parse_constant=refuse)
    return content


def parts_of(text: str) -> list[str]:
    """The text under each of the three headings."""
    places = [re.search(rf"^(## )?{n}\. {h}$", text, re.M) for n, h in enumerate(HEADINGS, 1)]
    starts = [found.end() for found in places if found]
    assert len(starts) == 3
    return [text[a:b] for a, b in zip(starts, [*starts[1:], len(text)], strict=True)]


@pytest.mark.parametrize("form", ["table", "markdown"])
def test_each_part_stands_under_its_heading(drift: Command, form: str) -> None:
    """A flip, the first operation and the slower workloads, in words, and the failure with it."""
    code, out, _ = drift(whole(), drifted(), "--format", form)
    claims, numbers, speed = (" ".join(part.replace("\\", "").split()) for part in parts_of(out))
    assert code == 1
    assert "Drift from torch 2.6.0 to 2.15.0" in out
    assert "1 of 2 claims flipped." in claims
    assert "not finite" in claims
    assert "Claims that only the old record has: third." in claims
    assert "operations/gelu/float64: derivative, up to 2 units in the last place" in numbers
    assert "beyond seeds and rounding" in numbers
    assert "2 workloads: 2 slower, 0 faster; on average 1.500 ± " in speed
    assert "FAILED: 1 claim flipped: first." in " ".join(out.replace("*", "").split())
    for words, part in (("flipped.", claims), ("slower,", speed)):
        assert sum(words in other for other in (claims, numbers, speed)) == 1
        assert words in part


@pytest.mark.parametrize("form", ["table", "markdown", "json"])
def test_no_drift_is_said_in_three_words(drift: Command, form: str) -> None:
    """A record and itself: nothing flipped, nothing moved, nothing is slower, exit code 0."""
    code, out, err = drift(whole(), whole(), "--format", form, "--strict", "--max-slowdown", "1.1")
    assert (code, err) == (0, "")
    if form == "json":
        content = strictly(out)
        assert not content["failed"]
        assert not content["numbers"]["differ"]
        assert content["numbers"]["first_parting"] is None
        return
    claims, numbers, speed = parts_of(out)
    assert "No claim flipped; 3 claims compared." in claims
    assert "Identical bits throughout." in numbers
    assert "0 slower, 0 faster" in speed
    assert "Passed." in out


def test_json_has_everything(drift: Command) -> None:
    """All metrics, steps and workloads, with their classes, the reasons and the exit code's."""
    code, out, _ = drift(whole(), drifted(), "--format", "json", "--strict")
    content = strictly(out)
    assert code == 1
    assert content["kind"] == "actbench drift"
    assert [reason.partition(":")[0] for reason in content["reasons"]] == [
        "1 claim flipped",
        "--strict",
    ]
    assert content["claims"]["flips"][0] | {"new_measured": None} == content["claims"]["flips"][0]
    (metric,) = content["numbers"]["metrics"]["metrics"]
    assert metric["level"] == "outside_spread"
    assert metric["p"] == pytest.approx(4 / 2**16)
    assert (metric["changed"], metric["by_seed"]) == ("shift", True)
    by_name = {c["name"]: c for c in content["numbers"]["chains"]["chains"]}
    assert by_name["operations/gelu/float64"]["level"] == "last_digit"
    assert by_name["operations/gelu/float64"]["differing"][0]["units"] == 2
    assert by_name["streams/float32"]["level"] == "identical"
    assert [w["change"] for w in content["speed"]["workloads"]] == ["slower", "slower"]
    assert content["old"]["environment"] == whole().environment


@pytest.mark.parametrize("form", ["table", "markdown"])
def test_what_was_left_out_is_printed(drift: Command, form: str) -> None:
    """Another machine: each sentence is there, and the parts say that they compared nothing."""
    other = {"cpu": "another", "device_name": "another"}
    _, out, _ = drift(whole(), whole(environment=other), "--format", form)
    text = " ".join(out.split())
    assert "Bits and speed are left out: they come from different machines" in text
    assert "No workload was compared." in text
    assert "What was left out, and what else differs" in text


@pytest.mark.parametrize("form", ["table", "markdown"])
def test_long_tables_end_and_say_where_the_rest_is(drift: Command, form: str) -> None:
    """The worst rows come first, and JSON has all."""
    old, new = (
        whole(
            distributions=[
                distribution([share * (1 + n) * v for v in LOSSES], name=f"m{n:02}")
                for n in range(30)
            ]
        )
        for share in (1.0, 1.001)
    )
    _, out, _ = drift(old, new, "--format", form)
    assert "10 more rows" in out
    assert len(re.findall(r"stated: m\d\d", out)) == 20
    _, out, _ = drift(old, new, "--format", "json")
    assert len(strictly(out)["numbers"]["metrics"]["metrics"]) == 30


def test_names_of_a_foreign_record_steer_neither_screen_nor_page(drift: Command) -> None:
    """Markup, control characters and table bars in a name come out as they are, or as blanks."""
    name = "[red]a|b\x1b[31m<script>\n# heading"
    flipped = whole(verdicts=[verdict(name, "inconclusive")])
    original = whole(verdicts=[verdict(name)])
    for form in ("table", "markdown"):
        _, out, _ = drift(original, flipped, "--format", form)
        assert "\x1b" not in out
        assert "\n# heading" not in out
        if form == "table":
            assert "[red]a|b" in out
        else:
            assert "a\\|b" in out
            assert "<script>" not in out


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ((), 0),
        (("--strict",), 1),
        (("--max-slowdown", "1.3"), 1),
        (("--max-slowdown", "1.7"), 0),
    ],
    ids=["drift-alone", "strict", "slower", "slow-but-accepted"],
)
def test_exit_codes_follow_the_policy(drift: Command, options: tuple[str, ...], code: int) -> None:
    """Drift of numbers and speed fails only where it was asked for."""
    new = drifted().model_copy(update={"verdicts": whole().verdicts})
    assert drift(whole(), new, *options)[0] == code


NEW_RECORD = "actbench record --out"


@pytest.mark.parametrize(
    ("new", "options", "complaint"),
    [
        (whole(), ["--format", "tabel"], "unknown format 'tabel'; known: table, markdown, json"),
        (whole(), ["--max-slowdown", "0.5"], "--max-slowdown is 0.5, but must be a finite factor"),
        (
            whole(timings=None),
            ["--max-slowdown", "1.3"],
            "actbench: error: --max-slowdown has no workload to look at. No timings: the new "
            "record has none.\n",
        ),
        (None, [], NEW_RECORD),
        (b"{", [], NEW_RECORD),
        (b"{}", [], NEW_RECORD),
        (b"\xff\xfe", [], NEW_RECORD),
    ],
    ids=["format", "factor", "nothing to look at", "missing", "cut off", "foreign", "no text"],
)
def test_a_bad_request_is_one_line(
    drift: Command, new: Record | bytes | None, options: list[str], complaint: str
) -> None:
    """What was given, what was expected or what to do; exit code 2."""
    code, out, err = drift(whole(), new, *options)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert complaint in err


def test_a_difference_is_never_zero_in_words(drift: Command) -> None:
    """Where a value stopped being finite, screen and page say so in place of a number."""
    old, new = (
        with_chains(whole(), operations=chain("operations/gelu/float64", step("forward", values)))
        for values in ([1.5], [None])
    )
    for form in ("table", "markdown"):
        _, out, _ = drift(old, new, "--format", form)
        assert "finite in one record only" in " ".join(out.split())
    _, out, _ = drift(old, new, "--format", "json")
    assert strictly(out)["numbers"]["chains"]["chains"][1]["differing"][0]["units"] is None
