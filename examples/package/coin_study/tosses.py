"""The experiment: two coins tossed many times, once per seed."""

from dataclasses import dataclass

import numpy as np
import xarray as xr

from actbench import datasets
from actbench.store import environment
from actbench.store.studies import expand


@dataclass(frozen=True)
class Config:
    """Settings, and what every experiment takes."""

    coins: tuple[str, ...] = ("fair", "bent")
    tosses: int = 1000
    seeds: object = 16
    device: str = "cpu"
    threads: int | None = None
    steps = 0

    def protocol(self):
        """Every setting that a number depends on."""
        return {
            "coins": list(self.coins),
            "tosses": self.tosses,
            "seeds": list(expand(self.seeds)),
        }


def run(config, progress=lambda done: None):  # noqa: ARG001 - it takes no time
    """Toss each coin under each seed."""
    seeds = expand(config.seeds)
    chance = {"fair": 0.5, "bent": 0.6}
    heads = [
        [np.random.default_rng(s).binomial(config.tosses, chance[coin]) for s in seeds]
        for coin in config.coins
    ]
    dataset = xr.Dataset(
        {"heads": (("coin", "seed"), np.array(heads) / config.tosses)},
        coords={"coin": list(config.coins), "seed": list(seeds)},
    )
    facts = environment.describe("cpu", 1)
    return datasets.finish(dataset, "coin-tosses", config.protocol(), facts)
