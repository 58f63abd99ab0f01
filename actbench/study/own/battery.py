"""Everything that ``actbench try`` finds out about an activation of one's own."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
import xarray as xr

from actbench.claims import measured, metrics
from actbench.pages.wording import settings as settings_in_words
from actbench.runs.results import fulfil
from actbench.store import datasets, environment
from actbench.store.environment import Stopwatch
from actbench.store.files import baselines_folder, prepare_folder
from actbench.study.card import Card, Group, facts
from actbench.study.card.measures import (
    COST,
    COST_TITLE,
    LEVEL,
    TRAINED_BY,
    Measure,
    Part,
    Row,
    Values,
    critical_part,
    parts,
    row,
)
from actbench.study.catalog.activations import ACTIVATIONS, Activation, trained
from actbench.study.catalog.targets import TargetFunction
from actbench.study.experiments import EXPERIMENTS
from actbench.study.experiments.settings import own_code
from actbench.study.nets import devices
from actbench.study.nets.devices import pinned_state
from actbench.study.nets.engines import PlainLoop
from actbench.study.own import formula

CONTROL = "relu"
_DURATION = "processor time of one epoch of a plain training loop"
_COST = "epoch_duration_s over that of ReLU in the same round"


@dataclass(frozen=True)
class Config:
    """The protocol of the cost: the study's network in a plain loop, as a script would train it.

    In each round every activation is timed once, in an order that turns from round to round, so
    that what the machine does meanwhile falls on all alike.
    """

    activations: Sequence[str]  # ReLU among them
    rounds: int = 41
    epochs: int = 4  # updates per timing

    @property
    def steps(self) -> int:
        """Steps of progress that ``run`` reports: timings, and one warm-up of each activation."""
        return len(self.activations) * (self.rounds + 1)

    def protocol(self) -> dict[str, Any]:
        """List every setting."""
        return {
            "activations": list(self.activations),
            "rounds": self.rounds,
            "epochs": self.epochs,
            "network": "10 hidden layers of 64 units, 200 points, float32, CPU, one thread",
            "loop": "nn.Sequential, autograd, torch.optim.Adam; not the stack",
            "clock": "processor time of this process",
            **own_code(self),
        }


@pinned_state()
def run(config: Config, progress: Callable[[int], None] = lambda done: None) -> xr.Dataset:
    """Time epochs: ``epoch_duration_s`` and ``epoch_cost (activation, round)``, over ReLU's."""
    with devices.using_threads(1) as threads:
        loops = [PlainLoop(key, torch.device("cpu")) for key in config.activations]
        # Processor time: other work on the machine lengthens it far less.
        watch = Stopwatch(clock=time.process_time)
        watch.units = config.epochs
        for loop in loops:
            loop.train(config.epochs)  # memory, and what torch loads on first use
            progress(1)
        durations = np.empty((len(loops), config.rounds))
        for turn in range(config.rounds):
            for place in np.roll(np.arange(len(loops)), turn):
                work = partial(loops[place].train, config.epochs)
                durations[place, turn] = watch.time(work)
                progress(1)
    control = durations[list(config.activations).index(CONTROL)]
    dims = ("activation", "round")
    dataset = xr.Dataset(
        {
            name: (dims, values, {"definition": definition, "units": unit})
            for name, values, definition, unit in (
                ("epoch_duration_s", durations, _DURATION, "s"),
                ("epoch_cost", durations / control, _COST, "1"),
            )
        },
        coords={"activation": list(config.activations), "round": np.arange(config.rounds)},
    )
    return datasets.finish(
        dataset, "epoch-cost", config.protocol(), environment.describe("cpu", threads)
    )


