"""A small record with every part, for tests of what reads records."""

from __future__ import annotations

import math

from actbench.tracking.records import Chain, Distribution, Record, Step, Timings, Verdict, Workload


def a_record(torch: str = "2.13.0+cpu", made_at: str = "2026-01-01T00:00:00+00:00") -> Record:
    """A small record with every part."""
    return Record(
        made_at=made_at,
        environment={"torch": torch, "cpu": "a processor", "threads": 2},
        claims_sha256="0" * 64,
        protocols={"stated": {"epochs": 500, "seeds": [42, 43]}},
        verdicts=[
            Verdict(
                id="a-claim",
                verdict="reproduced",
                expected="reproduced",
                measured=0.1,
                interval=(0.0, None),
                margin=None,
                seeds=2,
                fresh=True,
            )
        ],
        distributions=[
            Distribution(
                protocol="stated",
                metric={"name": "final_mse", "activation": "relu"},
                definition="an error",
                values=[0.1, math.inf],
            )
        ],
        chains=[
            Chain(
                engine="operations",
                activation="relu",
                dtype="float64",
                steps=[Step(name="forward", count=2, digest="0123456789abcdef", values=[0.1, 0.0])],
            )
        ],
        timings=Timings(
            control="a product",
            control_durations_s=[0.5],
            threads=1,
            workloads=[
                Workload(
                    name="loop/relu/float32",
                    unit="epoch",
                    durations_s=[1.0],
                    relative=[2.0],
                    rate_gflop_per_s=None,
                )
            ],
        ),
    )
