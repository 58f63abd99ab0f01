"""The ledger says of every claim what was found, in each of its forms, and what has changed."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import claim_factory
import numpy as np
import pytest
import xarray as xr
from claim_factory import NOT_TESTABLE, entry
from rich.console import Console

from actbench import claims, ledger
from actbench.claims import ClaimsFile, Verdict, measured, metrics
from actbench.claims.verdicts import Judgment
from actbench.runs import evidence
from actbench.store import datasets
from actbench.store.errors import ActbenchError
from actbench.study.experiments import closed_forms
from actbench.study.robustness import maps

NAN, INF = math.nan, math.inf
SETTINGS = {"activations": ["relu"], "depth": 2}


def file(*chosen: Mapping[str, Any]) -> ClaimsFile:
    """A claims file with a trained protocol, a slow one, and one without training."""
    return ClaimsFile.model_validate(
        {
            "study": "A study",
            "protocol": {
                "trained": {"experiment": "sine-regression", "settings": SETTINGS},
                "slow": {"experiment": "sine-regression", "slow": True},
                "closed-forms": {"experiment": "closed-forms"},
            },
            "claim": list(chosen) or [entry()],
        }
    )


def judgment(verdict: str = "reproduced", content: Any = None, **more: Any) -> Judgment:
    """A judgment of a claim, with evidence."""
    return claim_factory.judgment(file(content or entry()).claim[0], verdict, **more)


UNDECIDED: dict[str, Any] = {"verdict": "inconclusive", "seeds": 3, "interval": None}


def rendered(judgments: list[Judgment], width: int) -> list[str]:
    """The lines of the ledger that a terminal of that width shows."""
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(ledger.table(judgments, width))
    return console.export_text().splitlines()


def dataset(values: list[float], **settings: object) -> xr.Dataset:
    """A dataset of the trained protocol, as a run would have left it."""
    content = xr.Dataset(
        {"final_mse": (("activation", "seed"), np.array([values]))},
        coords={"activation": ["relu"], "seed": np.arange(42, 42 + len(values))},
    )
    config = evidence.config_for(file().protocol["trained"], len(values))
    return datasets.finish(
        content, "sine-regression", {**config.protocol(), **settings}, {"torch": "none"}
    )


@pytest.fixture
def stored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A folder of stored measurements with values of the three protocols."""
    folder = tmp_path / "baselines"
    (folder / "measured").mkdir(parents=True)
    monkeypatch.setattr("actbench.claims.measured.baselines_folder", lambda: folder)
    for name in ("trained", "slow"):
        entry = {
            "metric": {"name": "final_mse", "activation": "relu"},
            "definition": "d",
            "exact": False,
            "values": [2.0] * 50,
        }
        content = {
            "schema_version": measured.SCHEMA_VERSION,
            "protocol": name,
            "settings": {},
            "environment": {"torch": "9.9", "cpu": "an abacus"},
            "entries": [entry],
        }
        measured.save(measured.Measured.model_validate(content))


@pytest.mark.usefixtures("stored")
def test_results_come_before_what_is_stored(tmp_path: Path) -> None:
    """A protocol with a dataset in the folder is judged from it, another from the store."""
    content = file(entry(), entry("slow-claim", protocol="slow"), NOT_TESTABLE)
    datasets.save(dataset([0.5] * 20), tmp_path / "sine_regression-trained.nc")
    first, second, third = ledger.from_results(content, tmp_path)
    assert (first.verdict, first.measured, first.seeds) == (Verdict.REPRODUCED, 0.5, 20)
    assert (second.verdict, second.measured, second.seeds) == (Verdict.NOT_REPRODUCED, 2.0, 50)
    assert (third.verdict, third.measured, third.seeds) == (Verdict.NOT_TESTABLE, None, 0)
    assert [j.claim for j in (first, second, third)] == list(content.claim)


@pytest.mark.usefixtures("stored")
def test_without_results_all_is_judged_from_the_store(tmp_path: Path) -> None:
    """A folder that does not exist is not made, and what is stored speaks."""
    (found,) = ledger.from_results(file(), tmp_path / "none")
    assert (found.verdict, found.measured) == (Verdict.NOT_REPRODUCED, 2.0)
    assert not (tmp_path / "none").exists()


