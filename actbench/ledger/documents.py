"""The ledger as a table, as Markdown and JSON, and one claim of it in full."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from actbench.claims import measured, metrics
from actbench.claims.claim import Relation, Verdict
from actbench.claims.claims_file import ClaimsFile
from actbench.ledger import published_table
from actbench.ledger.judgments import changed, counts, seeds_to_settle
from actbench.store import studies
from actbench.store.files import strict_json
from actbench.store.terminal import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actbench.claims.claim import Claim, PublishedMean, Relation
    from actbench.claims.claims_file import ClaimsFile, Protocol
    from actbench.claims.verdicts import Judgment


def number(value: float | PublishedMean | None) -> str:
    """Write a value, or a mean with its parts, with four digits, or nothing where there is none."""
    return "" if value is None else f"{value:.4g}"


def margin(judgment: Judgment) -> str:
    """Say how far a verdict is from flipping."""
    decisive = judgment.claim.decisive(judgment.verdict)
    if judgment.margin is None or decisive is None:
        return ""
    kind = decisive.kind
    return f"{judgment.margin:.3g} tol." if kind == "equals" else f"factor {judgment.margin:.3g}"


def redraw(judgment: Judgment) -> str:
    """Say how likely all runs, made again, are to end in another verdict; empty if not known."""
    chance = judgment.flip_probability
    if chance is None or judgment.claim.quantifier == "exact":
        return ""
    return f"{chance:.0%}" if chance >= 0.01 else "<1%"


def measures(claim: Claim) -> str:
    """Say what number a claim is about, in words."""
    if "name" in claim.metric:
        return metrics.definition(str(claim.metric["name"]))
    from actbench.runs import columns

    return str(columns.parse(claim.metric))


def rule(claim: Claim) -> str:
    """Say what is measured for a claim, and where it must lie."""
    if claim.relation is None:
        return ""
    every = f"{claim.share:.0%} of all seeds "
    of = {"exact": "", "median": "median ", "mean": "mean ", "every": every}
    text = measures(claim).removesuffix(".")
    text = f"{text}: {'' if claim.pooled else of[claim.quantifier]}{_where(claim.relation)}"
    if claim.direction is not None:
        text += f"; direction only if {_where(claim.direction)}"
    return text


def _where(relation: Relation) -> str:
    low, high = relation.bounds
    if math.isinf(high):
        return f"at least {low:.4g}"
    return f"at most {high:.4g}" if math.isinf(low) else f"from {low:.4g} to {high:.4g}"


def elsewhere(claims: ClaimsFile, judgments: Sequence[Judgment]) -> dict[str, str]:
    """Say what studies remark on each claim, such as in how many other settings it holds."""
    found: dict[str, str] = {}
    for part in studies.parts("remarks"):
        found |= part.remarks(claims, judgments)
    return found


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
        published = number(judgment.claim.published)
        numbers = [published, _measured(judgment), margin(judgment), redraw(judgment)]
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


def _measured(judgment: Judgment) -> str:
    share = judgment.measured is not None and judgment.claim.quantifier == "every"
    text = f"{judgment.measured:.0%} of seeds" if share else number(judgment.measured)
    # It is the interval that decides nothing: the value alone may lie well within the bound.
    if judgment.verdict is Verdict.INCONCLUSIVE and judgment.interval is not None:
        low, high = (f"{end:.1%}" if share else number(end) for end in judgment.interval)
        text += f" (between {low} and {high})" if low != high else ""
    return text


def in_full(
    judgment: Judgment, claims: ClaimsFile, *, stored: bool, others: Sequence[Judgment] = ()
) -> str:
    """Write everything about one claim."""
    claim = judgment.claim
    lines = [
        claim.id,
        f"  says       {claim.statement}",
        f"  stated in  {claim.source}",
        f"  verdict    {judgment.verdict} (expected: {claim.expected})",
        f"  why        {claim.because}",
    ]
    if claim.protocol is None or claim.relation is None:
        return "\n".join(lines)
    protocol = claims.protocol[claim.protocol]
    lines += _asked(claim, claim.relation, protocol)
    lines += _found_lines(judgment, claims, "stored measurements" if stored else "results")
    lines.append(
        f"  rerun      {_rerun(claims, claim.id)}" + (" --actbench-slow" if protocol.slow else "")
    )
    sentence = elsewhere(claims, [judgment]).get(claim.id)
    if sentence:
        lines.append(f"  elsewhere  {sentence}")
    lines += [_told_beside(other, claims) for other in others]
    if stored:
        made = measured.load(claim.protocol, claims.measured_folder).environment
        lines.append(f"  measured   with torch {made.get('torch')} on {made.get('cpu')}")
    return "\n".join(lines)


def _asked(claim: Claim, relation: Relation, protocol: Protocol) -> list[str]:
    arguments = ", ".join(f"{k}={v}" for k, v in claim.metric.items() if k != "name")
    metric = f"{claim.metric['name']}({arguments}): " if "name" in claim.metric else ""
    low, high = relation.bounds
    lines = [
        f"  protocol   {claim.protocol}: {protocol.experiment}, {_settings(protocol)}",
        f"  metric     {metric}{measures(claim)}",
        f"  holds if   {claim.quantifier} in [{low:.6g}, {high:.6g}]: {relation.reason}",
    ]
    if claim.direction is not None:
        low, high = claim.direction.bounds
        lines.append(f"  direction  in [{low:.6g}, {high:.6g}]: {claim.direction.reason}")
    return lines


def _found_lines(judgment: Judgment, claims: ClaimsFile, evidence: str) -> list[str]:
    interval = "none, as it is one value"
    if judgment.interval is None:
        interval = "none"
    elif judgment.interval[0] != judgment.interval[1]:
        interval = f"{judgment.interval[0]:.6g} to {judgment.interval[1]:.6g}"
    settling, flips = seeds_to_settle(judgment), redraw(judgment)
    about = "about " if judgment.seeds >= judgment.seeds_needed else ""
    return [
        f"  found      {judgment.sentence} ({evidence})",
        *([f"  published  {judgment.published_run}"] if judgment.published_run else []),
        f"  interval   {interval}, error level {claims.level(judgment.claim):.2g}",
        f"  margin     {margin(judgment) or 'none'} to the bound",
        f"  seeds      {judgment.seeds}; the wording needs {judgment.seeds_needed}",
        f"  to flip    {judgment.to_flip}",
        *([f"  redraw     of all runs flips it in {flips} of cases"] if flips else []),
        *([f"  to decide  {about}{plural(settling, 'seed')}"] if settling else []),
    ]


def _told_beside(judgment: Judgment, claims: ClaimsFile) -> str:
    claim = judgment.claim
    settings = _settings(claims.protocol[claim.protocol]) if claim.protocol else "no protocol"
    return (
        f"  beside     {claim.id}, judged under {claim.protocol} ({settings}): {judgment.verdict}; "
        f"{judgment.sentence}"
    )


def _settings(protocol: Protocol) -> str:
    return ", ".join(f"{k}={v}" for k, v in protocol.settings.items()) or "defaults"


def _rerun(claims: ClaimsFile, claim_id: str) -> str:
    if claims.of_the_study:
        return f"pytest 'tests/test_claims.py::test_claim[{claim_id}]'"
    return f"pytest --actbench-claims {shlex.quote(str(claims.path))} -k {claim_id}"


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
