"""The ledger as a table, as Markdown, and for other programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from actbench.claims.claim import Verdict
from actbench.ledger import published_table
from actbench.ledger.judgments import changed, counts, seeds_to_settle
from actbench.ledger.wording import found, four_digits, margin, redraw, rule
from actbench.pages import blocks
from actbench.pages.blocks import Block, Code, Emphasis, Heading, Items, Rows, Sentence, Strong
from actbench.store.files import strict_json
from actbench.store.terminal import plural

if TYPE_CHECKING:
    from actbench.claims.claims_file import ClaimsFile
    from actbench.claims.verdicts import Judgment

_COLUMNS: Final = (
    "claim",
    "what it says",
    "verdict",
    "found",
    "holds if",
    "why",
    "in other settings",
)
_WIDE = 120
_EDGES = 7  # columns between and beside the two of a narrow table
_NUMBERS = ("published", "measured", "margin", "redraw flips")

_STYLES = {
    Verdict.REPRODUCED: "green",
    Verdict.DIRECTION_ONLY: "yellow",
    Verdict.NOT_REPRODUCED: "red",
    Verdict.INCONCLUSIVE: "magenta",
    Verdict.NOT_TESTABLE: "dim",
}


def table(judgments: Sequence[Judgment], width: int) -> Table:
    """Lay the ledger out for the terminal."""
    wide = width >= _WIDE
    result = Table(box=SIMPLE, padding=(0, 1))
    result.add_column("claim", overflow="fold")
    for heading in _NUMBERS if wide else ():
        result.add_column(heading, justify="right", no_wrap=True)
    result.add_column("verdict", no_wrap=True)
    verdicts = [_verdict(judgment) for judgment in judgments]
    longest = max((len(line) for v in verdicts for line in v.plain.splitlines()), default=0)
    for judgment, verdict in zip(judgments, verdicts, strict=True):
        published = four_digits(judgment.claim.published)
        numbers = [published, found(judgment), margin(judgment), redraw(judgment)]
        if wide:
            numbers[1] = numbers[1].replace(" (", "\n(").replace(" and ", "\nand ")
            result.add_row(judgment.claim.id, *numbers, verdict)
        else:
            shown = [f"{a} {b}" for a, b in zip(_NUMBERS, numbers, strict=True) if b]
            lines = _filled(shown, width - longest - _EDGES)
            result.add_row(Text.assemble(judgment.claim.id, (lines, "dim")), verdict)
    return result


def _filled(parts: Sequence[str], room: int) -> str:
    """Lines below a claim's id; a part, such as a number with its unit, is never broken."""
    lines: list[str] = []
    for part in parts:
        if lines and len(lines[-1]) + len(part) + 2 <= room:
            lines[-1] += f", {part}"
        else:
            lines.append(f"  {part}")
    return "".join(f"\n{line}" for line in lines)


def _verdict(judgment: Judgment) -> Text:
    verdict = Text(judgment.verdict, _STYLES[judgment.verdict])
    if settling := seeds_to_settle(judgment):
        about = "about\n" if judgment.seeds >= judgment.seeds_needed else ""
        verdict.append(f"\nneeds {about}{plural(settling, 'seed')}", "bold")
    if changed([judgment]):
        verdict.append(f"\nexpected {judgment.claim.expected}", "bold")
    return verdict


EXPORTS = ("table", "markdown", "json", "csv", "latex")

LEGEND = (
    "reproduced: it holds as stated. direction_only: a weaker form of it holds (an ordering, a "
    "sign, a looser bound). not_reproduced: neither. inconclusive: too few seeds. not_testable: no "
    "experiment here can decide. As expected: the verdict that is pinned, so that a change is "
    "noticed.",
    "A median stands with its confidence interval ('between'), at an error level of 1 % for all "
    "claims together; 'values from' gives the extremes over seeds.",
    "Margin, for a bound: by which factor the near end of the interval clears it, or misses "
    "it; for a value within a tolerance (tol.): distance to the nearest edge, in tolerances.",
)

