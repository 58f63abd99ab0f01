"""A member's bits do not depend on its company where the library of products is told so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from rounding import MKL

TESTS = Path(__file__).parent


@pytest.mark.slow
@pytest.mark.skipif(not MKL, reason="this torch has no MKL to tell")
def test_bits_do_not_depend_on_company_where_mkl_is_told() -> None:
    """The tests with the marker `bits`, in a process that tells MKL before its first product."""
    done = subprocess.run(  # noqa: S603 - our own tests
        [sys.executable, "-m", "pytest", "-q", "-n0", "-pno:cacheprovider", "-mbits", str(TESTS)],
        env={**os.environ, "MKL_CBWR": "AUTO,STRICT"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert "passed" in done.stdout
