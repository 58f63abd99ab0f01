"""The judgments of a ledger, which of them have changed, and what each statement comes to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from actbench.claims import measured
from actbench.claims.claim import Verdict
from actbench.claims.claims_file import ClaimsFile
from actbench.runs.evidence import file_name, judge_all, other_settings, stored_dataset
from actbench.store import datasets
from actbench.store.terminal import plural

if TYPE_CHECKING:
    import xarray as xr

    from actbench.claims.claim import Claim
    from actbench.claims.claims_file import ClaimsFile, Protocol
    from actbench.claims.verdicts import Judgment
    from actbench.runs.sources import Sources


class Standing(StrEnum):
    """Where a statement holds, from the best to the worst."""

    DOCUMENTED = "as documented"
    AS_RUN = "only as run"
    PARTLY = "only under some settings"
    DIRECTION = "in direction only"
    NOWHERE = "nowhere"
    UNDECIDED = "undecided"
    UNTESTABLE = "not testable"


_FAILED = {Verdict.DIRECTION_ONLY, Verdict.NOT_REPRODUCED}


@dataclass(frozen=True)
class Statement:
    """A statement of the publication."""

    standing: Standing
    shown: Judgment  # that says so best
    others: tuple[Judgment, ...]  # of the same statement under other protocols


def statements(claims: ClaimsFile | None, judgments: Sequence[Judgment]) -> list[Statement]:
    """Gather what was judged into statements; claims that are ours are none."""
    families: dict[str, list[Judgment]] = {}
    for judgment in judgments:
        if not judgment.claim.ours:
            first = judgment.claim.variant_of or judgment.claim.id
            families.setdefault(first, []).append(judgment)
    return [_statement(claims, family) for family in families.values()]


def _statement(claims: ClaimsFile | None, family: Sequence[Judgment]) -> Statement:
    run = claims.as_run if claims is not None else frozenset()
    documented = [j.verdict for j in family if j.claim.protocol not in run]
    held = [j for j in family if j.verdict is Verdict.REPRODUCED]
    found = {judgment.verdict for judgment in family}
    if found == {Verdict.NOT_TESTABLE}:
        standing = Standing.UNTESTABLE
    elif documented and set(documented) == {Verdict.REPRODUCED}:
        standing = Standing.DOCUMENTED
    elif Verdict.REPRODUCED in documented and set(documented) & _FAILED:
        standing = Standing.PARTLY
    elif held and Verdict.INCONCLUSIVE not in documented:  # it may still hold as documented
        standing = Standing.AS_RUN
    elif Verdict.INCONCLUSIVE in found:
        standing = Standing.UNDECIDED
    elif Verdict.DIRECTION_ONLY in found:
        standing = Standing.DIRECTION
    else:
        standing = Standing.NOWHERE
    shown = held[0] if standing is Standing.AS_RUN else family[0]
    return Statement(standing, shown, tuple(j for j in family if j is not shown))


def counted(claims: ClaimsFile | None, judgments: Sequence[Judgment]) -> list[str]:
    """Count what was judged: statements by where they hold, and claims of ours by verdict."""
    ours = [j for j in judgments if j.claim.ours]
    if not ours and not any(j.claim.variant_of for j in judgments):
        return [f"{plural(len(judgments), 'claim')}: {_by_verdict(judgments)}"]
    stated = [s.standing for s in statements(claims, judgments)]
    parts = [f"{n} {standing}" for standing in Standing if (n := stated.count(standing))]
    texts = [f"{plural(len(stated), 'statement')}: {', '.join(parts) or 'none'}"]
    return texts + [f"{plural(len(ours), 'claim')} of ours: {_by_verdict(ours)}"] * bool(ours)


def _by_verdict(judgments: Sequence[Judgment]) -> str:
    found = [j.verdict for j in judgments]
    parts = [f"{number} {verdict}" for verdict in Verdict if (number := found.count(verdict))]
    return ", ".join(parts) or "none"


class Results:
    """What a folder of results has of a claims file's protocols; each dataset is read once."""

    def __init__(self, claims: ClaimsFile, out: Path) -> None:
        self._claims = claims
        self._out = out
        self._known: dict[str, xr.Dataset | None] = {}
        self.others: list[str] = []  # sentences on datasets that are of other settings

    def judge(self, chosen: Iterable[Claim] | None = None) -> list[Judgment]:
        """Judge claims, from stored measurements where the folder does not decide."""
        return judge_all(self._claims, self.dataset, chosen)

    def holds(self, protocol: str | None) -> bool:
        """Tell whether the folder has the dataset of a protocol, at its settings."""
        if protocol is None:
            return False
        if not self._claims.protocol[protocol].experiment:
            return True
        if not self._path(protocol).exists():
            return False
        # Without stored measurements its claims were judged from the file, or not at all.
        return not self._stored(protocol) or self.dataset(protocol) is not None

    def dataset(self, name: str) -> xr.Dataset | None:
        """Read a protocol's dataset; ``None`` where the folder has none at its settings."""
        if name not in self._known:
            self._known[name] = self._read(name, self._claims.protocol[name])
        return self._known[name]

    def _read(self, name: str, protocol: Protocol) -> xr.Dataset | None:
        path = self._path(name)
        if not path.exists():
            return None
        if not self._stored(name):
            return stored_dataset(self._out, name, protocol)
        dataset = datasets.load(path)
        differing = other_settings(dataset, name, protocol)
        if differing is None:
            return dataset
        self.others.append(f"{path} {differing}; its claims are judged from stored measurements.")
        return None

    def _path(self, name: str) -> Path:
        return self._out / file_name(name, self._claims.protocol[name])

    def _stored(self, name: str) -> bool:
        return measured.path_of(name, self._claims.measured_folder).exists()


