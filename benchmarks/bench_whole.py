"""A whole training, an experiment, and start-up."""

from __future__ import annotations

import subprocess
import sys

import pytest

from actbench.store.studies import FIRST_SEED
from actbench.study.catalog import initializers, targets
from actbench.study.experiments import gradient_flow
from actbench.study.nets import devices
from actbench.study.nets.engines import POINTS, flop_per_epoch, study_architecture
from actbench.study.nets.training import Member, Schedule, Training, train
from benchmarks.measuring import Job, Meter

_MEMBERS, _EPOCHS = 20, 500


@pytest.mark.parametrize("threads", [devices.default_threads()], indirect=True, ids=["all-threads"])
def test_training(meter: Meter, threads: int) -> None:
    """500 epochs of 20 ReLU networks on every core, from drawing them to the last prediction."""
    architecture = study_architecture("relu")
    initializer = initializers.get("torch_default")
    members = [Member(FIRST_SEED + number, initializer) for number in range(_MEMBERS)]
    target = targets.noisy_sine(POINTS)

    def work() -> Training:
        schedule = Schedule(epochs=_EPOCHS)
        return train(architecture, members, schedule, target.x, target.noisy, threads=threads)

    meter(
        Job(
            prepare=lambda: work,
            flop=_MEMBERS * _EPOCHS * flop_per_epoch(architecture),
            rounds=3,
            quality=lambda training: {"final_loss": float(sorted(training.loss[:, -1])[10])},
            facts={"members": _MEMBERS, "epochs": _EPOCHS, "threads": threads},
        )
    )


def test_gradient_flow(meter: Meter) -> None:
    """The recovered protocol of the gradient-flow experiment, 20 seeds of the robust one."""
    config = gradient_flow.Config(seeds=20, deep_depth=0, spread_widths=(), threads=1)
    meter(Job(prepare=lambda: lambda: gradient_flow.run(config), rounds=3))


@pytest.mark.parametrize(
    "arguments",
    [("-c", "import actbench"), ("-m", "actbench", "--help")],
    ids=["import", "help"],
)
def test_start(meter: Meter, arguments: tuple[str, ...]) -> None:
    """A fresh Python process, its own start included."""

    def start() -> None:
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)  # noqa: S603

    meter(Job(prepare=lambda: start))
