"""Which release changed a claim or a fingerprint: what is named, what is used, what is said."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from record_factory import chain, record, step, verdict

from actbench.store.environment import describe
from actbench.store.errors import ActbenchError
from actbench.tracking import records
from actbench.tracking.records import Record, Step
from actbench.tracking.releases import shelf
from actbench.tracking.releases.bisecting import ask, between, resolve, sentences, verdict_of
from actbench.tracking.releases.shelf import Shelf, choose, stored_records

CLAIM = "sigmoid-final-mse"
GELU = "operations/gelu/float64"


def a_release(release: str, gelu: float = 1.0, loss: float = 1.0, **more: Any) -> Record:
    """A record whose GELU and whose training are of these values."""

    def of(name: str, value: float, epoch: int | None = None) -> Step:
        return step(name, [0.0, value], epoch, count=1000)

    chains = [
        chain(GELU, of("forward", gelu), of("derivative", 2 * gelu)),
        chain(
            "reference/gelu/float64",
            of("layer 1 linear", 0.5, 0),
            of("loss", loss, 0),
            of("loss", 3 * loss, 99),
        ),
    ]
    return record(release, chains=chains, **more)


def a_shelf(there: Mapping[str, Record], makes: Mapping[str, Record] | None = None) -> Shelf:
    """A shelf with these records, that can make those others; others fail."""

    def make(release: str) -> tuple[Path, Record]:
        assert makes is not None
        if release not in makes:
            raise ActbenchError("no wheel")
        return Path("made") / f"{release}.json", makes[release]

    found = {name: (Path("stored") / f"{name}.json", record) for name, record in there.items()}
    return Shelf(found, None if makes is None else make)


def said(text: str, good: str, bad: str, shelf: Shelf, offered: tuple[str, ...] = ()) -> list[str]:
    """Ask, and put it in sentences."""
    target, found = ask(text, (good, bad), shelf, [], lambda: offered)
    return sentences(target, found, shelf)


def history(*gelu: float) -> dict[str, Record]:
    """Releases 2.6.0, 2.7.0, ... with these values."""
    return {f"2.{6 + i}.0": a_release(f"2.{6 + i}.0", value) for i, value in enumerate(gelu)}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (GELU, ["forward", "derivative"]),
        (f"{GELU}:derivative", ["derivative"]),
        ("operations/*", ["forward", "derivative"]),
        ("reference/gelu/float64:loss", ["loss", "loss"]),
        ("*:l*", ["layer 1 linear", "loss", "loss"]),
    ],
)
def test_a_fingerprint_is_named(text: str, names: list[str]) -> None:
    """A chain, a step of it, and patterns of both."""
    assert [place[1] for place in resolve(text, a_release("2.6.0")).places] == names


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "operations/gelu/float46",
            "unknown claim or fingerprint 'operations/gelu/float46'; fingerprints are operations/*,"
            " reference/*, and actbench claims lists the claims. Did you mean "
            "'operations/gelu/float64'?",
        ),
        (
            "sigmoid-final-msee",
            "unknown claim or fingerprint 'sigmoid-final-msee'; fingerprints are operations/*, "
            "reference/*, and actbench claims lists the claims. Did you mean 'sigmoid-final-mse'?",
        ),
        (
            f"{GELU}:forwards",
            f"unknown step of {GELU} 'forwards'; known: forward, derivative. Did you mean "
            "'forward'?",
        ),
    ],
)
def test_a_wrong_name_is_answered_with_the_right_one(text: str, complaint: str) -> None:
    """A chain, a claim and a step, each with the nearest that exists."""
    with pytest.raises(ActbenchError) as caught:
        resolve(text, a_release("2.6.0"))
    assert str(caught.value) == complaint


def test_a_wrong_name_is_told_before_anything_is_installed() -> None:
    """Any record that is there shows the mistake, also one of another release."""
    shelf = a_shelf({}, makes=history(1.0, 2.0))
    with pytest.raises(ActbenchError, match="Did you mean"):
        ask("operations/gelu/float", ("2.6.0", "2.7.0"), shelf, [a_release("2.9.0")], tuple)
    assert shelf.made == []


def test_stored_records_answer_without_an_installation() -> None:
    """The release, the steps with old and new values in full, and what the answer rests on."""
    last_digit = 1.0 + 2**-52
    shelf = a_shelf(history(1.0, 1.0, last_digit, last_digit), makes={})
    assert said(GELU, "2.6.0", "2.9.0", shelf) == [
        f"{GELU} first changed in torch 2.8.0; torch 2.7.0 is the last before.",
        f"  {GELU}: 2 of 2 steps differ",
        "    forward: 1.0 -> 1.0000000000000002 (relative difference up to 2.2e-16)",
        "    derivative: 2.0 -> 2.0000000000000004 (relative difference up to 2.2e-16)",
        "Records that were there (stored): torch 2.6.0, 2.7.0, 2.8.0, 2.9.0.",
    ]


def test_of_a_training_the_first_step_is_shown() -> None:
    """Every step rests on those before it: the first that differs is the news."""
    shelf = a_shelf({"2.6.0": a_release("2.6.0"), "2.7.0": a_release("2.7.0", loss=1.5)}, {})
    lines = said("reference/gelu/float64", "2.6.0", "2.7.0", shelf)
    assert lines[1:3] == [
        "  reference/gelu/float64: 2 of 3 steps differ, the first of them:",
        "    loss at epoch 0: 1.0 -> 1.5 (relative difference up to 5.0e-01)",
    ]
    assert sum(line.startswith("    ") for line in lines) == 1


def test_what_is_missing_is_made_with_as_few_as_need_be() -> None:
    """Of seven unknown releases three are made; those not looked at are named."""
    true = history(*[1.0] * 5, *[2.0] * 4)
    ends = {name: true.pop(name) for name in ("2.6.0", "2.14.0")}
    shelf = a_shelf(ends, makes=true)
    lines = said(GELU, "2.6.0", "2.14.0", shelf, tuple(true))
    assert lines[0] == f"{GELU} first changed in torch 2.11.0; torch 2.10.0 is the last before."
    assert len(shelf.made) == 3
    assert "Records made now, kept in made: torch 2.10.0, 2.12.0, 2.11.0." in lines
    unseen = [line for line in lines if line.startswith("Not looked at: ")]
    assert unseen == [
        "Not looked at: torch 2.7.0, 2.8.0, 2.9.0, 2.13.0; that there are no further changes in "
        "them is not known."
    ]


def test_a_release_that_can_not_be_measured_is_skipped_and_said() -> None:
    """The answer names the suspects, as git bisect does."""
    true = history(1.0, 1.0, 2.0, 2.0)
    ends = {name: true[name] for name in ("2.6.0", "2.9.0")}
    shelf = a_shelf(ends, makes={"2.7.0": true["2.7.0"]})
    lines = said(GELU, "2.6.0", "2.9.0", shelf, tuple(true))
    assert lines[0] == (
        f"{GELU} first changed in one of torch 2.8.0, 2.9.0: all but the last can't be measured."
    )
    assert "Skipped: torch 2.8.0: no wheel" in lines


def test_a_history_with_a_return_is_said_plainly() -> None:
    """Old, new, old, third, new: every known change is listed with where it leads."""
    shelf = a_shelf(history(1.0, 2.0, 1.0, 3.0, 2.0), makes={})
    lines = said(f"{GELU}:forward", "2.6.0", "2.10.0", shelf)
    start = lines.index("Its history is not one change. All changes that are known:")
    assert lines[start + 1 : start + 5] == [
        "  torch 2.6.0 -> 2.7.0: to what torch 2.10.0 has",
        "  torch 2.7.0 -> 2.8.0: back to what torch 2.6.0 has",
        "  torch 2.8.0 -> 2.9.0: to a value that neither end has",
        "  torch 2.9.0 -> 2.10.0: to what torch 2.10.0 has",
    ]


def test_a_third_value_is_not_taken_for_the_last() -> None:
    """Where the first change does not lead to what the newest has, it says so."""
    shelf = a_shelf(history(1.0, 3.0, 2.0), makes={})
    lines = said(GELU, "2.6.0", "2.8.0", shelf)
    assert lines[1] == "What torch 2.7.0 has is not what torch 2.8.0 has: it changed again since."


def test_equal_ends_are_said_and_nothing_is_made() -> None:
    """Nothing to find is an answer."""
    shelf = a_shelf({name: a_release(name) for name in ("2.6.0", "2.9.0")}, makes={})
    target, found = ask(GELU, ("2.6.0", "2.9.0"), shelf, [], lambda: pytest.fail("asked"))
    lines = sentences(target, found, shelf)
    assert lines[0] == f"{GELU} is the same in torch 2.6.0 and torch 2.9.0: nothing to find."
    assert shelf.made == []
    assert not any("first changed" in line for line in lines)


def test_equal_ends_with_a_known_change_between_are_not_called_quiet() -> None:
    """A change and its return lie between ends that agree: both are told."""
    shelf = a_shelf(history(1.0, 2.0, 1.0), makes={})
    lines = said(GELU, "2.6.0", "2.8.0", shelf)
    assert lines[0] == (
        f"{GELU} is the same in torch 2.6.0 and torch 2.8.0, but not always in between."
    )
    assert "  torch 2.7.0 -> 2.8.0: back to what torch 2.6.0 has" in lines


def claimed(release: str, came_out: str, fresh: bool = True) -> Record:
    """A record with one verdict."""
    return record(release, verdicts=[verdict(CLAIM, came_out, fresh=fresh, measured=0.0775)])


def test_a_claim_is_searched_by_its_verdict() -> None:
    """Verdicts before and after, with what was measured."""
    shelf = a_shelf(
        {
            "2.6.0": claimed("2.6.0", "reproduced"),
            "2.7.0": claimed("2.7.0", "not_reproduced"),
            "2.8.0": claimed("2.8.0", "not_reproduced"),
        },
        makes={},
    )
    assert said(CLAIM, "2.6.0", "2.8.0", shelf)[:3] == [
        f"{CLAIM} first changed in torch 2.7.0; torch 2.6.0 is the last before.",
        "  torch 2.6.0: reproduced, measured 0.0775 over 16 seeds",
        "  torch 2.7.0: not_reproduced, measured 0.0775 over 16 seeds",
    ]


def test_a_verdict_from_stored_values_says_nothing_about_a_release() -> None:
    """It is refused as an end, and never compared."""
    stored = claimed("2.6.0", "reproduced", fresh=False)
    with pytest.raises(ActbenchError, match="from values that are stored in actbench"):
        verdict_of(CLAIM, stored)
    shelf = a_shelf({"2.6.0": stored, "2.7.0": claimed("2.7.0", "reproduced")}, makes={})
    with pytest.raises(ActbenchError, match=r"^torch 2\.6\.0 can't be an end of the search: its"):
        said(CLAIM, "2.6.0", "2.7.0", shelf)


def test_a_record_of_other_steps_is_skipped() -> None:
    """A record by a version of actbench that took other fingerprints is no change of torch."""
    other = record("2.7.0", chains=[a_release("2.7.0").chains[1]])
    shelf = a_shelf({**history(1.0, 1.0, 2.0), "2.7.0": other}, makes={})
    lines = said(GELU, "2.6.0", "2.8.0", shelf)
    assert "first changed in one of torch 2.7.0, 2.8.0" in lines[0]
    assert any("another version of actbench made it" in line for line in lines)


def test_final_releases_lie_between() -> None:
    """In the order in which they appeared; nightlies only where they were named."""
    offered = ["2.13.0", "2.9.1", "2.10.0", "2.9.0", "2.10.0.dev20250901", "2.6.0", "2.14.0"]
    assert between(offered, "2.9.0", "2.13.0") == ["2.9.0", "2.9.1", "2.10.0", "2.13.0"]
    assert between(offered, "2.9.1", "2.10.0.dev20250901") == ["2.9.1", "2.10.0.dev20250901"]


def of_machine(release: str, cpu: str, made_at: str = "2026-07-01") -> tuple[Path, Record]:
    """A record by another processor."""
    names = {"cpu": cpu, "device_name": cpu, "system": f"{platform.system()} {platform.machine()}"}
    path = Path(f"{cpu}-{release}-{made_at}.json")
    return path, a_release(release, environment=names, made_at=made_at)


@pytest.mark.parametrize(
    ("there", "chosen", "here"),
    [
        ([("2.6.0", "ours"), ("2.8.0", "ours"), ("2.7.0", "theirs")], ["2.6.0", "2.8.0"], True),
        ([("2.6.0", "ours"), ("2.6.0", "theirs"), ("2.8.0", "theirs")], ["2.6.0", "2.8.0"], False),
        ([("2.6.0", "ours"), ("2.8.0", "theirs")], ["2.6.0"], True),
        ([("2.6.0", "theirs")], [], True),
        ([], [], True),
    ],
    ids=["ours", "theirs hold both ends", "a part of ours", "a part of theirs", "none"],
)
def test_records_of_one_machine_are_chosen(
    monkeypatch: pytest.MonkeyPatch, there: list[tuple[str, str]], chosen: list[str], here: bool
) -> None:
    """Bits of two processors are never compared; what is there answers before anything is made."""
    monkeypatch.setattr(shelf, "cpu_model", lambda: "ours")
    found = [of_machine(release, cpu) for release, cpu in there]
    records_, mine = choose(found, "fingerprints", ["2.6.0", "2.8.0"])
    assert (sorted(records_), mine) == (chosen, here)
    assert len({record.machine for _, record in records_.values()}) <= 1


def test_the_later_record_of_a_release_is_taken_if_it_has_the_part(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A newer record replaces an older one, but not one without what is asked for."""
    monkeypatch.setattr(shelf, "cpu_model", lambda: "ours")
    old, new = (of_machine("2.6.0", "ours", made_at) for made_at in ("2026-01", "2026-02"))
    bare = (
        Path("bare"),
        of_machine("2.6.0", "ours", "2026-03")[1].model_copy(update={"chains": []}),
    )
    records_, _ = choose([new, bare, old], "fingerprints", ["2.6.0", "2.8.0"])
    assert records_["2.6.0"][0] == new[0]


