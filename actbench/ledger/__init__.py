"""The ledger: every claim with its verdict, as table, Markdown, JSON, or one claim in full."""

from actbench.ledger.documents import (
    EXPORTS,
    LEGEND,
    STUDY_LEGEND,
    as_json,
    export,
    markdown,
    table,
)
from actbench.ledger.judgments import (
    Results,
    changed,
    counts,
    from_results,
    lacking_seeds,
    more_seeds,
    origins,
    seeds_to_settle,
    surprises,
)
from actbench.ledger.wording import elsewhere, in_full, margin, redraw, rule

__all__ = [
    "EXPORTS",
    "FORMATS",
    "LEGEND",
    "STUDY_LEGEND",
    "Results",
    "as_json",
    "changed",
    "counts",
    "elsewhere",
    "export",
    "from_results",
    "in_full",
    "lacking_seeds",
    "margin",
    "markdown",
    "more_seeds",
    "origins",
    "redraw",
    "rule",
    "seeds_to_settle",
    "surprises",
    "table",
]

FORMATS = ("table", "markdown", "json")
