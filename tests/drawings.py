"""Figures that tests put in place of real ones, which take seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from actbench.store.studies import Experiment


def draw_instead(
    monkeypatch: pytest.MonkeyPatch, key: str, drawn: Mapping[str, Any], kind: str = "FIGURES"
) -> None:
    """Have an experiment draw what is given."""
    before = Experiment.drawn

    def drawing(self: Experiment, asked: str = "FIGURES") -> Mapping[str, Any]:
        return drawn if (self.key, asked) == (key, kind) else before(self, asked)

    monkeypatch.setattr(Experiment, "drawn", drawing)
