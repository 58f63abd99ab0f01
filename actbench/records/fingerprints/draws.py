"""What is drawn before a training: random streams and initial weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from actbench import activations, initializers, targets
from actbench.networks import Architecture, seeded_network
from actbench.records import Chain
from actbench.records.fingerprints._settings import POINTS
from actbench.records.steps import Numbers, step
from actbench.seeds import FIRST_SEED

_INITIALIZERS = ("torch_default", "xavier_uniform", "xavier_normal", "he_uniform", "he_normal")


def streams() -> Chain:
    """Draw from every random stream that a protocol uses, each from seed 42."""
    draws: Mapping[str, Callable[[], Tensor | Numbers]] = {
        "rand": lambda: torch.rand(1000),
        # Up to 15 numbers and from 16 on are drawn by different algorithms.
        "randn 8": lambda: torch.randn(8),
        "randn 64": lambda: torch.randn(64),
        "randperm": lambda: torch.randperm(1000),
        "NumPy legacy normal": lambda: np.random.RandomState(FIRST_SEED).normal(0, 0.1, 200),
        "NumPy default_rng": lambda: np.random.default_rng(FIRST_SEED).standard_normal(200),
        "noisy sine": lambda: targets.noisy_sine(POINTS).noisy,
    }
    steps = []
    with torch.random.fork_rng(devices=[]):
        for name, draw in draws.items():
            torch.manual_seed(FIRST_SEED)
            steps.append(step(name, draw()))
    return Chain(engine="streams", activation=None, dtype="float32", steps=steps)


def initial_weights() -> Chain:
    """Draw the study's network by each initializer from seed 42."""
    architecture = Architecture(activations.get("relu"))
    steps = []
    for key in _INITIALIZERS:
        network = seeded_network(architecture, initializers.get(key), FIRST_SEED)
        steps.append(step(key, nn.utils.parameters_to_vector(network.parameters())))
    return Chain(engine="initial weights", activation=None, dtype="float32", steps=steps)