Bar: TypeAlias = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""Shows the progress of one run: called with its title and number of steps."""

_WHO = {"activations", "seeds", "own_code", "device", "threads"}
"""Settings by which two runs may differ and still be compared."""


@dataclass(frozen=True)
class Battery:
    """Trying one activation."""

    activation: Activation
    out: Path
    bar: Bar
    initializer: str = TRAINED_BY  # of the networks that are trained
    targets: Sequence[TargetFunction] = ()  # of the user's, to learn beside the six
    device: str = "cpu"
    threads: int | None = None
    overwrite: bool = False  # results of other settings

    @property
    def folder(self) -> Path:
        """Where its results lie; those of another version of its code lie in another."""
        name = re.sub(r"[^A-Za-z0-9_.-]", "_", self.activation.name)
        return self.out / f"try-{name}-{_digest([self.activation.key, self.activation.source])}"

    def run(self) -> tuple[Card, xr.Dataset, dict[str, xr.Dataset]]:
        """Measure what is not measured yet, and put the card together."""
        prepare_folder(self.folder)
        theory = formula(self.activation.module)
        derivatives = self._own_run(Part("function", "", "activation-derivatives", {}))
        point = facts.critical(theory)
        listed = parts(self.initializer, self.targets)
        own = {part.name: self._own_run(part) for part in listed}
        flows = {"gradient-flow": own["gradient-flow"]}
        keys = list(listed[0].settings["initializers"])
        if point is not None:
            start = facts.initializer_of(point)
            flows["critical"] = self._own_run(critical_part(start))
            keys.append(start)
        alpha = LEVEL / (
            (sum(len(part.measures) for part in listed) + 1) * len(ACTIVATIONS.keys() - {self._key})
        )
        groups, environments = self._compared(listed, own, alpha)
        made = Card(
            activation=self._key,
            name=self.activation.name,
            formula=self.activation.formula,
            source=self.activation.source,
            parameters=_parameters(self.activation),
            facts=tuple(facts.of_function(theory, derivatives)),
            fields=tuple(
                facts.fields(theory, keys, lambda key: _pooled(flows.values(), self._key, key))
            ),
            critical=point,
            settles=point is not None and facts.settles(theory, point),
            groups=(*groups, self._cost(alpha)),
            alpha=alpha,
            environment=environments,
        )
        return made, derivatives, flows

    @property
    def _key(self) -> str:
        return self.activation.key

    def _own_run(self, part: Part) -> xr.Dataset:
        return self._fulfil(part, (self._key,), part.seeds[0], self.folder, part.name)

    def _fulfil(
        self, part: Part, keys: Sequence[str], seeds: int, folder: Path, name: str
    ) -> xr.Dataset:
        experiment = EXPERIMENTS[part.experiment]
        config = self._config(part, keys, seeds)
        with self.bar(name, config.steps) as progress:
            outcome = fulfil(
                experiment,
                config,
                folder,
                name=f"{name}.nc",
                overwrite=self.overwrite,
                progress=progress,
            )
        return outcome.dataset

    def _config(self, part: Part, keys: Sequence[str], seeds: int) -> Any:
        return (
            EXPERIMENTS[part.experiment]
            .module()
            .Config(
                activations=keys,
                seeds=seeds,
                device=self.device,
                threads=self.threads,
                **part.settings,
            )
        )

    def _compared(
        self, listed: Sequence[Part], own: Mapping[str, xr.Dataset], alpha: float
    ) -> tuple[list[Group], tuple[tuple[str, str], ...]]:
        """Every measure beside the eight, and what all of it was measured with."""
        groups, made = [], {"yours": datasets.environment_of(own["capacity"])}
        for part in listed:
            dataset = own[part.name]
            stored = self._stored(part, datasets.protocol_of(dataset))
            rows = [self._row(measure, stored, dataset, alpha) for measure in part.measures]
            groups.append(Group(part.title, _in_words(part), tuple(rows)))
            made[f"the eight, {part.name}"] = stored.environment
        return groups, tuple((where, _environment(told)) for where, told in made.items())

    def _row(
        self, measure: Measure, stored: measured.Measured, own: xr.Dataset, alpha: float
    ) -> Row:
        values = {key: stored.values(measure.of(key)) for key in ACTIVATIONS}
        values[self._key] = metrics.measure(measure.of(self._key), own)
        return row(measure.label, measure.better, values, self._key, alpha)

    def _stored(self, part: Part, protocol: Mapping[str, Any]) -> measured.Measured:
        if measured.path_of(part.name, stored_folder()).exists():
            found = measured.load(part.name, stored_folder())
            if _comparable(found.settings) == _comparable(protocol):
                return found
        # Another initializer or target: the eight are trained by the same protocol, here.
        name = f"eight-{part.name}-{_digest(_comparable(protocol))}"
        return _as_stored(
            part, self._fulfil(part, tuple(ACTIVATIONS), part.seeds[1], self.out, name)
        )

    def _cost(self, alpha: float) -> Group:
        config = Config(tuple(dict.fromkeys((self._key, *ACTIVATIONS))))
        with self.bar("cost", config.steps) as progress:
            dataset = run(config, progress)
        datasets.save(dataset, self.folder / "cost.nc")
        protocol = config.protocol()
        said = {name: protocol[name] for name in ("rounds", "epochs", "network", "loop", "clock")}
        costs: dict[str, Values] = {
            key: dataset["epoch_cost"].sel(activation=key).to_numpy() for key in config.activations
        }
        timed = row(COST.label, COST.better, costs, self._key, alpha, paired=True)
        return Group(COST_TITLE, settings_in_words(said), (timed,))


def measure_eight(bar: Bar, device: str, threads: int | None, out: Path) -> list[Path]:
    """Measure the eight by the card's protocols and store what a card compares with."""
    battery = Battery(next(iter(ACTIVATIONS.values())), out, bar, device=device, threads=threads)
    written = []
    prepare_folder(stored_folder())
    for part in parts():
        dataset = battery._fulfil(
            part, tuple(ACTIVATIONS), part.seeds[1], out, f"eight-{part.name}"
        )
        written.append(measured.save(_as_stored(part, dataset), stored_folder()))
    return written


