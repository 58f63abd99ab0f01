"""A robustness map in words: a sentence or a row for each claim."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from actbench.claims.claim import Claim, Verdict
from actbench.pages import blocks
from actbench.store.errors import ActbenchError
from actbench.study.robustness import maps
from actbench.study.robustness.maps import Grid, Outcome, Robustness, Setting

if TYPE_CHECKING:
    from actbench.claims.claims_file import ClaimsFile
    from actbench.claims.verdicts import Judgment


_PARTS = 5  # of a sentence; what is left is counted


NOT_MAPPED = "not measured yet: actbench robustness --measure"


def sentence(robustness: Robustness, claim: Claim) -> str:
    """Say in one sentence where a claim holds, and where not."""
    outcomes = robustness.outcomes(claim)
    clauses = _clauses(robustness.grid, outcomes, claim.expected is Verdict.REPRODUCED)
    disagreeing = sum(0 < outcome.share < 1 for outcome in outcomes.values())
    if disagreeing:
        clauses.append(f"seeds disagree in {disagreeing}")
    if claim.direction is not None and claim.expected is Verdict.DIRECTION_ONLY:
        weaker = robustness.outcomes(claim, claim.direction)
        clauses.append("its direction " + "; ".join(_clauses(robustness.grid, weaker, True)))
    return "; ".join(clauses)


def _clauses(grid: Grid, outcomes: Mapping[Setting, Outcome], expected: bool) -> list[str]:
    verb, opposite = ("holds", "fails") if expected else ("fails", "holds")
    exceptions = {s for s, outcome in outcomes.items() if outcome.holds is not expected}
    total = len(outcomes)
    if not exceptions:
        return [f"{verb} in all {total} settings"]
    if len(exceptions) == total:
        return [f"{opposite} in all {total} settings"]
    count = f"{verb} in {total - len(exceptions)} of {total} settings"
    return [count, f"{opposite} for {_described(grid, exceptions)}"]


def _described(grid: Grid, exceptions: set[Setting]) -> str:
    """Name single variations, then settings by rows and columns of the product."""
    parts: list[tuple[str, set[Setting]]] = []
    for field, values, words in (
        ("depth", grid.depths, "depth {}"),
        ("weight_decay", grid.weight_decays, "weight decay {}"),
        ("epochs", grid.epochs, "{} epochs"),
    ):
        known = sorted({getattr(grid.stated, field), *values})
        there = [value for value in known if grid.stated.but(**{field: value}) in exceptions]
        if set(there) - {getattr(grid.stated, field)}:
            settings = {grid.stated.but(**{field: value}) for value in there}
            parts.append((words.format(_span(there, known)), settings))
    pairs = {(s.initializer, s.learning_rate) for s in exceptions & set(grid.product)}
    parts += [
        (text, {grid.stated.but(initializer=i, learning_rate=rate) for i, rate in block})
        for text, block in _blocks(grid, pairs)
    ]
    named: set[Setting] = set().union(*(settings for _, settings in parts[:_PARTS]))
    left = len(exceptions - named)
    return ", ".join(text for text, _ in parts[:_PARTS]) + (f" and {left} more" if left else "")


_Pair = tuple[str, float]


def _blocks(grid: Grid, pairs: set[_Pair]) -> list[tuple[str, set[_Pair]]]:
    """Cover pairs by whole learning rates, whole initializers and, for the rest, rectangles."""
    keys, rates = grid.initializers, sorted(grid.learning_rates)
    whole_keys = [i for i in keys if all((i, rate) in pairs for rate in rates)]
    whole_rates = [rate for rate in rates if all((i, rate) in pairs for i in keys)]
    blocks: list[tuple[str, set[_Pair]]] = []
    if whole_rates:
        name = f"learning rate {_span(whole_rates, rates)}"
        blocks.append((name, set(itertools.product(keys, whole_rates))))
    if whole_keys:
        name = _initializers(whole_keys, keys)
        blocks.append((name, set(itertools.product(whole_keys, rates))))
    by_rates: dict[tuple[float, ...], list[str]] = {}
    for key in keys:
        left = tuple(r for r in rates if (key, r) in pairs and r not in whole_rates)
        if left and key not in whole_keys:
            by_rates.setdefault(left, []).append(key)
    rectangles = sorted(by_rates.items(), key=lambda item: -len(item[0]) * len(item[1]))
    for left, members in rectangles:
        name = f"{_initializers(members, keys)} at learning rate {_span(left, rates)}"
        blocks.append((name, set(itertools.product(members, left))))
    return blocks


def _initializers(chosen: Sequence[str], known: Sequence[str]) -> str:
    def stds(keys: Iterable[str]) -> list[float]:
        return sorted(float(key[len("normal(") : -1]) for key in keys if key.startswith("normal("))

    words = [key for key in chosen if not key.startswith("normal(")]
    if stds(chosen):
        words.append(f"normal({_span(stds(chosen), stds(known))})")
    return "/".join(words)


def _span(chosen: Sequence[float], known: Sequence[float]) -> str:
    """Write some of the known values, both ascending, as a bound where they reach one end."""
    if len(chosen) == len(known) > 1:
        return "any"
    if len(chosen) > 1 and list(chosen) == list(known[: len(chosen)]):
        return f"<= {chosen[-1]:g}"
    if len(chosen) > 1 and list(chosen) == list(known[-len(chosen) :]):
        return f">= {chosen[0]:g}"
    return "/".join(f"{value:g}" for value in chosen)


_SENTENCE = "where"


def map_rows(found: Robustness, claims: Sequence[Claim]) -> list[dict[str, Any]]:
    """Sum the map up."""
    rows = []
    for claim in claims:
        outcomes = found.outcomes(claim).values()
        rows.append(
            {
                "claim": claim.id,
                "settings": len(outcomes),
                "holds in": sum(outcome.holds for outcome in outcomes),
                "seeds disagree in": sum(0 < outcome.share < 1 for outcome in outcomes),
                _SENTENCE: sentence(found, claim),
            }
        )
    return rows


def setting_rows(found: Robustness, claim: Claim) -> list[dict[str, Any]]:
    """Tell one claim's map setting by setting."""
    return [
        {
            **setting.model_dump(),
            "holds": outcome.holds,
            "seeds inside": outcome.share,
            "median": outcome.median,
        }
        for setting, outcome in found.outcomes(claim).items()
    ]


