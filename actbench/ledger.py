"""The ledger: every claim with its verdict, as table, Markdown, JSON, or one claim in full."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.table import Table

from actbench import measured, metrics, robustness
from actbench.claims import ClaimsFile, Verdict
from actbench.evidence import file_name, judge_all, stored_dataset
from actbench.files import strict_json
from actbench.robustness_sentence import sentence

if TYPE_CHECKING:
    import xarray as xr

    from actbench.claims import Claim
    from actbench.verdicts import Judgment

_WIDE = 120

FORMATS = ("table", "markdown", "json")

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
    flipped = ", ".join(j.claim.id for j in changed(judgments))
    short = sum(not j.as_expected and _lacks_seeds(j) for j in judgments)
    end = f"CHANGED: {flipped}" if flipped else "all as expected"
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
            _number(value)
            for value in (judgment.claim.published, judgment.measured, judgment.margin)
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


def elsewhere(claims: ClaimsFile, judgments: Sequence[Judgment]) -> dict[str, str]:
    """Say of each mapped claim in how many other settings it holds.

    Args:
        claims: The study's claims.
        judgments: Of the claims that are asked about.

    Returns:
        Claim id to one sentence from the stored robustness map; empty where none is stored.
    """
    if not robustness.path_of().exists():
        return {}
    found, asked = robustness.load(), {judgment.claim.id for judgment in judgments}
    mapped = [claim for claim in robustness.mapped_claims(claims) if claim.id in asked]
    return {claim.id: sentence(found, claim) for claim in mapped}


def markdown(judgments: Sequence[Judgment], sentences: Mapping[str, str]) -> str:
    """Write the ledger as a Markdown table.

    Args:
        judgments: What was judged.
        sentences: As ``elsewhere`` gives them.

    Returns:
        Markdown with a row per claim and the counts below.
    """
    lines = [
        "| claim | what it says | found | verdict | why | in other settings |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| `{j.claim.id}` | {_cell(j.claim.statement)} | {_cell(j.sentence)} | {j.verdict} | "
        f"{_cell(j.claim.because)} | {_cell(sentences.get(j.claim.id, ''))} |"
        for j in judgments
    ]
    return "\n".join([*lines, "", counts(judgments), ""])


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
        f"  rerun      pytest 'tests/test_claims.py::test_claim[{claim.id}]'"
        + (" --slow" if protocol.slow else ""),
    ]
    sentence = elsewhere(claims, [judgment]).get(claim.id)
    if sentence:
        lines.append(f"  elsewhere  {sentence}")
    if stored:
        made = measured.load(claim.protocol).environment
        lines.append(f"  measured   with torch {made.get('torch')} on {made.get('cpu')}")
    return "\n".join(lines)
