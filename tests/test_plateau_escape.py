"""When networks leave the plateau of the best constant: the runs, the sentences, the figure."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from matplotlib.container import ErrorbarContainer

from actbench.claims.statistics import proportion_interval
from actbench.study.catalog import activations, initializers, targets
from actbench.study.experiments.plateau_escape import Config, run
from actbench.study.experiments.plateau_escape.figures import depth_decides
from actbench.study.findings import of as findings_of
from actbench.study.nets.networks import Architecture
from actbench.study.nets.training import Member, Schedule, train_reference

TINY = Config(
    activations="tanh",
    seeds=[42, 7],
    depths=[1, 3],
    adam_epsilons=[1e-8, 0.1],
    epochs=60,
    width=4,
    points=20,
    device="cpu",
    threads=1,
)


@pytest.fixture(scope="module")
def tiny() -> xr.Dataset:
    """Two depths with two values of eps, from two seeds."""
    return run(TINY)


def stayed(shares: dict[int, float], seeds: int = 20) -> xr.Dataset:
    """Losses of which such a share of seeds never leaves the plateau, by depth."""
    low = np.arange(seeds)[None, :] >= np.array(list(shares.values()))[:, None] * seeds
    last = np.where(low, 0.1, 0.518)
    loss = np.stack([np.full_like(last, 0.518), last], axis=-1)
    gradient = np.outer([10.0**-depth for depth in shares], np.ones(seeds))
    dims = ("activation", "depth", "adam_eps", "seed")
    return xr.Dataset(
        {
            "loss": ((*dims, "epoch"), loss[None, :, None]),
            "plateau_gradient": (dims, gradient[None, :, None]),
        },
        coords={"activation": ["sigmoid"], "depth": list(shares), "adam_eps": [1e-8]},
    )


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("eps", [1e-8, 0.1])
def test_each_cell_is_what_a_plain_loop_gives(tiny: xr.Dataset, depth: int, eps: float) -> None:
    """Losses and the gradient of layer 1 at epoch 50 are those of that depth and that eps."""
    architecture = Architecture(activations.get("tanh"), depth, TINY.width)
    target = targets.noisy_sine(TINY.points)
    schedule = Schedule(epochs=TINY.epochs, adam_eps=eps, recorded_epochs=(50,))
    member = Member(7, initializers.get("torch_default"))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    plain = train_reference(architecture, member, schedule, target.x, target.noisy)
    torch.set_num_threads(threads)
    cell = tiny.sel(activation="tanh", depth=depth, adam_eps=eps, seed=7)
    np.testing.assert_allclose(cell["loss"], plain.loss[0], rtol=1e-4)
    gradient = plain.recorded["gradient_magnitude"][0, 0, 0]
    assert cell["plateau_gradient"].item() == pytest.approx(gradient, rel=1e-3)


def test_the_epoch_of_the_gradient_is_stated() -> None:
    """A short run looks before its last update."""
    assert TINY.protocol()["plateau_gradient"] == "layer 1, before the update of epoch 50"
    assert Config(epochs=8).look_epoch == 7


def test_eps_reaches_the_optimizer(tiny: xr.Dataset) -> None:
    """A large one makes small steps: the loss falls less."""
    final = tiny["final_mse"].sel(activation="tanh")
    assert (final.sel(adam_eps=0.1) > final.sel(adam_eps=1e-8)).all()


def test_a_step_below_eps_is_in_proportion_to_the_gradient() -> None:
    """With an eps far above every gradient ten times of it are a tenth of the way."""
    moved = {}
    for eps in (1e6, 1e7):
        architecture = Architecture(activations.get("sigmoid"), 2, 4)
        target = targets.noisy_sine(20)
        schedule = Schedule(epochs=1, adam_eps=eps, learning_rate=1e5, dtype="float64")
        member = Member(1, initializers.get("torch_default"))
        trained = train_reference(architecture, member, schedule, target.x, target.noisy)
        moved[eps] = trained.weight_displacement
    np.testing.assert_allclose(moved[1e6], 10 * moved[1e7], rtol=1e-5)


def test_two_sentences_say_who_stays_and_why() -> None:
    """Counts by depth, and gradients in units of eps."""
    assert findings_of("plateau-escape", stayed({10: 0.0, 11: 0.85, 12: 1.0})) == [
        "With an eps of 1e-08, so many of 20 Sigmoid networks stay on the plateau of the best "
        "constant for all 2 epochs: 0 with 10, 17 with 11 and 20 with 12 hidden layers.",
        "On the plateau layer 1 has this gradient magnitude in units of that eps, below which "
        "Adam's steps shrink with the gradient: 0.01 with 10, 0.001 with 11 and 0.0001 with 12 "
        "hidden layers.",
    ]


def test_the_figure_shows_each_share_with_its_interval() -> None:
    """Points at the shares, bars at the Clopper-Pearson ends, the study's two depths marked."""
    axes = depth_decides(stayed({10: 0.0, 11: 0.85, 13: 1.0})).axes[0]
    curve = axes.containers[0]
    assert isinstance(curve, ErrorbarContainer)
    np.testing.assert_array_equal(curve.lines[0].get_xydata(), [[10, 0], [11, 0.85], [13, 1]])
    bars = curve.lines[2][0].get_segments()
    for count, bar in zip((0, 17, 20), bars, strict=True):
        np.testing.assert_allclose(bar[:, 1], proportion_interval(count, 20, 0.05))
    assert [text.get_text() for text in axes.texts] == ["documented", "run"]
