"""Every fingerprint, each on one thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from actbench.activations import ACTIVATIONS
from actbench.parallel import side_by_side
from actbench.records import Chain, Dtype
from actbench.records.fingerprints.draws import initial_weights, streams
from actbench.records.fingerprints.operations import activation_operations, linear_operations
from actbench.records.fingerprints.trainings import reference_training, stack_training
from actbench.torch_state import pinned_state


def jobs(keys: Sequence[str] = tuple(ACTIVATIONS)) -> list[Callable[[], Chain]]:
    """List what makes each chain but the streams, those that others rest on first."""
    dtypes: tuple[Dtype, ...] = ("float32", "float64")
    cases = [(key, dtype) for dtype in dtypes for key in keys]
    return [
        initial_weights,
        *(partial(linear_operations, dtype) for dtype in dtypes),
        *(partial(activation_operations, *case) for case in cases),
        *(partial(reference_training, *case) for case in cases),
        *(partial(stack_training, *case) for case in cases),
    ]


@pinned_state()
def take(
    keys: Sequence[str] = tuple(ACTIVATIONS),
    threads: int = 1,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Chain]:
    """Take every fingerprint, each on one thread."""

    def job(make: Callable[[], Chain], report: Callable[[int], None]) -> Chain:
        chain = make()
        report(1)
        return chain

    # Whoever sets torch's one stream must be alone.
    first = streams()
    return [first, *side_by_side([partial(job, make) for make in jobs(keys)], progress, threads)]
