"""Statements are counted once each, by where they hold."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from actbench import claims, ledger
from actbench.claims.claim import Claim, Verdict
from actbench.claims.verdicts import Judgment
from actbench.ledger.judgments import Standing, counted, statements
from actbench.runs import evidence
from actbench.store.files import baselines_folder

STUDY = claims.published()
ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
HELD, WEAK, NOT, OPEN, NEVER = (
    *(Verdict.REPRODUCED, Verdict.DIRECTION_ONLY, Verdict.NOT_REPRODUCED),
    *(Verdict.INCONCLUSIVE, Verdict.NOT_TESTABLE),
)


def family(documented: list[Verdict], run: list[Verdict], first: str = "first") -> list[Judgment]:
    """Judgments of one statement: as documented, then as it was run."""
    given = [("stated", verdict) for verdict in documented]
    given += [("as-run", verdict) for verdict in run]
    return [
        Judgment(
            Claim.model_construct(
                id=first if place == 0 else f"{first}-{place}",
                variant_of=None if place == 0 else first,
                protocol=None if verdict is NEVER else protocol,
                ours=False,
                expected=verdict,
            ),
            verdict,
        )
        for place, (protocol, verdict) in enumerate(given)
    ]


@pytest.mark.parametrize(
    ("documented", "run", "standing", "shown"),
    [
        ([HELD], [], Standing.DOCUMENTED, "first"),
        ([HELD], [NOT], Standing.DOCUMENTED, "first"),
        ([HELD, HELD], [], Standing.DOCUMENTED, "first"),
        ([NOT, HELD], [], Standing.PARTLY, "first"),
        ([NOT], [HELD], Standing.AS_RUN, "first-1"),
        ([WEAK], [NOT, HELD], Standing.AS_RUN, "first-2"),
        ([], [HELD], Standing.AS_RUN, "first"),
        ([OPEN, NOT], [], Standing.UNDECIDED, "first"),
        ([OPEN], [HELD], Standing.UNDECIDED, "first"),
        ([NOT], [OPEN], Standing.UNDECIDED, "first"),
        ([HELD, OPEN], [], Standing.UNDECIDED, "first"),
        ([HELD, OPEN, NOT], [], Standing.PARTLY, "first"),
        ([NOT], [WEAK], Standing.DIRECTION, "first"),
        ([NOT, NOT], [NOT], Standing.NOWHERE, "first"),
        ([NEVER], [], Standing.UNTESTABLE, "first"),
    ],
)
def test_a_statement_is_one_however_often_it_is_judged(
    documented: list[Verdict], run: list[Verdict], standing: Standing, shown: str
) -> None:
    """What holds under the documented protocol comes before what holds as run, or in part."""
    judged = family(documented, run)
    (found,) = statements(STUDY, judged)
    assert (found.standing, found.shown.claim.id) == (standing, shown)
    assert sorted(j.claim.id for j in (found.shown, *found.others)) == [j.claim.id for j in judged]


def test_without_a_file_nothing_counts_as_run() -> None:
    """Which protocol was run is the file's to say."""
    (found,) = statements(None, family([NOT], [HELD]))
    assert found.standing is Standing.PARTLY


def test_what_is_ours_is_counted_apart() -> None:
    """And verdicts alone are counted where there is neither that nor a variant."""
    plain = family([HELD], []) + family([NOT], [], "second")
    assert counted(STUDY, plain) == ["2 claims: 1 reproduced, 1 not_reproduced"]
    mine = Judgment(plain[0].claim.model_copy(update={"ours": True, "id": "mine"}), HELD)
    assert counted(STUDY, [*plain, mine]) == [
        "2 statements: 1 as documented, 1 nowhere",
        "1 claim of ours: 1 reproduced",
    ]
    assert counted(STUDY, family([NOT], [HELD])) == ["1 statement: 1 only as run"]


def test_the_readme_counts_as_the_ledger_does(tmp_path: Path) -> None:
    """Its first screen tells the stored verdicts of the study's statements."""
    judged = ledger.from_results(STUDY, tmp_path)
    number = {s: [f.standing for f in statements(STUDY, judged)].count(s) for s in Standing}
    told = " ".join(README.split())
    assert re.search(rf"{sum(number.values())}, apart from (\d+) claims of ours", told)
    ours = sum(judgment.claim.ours for judgment in judged)
    assert f"{sum(number.values())}, apart from {ours} claims of ours" in told
    assert f"**{number[Standing.DOCUMENTED]} hold as documented.**" in told
    assert f"**{number[Standing.AS_RUN]} hold only as run.**" in told
    rest = [number[s] for s in (Standing.PARTLY, Standing.DIRECTION, Standing.NOWHERE)]
    assert f"**{sum(rest)} hold in part or not at all.** {rest[0]} only under some" in told
    assert f"{rest[1]} in direction only, {rest[2]} nowhere" in told
    assert f"{number[Standing.UNTESTABLE]} more can't be tested here" in told


def test_the_claim_that_the_page_shows_is_one(tmp_path: Path) -> None:
    """Copied from CONTRIBUTING.md to the end of the study's file, its protocol can decide it."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"^```toml\n(\[\[claim\]\].*?)^```", page, re.MULTILINE | re.DOTALL)
    path = tmp_path / "published.toml"
    shipped = (baselines_folder() / "published.toml").read_text(encoding="utf-8")
    path.write_text(f"{shipped}\n{shown}", encoding="utf-8")
    file = claims.load(path)
    evidence.check_settings(file)
    assert file.claim[-1].id == "gelu-fits-to-a-hundredth"
