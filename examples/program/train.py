"""Train a small network on XOR and write its loss: python train.py --seed 1 --out DIR."""

import argparse
import json
from pathlib import Path

import numpy as np

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--seed", type=int, required=True)
parser.add_argument("--units", type=int, default=8)
parser.add_argument("--out", type=Path, required=True)
arguments = parser.parse_args()

rng = np.random.default_rng(arguments.seed)
inputs = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=float)
targets = np.array([[0], [1], [1], [0]], dtype=float)
first, first_bias = rng.normal(size=(2, arguments.units)), np.zeros(arguments.units)
second, second_bias = rng.normal(size=(arguments.units, 1)), np.zeros(1)

for _ in range(5000):
    hidden = np.tanh(inputs @ first + first_bias)
    error = hidden @ second + second_bias - targets
    back = error @ second.T * (1 - hidden**2)
    second -= 0.1 * hidden.T @ error / 4
    second_bias -= 0.1 * error.mean(axis=0)
    first -= 0.1 * inputs.T @ back / 4
    first_bias -= 0.1 * back.mean(axis=0)

result = {"mse": float((error**2).mean()), "solved": float((np.abs(error) < 0.5).all())}
(arguments.out / "metrics.json").write_text(json.dumps(result))
