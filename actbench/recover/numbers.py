"""A number as it was printed: its digits, and how many of them a computed value gives."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

import numpy as np
from numpy.typing import NDArray

from actbench.errors import ActbenchError

# A value that lies half a digit away rounds to the printed one, whatever binary makes of the half.
_TIES = 1 + 1e-9


@dataclass(frozen=True)
class Printed:
    """A published number.

    Args:
        text: As printed, such as ``"0.84"`` or ``"2.59e7"``.
        wanted: How many of its digits must be given; ``None`` wants all, 0 none.

    Raises:
        ActbenchError: It is not a number with digits, or has fewer digits than are wanted.
    """

    text: str
    wanted: int | None = None

    def __post_init__(self) -> None:
        try:
            number = Decimal(self.text)
        except InvalidOperation:
            number = Decimal("nan")
        if not number.is_finite() or number <= 0:
            raise ActbenchError(
                f"published is {self.text!r}, but must be a number above 0 as it is printed, such "
                "as '0.84' or '2.59e7': ratios and losses are"
            )
        if self.wanted is not None and not 0 <= self.wanted <= self.digits:
            raise ActbenchError(
                f"digits is {self.wanted!r}, but {self.text!r} has {self.digits}: ask for 1 to "
                f"{self.digits}, or for 0 to show what a protocol gives and ask for nothing"
            )

    @property
    def value(self) -> float:
        """The number."""
        return float(Decimal(self.text))

    @property
    def digits(self) -> int:
        """How many significant digits are printed."""
        return len(Decimal(self.text).as_tuple().digits)

    @property
    def required(self) -> int:
        """How many digits a value must give to match."""
        return self.digits if self.wanted is None else self.wanted

    @property
    def interval(self) -> tuple[float, float]:
        """The smallest and the largest value that match."""
        half = self._half_unit(self.required)
        return self.value - half, self.value + half

    def _half_unit(self, digit: int) -> float:
        """Return half of what one step of a digit is worth; digit 1 is the first printed."""
        last = Decimal(self.text).as_tuple().exponent
        if not isinstance(last, int):
            raise TypeError(f"{self.text!r} is not finite")
        return float(Decimal(5).scaleb(last - 1 + self.digits - digit)) * _TIES

    def agreed(self, values: NDArray[np.float64]) -> NDArray[np.int8]:
        """Count the digits that values give: the most to which they round as the number does.

        A value gives k digits if it lies within half a step of digit k. So 0.838 gives both digits
        of 0.84, and 2.602e7 two of the three of 2.59e7.

        Args:
            values: Any shape; what is not finite gives none.

        Returns:
            From 0 to ``digits``, of the same shape.
        """
        with np.errstate(invalid="ignore"):
            distance = np.abs(np.asarray(values, dtype=np.float64) - self.value)
        given = np.zeros(distance.shape, dtype=np.int8)
        for digit in range(1, self.digits + 1):
            given += distance <= self._half_unit(digit)
        return given

    def matches(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Tell which values give as many digits as are wanted.

        Args:
            values: Any shape.

        Returns:
            Of the same shape.
        """
        matching: NDArray[np.bool_] = self.agreed(values) >= self.required
        return matching
