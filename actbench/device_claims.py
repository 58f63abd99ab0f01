"""Whether the study's claims about final losses hold under every engine and on every device."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import xarray as xr

from actbench import claims, device_checks, devices, targets
from actbench.claims.claim import Claim
from actbench.claims.verdicts import judge
from actbench.device_checks import Check
from actbench.engines import POINTS
from actbench.parallel import side_by_side
from actbench.seeds import FIRST_SEED
from actbench.torch_state import pinned_state

_PROTOCOL = "stated"
_METRICS = {"final_mse", "final_mse_ratio", "final_mse_over_noise"}
_UPDATES = 500


@dataclass(frozen=True)
class Held:
    """Verdicts on the claims under one engine on one device.

    Args:
        engine: One of ``device_checks.ENGINES``.
        device: As torch names it.
        claims: How many were judged.
        expected: How many have the verdict that is pinned.
        others: Each other claim with its verdict.
        duration_s: What the trainings took.
        skipped: Why none was judged; empty where some were.
    """

    engine: str
    device: str
    claims: int = 0
    expected: int = 0
    others: tuple[str, ...] = ()
    duration_s: float | None = None
    skipped: str = ""


def asked() -> list[Claim]:
    """List the claims of the protocol ``stated`` that final losses decide."""
    found = [claim for claim in claims.published().claim if claim.protocol == _PROTOCOL]
    return [claim for claim in found if claim.metric.get("name") in _METRICS]


@pinned_state()
def judge_all(
    checks: Sequence[Check],
    most_s: float = 60,
    seeds: int = 16,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Held]:
    """Train the study's networks by each engine on each device, and judge the claims."""
    found = []
    for check in checks:
        if check.dtype == "float32":
            found.append(_held(check, most_s, seeds))
            progress(1)
    return found


def _held(check: Check, most_s: float, seeds: int) -> Held:
    if check.duration_s is None or check.first_s is None:
        return Held(check.engine, check.device, skipped=check.skipped)
    keys = sorted(
        {str(c.metric[k]) for c in asked() for k in ("activation", "over") if k in c.metric}
    )
    compiled = check.engine.startswith("compiled")
    # Copies of a process share neither an accelerator nor what the compiler has made.
    workers = 1 if compiled or check.device != "cpu" else devices.default_threads()
    takes_s = check.duration_s * _UPDATES * seeds * len(keys) / workers
    takes_s += check.first_s * (len(keys) - 1) if compiled else 0
    if takes_s > most_s:
        return Held(check.engine, check.device, skipped=f"takes about {takes_s:.0f} s")
    members = range(FIRST_SEED, FIRST_SEED + seeds)
    cut = [[seed] for seed in members] if check.engine.endswith("loop") else [list(members)]
    cases = [(key, part) for key in keys for part in cut]
    started = time.perf_counter()
    jobs = [partial(_final_losses, check.engine, torch.device(check.device), *c) for c in cases]
    with devices.using_threads(1), warnings.catch_warnings(action="ignore"):
        losses = np.concatenate(side_by_side(jobs, lambda done: None, workers))
    return _judged(check, keys, losses.reshape(len(keys), seeds), time.perf_counter() - started)


def _final_losses(
    engine: str,
    device: torch.device,
    activation: str,
    members: Sequence[int],
    progress: Callable[[int], None],  # noqa: ARG001 - every job is given one
) -> np.ndarray:
    built = device_checks.build(engine, activation, device, "float32", members)
    # The loss before one more update is that after all of them.
    return torch.cat([one.train(_UPDATES + 1) for one in built]).cpu().numpy()


def _judged(check: Check, keys: list[str], losses: np.ndarray, duration_s: float) -> Held:
    target = targets.noisy_sine(POINTS)
    dataset = xr.Dataset(
        {
            "final_mse": (("activation", "seed"), losses),
            "target_noisy": ("point", target.noisy),
            "target_clean": ("point", target.clean),
        },
        {"activation": keys},
    )
    file = claims.published()
    judged = [judge(claim, dataset, file.level(claim)) for claim in asked()]
    others = [j for j in judged if j.verdict != j.claim.expected]
    return Held(
        check.engine,
        check.device,
        claims=len(judged),
        expected=len(judged) - len(others),
        others=tuple(f"{j.claim.id}: {j.verdict}" for j in others),
        duration_s=duration_s,
    )