def test_a_dataset_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many claims a protocol decides, its file is opened once."""
    datasets.save(dataset([0.5] * 20), tmp_path / "sine_regression-trained.nc")
    read: list[Path] = []
    whole = datasets.load

    def load(path: Path) -> xr.Dataset:
        read.append(path)
        return whole(path)

    monkeypatch.setattr(datasets, "load", load)
    found = ledger.from_results(file(*(entry(f"claim-{n}") for n in range(5))), tmp_path)
    assert len(found) == 5
    assert len(read) == 1


@pytest.mark.parametrize("damage", ["flipped", "no checksum", "other settings", "other schema"])
def test_bad_results_are_refused_not_passed_over(tmp_path: Path, damage: str) -> None:
    """Results that can't be trusted never fall back to what is stored."""
    path = tmp_path / "sine_regression-trained.nc"
    content = dataset([0.5] * 20, **({"epochs": 7} if damage == "other settings" else {}))
    if damage == "other schema":
        content.attrs["schema_version"] = 99
    datasets.save(content, path)
    if damage == "flipped":
        path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    elif damage == "no checksum":
        path.with_name(f"{path.name}.sha256").unlink()
    expected = {
        "flipped": f"{path} is damaged",
        "no checksum": f"can't read {path}",
        "other settings": f"{path} was made with epochs=7, but protocol 'trained' states 500",
        "other schema": f"{path} has schema version 99",
    }
    with pytest.raises(ActbenchError, match=f"^{re.escape(expected[damage])}"):
        ledger.from_results(file(), tmp_path)


@pytest.mark.usefixtures("stored")
def test_what_is_neither_run_nor_stored_is_told(tmp_path: Path) -> None:
    """A protocol without any value is an error, not a verdict."""
    metric = {"name": "closed_form", "quantity": "best_line_mse", "target": "noisy_sine"}
    content = file(entry(protocol="closed-forms", metric=metric, quantifier="exact"))
    with pytest.raises(ActbenchError, match=r"^there is no file .*closed-forms\.json"):
        ledger.from_results(content, tmp_path)
    datasets.save(closed_forms.run(closed_forms.Config()), tmp_path / "closed_forms.nc")
    (found,) = ledger.from_results(content, tmp_path)
    assert found.measured == pytest.approx(0.213, abs=1e-3)


def test_results_are_held_protocol_by_protocol(tmp_path: Path) -> None:
    """A protocol with settings of its own has a file of its own; no protocol has none."""
    datasets.save(dataset([0.5] * 20), tmp_path / "sine_regression-trained.nc")
    datasets.save(closed_forms.run(closed_forms.Config()), tmp_path / "closed_forms.nc")
    results = ledger.Results(file(), tmp_path)
    assert [results.holds(name) for name in file().protocol] == [True, False, True]
    assert not results.holds(None)
    assert not ledger.Results(file(), tmp_path / "none").holds("trained")


@pytest.mark.parametrize(
    ("given", "flips"),
    [
        ({}, False),
        ({"verdict": "not_reproduced"}, True),
        ({"verdict": "direction_only"}, True),
        ({"verdict": "inconclusive"}, True),
        (UNDECIDED, False),
        ({"verdict": "not_reproduced", "seeds": 3}, True),
        ({"verdict": "inconclusive", "seeds": 9}, True),
        ({"verdict": "not_testable", "seeds": 0, "seeds_needed": 0}, True),
        *(
            ({"verdict": verdict, "content": entry(expected=verdict)}, False)
            for verdict in ("reproduced", "direction_only", "not_reproduced", "inconclusive")
        ),
    ],
)
def test_a_change_is_a_verdict_other_than_the_pinned_one(
    given: dict[str, Any], flips: bool
) -> None:
    """Only what is undecided for lack of seeds is none; a verdict from few seeds is one."""
    one = judgment(**given)
    assert ledger.changed([one]) == ([one] if flips else [])


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ([], "0 claims: none; all as expected"),
        ([{}], "1 claim: 1 reproduced; all as expected"),
        (
            [{}, {}, {"verdict": "not_reproduced", "content": entry(expected="not_reproduced")}],
            "3 claims: 2 reproduced, 1 not_reproduced; all as expected",
        ),
        (
            [{}, {"verdict": "direction_only", "content": entry("b")}],
            "2 claims: 1 reproduced, 1 direction_only; not as expected: b (direction_only; "
            "expected reproduced)",
        ),
        (
            [
                {"verdict": "not_reproduced", "content": entry("b")},
                {"verdict": "inconclusive", "content": entry("c")},
            ],
            "2 claims: 1 not_reproduced, 1 inconclusive; not as expected: "
            "b (not_reproduced; expected reproduced), c (inconclusive; expected reproduced)",
        ),
        (
            [{}, UNDECIDED],
            "2 claims: 1 reproduced, 1 inconclusive; 1 claim needs more seeds: --seeds 9; the "
            "others as expected",
        ),
        (
            [UNDECIDED, UNDECIDED, {"verdict": "not_reproduced", "content": entry("b")}],
            "3 claims: 1 not_reproduced, 2 inconclusive; 2 claims need more seeds: --seeds 9; not "
            "as expected: b (not_reproduced; expected reproduced)",
        ),
        (
            [{"verdict": "not_testable", "content": NOT_TESTABLE}],
            "1 claim: 1 not_testable; all as expected",
        ),
    ],
)
def test_counts_name_what_changed(given: list[dict[str, Any]], text: str) -> None:
    """Verdicts are counted from good to bad, and what changed or lacks seeds is told."""
    assert ledger.counts([judgment(**one) for one in given]) == text