def require_mapped(claim: Claim, mapped: Sequence[Claim]) -> None:
    """Refuse a claim that no map is about."""
    if claim not in mapped:
        raise ActbenchError(
            f"claim {claim.id!r} is not on the map, which has the claims about trained networks "
            "of the stated protocol. 'actbench robustness' lists them"
        )


def rows_as_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Lay rows out for the terminal."""
    table = Table(box=SIMPLE, padding=(0, 1), collapse_padding=True, pad_edge=False)
    cells = [{name: _cell(value) for name, value in row.items()} for row in rows]
    first, *others = (name for name in rows[0] if name != _SENTENCE)
    for name in (first, *others):
        table.add_column(
            name.replace("_", " ").replace(" ", "\n"),  # as narrow as its cells
            justify="right" if name in others else "left",
            no_wrap=name in others,
            min_width=max(len(row[name]) for row in cells) if name == first else None,
        )
    for row in cells:
        below = (f"\n{row[_SENTENCE]}", "dim") if _SENTENCE in row else ""
        table.add_row(Text.assemble(row[first], below), *(row[name] for name in others))
    return table


def rows_as_markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Write rows as a Markdown table; arguments as of ``rows_as_table``."""
    return blocks.table(list(rows[0]), [list(map(_cell, row.values())) for row in rows])


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def remarks(claims: ClaimsFile, judgments: Sequence[Judgment]) -> dict[str, str]:
    """Say of each mapped claim in how many other settings it holds."""
    if not (claims.of_the_study and maps.path_of().exists()):
        return {}
    found, asked = maps.load(), {judgment.claim.id for judgment in judgments}
    mapped = [claim for claim in maps.mapped_claims(claims) if claim.id in asked]
    return {
        claim.id: sentence(found, claim) if found.has(claim) else NOT_MAPPED for claim in mapped
    }
