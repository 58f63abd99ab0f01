"""Results of the fixture ``judge``, stored and compared as distributions over sessions."""

from __future__ import annotations

import math
import platform
import re
import sys
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actbench.environment import cpu_model
from actbench.errors import ActbenchError
from actbench.files import kept_folder, read_json, write_json
from actbench.pytest_plugin.fixture import PROPERTY
from actbench.pytest_plugin.options import value_of

_FOLDER = Path(".actbench") / "results"
_ALPHA = 0.01
_SCHEMA_VERSION = 1
_LATEST = ""


class Saved:
    """A plugin that stores what a session judged, and compares it with what is stored.

    Args:
        config: Of the session, in the process that the user started.

    Raises:
        pytest.UsageError: What to compare with is not stored, or can't be read.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._root = config.rootpath
        self._folder = self._root / _FOLDER
        named = value_of(config, "save")
        self._save = named or ("auto" if value_of(config, "autosave") else None)
        if named and not re.fullmatch(r"[\w.-]+", named):
            raise pytest.UsageError(
                f"--actbench-save is {named!r}, but must be letters, digits, dots and hyphens"
            )
        self._strict = value_of(config, "strict")
        self._old: dict[str, Any] | None = None
        self._old_path: Path | None = None
        compare = value_of(config, "compare")
        if compare is not None:
            self._old_path = self._find(compare)
            try:
                self._old = read_json(self._old_path, "the stored results", "Store them anew")
            except ActbenchError as error:
                raise pytest.UsageError(str(error)) from error
        self._new: dict[str, Any] = {}
        self._lines: list[str] = []

    def _stored(self) -> list[Path]:
        return sorted(self._folder.glob("[0-9][0-9][0-9][0-9]_*.json"))

    def _find(self, name: str) -> Path:
        stored = self._stored()
        chosen = [p for p in stored if name in (_LATEST, p.stem, *p.stem.split("_", 1))]
        if not chosen:
            known = ", ".join(path.stem for path in stored) or "none"
            raise pytest.UsageError(
                f"--actbench-compare: no stored results{f' {name!r}' if name else ''} in "
                f"{self._folder}/; there are: {known}. Store some with --actbench-save NAME"
            )
        return chosen[-1]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Gather what a test judged, from whichever process it ran in."""
        if report.when == "call":
            noted: list[tuple[str, Any]] = report.user_properties
            self._new.update({e["id"]: e for name, e in noted if name == PROPERTY})

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Store, compare, and fail where a distribution is another one."""
        if self._save is not None and self._new:
            self._lines.append(f"stored in {self._write()}")
        if self._old is not None:
            differing, matched = self._compare(self._old)
            nothing = self._strict and not matched
            if nothing:
                self._lines.append("--actbench-strict: nothing was compared")
            if (differing or nothing) and session.exitstatus in (
                pytest.ExitCode.OK,
                pytest.ExitCode.NO_TESTS_COLLECTED,
            ):
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _write(self) -> Path:
        kept_folder(self._root, _FOLDER.name)
        number = max((int(path.stem[:4]) for path in self._stored()), default=0) + 1
        path = self._folder / f"{number:04d}_{self._save}.json"
        write_json(path, {"schema_version": _SCHEMA_VERSION, **_here(), "results": self._new})
        return path

    def _compare(self, stored: dict[str, Any]) -> tuple[int, int]:
        old = stored["results"]
        matched = [name for name in self._new if name in old]
        missing, new = old.keys() - self._new.keys(), self._new.keys() - old.keys()
        differing = 0
        for name in matched:
            line, differs = _difference(old[name], self._new[name], _ALPHA / len(matched))
            differing += differs
            if line:
                self._lines.append(f"{name}: {line}")
        self._lines += _changes(stored)
        self._lines.append(
            f"compared with {self._old_path and self._old_path.stem}: {len(matched)} matched "
            f"({differing} differ), {len(missing)} missing, {len(new)} new"
        )
        return differing, len(matched)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say what was stored, what differs, and what had no counterpart."""
        if self._lines:
            terminalreporter.section("results over seeds")
            for line in self._lines:
                terminalreporter.write_line(line)


def _difference(old: dict[str, Any], new: dict[str, Any], alpha: float) -> tuple[str, bool]:
    """Say how two distributions differ, and whether by more than chance; nothing if not at all."""
    from actbench.statistics import same_distribution

    if (old["seeds"], old["values"]) == (new["seeds"], new["values"]):
        return "", False
    one, two = (np.array([float(v) for v in entry["values"]]) for entry in (old, new))
    p = same_distribution(one, two)
    words = f"median {_median(one)} -> {_median(two)}, p = {p:.2g}"
    if old["settings"] != new["settings"]:
        words += "; the settings differ"
    return (f"differs, {words}", True) if p < alpha else (f"no more than by chance, {words}", False)


def _median(values: np.ndarray[Any, Any]) -> str:
    middle = float(np.median(np.where(np.isnan(values), math.inf, values)))
    return f"{middle:.6g}"


def _here() -> dict[str, dict[str, str]]:
    """The machine, and versions of Python and of the distributions that the session imported."""
    imported = {name.partition(".")[0] for name in sys.modules}
    found = packages_distributions()
    names = {name for module in imported & found.keys() for name in found[module]}
    return {
        "machine": {"system": platform.platform(), "processor": cpu_model()},
        "versions": {
            "Python": platform.python_version(),
            **{name: version(name) for name in sorted(names)},
        },
    }


def _changes(stored: dict[str, Any]) -> list[str]:
    """Say what else is another than when the results were stored, one line at most."""
    here = _here()
    changed = [
        f"{name} {before} -> {here[part][name]}"
        for part in ("machine", "versions")
        for name, before in stored.get(part, {}).items()
        if here[part].get(name, before) != before
    ]
    return [f"since then: {', '.join(changed)}"] if changed else []