def test_the_wide_table_has_a_column_per_number() -> None:
    """Published and measured value, margin and verdict stand in one line."""
    content = entry(
        published=0.5, relation={"kind": "equals", "tolerance": 0.125, "reason": "It is."}
    )
    lines = rendered([judgment(content=content, measured=0.51234567)], 120)
    (heading,) = [line.split() for line in lines if "verdict" in line]
    assert heading == ["claim", "published", "measured", "margin", "redraw", "flips", "verdict"]
    (cells,) = [line.split() for line in lines if "a-claim" in line]
    assert cells == ["a-claim", "0.5", "0.5123", "2", "tol.", "reproduced"]


@pytest.mark.parametrize("width", [80, 120])
def test_an_undecided_claim_shows_its_interval(width: int) -> None:
    """A value beside its margin looks decided; the interval across the bound shows why it is not.

    A share of seeds stands with an interval of shares.
    """
    median = judgment("inconclusive", measured=0.209, interval=(0.198, 0.22), margin=1.01)
    shown = " ".join(" ".join(rendered([median], width)).split())
    assert "0.209" in shown
    assert all(part in shown for part in ("(between 0.198", "and 0.22)"))
    share = judgment(
        "inconclusive", entry(quantifier="every"), measured=0.94, interval=(0.875, 0.981)
    )
    shown = " ".join(" ".join(rendered([share], width)).split())
    assert "94% of seeds" in shown
    assert all(part in shown for part in ("(between 87.5%", "and 98.1%)"))
    decided = judgment(measured=0.209, interval=(0.198, 0.22))
    assert not any("between" in line for line in rendered([decided], width))


def test_the_narrow_table_has_two_lines_per_claim() -> None:
    """On 80 columns the numbers stand below, each with its name; one that is not there does not."""
    lines = rendered([judgment(), judgment("not_testable", NOT_TESTABLE)], 80)
    first = next(n for n, line in enumerate(lines) if line.split()[:1] == ["a-claim"])
    assert lines[first].split() == ["a-claim", "reproduced"]
    assert lines[first + 1].split() == ["measured", "0.5,", "margin", "factor", "2"]
    assert not any("published" in line for line in lines)


@pytest.mark.parametrize("width", [80, 120, 200])
def test_a_changed_verdict_shows_the_expected_one(width: int) -> None:
    """Beside what was found stands what was pinned, and only there."""
    lines = rendered([judgment(), judgment("not_reproduced")], width)
    assert sum("expected reproduced" in line for line in lines) == 1
    assert not any("…" in line for line in lines)
    assert max(len(line) for line in lines) <= width


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_longest_id_is_not_cut(width: int) -> None:
    """Every character of an id is on the screen, folded where it must be."""
    longest = max((c.id for c in claims.published().claim), key=len)
    lines = rendered([judgment(content=entry(longest))], width)
    shown = "".join(line.split()[0] for line in lines if line.strip())
    assert longest in shown
    assert max(len(line) for line in lines) <= width


def test_a_share_of_seeds_is_told_from_a_value() -> None:
    """What was measured of a claim about every seed is how many agree, and says so."""
    about_every = judgment(content=entry(quantifier="every"), measured=0.25)
    lines = rendered([about_every], 120)
    assert any("25% of seeds" in line for line in lines)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"quantifier": "exact"}, "at most 1"),
        ({"quantifier": "median"}, "median at most 1"),
        ({"quantifier": "every"}, "95% of all seeds at most 1"),
        (
            {"direction": {"kind": "above", "value": 0.5, "reason": "It is."}},
            "median at most 1; direction only if at least 0.5",
        ),
        (
            {"relation": {"kind": "equals", "value": 2, "tolerance": 0.5, "reason": "It is."}},
            "median from 1.5 to 2.5",
        ),
    ],
)
def test_a_rule_says_what_is_measured_and_where_it_must_lie(
    changes: dict[str, Any], rule: str
) -> None:
    """The metric's definition, the quantifier and the bounds, with those of the direction."""
    content = judgment(content=entry(**changes)).claim
    definition = metrics.definition("final_mse").removesuffix(".")
    assert ledger.rule(content) == f"{definition}: {rule}"
    assert ledger.rule(judgment("not_testable", NOT_TESTABLE).claim) == ""


