"""Activations as theory takes them: functions and derivatives of NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from actbench.theory import Formula


def formula(build: Callable[[], nn.Module]) -> Formula:
    """Return an activation as theory takes it, computed by torch in float64."""
    module = build().double()

    def value(z: NDArray[np.float64]) -> NDArray[np.float64]:
        with torch.no_grad():
            found: NDArray[np.float64] = module(torch.tensor(z)).numpy()
        return np.nan_to_num(found, nan=np.inf, posinf=np.inf, neginf=-np.inf)

    def derivative(z: NDArray[np.float64]) -> NDArray[np.float64]:
        leaf = torch.tensor(z, requires_grad=True)
        (slope,) = torch.autograd.grad(module(leaf.clone()).sum(), leaf)
        found: NDArray[np.float64] = slope.numpy()
        return np.nan_to_num(found, nan=np.inf, posinf=np.inf, neginf=-np.inf)

    return Formula(value, derivative)
