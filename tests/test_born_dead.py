"""How probable a dead network is: the bounds against other ways of counting, and in the claims."""

from __future__ import annotations

import numpy as np
import pytest

from actbench import claims
from actbench.store.errors import ActbenchError
from actbench.study import theory

(STUDY,) = (claims.load(path) for path in claims.further_studies() if path.stem == "dying-relu")


def solved(width: int, depth: int) -> float:
    """The lower bound as the solved recursion, in the paper's a_1 and a_2."""
    n, layers = width, depth + 1
    one, two = 1 - 2.0**-n, 1 - 2.0 ** (1 - n) - (n - 1) * 2.0 ** (-2 * n)
    weight = (1 - 2.0 ** (1 - n)) * (1 - 2.0**-n) / (1 + (n - 1) * 2.0**-n)
    return float(1 - one ** (layers - 2) + weight * (two ** (layers - 2) - one ** (layers - 2)))


@pytest.mark.parametrize("width", [1, 2, 3, 5, 10])
@pytest.mark.parametrize("depth", [1, 2, 3, 10, 40])
def test_the_chain_is_the_solved_recursion(width: int, depth: int) -> None:
    """Followed layer by layer or solved, the lower bound is one, and below the upper one."""
    low, high = theory.born_dead_bounds(width, depth)
    assert low == pytest.approx(solved(width, depth), abs=1e-13)
    assert 0 <= low <= high < 1
    assert high == theory.dead_at_one_input(width, depth)


def test_two_layers_of_two_units_by_counting() -> None:
    """All signs of both layers' weights, behind orthogonal vectors, are equally likely."""
    signs = [(a, b) for a in (1, -1) for b in (1, -1)]
    dead = []
    for first in signs:  # which unit of layer 1 is active at 1 (the other ones are at -1)
        for units in [(u, v) for u in signs for v in signs]:
            # a unit of layer 2 is active where a weight on an active unit is positive; with both
            # units of layer 1 on one side the sum of two weights decides, one sign in two again
            sides = {s: [k for k in (0, 1) if first[k] == s] for s in (1, -1)}
            active = [any(sides[s] and unit[sides[s][0]] > 0 for s in (1, -1)) for unit in units]
            dead.append(not any(active))
    assert np.mean(dead) == theory.born_dead_bounds(2, 2)[0] == 0.15625


@pytest.mark.parametrize("claim", [c for c in STUDY.claim if c.relation], ids=lambda c: c.id)
def test_the_claims_numbers_are_the_formulas(claim: claims.Claim) -> None:
    """What a claims file says in digits is what the theory computes."""
    assert claim.relation is not None
    assert claim.relation.value is not None
    width, depth = int(claim.metric["width"]), int(claim.metric["depth"])
    low, high = theory.born_dead_bounds(width, depth)
    exact = claim.metric["name"] == "dead_at_input_share"
    if "upper" in claim.id or exact:
        assert claim.relation.value == pytest.approx(high, abs=5e-6)
    elif "lower-bound" in claim.id or claim.id.startswith(("two-layers", "one-unit", "width-two")):
        assert claim.relation.value == pytest.approx(low, abs=5e-6)
    elif claim.id == "width-log2-of-depth-suffices":
        assert width == 10
        assert claim.relation.value == depth / 2**width


def test_a_network_needs_units_and_layers() -> None:
    """No width or depth below 1."""
    with pytest.raises(ActbenchError, match="width is 0, but must be a whole number"):
        theory.born_dead_bounds(0, 2)
    with pytest.raises(ActbenchError, match="depth is 0, but must be a whole number"):
        theory.dead_at_one_input(2, 0)
