"""The judgments of a ledger: from results or the store, which have changed, and how many."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from actbench.claims.claim import ClaimsFile, Verdict
from actbench.claims.evidence import file_name, judge_all, stored_dataset
from actbench.claims.statements import counted

if TYPE_CHECKING:
    import xarray as xr

    from actbench.claims.claim import Claim
    from actbench.claims.verdicts import Judgment


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


def lacking_seeds(judgments: Sequence[Judgment]) -> list[Judgment]:
    """Pick the judgments that are undecided because fewer seeds were run than they need.

    Args:
        judgments: What was judged.

    Returns:
        Those; without claims that are expected to be undecided.
    """
    return [j for j in judgments if not j.as_expected and _lacks_seeds(j)]


def _lacks_seeds(judgment: Judgment) -> bool:
    return judgment.verdict is Verdict.INCONCLUSIVE and judgment.seeds < judgment.seeds_needed


def counts(judgments: Sequence[Judgment], claims: ClaimsFile | None = None) -> str:
    """Say how many statements hold where, how many claims had which verdict, and what changed.

    Args:
        judgments: What was judged.
        claims: Where they stand.

    Returns:
        Such as ``"72 claims: 40 reproduced, 8 direction_only, …; all as expected"``.
    """
    flipped = ", ".join(
        f"{j.claim.id} ({j.verdict}; expected {j.claim.expected})" for j in changed(judgments)
    )
    short = len(lacking_seeds(judgments))
    end = f"not as expected: {flipped}" if flipped else "all as expected"
    if short:
        need = "needs" if short == 1 else "need"
        end = f"{short} {need} more seeds; " + (end if flipped else "the others as expected")
    return f"{counted(claims, judgments)}; {end}"