def test_this_machine_is_named_as_records_name_it() -> None:
    """A record made here is recognized as made here."""
    made = record("2.6.0", environment=describe("cpu", 1))
    chosen, here = choose(
        [(Path("a"), made.model_copy(update={"chains": a_release("2.6.0").chains}))],
        "fingerprints",
        [made.torch],
    )
    assert (list(chosen), here) == ([made.torch], True)


def test_records_of_elsewhere_are_said_to_be() -> None:
    """What is missing there can't be made here, and it is told how to measure on this machine."""
    true = history(1.0, 2.0, 2.0)
    shelf = a_shelf({name: true[name] for name in ("2.6.0", "2.8.0")}, makes=None)
    lines = said(GELU, "2.6.0", "2.8.0", shelf, tuple(true))
    assert "first changed in one of torch 2.7.0, 2.8.0" in lines[0]
    assert any("another machine (a processor)" in line for line in lines)
    assert any(line.startswith("Skipped: torch 2.7.0: it has no record") for line in lines)


def test_stored_and_made_records_are_read(tmp_path: Path) -> None:
    """Both folders, with a sentence for each file that is no record; an empty one is no error."""
    (tmp_path / "named").mkdir()
    assert stored_records(tmp_path / "named", tmp_path / "none") == ([], [])
    records.save(a_release("2.6.0"), tmp_path / "named" / "a.json")
    (tmp_path / "named" / "b.json").write_text("{")
    (tmp_path / "made").mkdir()
    records.save(a_release("2.7.0"), tmp_path / "made" / "c.json")
    found, refused = stored_records(tmp_path / "named", tmp_path / "made")
    assert [record.torch for _, record in found] == ["2.6.0", "2.7.0"]
    assert len(refused) == 1
    with pytest.raises(ActbenchError, match=r"nowhere is no folder\. Name one with records, or an"):
        stored_records(tmp_path / "nowhere", tmp_path / "made")