STUDY_LEGEND = (
    "Unless a row says otherwise a network has 10 hidden layers of 64 units and torch's default "
    "initializer; it is trained on 200 points of one period of a sine with noise of standard "
    "deviation 0.1 by Adam, learning rate 0.001, no weight decay, 500 epochs.",
    "Gradient ratio: mean |dL/dW| of the output layer over that of layer 1, nearest the input. "
    "Recovered protocol: the draw of networks and inputs that gives the study's printed digits.",
    "In other settings: 10 initializers times 5 learning rates, 3 weight decays, 3 numbers of "
    "epochs and 4 depths, 5 seeds each; 'seeds disagree' counts settings in which some hold and "
    "some do not.",
)
"""What holds for the study's own claims alone."""


def markdown(
    judgments: Sequence[Judgment],
    sentences: Mapping[str, str],
    legend: Sequence[str] = (*LEGEND, *STUDY_LEGEND),
    claims: ClaimsFile | None = None,
    among: Sequence[Judgment] | None = None,
) -> str:
    """Write the ledger as Markdown, a table for each place where claims are stated."""
    page: list[Block] = [Heading("Ledger of claims", 1), Sentence(counts(judgments, claims))]
    if any(judgment.claim.ours for judgment in judgments):
        ours = ("Claims marked ", Emphasis("Ours"), " the study does not state: they explain it.")
        page.append(Sentence(ours))
    page.append(Items(tuple(legend)))
    if told := published_table.sentences(judgments, among):
        page += [Sentence(told[0]), Items(tuple(told[1:]))]
    for source in dict.fromkeys(j.claim.source for j in judgments):
        rows = [_row(j, sentences) for j in judgments if j.claim.source == source]
        page += [Heading(f"{source[:1].upper()}{source[1:]}"), Rows(_COLUMNS, tuple(rows))]
    return blocks.markdown(page)


def _row(judgment: Judgment, sentences: Mapping[str, str]) -> tuple[blocks.Words, ...]:
    claim, told = judgment.claim, [judgment.sentence]
    if judgment.published_run:
        told.append(f"The published value: {judgment.published_run}")
    if flips := redraw(judgment):
        told.append(f"A redraw of all runs flips it in {flips}")
    return (
        Code(claim.id),
        (Emphasis("Ours:"), f" {claim.statement}") if claim.ours else claim.statement,
        Strong(judgment.verdict),
        ". ".join(told),
        rule(claim),
        claim.because,
        sentences.get(claim.id, ""),
    )


def export(judgments: Sequence[Judgment], form: str, claims: ClaimsFile) -> str:
    """Write the ledger for another program."""
    if form == "markdown":
        return markdown(judgments, {}, LEGEND, claims)
    if form == "json":
        return f"{as_json(judgments, {})}\n"
    import pandas as pd

    rows = [{**j.row(), "low": None, "high": None} for j in judgments]
    for row in rows:
        del row["published_mean"]  # its sentence stays
        low, high = row.pop("interval") or (None, None)
        row.update(low=low, high=high)
    frame = pd.DataFrame(rows)
    if form == "csv":
        return str(frame.to_csv(index=False, lineterminator="\n"))
    shown = frame[["id", "published", "measured", "low", "high", "seeds", "verdict"]]
    return str(shown.to_latex(index=False, escape=True, float_format="%.4g", na_rep=""))


def as_json(
    judgments: Sequence[Judgment],
    sentences: Mapping[str, str],
    among: Sequence[Judgment] | None = None,
) -> str:
    """Write the ledger as a JSON list of objects."""
    told = published_table.together(judgments, among)
    tables = {name: one.row() for one in told for name in one.claims}
    beside = [(sentences.get(j.claim.id), tables.get(j.claim.id)) for j in judgments]
    rows = [
        {**j.row(), "elsewhere": elsewhere, "published_table": table}
        for j, (elsewhere, table) in zip(judgments, beside, strict=True)
    ]
    return strict_json(rows)
