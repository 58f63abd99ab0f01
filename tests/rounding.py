"""What two orders of summation may make of one number, and where bits may be asked for.

The same operations on the same shapes give the same bits on every processor, so a run that is
repeated, interrupted or merely looked at is compared bit for bit. A member that is computed in
another company is not the same operation: a library may choose its order of summation by the size
of a stack and by the place in it, and does so on some processors. Only MKL promises otherwise, and
only when it was told before its first product (``MKL_CBWR=AUTO,STRICT``). ``assert_same`` then
asks for bits, and elsewhere for what every order of summation gives; ``tests/test_bits.py`` runs
the tests with the marker ``bits`` in a process that tells it.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, DTypeLike

MKL: bool = torch.backends.mkl.is_available()  # type: ignore[no-untyped-call]
EXACT = MKL and any(mode in os.environ.get("MKL_CBWR", "") for mode in ("STRICT", "COMPATIBLE"))
"""Whether a member's bits may not depend on its company in this process."""


def bound(terms: int, depth: int, updates: int, dtype: DTypeLike) -> float:
    """Return how far apart two orders of summation may bring a network, relative to its scale.

    Two sums of n terms differ by at most n eps times the sum of the terms' magnitudes, whatever
    their orders (Higham 2002, section 4.2; eps is twice the unit roundoff). A pass forward and
    back takes 2 (depth + 1) products, one on the result of the other, and to first order their
    errors add. Every update adds those of its own pass: Adam may turn the rounding of a tiny
    gradient into a whole step, but the loss moves by step times gradient, and that is as tiny.
    """
    return terms * float(np.finfo(dtype).eps) * 2 * (depth + 1) * (updates + 1)


def assert_same(
    found: ArrayLike,
    wanted: ArrayLike,
    *,
    terms: int,
    depth: int,
    updates: int,
    dtype: DTypeLike | None = None,
    name: str = "",
) -> None:
    """Check that members, the first axis, agree to the bit, or to rounding where none is promised.

    Rounding, of values computed in ``dtype`` where that is not theirs, is measured in units of a
    member's largest value; what is not finite must be so in both.
    """
    one, other = np.asarray(found), np.asarray(wanted)
    if EXACT or not np.issubdtype(other.dtype, np.inexact):
        np.testing.assert_array_equal(one, other, err_msg=name, strict=True)
        return
    assert (one.shape, one.dtype) == (other.shape, other.dtype), name
    limit = bound(terms, depth, updates, dtype or other.dtype)
    flat: tuple[Any, Any] = (one.reshape(len(one), -1), other.reshape(len(other), -1))
    for member, (mine, reference) in enumerate(zip(*flat, strict=True)):
        np.testing.assert_array_equal(np.isfinite(mine), np.isfinite(reference), err_msg=name)
        largest = np.abs(reference[np.isfinite(reference)]).max(initial=0)
        np.testing.assert_allclose(
            mine, reference, rtol=0, atol=limit * largest, err_msg=f"{name} of member {member}"
        )
