"""What rounding alone does to the metrics of a record: where the margin of a drift comes from.

``python tests/rounding_ensemble.py FOLDER`` makes a record under each mode of arithmetic on one
thread, unless it is in the folder, compares every two, and prints a table: how many metrics differ,
in how many all seeds moved alike (signed ranks, p < 0.001), by which share of their value at most,
and how many drifted by the rules of ``actbench drift``.
"""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from calls import printed
from processors import INTEL, MODES, intel_mode

from actbench.claims.measured import FALSE_ALARM
from actbench.claims.twosample import Margin, location
from actbench.tracking import records
from actbench.tracking.drift.comparing import compare
from actbench.tracking.drift.distributions import Level, margin_of
from actbench.tracking.records import Distribution, Record

HEADING = ("old", "new", "differ", "moved alike", "by at most", "drifted")


def made(folder: Path) -> dict[str, Record]:
    """Give a record of the study per mode."""
    modes, intel = dict(MODES), intel_mode(folder)
    if not isinstance(intel, str):
        modes[INTEL] = intel
    found = {}
    for name, variables in modes.items():
        file = folder / f"{name}.json"
        if not file.exists():
            command = ["-m", "actbench", "record", "--only", "verdicts", "--threads", "1", "-q"]
            printed(*command, "--out", file, variables=variables)
        found[name] = records.load(file)
    return found


def values_of(record: Record) -> dict[tuple[str, str], Distribution]:
    """Give a record's metrics over seeds by name."""
    return {
        (entry.protocol, json.dumps(entry.metric, sort_keys=True)): entry
        for entry in record.distributions
    }


def moved_alike(old: Record, new: Record) -> Iterator[tuple[bool, float]]:
    """Of each metric that differs, whether all seeds moved alike, and the median share.

    One that is rounding and nothing else has a ceiling of its own, and is left out.
    """
    now = values_of(new)
    for name, entry in values_of(old).items():
        settings = old.protocols[entry.protocol]
        one, two = np.array(entry.values), np.array(now[name].values)
        if len(one) < 16 or (one == two).all() or margin_of(entry.metric, settings).absolute:
            continue
        share = np.median((two - one) / np.maximum(np.abs(one), np.abs(two)))
        yield location(one, two, Margin(), paired=True) < FALSE_ALARM, abs(float(share))


def row(old: str, new: str, found: dict[str, Record]) -> tuple[str, ...]:
    """Sum two modes up."""
    moved = list(moved_alike(found[old], found[new]))
    drifted = compare(found[old], found[new], {}).levels()[Level.OUTSIDE_SPREAD]
    alike = [share for consistent, share in moved if consistent]
    most = f"{max(alike):.1e}" if alike else ""
    return old, new, str(len(moved)), str(len(alike)), most, str(drifted)


def main() -> None:
    """Print the table."""
    found = made(Path(sys.argv[1]))
    rows = [HEADING, ("---",) * len(HEADING)]
    rows += [row(old, new, found) for old, new in itertools.combinations(found, 2)]
    print("\n".join(f"| {' | '.join(cells)} |" for cells in rows))


if __name__ == "__main__":
    main()
