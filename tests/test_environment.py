"""What a result was computed with, and the mode of arithmetic that is asked for."""

from __future__ import annotations

import json

import pytest
from calls import printed

from actbench.store import environment

SCRIPT = """
import json, os, sys
from actbench.store import environment
if "late" in sys.argv:
    import torch
environment.require_exact_arithmetic()
print(json.dumps(environment.describe("cpu", 1)))
"""


def described(*arguments: str, **variables: str) -> dict[str, object]:
    """Describe a fresh process, whose first call asks for exact arithmetic."""
    kept = {"MKL_CBWR": None, **variables}
    found: dict[str, object] = json.loads(printed("-c", SCRIPT, *arguments, variables=kept))
    return found


@pytest.mark.slow
def test_exact_arithmetic_is_asked_for_in_time_or_not_at_all() -> None:
    """Before torch is loaded; a mode that was chosen stays; what is recorded was in force."""
    assert described()["arithmetic"] == "MKL_CBWR=AUTO,STRICT"
    assert described(MKL_CBWR="COMPATIBLE")["arithmetic"] == "MKL_CBWR=COMPATIBLE"
    assert "arithmetic" not in described("late")


def test_what_changes_rounding_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every variable that is set, and nothing where none is."""
    for name in ("MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS", "ATEN_CPU_CAPABILITY"):
        monkeypatch.delenv(name, raising=False)
    assert environment.arithmetic() == ""
    assert "arithmetic" not in environment.describe("cpu", 1)
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "avx2")
    monkeypatch.setenv("MKL_CBWR", "AVX2,STRICT")
    assert environment.arithmetic() == "MKL_CBWR=AVX2,STRICT ATEN_CPU_CAPABILITY=avx2"
    assert environment.describe("cpu", 1)["arithmetic"] == environment.arithmetic()
