"""Forward passes of very many small random networks: who is born dead, and what each layer carries.

A seed stands for a whole draw of networks here, so that 100 seeds of 1000 networks are 10^5. A
network is born dead by a layer if that layer or one below it is zero on every input. Mean and
variance of a layer are pooled over the draw's networks, units and inputs.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor, nn

from actbench.store import datasets, environment
from actbench.store.errors import ActbenchError, require_positive_int
from actbench.study.catalog import activations, initializers
from actbench.study.catalog.initializers import Initializer
from actbench.study.experiments import settings
from actbench.study.nets import devices
from actbench.study.nets.devices import pinned_state

# Numbers of one layer's activity held at a time: few enough to stay near the processor.
_CHUNK_NUMBERS = 2_000_000
_TIMED_NETWORKS = 2_000

_VARIABLES = (
    *("born_dead_share", "dead_at_input_share"),
    *("pre_activation_mean", "pre_activation_variance"),
    *("activation_mean", "activation_variance"),
)
_INPUTS = ("even", "normal")
"""How inputs lie: evenly spaced, of one feature, or drawn from a normal distribution."""


@dataclass(frozen=True)
class Config(settings.Settings):
    """The protocol.

    Args:
        activations: Keys.
        initializers: Keys.
        widths: Units per hidden layer, each at least 1.
        depth: Hidden layers, at least 1; what holds at a smaller depth is read off its layer.
        networks: Networks per seed, at least 1.
        features: Numbers per input, at least 1.
        inputs: ``even``: evenly spaced with standard deviation 1, for one feature (its reach is
            sqrt(3)); ``normal``: drawn anew for each seed.
        points: Inputs, at least 2.
        input_mean: Added to every number of an input.
        input_variances: Variances to which the inputs are scaled, each above 0; the networks and
            the inputs but for their scale are the same for all.
        seeds: A count (then 42, 43, ...) or the seeds.
        device: Not used: the products are too small for an accelerator.
        threads: CPU threads.

    Raises:
        ActbenchError: A setting is out of range or its name is not known.
    """

    activations: Sequence[str] = ("relu",)
    initializers: Sequence[str] = ("he_normal",)
    widths: Sequence[int] = (2, 3, 5, 10)
    depth: int = 10
    networks: int = 1000
    features: int = 1
    inputs: str = "even"
    points: int = 10
    input_mean: float = 0.0
    input_variances: Sequence[float] = (1.0,)
    seeds: int | Sequence[int] = 100
    device: str = "cpu"
    threads: int | None = None

    not_in_protocol = ("device",)
    checked = settings.checks(
        widths=settings.each("width", require_positive_int),
        input_variances=settings.each("input_variances", settings.positive),
        networks=require_positive_int,
        features=require_positive_int,
        input_mean=settings.finite,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.inputs not in _INPUTS or (self.inputs == "even" and self.features != 1):
            raise ActbenchError(
                f"inputs are {self.inputs!r} with {self.features} features, but must be 'even' "
                "with one feature, or 'normal' with any number"
            )

    @property
    def steps(self) -> int:
        """Steps of progress that ``run`` reports: networks."""
        kinds = len(self.activations) * len(self.initializers) * len(self.widths)
        return kinds * len(self.seed_list) * self.networks

    def fixed(self) -> dict[str, Any]:
        """State what no argument changes."""
        return {
            "draw": "random state reset to the seed for each initializer and width; all weights "
            "of one layer of some networks at once; float32",
        }


@pinned_state()
def run(config: Config, progress: Callable[[int], None] = lambda done: None) -> xr.Dataset:
    """Pass the inputs through every network once.

    Args:
        config: The protocol.
        progress: Called with the number of networks done since the last call.

    Returns:
        Dataset with ``born_dead_share`` (on every input), ``dead_at_input_share`` (on the last
        input alone), and mean and variance of pre-activations and activations, ``(activation,
        initializer, width, input_variance, seed, layer)``; ``layer`` counts hidden layers.
    """
    chosen = config.seed_list
    dims = ("activation", "initializer", "width", "input_variance", "seed", "layer")
    coords: dict[str, Any] = {
        "activation": list(config.activations),
        "initializer": list(config.initializers),
        "width": np.array(config.widths, dtype=np.int32),
        "input_variance": np.array(config.input_variances, dtype=np.float64),
        "seed": np.array(chosen, dtype=np.int32),
        "layer": np.arange(1, config.depth + 1, dtype=np.int32),
    }
    found = np.full((len(_VARIABLES), *(len(coords[dim]) for dim in dims)), np.nan)
    with devices.using_threads(config.threads) as threads, torch.random.fork_rng(devices=[]):
        drawn: list[Sequence[Any]] = [
            config.activations,
            config.initializers,
            config.widths,
            chosen,
        ]
        for (a, key), (i, name), (w, width), (s, seed) in itertools.product(*map(enumerate, drawn)):
            module, initializer = activations.get(key).module(), initializers.get(name)
            torch.manual_seed(seed)
            found[:, a, i, w, :, s] = _summary(_draw(config, module, initializer, width, progress))
    dataset = xr.Dataset(
        {name: (dims, values) for name, values in zip(_VARIABLES, found, strict=True)}, coords
    )
    facts = environment.describe("cpu", threads)
    return datasets.finish(dataset, "signal-propagation", config.protocol(), facts)


def _draw(
    config: Config,
    module: nn.Module,
    initializer: Initializer,
    width: int,
    progress: Callable[[int], None],
) -> NDArray[np.float64]:
    x = _inputs(config)  # (variance, points, features)
    rows = x.shape[0] * x.shape[1]
    size = max(1, min(config.networks, _CHUNK_NUMBERS // (rows * max(width, config.features))))
    totals = np.zeros((len(_VARIABLES), len(config.input_variances), config.depth))
    for start in range(0, config.networks, size):
        count = min(size, config.networks - start)
        totals += _pass(config, module, initializer, (count, width), x)
        progress(count)
    return totals / config.networks


def _inputs(config: Config) -> Tensor:
    if config.inputs == "even":
        standard = torch.linspace(-math.sqrt(3), math.sqrt(3), config.points)[:, None]
    else:
        standard = torch.randn(config.points, config.features)
    scale = torch.tensor(config.input_variances, dtype=torch.float32).sqrt()
    return config.input_mean + scale[:, None, None] * standard


@torch.no_grad()
def _pass(
    config: Config,
    module: nn.Module,
    initializer: Initializer,
    shape: tuple[int, int],
    x: Tensor,
) -> NDArray[np.float64]:
    """Sums over networks of what each layer shows."""
    count, width = shape
    scales, points, features = x.shape
    below = x.reshape(1, -1, features).expand(count, -1, -1)  # (network, variance x point, unit)
    dead = torch.zeros(count, scales, points, dtype=torch.bool)
    all_dead = torch.zeros(count, scales, dtype=torch.bool)
    result = np.empty((len(_VARIABLES), scales, config.depth))
    for layer in range(config.depth):
        weights, biases = drawn_layers(initializer, below.shape[-1], width, count)
        z = torch.baddbmm(biases, below, weights.mT)
        below = module(z)
        pre, post = (t.view(count, scales, points, width) for t in (z, below))
        silent = (post == 0).all(-1)  # (network, variance, point)
        dead |= silent
        all_dead |= silent.all(-1)
        shares = (all_dead, dead[..., -1])
        moments = [m for t in (pre, post) for m in (t, t.square())]
        result[:, :, layer] = [
            *(share.sum(0, dtype=torch.float64).numpy() for share in shares),
            *(m.mean((2, 3)).sum(0, dtype=torch.float64).numpy() for m in moments),
        ]
    return result


def drawn_layers(
    initializer: Initializer, fan_in: int, fan_out: int, count: int
) -> tuple[Tensor, Tensor]:
    """Draw one layer of many networks at once, from torch's random stream as it stands.

    Torch's own initializer draws one layer with the outputs of all networks. Where the number of
    outputs enters the variance of a weight, as in Xavier's, the weights are scaled to what one
    network's own layer has. Weights ``(network, fan_out, fan_in)``, biases ``(network, 1,
    fan_out)``.
    """
    layer = nn.Linear(fan_in, fan_out * count)
    initializer.apply(layer)
    wanted = initializer.weight_variance(fan_in, fan_out)
    scale = math.sqrt(wanted / initializer.weight_variance(fan_in, fan_out * count))
    weights = layer.weight.detach().view(count, fan_out, fan_in)
    return weights if scale == 1 else weights * scale, layer.bias.detach().view(count, 1, fan_out)


def _summary(totals: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn means of squares into variances."""
    shares, moments = totals[:2], totals[2:]
    means, squares = moments[0::2], moments[1::2]
    variances = squares - np.square(means)
    return np.stack([*shares, means[0], variances[0], means[1], variances[1]])


def calibration(config: Config) -> Config:
    """Return some networks of its first seed, to estimate how long a run takes."""
    few = min(config.networks, _TIMED_NETWORKS)
    return dataclasses.replace(config, seeds=config.seed_list[:1], networks=few)


def coordinates(metric: Mapping[str, Any], config: Config) -> Mapping[str, tuple[Any, ...]]:  # noqa: ARG001 - one signature for all
    """Return the values that metrics' arguments can take, and the settings that decide them."""
    # What holds at a smaller depth is read off its layer.
    layers = range(1, config.depth + 1), "depth"
    return dict.fromkeys(("depth", "layer", "over_layer"), layers)


def problems(metric: Mapping[str, Any], config: Config) -> Iterator[str]:  # noqa: ARG001 - one signature for all
    """Refuse to compare a layer with itself."""
    if "over_layer" in metric and metric["layer"] == metric["over_layer"]:
        yield f"layer and over_layer are both {metric['layer']}; name two layers"