def test_markdown_has_a_row_per_claim_and_the_counts() -> None:
    """Vertical bars in sentences do not end a cell."""
    bars = entry(statement="|dloss/dW| vanishes.", because="A | B.")
    both = [judgment(content=bars, sentence="a|b"), judgment("not_testable", NOT_TESTABLE)]
    lines = ledger.markdown(both, {"a-claim": "holds | elsewhere"}).splitlines()
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines if line.startswith("|")]
    assert {len(row) for row in rows} == {7}
    assert [cell.strip() for cell in rows[2]] == [
        *("`a-claim`", r"\|dloss/dW\| vanishes.", "**reproduced**", r"a\|b"),
        *(ledger.rule(both[0].claim).replace("|", r"\|"), r"A \| B.", r"holds \| elsewhere"),
    ]
    assert rows[-1][-1].strip() == ""
    assert lines[2] == "2 claims: 1 reproduced, 1 not_testable; all as expected"
    assert not any("marked *Ours*" in line for line in lines)


def test_markdown_tells_explanations_from_statements() -> None:
    """What this suite says of the study's numbers is counted and marked as such."""
    mine = judgment(content=entry(ours=True, statement="It is so."))
    text = ledger.markdown([mine, judgment()], {})
    assert "1 statement: 1 as documented; 1 claim of ours: 1 reproduced; all as expected" in text
    assert text.count("| *Ours:* It is so. |") == 1


def strictly(text: str) -> list[dict[str, Any]]:
    """Read JSON that has no NaN or Infinity."""

    def refuse(constant: str) -> NoReturn:
        pytest.fail(f"{constant} is not JSON")

    rows: list[dict[str, Any]] = json.loads(text, parse_constant=refuse)
    return rows


def test_json_has_an_object_per_claim() -> None:
    """What was found comes as numbers, what is missing as null."""
    both = [judgment(content=entry(published=0.25)), judgment("not_testable", NOT_TESTABLE)]
    first, second = strictly(ledger.as_json(both, {"a-claim": "holds elsewhere"}))
    assert first["id"] == "a-claim"
    assert (first["verdict"], first["expected"]) == ("reproduced", "reproduced")
    assert (first["published"], first["measured"], first["margin"]) == (0.25, 0.5, 2.0)
    assert first["interval"] == [0.25, 0.75]
    assert (first["seeds"], first["seeds_needed"]) == (100, 9)
    assert (first["elsewhere"], second["elsewhere"]) == ("holds elsewhere", None)
    assert (second["published"], second["kind"]) == (None, None)
    assert first.keys() == second.keys()


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_what_is_not_finite_is_null_in_json(value: float) -> None:
    """Diverged seeds make infinite values, which JSON does not have."""
    given = judgment(measured=value, interval=(0.5, value), margin=value)
    (row,) = strictly(ledger.as_json([given], {}))
    assert (row["measured"], row["interval"], row["margin"]) == (None, [0.5, None], None)


