"""Runs that were made, each in a file, under a key of all that their numbers depend on."""

from __future__ import annotations

import hashlib
import json
import math
import platform
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actbench import environment
from actbench.claims.claims_file import Protocol
from actbench.errors import ActbenchError
from actbench.files import prepare_folder, read_json, write_json
from actbench.runs import digests

OUTCOMES = ("finished", "failed", "timed out", "exited", "no number")

_SCHEMA = 1
_LONGEST_KEY = 32


@dataclass(frozen=True)
class Run:
    """What became of one seed of a protocol.

    Args:
        seed: The seed.
        outcome: One of ``OUTCOMES``.
        values: Numbers by name, ``value`` where only one came; empty unless it finished.
        message: Why there are none, in one line; empty where it finished.
        duration_s: Seconds that it took.
    """

    seed: int
    outcome: str
    values: Mapping[str, float]
    message: str
    duration_s: float


def run_of(seed: int, told: Mapping[str, Any], duration_s: float) -> Run:
    """Make a run of what was told about it: an outcome, with numbers or a message."""
    values, message = told.get("values", {}), told.get("message", "")
    return Run(seed, str(told["outcome"]), values, message, duration_s)


def ingredients(protocol: Protocol, base: Path, words: tuple[str, ...]) -> dict[str, Any]:
    """List what the numbers of a protocol depend on."""
    return {
        "schema_version": _SCHEMA,
        protocol.source: getattr(protocol, protocol.source),
        "result": protocol.result,
        "settings": json.loads(json.dumps(protocol.settings, default=repr)),
        "sources": digests.of_code(protocol.function, words, base),
        "inputs": digests.of_inputs(protocol.inputs, base),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "arithmetic": environment.pinned(),
        "packages": digests.packages(),
    }


class Store:
    """The runs of one protocol, as long as nothing that their numbers depend on changes.

    Args:
        depends: Gives the ``ingredients``, now and whenever a run has ended.
        folder: Where the runs of all protocols are kept.
        timeout_s: How long a run may take now, which what was ended too early must be asked.
    """

    def __init__(
        self, depends: Callable[[], dict[str, Any]], folder: Path, timeout_s: float | None
    ) -> None:
        self._depends = depends
        self._parts = depends()
        text = json.dumps(self._parts, sort_keys=True)
        self.folder = folder / hashlib.sha256(text.encode()).hexdigest()[:_LONGEST_KEY]
        self._timeout_s = timeout_s

    def prepare(self) -> None:
        """Make the folder, with a file that says what its name stands for."""
        prepare_folder(self.folder)
        told = self.folder / "protocol.json"
        if not told.exists():
            write_json(told, self._parts)

    def read(self, seed: int) -> Run | None:
        """Return what is kept of a seed; None where nothing is, or nothing that still counts."""
        kept = self._content(seed)
        try:
            if (kept["schema_version"], kept["seed"]) != (_SCHEMA, seed):
                return None
            run = Run(
                seed=seed,
                outcome=str(kept["outcome"]),
                values={str(name): float(value) for name, value in kept["values"].items()},
                message=str(kept["message"]),
                duration_s=float(kept["duration_s"]),
            )
            ended_at = math.inf if kept["timeout_s"] is None else float(kept["timeout_s"])
        except (AttributeError, KeyError, TypeError, ValueError):  # damaged: made once more
            return None
        if run.outcome not in OUTCOMES or (run.outcome == "finished") != bool(run.values):
            return None
        allowed = math.inf if self._timeout_s is None else self._timeout_s
        return None if run.outcome == "timed out" and allowed > ended_at else run

    def keep(self, run: Run, folder: Path | None) -> None:
        """Write a run in place of what is kept of its seed."""
        self._require_unchanged()
        before = self._content(run.seed).get("folder")
        # JSON has no number that is not finite: such a one is a text, exact as the others.
        values = {name: v if math.isfinite(v) else str(v) for name, v in run.values.items()}
        write_json(
            self._file(run.seed),
            {
                "schema_version": _SCHEMA,
                "seed": run.seed,
                "outcome": run.outcome,
                "values": values,
                "message": run.message,
                "duration_s": run.duration_s,
                "timeout_s": self._timeout_s,
                "folder": None if folder is None else folder.name,
            },
        )
        if isinstance(before, str) and before.startswith(f"{run.seed}.") and "/" not in before:
            shutil.rmtree(self.folder / before, ignore_errors=True)

    def _require_unchanged(self) -> None:
        now = self._depends()
        for part in ("sources", "inputs"):
            for file in sorted(now[part].keys() | self._parts[part].keys()):
                if now[part].get(file) != self._parts[part].get(file):
                    raise ActbenchError(
                        f"{file} changed while runs that depend on it were made; start again. If "
                        "a run itself writes it, let it write to {out}"
                    )

    def _file(self, seed: int) -> Path:
        return self.folder / f"{seed}.json"

    def _content(self, seed: int) -> dict[str, Any]:
        if not self._file(seed).is_file():
            return {}
        try:
            return read_json(self._file(seed), "a kept run", "It is made once more")
        except ActbenchError:
            return {}