def stored_folder() -> Path:
    """Return where the measurements of the eight are stored."""
    return baselines_folder() / "card"


def _as_stored(part: Part, dataset: xr.Dataset) -> measured.Measured:
    return measured.Measured(
        schema_version=measured.SCHEMA_VERSION,
        protocol=part.name,
        settings=datasets.protocol_of(dataset),
        environment=datasets.environment_of(dataset),
        entries=[
            measured.entry_of(measure.of(key), False, dataset)
            for measure in part.measures
            for key in ACTIVATIONS
        ],
    )


def _comparable(protocol: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in protocol.items() if name not in _WHO}


def _digest(what: object) -> str:
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:8]


def _pooled(flows: Any, activation: str, initializer: str) -> float | None:
    for dataset in flows:
        if initializer in dataset["initializer"]:
            metric = {"name": "pooled_slope", "activation": activation, "initializer": initializer}
            return float(metrics.measure(metric, dataset)[0])
    return None


def _parameters(activation: Activation) -> dict[str, str]:
    found = {}
    for name, parameter in trained(activation.module()).items():
        values = parameter.detach().flatten().tolist()
        found[name] = ", ".join(f"{value:.4g}" for value in values[:4])
        found[name] += f" and {len(values) - 4} more" if len(values) > 4 else ""
    return found


def _in_words(part: Part) -> str:
    own, stored = part.seeds
    said = {
        name: value
        for name, value in part.settings.items()
        if part.experiment != "gradient-flow" and name not in {"targets", "skip"}
    }
    if part.experiment == "gradient-flow":
        said = {"depth": 50, "width": 64, "layers": "10 to 40", "inputs": 10}
    further = "".join(f", {words}" for words in part.further)
    note = f". {part.note}" if part.note else ""
    return (
        f"{own} seeds of yours, {stored} of each of the eight; {settings_in_words(said)}{further}"
        f"{note}"
    )


def _environment(told: Mapping[str, Any]) -> str:
    return (
        f"torch {told['torch']}, {told['device']}, {told['cpu']}, actbench {told['actbench']}, "
        f"threads {told['threads']}"
    )
