"""A fresh run agrees with the stored measurements, protocol by protocol."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from fresh_runs import Difference, compare

from actbench import claims
from actbench.claims import measured
from actbench.runs import evidence
from actbench.store.errors import ActbenchError

if TYPE_CHECKING:
    import xarray as xr

    from actbench.claims import ClaimsFile


EVERY_PROTOCOL = [
    pytest.param(path, protocol, id=protocol if path is None else f"{path.stem}:{protocol}")
    for path in (None, *claims.further_studies())
    for protocol in sorted((claims.load(path) if path else claims.published()).protocol)
]


@pytest.mark.parametrize(("claims_file", "protocol"), EVERY_PROTOCOL, indirect=["claims_file"])
def test_fresh_run_agrees_with_the_baseline(
    protocol: str,
    claims_file: ClaimsFile,
    protocol_dataset: Callable[[str], xr.Dataset | None],
    pytestconfig: pytest.Config,
) -> None:
    """What is deterministic is the same up to rounding, the rest has the same distribution."""
    dataset = protocol_dataset(protocol)
    if dataset is None:
        pytest.skip(f"{protocol} takes minutes; --actbench-slow trains it")
    fresh = measured.from_dataset(protocol, claims_file, dataset)
    folder = claims_file.measured_folder
    path = measured.path_of(protocol, folder)
    if not path.exists():
        measured.save(fresh, folder)
        pytest.fail(f"there was no baseline {path.name}; it was written, look at it and commit it")
    stored = measured.load(protocol, folder)
    differences = compare(stored, fresh)
    if pytestconfig.getoption("actbench_regenerate_baselines"):
        _regenerate(claims_file, stored, fresh, differences, dataset)
    assert not differences, "\n".join(["no longer as stored:", *map(str, differences)])


def _regenerate(
    claims_file: ClaimsFile,
    stored: measured.Measured,
    fresh: measured.Measured,
    differences: list[Difference],
    dataset: Any,
) -> None:
    same_metrics = [e.metric for e in stored.entries] == [e.metric for e in fresh.entries]
    same_seeds = [len(e.values) for e in stored.entries] == [len(e.values) for e in fresh.entries]
    if not differences and same_metrics and same_seeds:
        return
    about = [c for c in claims_file.claim if c.protocol == fresh.protocol]
    changed = [
        f"{j.claim.id} is {j.verdict}, expected {j.claim.expected}"
        for j in evidence.judge_all(claims_file, lambda name: dataset, about)
        if not j.as_expected
    ]
    if changed:
        pytest.fail(f"not regenerated, because a claim changed: {'; '.join(changed)}")
    measured.save(fresh, claims_file.measured_folder)
    shown = "\n".join(map(str, differences)) or "metrics or number of seeds changed"
    pytest.fail(f"baseline {fresh.protocol} was rewritten, old -> new:\n{shown}")


def test_a_missing_baseline_says_how_to_write_it() -> None:
    """The error for a protocol without a baseline names the file and the command."""
    with pytest.raises(
        ActbenchError, match=r"nowhere\.json.*pytest --actbench-regenerate-baselines"
    ):
        measured.load("nowhere")
