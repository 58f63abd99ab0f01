"""One machine in place of several: the tests that touch numbers, under other arithmetic.

The libraries behind torch choose their kernels by the processor, and can be told to choose as on
another one. ``python tests/processors.py`` runs the tests under each of ``MODES`` on one thread and
on two, prints a table of them and the claims whose margin, the smallest over all, is nearest to
flipping. ``--short`` runs claims and baselines in one mode; ``--only WORD`` some of the modes.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from actbench.store.environment import cpu_model

TESTS = Path(__file__).parent
JUDGED = ("claims", "baselines", "studies")
TOUCHED = (
    *("activation_derivatives", "activation_statistics", "activations", "as_run", "born_dead"),
    *("capacity", "card", "closed_forms", "fingerprints", "gradient_flow", "initializers"),
    *("kernels", "learnable", "metrics", "moment_map", "networks", "own", "parallel"),
    *("planted_faults", "plateau_escape", "recover", "signal_propagation", "sine_regression"),
    *("stability", "sweeps", "targets", "theory", "torch_state", "training", "training_dynamics"),
)
NEAREST = 10

MODES: dict[str, dict[str, str]] = {
    "as it is": {},
    "no vector kernels, MKL compatible": {
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_CBWR": "COMPATIBLE",
    },
    "AVX2": {"ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "MKL strict": {"MKL_CBWR": "AUTO,STRICT"},
}
"""Variables of the environment by what they stand for."""
SHORT = {"AVX2, MKL strict": {"MKL_CBWR": "AVX2,STRICT"}}
INTEL = "MKL's kernels for Intel"

# MKL keeps to AVX2 where this says that the processor is not an Intel; it can be replaced.
_SHIM = "int mkl_serv_intel_cpu_true(void) { return 1; }\n"


@dataclass(frozen=True)
class Ended:
    """What a run came to.

    Args:
        mode: Its name.
        threads: CPU threads.
        tests: How many were run.
        failed: Names of those that failed.
        margins: Of the claims that have one, by test.
        duration_s: Of the run.
    """

    mode: str
    threads: int
    tests: int
    failed: tuple[str, ...]
    margins: dict[str, float]
    duration_s: float


def intel_mode(folder: Path) -> dict[str, str] | str:
    """Return what makes MKL take the kernels of an Intel processor, or why that can't be had."""
    if sys.platform != "linux" or "Intel" in cpu_model():
        return "the processor is an Intel, or the system can't preload"
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        return "there is no C compiler"
    source, library = folder / "shim.c", folder / "shim.so"
    source.write_text(_SHIM)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)  # noqa: S603
    return {"LD_PRELOAD": str(library)}


def run(mode: str, variables: dict[str, str], threads: int, files: list[str], out: Path) -> Ended:
    """Run some tests in one process under a mode."""
    report = out / "junit.xml"
    count = str(threads)
    command = ["-m", "pytest", "-q", "-n0", "-rfE", "--tb=short", "-pno:cacheprovider"]
    begun = time.perf_counter()
    subprocess.run(  # noqa: S603 - our own tests
        [sys.executable, *command, f"--junitxml={report}", f"--actbench-threads={count}", *files],
        env={**os.environ, **variables, "OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count},
        cwd=TESTS.parent,
        check=False,
    )
    cases = list(ElementTree.parse(report).iter("testcase"))  # noqa: S314 - written above
    failed = [c for c in cases if c.find("failure") is not None or c.find("error") is not None]
    margins = {
        name: float(found)
        for case in cases
        for name, found in [(case.get("name", ""), _property(case, "margin"))]
        if found is not None
    }
    names = tuple(case.get("name", "") for case in failed)
    return Ended(mode, threads, len(cases), names, margins, time.perf_counter() - begun)


def _property(case: ElementTree.Element, name: str) -> str | None:
    values = [p.get("value") for p in case.iter("property") if p.get("name") == name]
    return values[0] if values and values[0] not in (None, "None", "") else None


def table(ended: list[Ended]) -> list[str]:
    """Lay out the runs in Markdown, and the claims that any of them brings nearest to a flip."""
    lines = ["| mode | threads | tests | failed | s |", "|---|---|---|---|---|"]
    lines += [
        f"| {e.mode} | {e.threads} | {e.tests} | {len(e.failed)} | {e.duration_s:.0f} |"
        for e in ended
    ]
    smallest: dict[str, tuple[float, str]] = {}
    for e in ended:
        for name, margin in e.margins.items():
            where = f"{e.mode}, {e.threads} thread{'s' if e.threads > 1 else ''}"
            smallest[name] = min(smallest.get(name, (margin, where)), (margin, where))
    nearest = sorted(smallest.items(), key=lambda item: item[1])[:NEAREST]
    lines += ["", "| nearest claims | smallest margin | under |", "|---|---|---|"]
    lines += [f"| `{name}` | {margin:.3g} | {where} |" for name, (margin, where) in nearest]
    return [*lines, *(f"FAILED {e.mode}, {e.threads}: {name}" for e in ended for name in e.failed)]


def main() -> int:
    """Run what is asked for; 1 where a test failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--short", action="store_true", help="claims and baselines in one mode")
    parser.add_argument("--only", metavar="WORD", default="", help="modes with WORD in their name")
    asked = parser.parse_args()
    names = JUDGED if asked.short else (*JUDGED, *TOUCHED)
    files = [str(TESTS / f"test_{name}.py") for name in names]
    with tempfile.TemporaryDirectory() as folder:
        modes: dict[str, dict[str, str]] = dict(SHORT if asked.short else MODES)
        if not asked.short:
            shim = intel_mode(Path(folder))
            if isinstance(shim, str):
                print(f"left out: {INTEL}, because {shim}")
            else:
                modes[INTEL] = shim
        ended = [
            run(mode, variables, threads, files, Path(folder))
            for mode, variables in modes.items()
            if asked.only in mode
            for threads in ((2,) if asked.short else (1, 2))
        ]
    print("\n".join(table(ended)))
    return int(not ended or any(e.failed or not e.tests for e in ended))


if __name__ == "__main__":
    sys.exit(main())
