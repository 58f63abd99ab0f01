"""What a user's mistake says, and that it is one kind of error."""

import pytest

from actbench.store.errors import ActbenchError, require_positive_int, unknown_name


def test_an_unknown_name_lists_the_known_and_the_nearest() -> None:
    """A misspelled name is answered with all names and the one probably meant."""
    error = unknown_name("activation", "Relu6", ["linear", "relu", "gelu"])
    assert isinstance(error, ActbenchError)
    assert str(error) == (
        "unknown activation 'Relu6'; known: linear, relu, gelu. Did you mean 'relu'?"
    )


def test_a_far_name_gets_no_guess() -> None:
    """A name near to nothing is answered with the list alone."""
    error = unknown_name("target", "quintic", iter(["sine", "step"]))
    assert str(error) == "unknown target 'quintic'; known: sine, step."


def test_the_nearest_of_several_is_named() -> None:
    """Of two similar names, the more similar one is suggested, whatever the capitals."""
    error = unknown_name("initializer", "HE_UNIFOM", ["xavier_uniform", "he_uniform"])
    assert str(error).endswith(" Did you mean 'he_uniform'?")


def test_a_fragment_of_a_long_name_is_near_enough() -> None:
    """The first four of ten letters are taken as that name."""
    error = unknown_name("activation", "leak", ["gelu", "leaky_relu"])
    assert str(error).endswith(" Did you mean 'leaky_relu'?")


def test_a_name_of_another_type_is_an_answer_not_a_crash() -> None:
    """A number where a name belongs is quoted as it was given."""
    assert str(unknown_name("activation", 7, ["relu"])) == "unknown activation 7; known: relu."


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
