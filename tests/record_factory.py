"""Records for tests: small, made by hand, whole or of the parts that a test asks for."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
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
LOSSES = tuple(float(v) for v in np.float32(0.008) * (1 + np.arange(16, dtype=np.float32) / 50))
STEADY = (1.0, 1.02, 0.98, 1.01, 0.99, 1.0, 1.0)
LONGER = tuple(1.5 * v for v in STEADY)


def record(
    release: str = "2.6.0", environment: Mapping[str, object] | None = None, **parts: object
) -> Record:
    """A record of one release on one machine, with these parts and no others."""
    fields = {"made_at": "2026-07-01T00:00:00+00:00", "claims_sha256": "ab" * 32, **parts}
    here = {**ENVIRONMENT, "torch": f"{release}+cpu", **(environment or {})}
    return Record.model_validate({"environment": here, **fields})


def verdict(name: str, came_out: str = "reproduced", **more: Any) -> Verdict:
    """A claim that was measured, and expected to be reproduced."""
    fields = {"expected": "reproduced", "measured": 1.0, "interval": (0.9, 1.1), "margin": 2.0}
    return Verdict(id=name, verdict=came_out, **{**fields, "seeds": 16, "fresh": True, **more})


def distribution(
    values: Sequence[float], protocol: str = "stated", name: str = "final_mse", **more: Any
) -> Distribution:
    """A metric of relu over seeds."""
    metric = {"name": name, "activation": "relu"}
    fields = {"metric": metric, "definition": "Some number.", "values": list(values), **more}
    return Distribution(protocol=protocol, **fields)


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


def chain(name: str, *steps: Step) -> Chain:
    """A chain of these steps, named such as ``"stack/gelu/float32"``."""
    engine, *activation, dtype = name.split("/")
    fields = {"engine": engine.replace("-", " "), "dtype": dtype, "steps": steps}
    return Chain.model_validate({"activation": activation[0] if activation else None, **fields})


def timings(
    relative: Mapping[str, Sequence[float]],
    control_s: Sequence[float] = (1.0, 1.01, 0.99, 1.0, 1.0),
    **more: Any,
) -> Timings:
    """Workloads timed beside a control."""
    workloads = [
        Workload(
            name=name,
            unit="epoch",
            durations_s=list(values),
            relative=list(values),
            rate_gflop_per_s=None,
        )
        for name, values in relative.items()
    ]
    fields = {"control": "NumPy's product", "threads": 1, **more}
    return Timings(control_durations_s=list(control_s), workloads=workloads, **fields)


def whole(**changes: Any) -> Record:
    """A record with something of every part."""
    parts: dict[str, Any] = {
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
            chain("streams/float32", step("rand", [0.1, 0.2]), step("randn", [0.3])),
            chain("operations/gelu/float64", step("forward", [1.5]), step("derivative", [0.75])),
            chain(
                "stack/gelu/float32",
                step("loss", [0.5], 0),
                step("layer 1 gradient", [0.25, 1.0], 0),
                step("loss", [0.25], 50),
                step("loss", [0.0078125], 100, (0.006, 0.01)),
            ),
        ],
        "timings": timings({"loop/relu/float32": STEADY, "stack/relu/float32": STEADY}),
    }
    return record(**{**parts, **changes})


def with_chains(record: Record, **by_engine: Chain) -> Record:
    """The same record with other chains; names of engines with an underscore."""
    chains = [by_engine.get(c.engine.replace(" ", "_"), c) for c in record.chains]
    return record.model_copy(update={"chains": chains})


def a_record(torch: str = "2.13.0+cpu", made_at: str = "2026-01-01T00:00:00+00:00") -> Record:
    """The least record with every part, on a machine of which little is known."""
    judged: dict[str, Any] = {"measured": 0.1, "interval": (0.0, None), "margin": None}
    return Record(
        made_at=made_at,
        environment={"torch": torch, "cpu": "a processor", "threads": 2},
        claims_sha256="0" * 64,
        protocols={"stated": {"epochs": 500, "seeds": [42, 43]}},
        verdicts=[verdict("a-claim", seeds=2, **judged)],
        distributions=[distribution([0.1, math.inf])],
        chains=[chain("operations/relu/float64", step("forward", [0.1, 0.0]))],
        timings=timings({"loop/relu/float32": [1.0]}, [0.5]),
    )
