"""A member's bits do not depend on its company where the library of products is told so."""

from __future__ import annotations

from pathlib import Path

import pytest
from calls import python
from rounding import MKL

TESTS = Path(__file__).parent


@pytest.mark.slow
@pytest.mark.skipif(not MKL, reason="this torch has no MKL to tell")
def test_bits_do_not_depend_on_company_where_mkl_is_told() -> None:
    """The tests with the marker `bits`, in a process that tells MKL before its first product."""
    words = ("-m", "pytest", "-q", "-n0", "-pno:cacheprovider", "-mbits", TESTS)
    code, out, _ = python(*words, variables={"MKL_CBWR": "AUTO,STRICT"})
    assert code == 0, out[-4000:]
    assert "passed" in out
