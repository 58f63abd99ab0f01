"""What a user's mistake says, and that it is one kind of error."""

import pytest

from actbench.store.errors import ActbenchError, require_positive_int, unknown_name


@pytest.mark.parametrize(
    ("kind", "given", "known", "told"),
    [
        (
            "activation",
            "Relu6",
            ("linear", "relu", "gelu"),
            "unknown activation 'Relu6'; known: linear, relu, gelu. Did you mean 'relu'?",
        ),
        ("target", "quintic", ("sine", "step"), "unknown target 'quintic'; known: sine, step."),
        (
            "initializer",
            "HE_UNIFOM",
            ("xavier_uniform", "he_uniform"),
            "unknown initializer 'HE_UNIFOM'; known: xavier_uniform, he_uniform. Did you mean "
            "'he_uniform'?",
        ),
        (
            "activation",
            "leak",
            ("gelu", "leaky_relu"),
            "unknown activation 'leak'; known: gelu, leaky_relu. Did you mean 'leaky_relu'?",
        ),
        ("activation", 7, ("relu",), "unknown activation 7; known: relu."),
    ],
    ids=["near", "far", "nearer", "fragment", "of another type"],
)
def test_an_unknown_name_lists_the_known_and_the_nearest(
    kind: str, given: object, known: tuple[str, ...], told: str
) -> None:
    """The one probably meant, whatever the capitals; near to nothing, the list alone."""
    error = unknown_name(kind, given, iter(known))
    assert isinstance(error, ActbenchError)
    assert str(error) == told


def test_the_error_is_a_value_error() -> None:
    """Callers who catch ``ValueError`` catch this too."""
    assert issubclass(ActbenchError, ValueError)


@pytest.mark.parametrize("value", [1, 2, 10**9])
def test_positive_whole_numbers_pass(value: int) -> None:
    """A whole number from 1 on comes back as it is."""
    assert require_positive_int("epochs", value) == value


@pytest.mark.parametrize("value", [0, -1, 2.0, "3", True, None, float("nan")])
def test_anything_else_is_refused_by_name(value: object) -> None:
    """Zero, negatives, fractions, text and truth values are refused with the setting's name."""
    with pytest.raises(ActbenchError) as caught:
        require_positive_int("epochs", value)
    assert str(caught.value) == (f"epochs is {value!r}, but must be a whole number of at least 1")