def test_a_claim_whose_seeds_diverged_is_written(tmp_path: Path) -> None:
    """From a dataset with infinite values to each form of the ledger."""
    content = file(entry(expected="not_reproduced"))
    datasets.save(dataset([0.5] + [NAN] * 19), tmp_path / "sine_regression-trained.nc")
    found = ledger.from_results(content, tmp_path)
    assert ledger.counts(found) == "1 claim: 1 not_reproduced; all as expected"
    assert strictly(ledger.as_json(found, {}))[0]["measured"] is None
    assert "| **not_reproduced** |" in ledger.markdown(found, {})
    assert any("measured inf" in line for line in rendered(found, 80))
    assert "interval   none, as it is one value, error" in ledger.in_full(
        found[0], content, stored=False
    )


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (
            entry(),
            [
                "protocol   trained: sine-regression, activations=['relu'], depth=2",
                "holds if   median in [-inf, 1]: It is low.",
                "interval   0.25 to 0.75, error level 0.01",
                "margin     factor 2 to the bound",
                "rerun      pytest 'tests/test_claims.py::test_claim[a-claim]'",
            ],
        ),
        (
            entry(
                published=0.5,
                relation={"kind": "equals", "tolerance": 0.1, "relative": True, "reason": "It is."},
                direction={"kind": "above", "value": 0.0, "reason": "At least that."},
                protocol="slow",
                quantifier="every",
            ),
            [
                "protocol   slow: sine-regression, defaults",
                "holds if   every in [0.45, 0.55]: It is.",
                "direction  in [0, inf]: At least that.",
                "margin     2 tol. to the bound",
                "rerun      pytest 'tests/test_claims.py::test_claim[a-claim]' --actbench-slow",
            ],
        ),
    ],
)
def test_one_claim_in_full(content: dict[str, Any], lines: list[str]) -> None:
    """Everything that a verdict rests on is there, a line each."""
    text = ledger.in_full(judgment(content=content), file(content), stored=False)
    shown = [line.strip() for line in text.splitlines()]
    assert shown[0] == "a-claim"
    for line in [
        *lines,
        "says       Of a-claim something holds.",
        "stated in  a table, a-claim",
        "verdict    reproduced (expected: reproduced)",
        "why        So it is with a-claim.",
        "metric     final_mse(activation=relu): "
        "Mean squared error on the noisy targets after the last update, infinite if it diverged.",
        "found      found for a-claim (results)",
        "seeds      100; the wording needs 9",
        "to flip    a measurement that left (-infinity, 1]",
    ]:
        assert line in shown
    assert sum(line.startswith("direction") for line in shown) == ("direction" in content)


@pytest.mark.usefixtures("stored")
def test_a_claim_in_full_says_where_stored_values_come_from() -> None:
    """Judged from the store, the machine that measured is named."""
    text = ledger.in_full(judgment(), file(), stored=True)
    assert text.splitlines()[-1] == "  measured   with torch 9.9 on an abacus"
    assert "found for a-claim (stored measurements)" in text


def test_what_was_not_measured_is_called_none() -> None:
    """Too few seeds leave neither interval nor margin."""
    text = ledger.in_full(judgment(**UNDECIDED, margin=None), file(), stored=False)
    assert "  interval   none, error level 0.01" in text.splitlines()
    assert "  margin     none to the bound" in text.splitlines()


def test_without_a_map_nothing_is_said_of_other_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A ledger can be written before robustness was ever measured."""
    monkeypatch.setattr(maps, "path_of", lambda: tmp_path / "none.json")
    assert ledger.elsewhere(file(), [judgment()]) == {}


def test_the_shipped_map_speaks_of_the_claims_that_are_asked_about() -> None:
    """A mapped claim has a sentence, which stands in its full text; another has none."""
    study = claims.published()
    asked = [study.get("relu-final-mse"), study.get("relu-derivative-max")]
    found = evidence.judge_all(study, lambda name: None, asked)
    sentences = ledger.elsewhere(study, found)
    assert list(sentences) == ["relu-final-mse"]
    first, second = (ledger.in_full(j, study, stored=True) for j in found)
    assert f"  elsewhere  {sentences['relu-final-mse']}" in first.splitlines()
    assert "  elsewhere" not in second


@pytest.mark.parametrize(
    ("interval", "measured", "given", "needed"),
    [
        ((0.5, 2.0), 0.75, {}, 2500),
        ((0.5, 2.0), 0.75, {"seeds": 3}, 9),
        ((0.5, 2.0), 1.0, {}, None),
        ((0.5, INF), 0.75, {}, None),
        (None, 0.75, {}, None),
    ],
)
def test_what_would_settle_it_is_told(
    interval: tuple[float, float] | None, measured: float, given: dict[str, Any], needed: int | None
) -> None:
    """An interval across the bound narrows with the root of the seeds; else the wording decides."""
    found = judgment("inconclusive", interval=interval, measured=measured, **given)
    assert ledger.seeds_to_settle(found) == needed
    told = ledger.in_full(found, file(entry()), stored=False)
    about = "" if given else "about "
    assert (f"to decide  {about}{needed} seeds" in told) is (needed is not None)


def test_no_number_loses_its_unit() -> None:
    """On 80 columns a number, its unit and its interval stay on one line."""
    content = entry("a" * 40, published=0.0004004)
    found = judgment("not_reproduced", content, measured=0.0005189, margin=2.37e4)
    lines = [line.strip() for line in rendered([found], 80)]
    assert any("margin factor 2.37e+04" in line for line in lines)
    straddling = judgment("inconclusive", content, measured=0.0005189, interval=(1.0001, 2.3456))
    lines = rendered([straddling], 80)
    assert any("measured 0.0005189 (between 1 and 2.346)" in line for line in lines)
