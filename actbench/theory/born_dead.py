"""How probable it is that a ReLU network is dead before training (Lu et al. 2019)."""

from __future__ import annotations

from actbench.errors import require_positive_int


def dead_at_one_input(width: int, depth: int) -> float:
    """Return the probability that a layer's units are all zero on one given input.

    Weights from distributions that are symmetric about 0 make every unit of a layer negative with
    probability 1/2, independently of the others, as long as anything but 0 enters it. So each
    layer survives with probability 1 - 2^-width. This holds whatever the biases, if they too are
    symmetric or 0, and it bounds the probability of dying on all inputs from above (Lu et al.
    2019, section 3, for symmetric initializations).

    Args:
        width: Units per hidden layer, at least 1.
        depth: Hidden layers, at least 1.

    Returns:
        1 - (1 - 2^-width)^depth.
    """
    require_positive_int("width", width)
    return float(1 - (1 - 2.0**-width) ** require_positive_int("depth", depth))


def born_dead_bounds(width: int, depth: int) -> tuple[float, float]:
    """Return bounds of the probability that a network of one input is dead on both sides of 0.

    With zero biases the network only scales with a positive input, so that two inputs, 1 and -1,
    stand for all. Behind layer 1 no unit is active on both: the two vectors of activations are
    orthogonal. Then a further layer dies on both with probability 4^-width, and on one of them, or
    keeps a single unit that sees both, with 2 x 2^-width + (width - 2) 4^-width; from there on one
    direction is left, and dies with 2^-width per layer. Angles below a right one make joint death
    likelier, so following these three states gives a lower bound (Lu et al. 2019, section 3, for
    one input and zero biases), which is exact for two hidden layers, where the angle is right, and
    for width 1.

    Args:
        width: Units per hidden layer, at least 1.
        depth: Hidden layers, at least 1.

    Returns:
        Lower and upper bound; the upper one holds for any number of inputs, and for biases from
        symmetric distributions.
    """
    upper = dead_at_one_input(width, depth)
    all_negative = 2.0**-width
    two_directions, one_direction = 1 - 2 * all_negative, 2 * all_negative
    for _ in range(depth - 1):
        leaves = (2 * all_negative + (width - 2) * all_negative**2) * two_directions
        dies = all_negative * one_direction
        two_directions -= leaves + all_negative**2 * two_directions
        one_direction += leaves - dies
    return 1 - two_directions - one_direction, upper
