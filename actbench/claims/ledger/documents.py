"""The ledger as Markdown with its legend, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from actbench.claims import published_table
from actbench.claims.ledger.judging import counts
from actbench.claims.ledger.wording import redraw, rule
from actbench.files import strict_json

if TYPE_CHECKING:
    from actbench.claims.claims_file import ClaimsFile
    from actbench.claims.verdicts import Judgment

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
    """Write the ledger as a Markdown table."""
    told = published_table.sentences(judgments, among)
    ours = sum(j.claim.ours for j in judgments)
    lines = ["# Ledger of claims", "", counts(judgments, claims), ""]
    if ours:
        lines += ["Claims marked *Ours* the study does not state: they explain it.", ""]
    lines += [f"- {line}" for line in legend]
    lines += ["", *told[:1], "", *(f"- {line}" for line in told[1:])] if told else []
    for source in dict.fromkeys(j.claim.source for j in judgments):
        lines += ["", f"## {source[:1].upper()}{source[1:]}" if source else "", ""]
        lines += [
            "| claim | what it says | verdict | found | holds if | why | in other settings |",
            "|---|---|---|---|---|---|---|",
        ]
        lines += [
            f"| `{j.claim.id}` | {_cell(_says(j))} | **{j.verdict}** | "
            f"{_cell(_found(j))} | {_cell(rule(j.claim))} | {_cell(j.claim.because)} | "
            f"{_cell(sentences.get(j.claim.id, ''))} |"
            for j in judgments
            if j.claim.source == source
        ]
    return "\n".join([*lines, ""])


def _says(judgment: Judgment) -> str:
    ours = "*Ours:* " if judgment.claim.ours else ""
    return ours + judgment.claim.statement


def _found(judgment: Judgment) -> str:
    told = [judgment.sentence]
    if judgment.published_run:
        told.append(f"The published value: {judgment.published_run}")
    if flips := redraw(judgment):
        told.append(f"A redraw of all runs flips it in {flips}")
    return ". ".join(told)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


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
