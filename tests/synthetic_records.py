"""Made-up records of several torch releases, with a flip, a drift and a slowdown where asked."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from actbench.claims import ClaimsFile
from actbench.study.catalog.activations import ACTIVATIONS
from actbench.tracking.records import Chain, Record, Step, Timings, Verdict, Workload

RELEASES = (
    *("2.6.0", "2.7.1", "2.8.0", "2.9.1", "2.10.0"),
    *("2.11.0", "2.12.1", "2.13.0", "2.14.0", "2.15.0"),
)
MACHINE: Mapping[str, str | int] = {
    "system": "Linux x86_64",
    "cpu": "Imagined CPU 3000",
    "cpu_capability": "AVX512",
    "device": "cpu",
    "device_name": "Imagined CPU 3000",
    "threads": 1,
    "python": "3.12.3",
    "numpy": "2.1.0",
}
LAST_DIGIT = 1e-16


def record(release: str, *, made_at: str = "2026-07-01T00:00:00+00:00", **parts: object) -> Record:
    """A record of one release on the imagined machine; `environment` changes parts of that."""
    changes = parts.pop("environment", {})
    assert isinstance(changes, Mapping)
    return Record.model_validate(
        {
            "made_at": made_at,
            "environment": {**MACHINE, "torch": f"{release}+cpu", **changes},
            "claims_sha256": "0" * 64,
            **parts,
        }
    )


def verdict(claim: str, said: str = "reproduced", **more: object) -> Verdict:
    """A verdict that is expected and was measured for the record, unless said otherwise."""
    parts = {
        "id": claim,
        "verdict": said,
        "expected": said,
        "measured": 1.0,
        "interval": (0.9, 1.1),
        "margin": 2.0,
        "seeds": 16,
        "fresh": True,
    }
    return Verdict.model_validate({**parts, **more})


def step(name: str, value: float, *, epoch: int | None = None, spread: float | None = None) -> Step:
    """A step whose digest is that of its one value."""
    digest = hashlib.sha256(np.float64(value).tobytes()).hexdigest()[:16]
    ends = None if spread is None else (value * (1 - spread), value * (1 + spread))
    return Step(name=name, epoch=epoch, count=1, digest=digest, values=[value], spread=ends)


def chain(
    name: str, values: Sequence[float], *, spread: float | None = None, training: bool = True
) -> Chain:
    """A chain such as `stack/relu/float32`, one step per value.

    The first half of a training's steps are those of epoch 0, the others are later losses.
    """
    engine, *activation, dtype = name.split("/")
    half = (len(values) + 1) // 2
    steps = [
        step(f"layer {n + 1} linear", value, epoch=0 if training else None)
        if n < half or not training
        else step("loss", value, epoch=10 ** (n - half), spread=spread)
        for n, value in enumerate(values)
    ]
    return Chain.model_validate(
        {
            "engine": engine.replace("-", " "),
            "activation": activation[0] if activation else None,
            "dtype": dtype,
            "steps": steps,
        }
    )


def timings(
    durations_s: Mapping[str, float], *, rounds: int = 9, noise: float = 0.01, seed: int = 0
) -> Timings:
    """Workloads that take so long, give or take a share, beside a control of 10 ms."""
    rng = np.random.default_rng(seed)
    control = 0.01 * np.exp(noise * rng.normal(size=rounds))
    workloads = []
    for name, duration in durations_s.items():
        taken = duration * np.exp(noise * rng.normal(size=rounds))
        workloads.append(
            Workload(
                name=name,
                unit="epoch of one member",
                durations_s=taken.tolist(),
                relative=(taken / control).tolist(),
                rate_gflop_per_s=None,
            )
        )
    return Timings(
        control="float32 product by NumPy",
        control_durations_s=control.tolist(),
        threads=1,
        workloads=workloads,
    )


def realistic(claims: ClaimsFile, *, protocols: Sequence[str]) -> list[Record]:
    """Ten releases, eight activations, every claim of the file; those of some protocols are fresh.

    One claim flips at 2.10.0 and back at 2.13.0; float64 GELU's last digits change at 2.9.1; ReLU's
    float32 trainings part at 2.12.1; the loop with tanh takes 1.5 times as long at 2.14.0.
    """
    return [
        record(
            release,
            made_at=f"2026-07-{number + 1:02}T00:00:00+00:00",
            verdicts=_verdicts(claims, protocols, number),
            chains=_chains(number),
            timings=_timings(number),
        )
        for number, release in enumerate(RELEASES)
    ]


def _verdicts(claims: ClaimsFile, protocols: Sequence[str], number: int) -> list[Verdict]:
    rng = np.random.default_rng(3)
    said = []
    for claim in claims.claim:
        fresh = claim.protocol in protocols
        relation = claim.decisive(str(claim.expected))
        equals = relation is not None and relation.kind == "equals"
        margin = rng.uniform(0.05, 1) if equals else 1.001 + float(np.exp(rng.exponential(1.2)))
        margin *= 1 + 0.05 * rng.normal() * (number >= 6 and claim.activation == "relu")
        outcome = str(claim.expected)
        if claim.id == "gelu-ratio-near-one-means-flow" and 4 <= number < 7:
            outcome, margin = "inconclusive", 1.01
        said.append(
            verdict(
                claim.id,
                outcome,
                expected=str(claim.expected),
                margin=None if claim.relation is None else margin,
                fresh=fresh and not (number == 1 and claim.activation == "tanh"),
            )
        )
    return said


def _chains(number: int) -> list[Chain]:
    rng = np.random.default_rng(5)
    made = [
        chain(name, rng.uniform(0.1, 1, 5).tolist(), training=False)
        for name in ("streams/float32", "initial-weights/float32")
    ]
    for engine in ("operations", "reference", "stack"):
        for activation in ACTIVATIONS:
            for dtype in ("float32", "float64"):
                values = rng.uniform(0.1, 1, 24)
                name = f"{engine}/{activation}/{dtype}"
                if (activation, dtype) == ("gelu", "float64") and number >= 3:
                    values[1:] *= 1 + 4e-16 * (1 + (number >= 7))
                if (activation, dtype) == ("relu", "float32") and number >= 6:
                    values[3:18] *= 1 + 2e-7
                    values[18:] *= 1.002
                if (engine, activation) == ("stack", "sigmoid") and number >= 8:
                    values[20:] *= 1.5
                training = engine != "operations"
                given = values[:2] if not training else values
                made.append(chain(name, given.tolist(), spread=0.05, training=training))
    made += [
        chain(f"operations/{dtype}", rng.uniform(0.1, 1, 8).tolist(), training=False)
        for dtype in ("float32", "float64")
    ]
    return made


def _timings(number: int) -> Timings:
    rng = np.random.default_rng(7)
    taken = {}
    for engine, base_s in (("loop", 3e-3), ("stack", 7e-4)):
        for activation in ACTIVATIONS:
            taken[f"{engine}/{activation}/float32"] = base_s * rng.uniform(1, 2)
    taken["stack/relu/float64"] = 1.5e-3
    taken["torch product/float32"] = 8e-3
    faster = np.exp(0.03 * np.random.default_rng(number).normal(size=len(taken)))
    taken = {name: value * f for (name, value), f in zip(taken.items(), faster, strict=True)}
    if number >= 8:
        taken["loop/tanh/float32"] *= 1.5
    return timings(taken, noise=0.03, seed=number)
