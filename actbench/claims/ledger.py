"""The ledger: every claim with its verdict, as table, Markdown, JSON, or one claim in full."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.table import Table

from actbench import metrics
from actbench.claims import measured, robustness
from actbench.claims.claim import ClaimsFile, Relation, Verdict
from actbench.claims.evidence import file_name, judge_all, stored_dataset
from actbench.claims.robustness_sentence import sentence
from actbench.files import strict_json

if TYPE_CHECKING:
    import xarray as xr

    from actbench.claims.claim import Claim
    from actbench.claims.verdicts import Judgment

_WIDE = 120

FORMATS = ("table", "markdown", "json")

LEGEND = (
    "reproduced: it holds as stated. direction_only: a weaker form of it holds (an ordering, a "
    "sign, a looser bound). not_reproduced: neither. inconclusive: too few seeds. not_testable: no "
    "experiment here can decide. As expected: the verdict that is pinned, so that a change is "
    "noticed.",
    "A median stands with its confidence interval ('between'), at an error level of 1 % for all "
    "claims together; 'values from' gives the extremes over seeds.",
    "Margin, for a bound (x): by which factor the near end of the interval clears it, or misses "
    "it; for a value within a tolerance (tol): distance to the nearest edge, in tolerances.",
)

STUDY_LEGEND = (
    "Unless a row says otherwise a network has 10 hidden layers of 64 units and torch's default "
    "initializer; it is trained on 200 points of one period of a sine with noise of standard "
    "deviation 0.1 by Adam, learning rate 0.001, no weight decay, 500 epochs.",
    "Gradient ratio: mean |dL/dW| of the output layer over that of layer 1, nearest the input. "
    "Recovered protocol: the draw of networks and inputs that gives the study's printed digits.",
    "In other settings: 10 initializers times 5 learning rates, 3 weight decays and 3 numbers of "
    "epochs, 5 seeds each; 'seeds disagree' counts settings in which some hold and some do not.",
)
"""What holds for the study's own claims alone."""

_MARKS = {
    Verdict.REPRODUCED: "[green]reproduced[/]",
    Verdict.DIRECTION_ONLY: "[yellow]direction_only[/]",
    Verdict.NOT_REPRODUCED: "[red]not_reproduced[/]",
    Verdict.INCONCLUSIVE: "[magenta]inconclusive[/]",
    Verdict.NOT_TESTABLE: "[dim]not_testable[/]",
}


def from_results(
    claims: ClaimsFile, out: Path, chosen: Iterable[Claim] | None = None
) -> list[Judgment]:
    """Judge claims from a folder of results, or from stored measurements where it has none.

    Args:
        claims: The claims file.
        out: Folder that ``actbench reproduce`` wrote; it need not exist.
        chosen: Claims to judge; all by default.

    Returns:
        One judgment per claim, in order.

    Raises:
        ActbenchError: A dataset in the folder is damaged or of other settings.
    """
    known: dict[str, xr.Dataset | None] = {}

    def find(name: str) -> xr.Dataset | None:
        if name not in known:
            there = results_hold(claims, name, out)
            known[name] = stored_dataset(out, name, claims.protocol[name]) if there else None
        return known[name]

    return judge_all(claims, find, chosen)


def results_hold(claims: ClaimsFile, protocol: str | None, out: Path) -> bool:
    """Tell whether a folder of results has the dataset of a protocol.

    Args:
        claims: The claims file.
        protocol: Name of the protocol.
        out: The folder.

    Returns:
        Whether its file is there.
    """
    return protocol is not None and (out / file_name(protocol, claims.protocol[protocol])).exists()


def changed(judgments: Sequence[Judgment]) -> list[Judgment]:
    """Pick the judgments whose verdict is another than the expected one.

    Args:
        judgments: What was judged.

    Returns:
        Those; without claims that are undecided because fewer seeds were run than they need.
    """
    return [j for j in judgments if not j.as_expected and not _lacks_seeds(j)]


def _lacks_seeds(judgment: Judgment) -> bool:
    return judgment.verdict is Verdict.INCONCLUSIVE and judgment.seeds < judgment.seeds_needed


