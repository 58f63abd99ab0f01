"""The study's main run as it was recovered, in plain torch: what anyone can run beside it.

Eleven hidden layers where ten are documented, seeds set once, one network built after the other.
Prints, as JSON, the losses before the last update and, per weight matrix, the linear network's mean
|d loss / d W| after one update. Arguments: epochs, and the activations to train.
"""

import json
import sys

import numpy as np
import torch
from torch import nn

ACTIVATIONS = {
    "linear": nn.Identity,
    "sigmoid": nn.Sigmoid,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "gelu": nn.GELU,
}


def networks() -> dict[str, nn.Sequential]:
    """Build all five from one random state."""
    torch.manual_seed(42)
    built = {}
    for key, activation in ACTIVATIONS.items():
        hidden = [nn.Linear(1, 64), *(nn.Linear(64, 64) for _ in range(10))]
        modules = [module for layer in hidden for module in (layer, activation())]
        built[key] = nn.Sequential(*modules, nn.Linear(64, 1))
    return built


def train(network: nn.Sequential, epochs: int) -> tuple[float, list[float]]:
    """Train one; return the loss before the last update and the gradients before the second."""
    x = np.linspace(-np.pi, np.pi, 200)
    y = np.sin(x) + np.random.RandomState(42).normal(0, 0.1, 200)
    inputs, targets = torch.FloatTensor(x[:, None]), torch.FloatTensor(y[:, None])
    optimizer = torch.optim.Adam(network.parameters(), lr=0.001)
    for epoch in range(epochs):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(network(inputs), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        if epoch == 1:
            weights = [p for p in network.parameters() if p.ndim == 2]
            gradients = [p.grad.abs().mean().item() for p in weights if p.grad is not None]
        optimizer.step()
    return loss.item(), gradients


if __name__ == "__main__":
    torch.set_num_threads(1)
    built = networks()
    results = {key: train(built[key], int(sys.argv[1])) for key in sys.argv[2:]}
    print(json.dumps({"gradients": results["linear"][1], **{k: v[0] for k, v in results.items()}}))
