"""Train a small network on XOR and write its loss: python train.py --seed 1 --out DIR."""

import argparse
import json
import random
from math import tanh
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--seed", type=int, required=True)
parser.add_argument("--units", type=int, default=8)
parser.add_argument("--out", type=Path, required=True)
arguments = parser.parse_args()

rng = random.Random(arguments.seed)
cases = [(0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0)]
units = [[rng.gauss(0, 1), rng.gauss(0, 1), 0.0] for _ in range(arguments.units)]
weights, bias = [rng.gauss(0, 1) for _ in units], 0.0

for _ in range(300):
    errors = []
    for a, b, target in cases:
        hidden = [tanh(u * a + v * b + w) for u, v, w in units]
        error = bias + sum(w * h for w, h in zip(weights, hidden, strict=True)) - target
        errors.append(error)
        for n, h in enumerate(hidden):
            back = 0.1 * error * weights[n] * (1 - h * h)
            weights[n] -= 0.1 * error * h
            units[n][0] -= back * a
            units[n][1] -= back * b
            units[n][2] -= back
        bias -= 0.1 * error

result = {
    "mse": sum(error**2 for error in errors) / 4,
    "solved": float(all(abs(error) < 0.5 for error in errors)),
}
(arguments.out / "metrics.json").write_text(json.dumps(result))