def from_results(
    claims: ClaimsFile,
    out: Path,
    chosen: Iterable[Claim] | None = None,
    sources: Sources | None = None,
) -> list[Judgment]:
    """Judge claims from a folder of results; arguments and errors as of ``judge_all``."""
    return judge_all(claims, Results(claims, out).dataset, chosen, sources)


def changed(judgments: Sequence[Judgment]) -> list[Judgment]:
    """Pick the judgments whose verdict is another than the expected one."""
    return [j for j in judgments if not j.as_expected and not j.lacks_runs]


def lacking_seeds(judgments: Sequence[Judgment]) -> list[Judgment]:
    """Pick the judgments that are undecided because fewer seeds were run than they need."""
    return [j for j in judgments if not j.as_expected and j.lacks_runs]


def counts(judgments: Sequence[Judgment], claims: ClaimsFile | None = None) -> str:
    """Say how many statements hold where, how many claims had which verdict, and what changed."""
    flipped = surprises(judgments)
    pinned = sum(j.claim.expected is not None for j in judgments)
    fine = "all as expected" if pinned == len(judgments) else f"{pinned} pinned, all as expected"
    if judgments and not pinned:
        fine = "exploratory, so none was expected to hold"
    ends = [f"not as expected: {', '.join(flipped)}"] if flipped else [fine]
    if short := more_seeds(judgments):
        ends = [short, *(ends if flipped else ["the others as expected"])]
    return "; ".join([*counted(claims, judgments), *ends])


def surprises(judgments: Sequence[Judgment]) -> list[str]:
    """Name the claims whose verdict changed, each with what it is and what was expected."""
    return [f"{j.claim.id} ({j.verdict}; expected {j.claim.expected})" for j in changed(judgments)]


def more_seeds(judgments: Sequence[Judgment]) -> str:
    """Say how many claims lack seeds, and with which option they have enough."""
    short = lacking_seeds(judgments)
    if not short:
        return ""
    need = "needs" if len(short) == 1 else "need"
    most = max(judgment.seeds_needed for judgment in short)
    return f"{plural(len(short), 'claim')} {need} more seeds: --seeds {most}"


def seeds_to_settle(judgment: Judgment) -> int | None:
    """Tell how many seeds would decide what is inconclusive."""
    if judgment.verdict is not Verdict.INCONCLUSIVE or judgment.claim.relation is None:
        return None
    if judgment.seeds < judgment.seeds_needed:
        return judgment.seeds_needed
    value, interval = judgment.measured, judgment.interval
    if value is None or interval is None or not all(map(math.isfinite, (value, *interval))):
        return None
    claim, (low, high) = judgment.claim, interval
    for relation in filter(None, (claim.relation, claim.direction)):
        bounds = (claim.share,) if claim.quantifier == "every" else relation.bounds
        straddled = [bound for bound in bounds if low <= bound <= high]
        if value in straddled:
            return None
        if straddled:
            shares = [
                (high - value if bound > value else value - low) / abs(bound - value)
                for bound in straddled
            ]
            return math.ceil(judgment.seeds * max(shares) ** 2)
    return None


def origins(judgments: Sequence[Judgment], results: Results, out: Path) -> str:
    """Say how many claims were judged from a folder, and why the others were not."""
    held = sum(results.holds(judgment.claim.protocol) for judgment in judgments)
    if held == len(judgments):
        first = f"All are judged from {out}."
    elif held:
        first = f"{held} of them are judged from {out}, the others from stored measurements."
    else:
        first = "All are judged from stored measurements."
    return "\n".join([first, *results.others])
