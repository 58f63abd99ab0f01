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
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
import xarray as xr

from actbench.claims import measured, metrics
from actbench.pages.wording import settings as settings_in_words
from actbench.runs.results import fulfil
from actbench.store import datasets, environment
from actbench.store.environment import Stopwatch
from actbench.store.files import baselines_folder, prepare_folder
from actbench.study import card
from actbench.study.card import facts
from actbench.study.card.measures import TRAINED_BY, Part, Values, critical_part, parts
from actbench.study.catalog.activations import ACTIVATIONS, Activation, trained
from actbench.study.catalog.targets import TargetFunction
from actbench.study.experiments import EXPERIMENTS
from actbench.study.experiments.settings import own_code
from actbench.study.nets import devices
from actbench.study.nets.devices import pinned_state
from actbench.study.nets.engines import PlainLoop
from actbench.study.own.functions import formula

if TYPE_CHECKING:
    import xarray as xr


CONTROL = "relu"
_DURATION = "processor time of one epoch of a plain training loop"
_COST = "epoch_duration_s over that of ReLU in the same round"


@dataclass(frozen=True)
class Config:
    """The protocol: the study's network in a plain loop, as a script of one's own would train it.

    Args:
        activations: Keys of the activations, ReLU among them.
        rounds: In each round every activation is timed once, in an order that turns from round to
            round, so that what the machine does meanwhile falls on all alike.
        epochs: Updates per timing.
    """

    activations: Sequence[str]
    rounds: int = 41
    epochs: int = 4

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
    """Time epochs of every activation in turn.

    Args:
        config: The protocol.
        progress: Called once per timing.

    Returns:
        Dataset with ``epoch_duration_s`` and ``epoch_cost (activation, round)``, the second over
        ReLU's of the same round.
    """
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
    """One invocation.

    Args:
        activation: What is tried.
        out: Folder of its results; those of another version of its code lie in another.
        bar: Shows progress.
        initializer: Of the networks that are trained.
        targets: Functions of the user's to learn beside the six.
        device: Where to train.
        threads: CPU threads.
        overwrite: Whether results of other settings may be replaced.
    """

    activation: Activation
    out: Path
    bar: Bar
    initializer: str = TRAINED_BY
    targets: Sequence[TargetFunction] = ()
    device: str = "cpu"
    threads: int | None = None
    overwrite: bool = False

    @property
    def folder(self) -> Path:
        """Where this activation's results lie."""
        name = re.sub(r"[^A-Za-z0-9_.-]", "_", self.activation.name)
        return self.out / f"try-{name}-{_digest([self.activation.key, self.activation.source])}"

    def run(self) -> tuple[card.Card, xr.Dataset, dict[str, xr.Dataset]]:
        """Measure what is not measured yet, and put the card together."""
        prepare_folder(self.folder)
        theory = formula(self.activation.module)
        derivatives = self._own_run(Part("function", "", "activation-derivatives", {}))
        point = facts.critical(theory)
        listed = parts(self.initializer, self.targets)
        own = {part.name: (part, self._own_run(part)) for part in listed}
        flows = {"gradient-flow": own["gradient-flow"][1]}
        keys = list(listed[0].settings["initializers"])
        if point is not None:
            start = facts.initializer_of(point)
            flows["critical"] = self._own_run(critical_part(start))
            keys.append(start)
        table = {}
        environments: dict[str, Mapping[str, Any]] = {
            "yours": datasets.environment_of(own["capacity"][1])
        }
        for name, (part, dataset) in own.items():
            rows, stored_in = self._beside(part, dataset)
            table[name] = (part, _in_words(part), rows)
            environments |= stored_in
        found = (
            facts.of_function(theory, derivatives),
            facts.fields(theory, keys, lambda key: _pooled(flows.values(), self._key, key)),
            point,
            point is not None and facts.settles(theory, point),
        )
        made = card.assemble(
            self.activation,
            _parameters(self.activation),
            found,
            table,
            self._cost(),
            _environment(environments),
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

    def _beside(
        self, part: Part, dataset: xr.Dataset
    ) -> tuple[list[dict[str, Values]], dict[str, Mapping[str, Any]]]:
        """Values of every measure by activation, and what those of the eight were made with."""
        stored = self._stored(part, datasets.protocol_of(dataset))
        rows = []
        for measure in part.measures:
            values = {key: stored.values(measure.of(key)) for key in ACTIVATIONS}
            values[self._key] = metrics.measure(measure.of(self._key), dataset)
            rows.append(values)
        return rows, {f"the eight, {part.name}": stored.environment}

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

    def _cost(self) -> tuple[str, dict[str, Values]]:

        config = Config(tuple(dict.fromkeys((self._key, *ACTIVATIONS))))
        with self.bar("cost", config.steps) as progress:
            dataset = run(config, progress)
        datasets.save(dataset, self.folder / "cost.nc")
        protocol = config.protocol()
        said = {name: protocol[name] for name in ("rounds", "epochs", "network", "loop", "clock")}
        costs = {
            key: dataset["epoch_cost"].sel(activation=key).to_numpy() for key in config.activations
        }
        return settings_in_words(said), costs


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


def _environment(found: Mapping[str, Mapping[str, Any]]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (
            where,
            f"torch {facts_['torch']}, {facts_['device']}, {facts_['cpu']}, actbench "
            f"{facts_['actbench']}, threads {facts_['threads']}",
        )
        for where, facts_ in found.items()
    )
