"""A drift on screen, as Markdown and as JSON, and the command's exit codes."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from drifting import (
    LOSSES,
    STEADY,
    chain,
    distribution,
    step,
    timings,
    verdict,
    whole,
    with_chains,
    with_environment,
)

from actbench.cli import main
from actbench.tracking import records
from actbench.tracking.records import Record

Call = Callable[..., tuple[int, str, str]]

HEADINGS = ("Claims that flipped", "Numbers", "Speed")


@pytest.fixture
def drift(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Call:
    """Save two records and compare them on the command line, on 100 columns without color."""
    monkeypatch.chdir(tmp_path)
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")

    def call(old: Record, new: Record, *options: str) -> tuple[int, str, str]:
        records.save(old, tmp_path / "old.json")
        records.save(new, tmp_path / "new.json")
        monkeypatch.setattr(sys, "argv", ["actbench", "drift", "old.json", "new.json", *options])
        with pytest.raises(SystemExit) as caught:
            main()
        shown = capsys.readouterr()
        code = caught.value.code
        return code if isinstance(code, int) else 0, shown.out, shown.err

    return call


def drifted() -> Record:
    """A later release: a claim flipped, an operation and a loss moved, everything is slower."""
    changed = with_chains(
        whole(),
        operations=chain(
            "operations",
            "gelu",
            "float64",
            step("forward", [1.5]),
            step("derivative", [0.75 + 2 * 2.0**-53]),
        ),
    )
    longer = [1.5 * v for v in STEADY]
    changed = changed.model_copy(
        update={
            "verdicts": [verdict("first", "not_reproduced", measured=None), verdict("second")],
            "distributions": [distribution([2 * v for v in LOSSES])],
            "timings": timings({"loop/relu/float32": longer, "stack/relu/float32": longer}),
        }
    )
    return with_environment(changed, torch="2.15.0+cpu")


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
def test_each_part_stands_under_its_heading(drift: Call, form: str) -> None:
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
def test_no_drift_is_said_in_three_words(drift: Call, form: str) -> None:
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


def test_json_has_everything(drift: Call) -> None:
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
def test_what_was_left_out_is_printed(drift: Call, form: str) -> None:
    """Another machine: each sentence is there, and the parts say that they compared nothing."""
    other = with_environment(whole(), cpu="another", device_name="another")
    _, out, _ = drift(whole(), other, "--format", form)
    text = " ".join(out.split())
    assert "Bits and speed are left out: they come from different machines" in text
    assert "No workload was compared." in text
    assert "What was left out, and what else differs" in text


@pytest.mark.parametrize("form", ["table", "markdown"])
def test_long_tables_end_and_say_where_the_rest_is(drift: Call, form: str) -> None:
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


def test_names_of_a_foreign_record_steer_neither_screen_nor_page(drift: Call) -> None:
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
def test_exit_codes_follow_the_policy(drift: Call, options: tuple[str, ...], code: int) -> None:
    """Drift of numbers and speed fails only where it was asked for."""
    new = drifted().model_copy(update={"verdicts": whole().verdicts})
    assert drift(whole(), new, *options)[0] == code


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--format", "tabel"), "unknown format 'tabel'; known: table, markdown, json"),
        (("--max-slowdown", "0.5"), "--max-slowdown is 0.5, but must be a finite factor"),
    ],
)
def test_a_bad_request_is_one_line(drift: Call, options: tuple[str, ...], complaint: str) -> None:
    """What was given, what was expected, exit code 2."""
    code, out, err = drift(whole(), whole(), *options)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert complaint in err


def test_a_gate_without_anything_to_look_at_is_one_line(drift: Call) -> None:
    """Asking for speed of records without timings is a mistake, not a pass."""
    code, out, err = drift(whole(), whole(timings=None), "--max-slowdown", "1.3")
    assert (code, out) == (2, "")
    assert err == (
        "actbench: error: --max-slowdown has no workload to look at. No timings: the new record "
        "has none.\n"
    )


@pytest.mark.parametrize("content", [None, b"{", b"{}", b"\xff\xfe"])
def test_a_bad_record_is_one_line(
    content: bytes | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """Missing, cut off, foreign or no text at all: exit code 2, and what to do."""
    records.save(whole(), tmp_path / "old.json")
    if content is not None:
        (tmp_path / "new.json").write_bytes(content)
    monkeypatch.setattr(
        sys, "argv", ["actbench", "drift", *(str(tmp_path / f"{n}.json") for n in ("old", "new"))]
    )
    with pytest.raises(SystemExit) as caught:
        main()
    shown = capsys.readouterr()
    assert (caught.value.code, shown.out, shown.err.count("\n")) == (2, "", 1)
    assert "actbench record --out" in shown.err


def test_a_difference_is_never_zero_in_words(drift: Call) -> None:
    """Where a value stopped being finite, screen and page say so in place of a number."""
    old, new = (
        with_chains(
            whole(), operations=chain("operations", "gelu", "float64", step("forward", values))
        )
        for values in ([1.5], [None])
    )
    for form in ("table", "markdown"):
        _, out, _ = drift(old, new, "--format", form)
        assert "finite in one record only" in " ".join(out.split())
    _, out, _ = drift(old, new, "--format", "json")
    assert strictly(out)["numbers"]["chains"]["chains"][1]["differing"][0]["units"] is None
