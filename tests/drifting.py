"""Small records, made by hand, of which each test changes one thing."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from actbench.tracking.records import Chain, Distribution, Record, Step, Timings, Verdict, Workload

PROTOCOLS = {"first": "stated", "second": "stated", "third": "derivatives"}
ENVIRONMENT = {
    "torch": "2.6.0+cpu",
    "system": "Linux x86_64",
    "cpu": "a processor",
    "cpu_capability": "AVX512",
    "device": "cpu",
    "device_name": "a processor",
    "threads": 1,
    "numpy": "2.0.0",
}


def verdict(name: str, came_out: str = "reproduced", **more: Any) -> Verdict:
    """A claim that was measured, and expected to be reproduced."""
    fields = {"expected": "reproduced", "measured": 1.0, "interval": (0.9, 1.1), "margin": 2.0}
    return Verdict(id=name, verdict=came_out, **{**fields, "seeds": 16, "fresh": True, **more})


def distribution(
    values: Sequence[float], protocol: str = "stated", name: str = "final_mse"
) -> Distribution:
    """A metric of relu over seeds."""
    return Distribution(
        protocol=protocol,
        metric={"name": name, "activation": "relu"},
        definition="Some number.",
        values=list(values),
    )


def step(
    name: str,
    values: Sequence[float | None],
    epoch: int | None = None,
    spread: tuple[float, float] | None = None,
    count: int | None = None,
    salt: str = "",
) -> Step:
    """A step whose digest tells its values, and a salt for those that are not kept."""
    digest = hashlib.sha256((repr(list(values)) + salt).encode()).hexdigest()[:16]
    return Step(
        name=name,
        epoch=epoch,
        count=count or len(values),
        digest=digest,
        values=list(values),
        spread=spread,
    )


def chain(engine: Any, activation: str | None, dtype: Any, *steps: Step) -> Chain:
    """A chain of these steps."""
    return Chain(engine=engine, activation=activation, dtype=dtype, steps=list(steps))


def timings(
    relative: dict[str, Sequence[float]], control: Sequence[float] = (1.0, 1.01, 0.99, 1.0, 1.0)
) -> Timings:
    """Workloads timed beside a control."""
    return Timings(
        control="NumPy's product",
        control_durations_s=list(control),
        threads=1,
        workloads=[
            Workload(
                name=name,
                unit="epoch",
                durations_s=list(values),
                relative=list(values),
                rate_gflop_per_s=None,
            )
            for name, values in relative.items()
        ],
    )


LOSSES = tuple(float(v) for v in np.float32(0.008) * (1 + np.arange(16, dtype=np.float32) / 50))
STEADY = (1.0, 1.02, 0.98, 1.01, 0.99, 1.0, 1.0)


def whole(**changes: Any) -> Record:
    """A record with something of every part."""
    parts: dict[str, Any] = {
        "made_at": "2026-11-24T00:00:00+00:00",
        "environment": dict(ENVIRONMENT),
        "claims_sha256": "ab" * 32,
        "protocols": {
            "stated": {"dtype": "float32", "seeds": list(range(42, 58)), "threads": 1},
            "derivatives": {"dtype": "float64", "points": 11},
        },
        "verdicts": [verdict("first"), verdict("second"), verdict("third", seeds=1)],
        "distributions": [
            distribution(LOSSES),
            distribution([0.5], "derivatives", "derivative_at"),
        ],
        "chains": [
            chain("streams", None, "float32", step("rand", [0.1, 0.2]), step("randn", [0.3])),
            chain(
                "operations", "gelu", "float64", step("forward", [1.5]), step("derivative", [0.75])
            ),
            chain(
                "stack",
                "gelu",
                "float32",
                step("loss", [0.5], 0),
                step("layer 1 gradient", [0.25, 1.0], 0),
                step("loss", [0.25], 50),
                step("loss", [0.0078125], 100, (0.006, 0.01)),
            ),
        ],
        "timings": timings({"loop/relu/float32": STEADY, "stack/relu/float32": STEADY}),
    }
    return Record(**{**parts, **changes})


def with_environment(record: Record, **changes: str | int) -> Record:
    """The same record from an installation that differs."""
    return record.model_copy(update={"environment": {**record.environment, **changes}})


def with_chains(record: Record, **by_engine: Chain) -> Record:
    """The same record with other chains; names of engines with an underscore."""
    chains = [by_engine.get(c.engine.replace(" ", "_"), c) for c in record.chains]
    return record.model_copy(update={"chains": chains})