def counts(judgments: Sequence[Judgment]) -> str:
    """Say how many claims had which verdict.

    Args:
        judgments: What was judged.

    Returns:
        Such as ``"72 claims: 40 reproduced, 8 direction_only, …; all as expected"``.
    """
    parts = [
        f"{number} {verdict}"
        for verdict in Verdict
        if (number := sum(j.verdict is verdict for j in judgments))
    ]
    flipped = ", ".join(
        f"{j.claim.id} ({j.verdict}; expected {j.claim.expected})" for j in changed(judgments)
    )
    short = sum(not j.as_expected and _lacks_seeds(j) for j in judgments)
    end = f"not as expected: {flipped}" if flipped else "all as expected"
    if short:
        end = f"{short} need more seeds; " + (end if flipped else "the others as expected")
    return f"{len(judgments)} claims: {', '.join(parts) or 'none'}; {end}"


def table(judgments: Sequence[Judgment], width: int) -> Table:
    """Lay the ledger out for the terminal.

    Args:
        judgments: What was judged.
        width: Columns of the terminal; a narrow one gets two lines per claim.

    Returns:
        A table with id, published and measured value, verdict and margin.
    """
    wide = width >= _WIDE
    result = Table(box=SIMPLE, padding=(0, 1))
    result.add_column("claim", overflow="fold")
    for heading in ("published", "measured", "margin") if wide else ():
        result.add_column(heading, justify="right")
    result.add_column("verdict", no_wrap=True)
    for judgment in judgments:
        numbers = [
            _number(judgment.claim.published),
            _measured(judgment),
            _margin(judgment),
        ]
        verdict = _MARKS[judgment.verdict]
        if not judgment.as_expected:
            verdict += f"\n[bold]expected {judgment.claim.expected}[/]"
        if wide:
            result.add_row(judgment.claim.id, *numbers, verdict)
        else:
            labels = ("published", "measured", "margin")
            shown = [f"{a} {b}" for a, b in zip(labels, numbers, strict=True) if b]
            result.add_row(f"{judgment.claim.id}\n  [dim]{', '.join(shown)}[/]", verdict)
    return result


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _measured(judgment: Judgment) -> str:
    share = judgment.measured is not None and judgment.claim.quantifier == "every"
    text = f"{judgment.measured:.0%} of seeds" if share else _number(judgment.measured)
    # It is the interval that decides nothing: the value alone may lie well within the bound.
    if judgment.verdict is Verdict.INCONCLUSIVE and judgment.interval is not None:
        low, high = (f"{end:.1%}" if share else _number(end) for end in judgment.interval)
        text += f" (between {low} and {high})"
    return text


def _margin(judgment: Judgment) -> str:
    relation = judgment.claim.relation
    if judgment.margin is None or relation is None:
        return ""
    return f"{judgment.margin:.3g} {'tol' if relation.kind == 'equals' else 'x'}"


def elsewhere(claims: ClaimsFile, judgments: Sequence[Judgment]) -> dict[str, str]:
    """Say of each mapped claim in how many other settings it holds.

    Args:
        claims: The study's claims.
        judgments: Of the claims that are asked about.

    Returns:
        Claim id to one sentence from the stored robustness map; empty where none is stored.
    """
    if not (claims.of_the_study and robustness.path_of().exists()):
        return {}
    found, asked = robustness.load(), {judgment.claim.id for judgment in judgments}
    mapped = [claim for claim in robustness.mapped_claims(claims) if claim.id in asked]
    return {claim.id: sentence(found, claim) for claim in mapped}


def markdown(
    judgments: Sequence[Judgment],
    sentences: Mapping[str, str],
    legend: Sequence[str] = (*LEGEND, *STUDY_LEGEND),
) -> str:
    """Write the ledger as a Markdown table.

    Args:
        judgments: What was judged.
        sentences: As ``elsewhere`` gives them.
        legend: Sentences that explain it.

    Returns:
        Markdown with a row per claim and the counts below.
    """
    ours = sum(j.claim.ours for j in judgments)
    lines = ["# Ledger of claims", "", counts(judgments), ""]
    if ours:
        lines += [f"{ours} of them, marked *Ours*, the study does not state: they explain it.", ""]
    lines += [f"- {line}" for line in legend]
    for source in dict.fromkeys(j.claim.source for j in judgments):
        lines += ["", f"## {source[0].upper()}{source[1:]}", ""]
        lines += [
            "| claim | what it says | verdict | found | holds if | why | in other settings |",
            "|---|---|---|---|---|---|---|",
        ]
        lines += [
            f"| `{j.claim.id}` | {_cell(_says(j))} | **{j.verdict}** | "
            f"{_cell(j.sentence)} | {_cell(rule(j.claim))} | {_cell(j.claim.because)} | "
            f"{_cell(sentences.get(j.claim.id, ''))} |"
            for j in judgments
            if j.claim.source == source
        ]
    return "\n".join([*lines, ""])


