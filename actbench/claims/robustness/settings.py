"""What a robustness map varies: one setting, and the grid of all of them."""

from __future__ import annotations

import itertools

from pydantic import BaseModel, ConfigDict, Field

STRICT = ConfigDict(extra="forbid", frozen=True)


class Setting(BaseModel):
    """One choice of what the study leaves open or might have chosen otherwise.

    Args:
        initializer: Key of the initializer.
        learning_rate: Adam's step size.
        weight_decay: Adam's L2 penalty.
        epochs: Full-batch updates.
        depth: Hidden layers.
    """

    model_config = STRICT

    initializer: str = "torch_default"
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    epochs: int = 500
    depth: int = 10

    def but(self, **changes: str | float) -> Setting:
        """Return the same setting but for some changes."""
        return self.model_copy(update=changes)


class Grid(BaseModel):
    """The settings of a map: initializers times learning rates, the rest one at a time.

    Args:
        stated: Where everything starts: what the study states, else torch's defaults.
        initializers: Keys of the initializers.
        learning_rates: All are combined with all initializers.
        weight_decays: Variations of the stated setting.
        epochs: Variations of the stated setting.
        depths: Variations of the stated setting.
        seeds: Seeds per setting, 42 and on.
        escape_initializers: Where sigmoid's escape from its plateau is measured.
        escape_seeds: Seeds of each of these distributions, 42 and on.
    """

    model_config = STRICT

    stated: Setting = Setting()
    initializers: tuple[str, ...] = Field(
        default=(
            *("torch_default", "xavier_uniform", "xavier_normal", "he_uniform", "he_normal"),
            *("normal(0.03)", "normal(0.05)", "normal(0.07)", "normal(0.1)", "normal(0.15)"),
        ),
        min_length=1,
    )
    learning_rates: tuple[float, ...] = Field(default=(1e-4, 3e-4, 1e-3, 3e-3, 1e-2), min_length=1)
    weight_decays: tuple[float, ...] = (1e-5, 1e-4, 1e-3)
    epochs: tuple[int, ...] = (250, 1000, 2000)
    depths: tuple[int, ...] = (8, 9, 11, 12)
    seeds: int = Field(default=5, ge=1)
    escape_initializers: tuple[str, ...] = ("torch_default", "xavier_normal", "he_normal")
    escape_seeds: int = Field(default=200, ge=1)

    @property
    def product(self) -> tuple[Setting, ...]:
        """Every initializer with every learning rate."""
        pairs = itertools.product(self.initializers, self.learning_rates)
        return tuple(self.stated.but(initializer=i, learning_rate=rate) for i, rate in pairs)

    @property
    def variations(self) -> tuple[Setting, ...]:
        """The stated setting with one other weight decay, number of epochs or depth."""
        return (
            *(self.stated.but(weight_decay=decay) for decay in self.weight_decays),
            *(self.stated.but(epochs=epochs) for epochs in self.epochs),
            *(self.stated.but(depth=depth) for depth in self.depths),
        )

    @property
    def settings(self) -> tuple[Setting, ...]:
        """All settings, each once."""
        return tuple(dict.fromkeys((*self.product, *self.variations)))
