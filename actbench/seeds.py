"""Which seeds a study uses: 42, 43, 44 and so on, or those that are named."""

from __future__ import annotations

from collections.abc import Sequence

from actbench.errors import ActbenchError, require_positive_int

FIRST_SEED = 42
LARGEST_SEED = 2**31 - 1  # NetCDF 3 holds integers of 32 bits


def expand(seeds: int | Sequence[int]) -> tuple[int, ...]:
    """List the seeds that a count stands for, or check those that are named."""
    if isinstance(seeds, int):
        return tuple(range(FIRST_SEED, FIRST_SEED + require_positive_int("seeds", seeds)))
    result = tuple(int(seed) for seed in seeds)
    if (
        not result
        or min(result) < 0
        or max(result) > LARGEST_SEED
        or len(set(result)) < len(result)
    ):
        raise ActbenchError(
            f"seeds are {list(result)!r}, but must be at least one, none below 0 or above "
            f"{LARGEST_SEED}, each named once"
        )
    return result