def _says(judgment: Judgment) -> str:
    ours = "*Ours:* " if judgment.claim.ours else ""
    return ours + judgment.claim.statement


def rule(claim: Claim) -> str:
    """Say what is measured for a claim, and where it must lie.

    Args:
        claim: The claim.

    Returns:
        One sentence, such as ``"Mean squared error ..., per seed: median from 0.0068 to 0.0092"``;
        empty for a claim that is not testable.
    """
    if claim.relation is None:
        return ""
    of = {"exact": "", "median": "median ", "every": f"{claim.share:.0%} of all seeds "}
    text = metrics.definition(str(claim.metric["name"])).removesuffix(".")
    text = f"{text}: {of[claim.quantifier]}{_where(claim.relation)}"
    if claim.direction is not None:
        text += f"; direction only if {_where(claim.direction)}"
    return text


def _where(relation: Relation) -> str:
    low, high = relation.bounds
    if math.isinf(high):
        return f"at least {low:.4g}"
    return f"at most {high:.4g}" if math.isinf(low) else f"from {low:.4g} to {high:.4g}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def as_json(judgments: Sequence[Judgment], sentences: Mapping[str, str]) -> str:
    """Write the ledger as a JSON list of objects.

    Args:
        judgments: What was judged.
        sentences: As ``elsewhere`` gives them.

    Returns:
        Strict JSON: id, verdict, expected, published, measured, interval, margin and more.
    """
    rows = [{**j.row(), "elsewhere": sentences.get(j.claim.id)} for j in judgments]
    return strict_json(rows)


def _rerun(claims: ClaimsFile, claim_id: str) -> str:
    if claims.of_the_study:
        return f"pytest 'tests/test_claims.py::test_claim[{claim_id}]'"
    return f"pytest --claims {claims.path} -k {claim_id}"


def in_full(judgment: Judgment, claims: ClaimsFile, *, stored: bool) -> str:
    """Write everything about one claim.

    Args:
        judgment: Its verdict.
        claims: The file it stands in.
        stored: Whether it was judged from stored measurements.

    Returns:
        Lines of text: source, protocol, metric, relation, evidence, and how to rerun just it.
    """
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
    arguments = ", ".join(f"{k}={v}" for k, v in claim.metric.items() if k != "name")
    name = str(claim.metric["name"])
    settings = ", ".join(f"{k}={v}" for k, v in protocol.settings.items()) or "defaults"
    low, high = claim.relation.bounds
    evidence = "stored measurements" if stored else "results"
    interval = "none"
    if judgment.interval is not None:
        interval = f"{judgment.interval[0]:.6g} to {judgment.interval[1]:.6g}"
    lines += [
        f"  protocol   {claim.protocol}: {protocol.experiment}, {settings}",
        f"  metric     {name}({arguments}): {metrics.definition(name)}",
        f"  holds if   {claim.quantifier} in [{low:.6g}, {high:.6g}]: {claim.relation.reason}",
    ]
    if claim.direction is not None:
        low, high = claim.direction.bounds
        lines.append(f"  direction  in [{low:.6g}, {high:.6g}]: {claim.direction.reason}")
    lines += [
        f"  found      {judgment.sentence} ({evidence})",
        f"  interval   {interval}, error level {claims.alpha:.2g}",
        f"  margin     {_number(judgment.margin) or 'none'}"
        f" ({'tolerances' if claim.relation.kind == 'equals' else 'factor'} to the bound)",
        f"  seeds      {judgment.seeds}; the wording needs {judgment.seeds_needed}",
        f"  to flip    {judgment.to_flip}",
        f"  rerun      {_rerun(claims, claim.id)}" + (" --slow" if protocol.slow else ""),
    ]
    sentence = elsewhere(claims, [judgment]).get(claim.id)
    if sentence:
        lines.append(f"  elsewhere  {sentence}")
    if stored:
        made = measured.load(claim.protocol, claims.measured_folder).environment
        lines.append(f"  measured   with torch {made.get('torch')} on {made.get('cpu')}")
    return "\n".join(lines)
