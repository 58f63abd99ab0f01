"""Results of the fixture ``judge``, stored and compared as distributions over sessions."""

from __future__ import annotations

import functools
import math
import platform
import re
import sys
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel, Field

from actbench.pytest_plugin import value_of
from actbench.pytest_plugin.fixture import PROPERTY
from actbench.store import stored
from actbench.store.environment import cpu_model
from actbench.store.errors import ActbenchError
from actbench.store.files import kept_folder, write_json
from actbench.store.terminal import plural

_FOLDER = Path(".actbench") / "results"
_ALPHA = 0.01
_SCHEMA_VERSION = 1
_LATEST = ""
_SENT = "actbench_imported"
_distributions = functools.cache(packages_distributions)  # takes a while, and stays the same


class _Entry(BaseModel):
    """What one judging measured."""

    seeds: list[str]
    values: list[stored.Value] = Field(min_length=1)
    settings: dict[str, str]


class _Stored(BaseModel):
    """What a session stored."""

    machine: dict[str, str]
    versions: dict[str, str]
    results: dict[str, _Entry]


class Saved:
    """A plugin that stores what a session judged, and compares it with what is stored."""

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
                self._old = stored.load(
                    _Stored,
                    self._old_path,
                    _SCHEMA_VERSION,
                    "the stored results",
                    "Store them anew with --actbench-save",
                ).model_dump(mode="json")
            except ActbenchError as error:
                raise pytest.UsageError(str(error)) from error
        self._new: dict[str, Any] = {}
        self._imported: set[str] = set()
        self._lines: list[str] = []

    def _stored(self) -> list[Path]:
        return sorted(self._folder.glob("[0-9][0-9][0-9][0-9]_*.json"))

    def _find(self, name: str) -> Path:
        known = self._stored()
        chosen = [p for p in known if name in (_LATEST, p.stem, *p.stem.split("_", 1))]
        if not chosen:
            names = ", ".join(path.stem for path in known) or "none"
            raise pytest.UsageError(
                f"--actbench-compare: no stored results{f' {name!r}' if name else ''} in "
                f"{self._folder}/; there are: {names}. Store some with --actbench-save NAME"
            )
        return chosen[-1]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Gather what a test judged, from whichever process it ran in."""
        noted: list[tuple[str, Any]] = report.user_properties
        self._new.update({e["id"]: e for name, e in noted if name == PROPERTY})

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Learn what a worker of pytest-xdist imported; this process imports no tests then."""
        self._imported.update(getattr(node, "workeroutput", {}).get(_SENT, ()))

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Store, compare, and fail where a distribution is another one."""
        failed = self._save is not None and not self._store()
        if self._old is not None:
            differing, matched = self._compare(self._old)
            if self._strict and not matched:
                self._lines.append("--actbench-strict: nothing was compared")
            if differing:
                self._lines.append(f"FAILED: {plural(differing, 'distribution')} changed")
            failed |= differing > 0 or (self._strict and not matched)
        if failed and session.exitstatus in (
            pytest.ExitCode.OK,
            pytest.ExitCode.NO_TESTS_COLLECTED,
        ):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _store(self) -> bool:
        """Store what there is, and tell whether all of it could be."""
        try:
            told = f"stored in {self._write()}" if self._new else "nothing stored: nothing judged"
        except ActbenchError as error:
            self._lines.append(f"not stored: {error.__cause__ or error}")
            return False
        self._lines.append(told)
        return True

    def _write(self) -> Path:
        kept_folder(self._root, _FOLDER.name)
        number = max((int(path.stem[:4]) for path in self._stored()), default=0) + 1
        path = self._folder / f"{number:04d}_{self._save}.json"
        write_json(
            path, {"schema_version": _SCHEMA_VERSION, **_here(self._imported), "results": self._new}
        )
        return path

    def _compare(self, before: dict[str, Any]) -> tuple[int, int]:
        old = before["results"]
        matched = [name for name in self._new if name in old]
        missing, new = old.keys() - self._new.keys(), self._new.keys() - old.keys()
        differing = identical = 0
        for name in matched:
            line, differs = _difference(old[name], self._new[name], _ALPHA / len(matched))
            differing += differs
            identical += not line
            if line:
                self._lines.append(f"{name}: {line}")
        self._lines += _changes(before, _here(self._imported))
        self._lines.append(
            f"compared with {self._old_path and self._old_path.stem}: {len(matched)} matched "
            f"({identical} identical, {len(matched) - identical - differing} within chance, "
            f"{differing} differ), {len(missing)} missing, {len(new)} new"
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
    from actbench.claims.statistics import same_distribution

    if (old["seeds"], old["values"]) == (new["seeds"], new["values"]):
        return "", False
    one, two = (np.array([float(v) for v in entry["values"]]) for entry in (old, new))
    p = same_distribution(one, two)
    words = f"median {_median(one)} -> {_median(two)}, p = {p:.2g}"
    if old["settings"] != new["settings"]:
        words += "; the settings differ"
    if p < alpha:
        return f"differs, {words}", True
    # What two samples without any overlap give; no smaller p is possible.
    smallest = 2 / math.comb(len(one) + len(two), len(one))
    return f"{'too few seeds to tell' if smallest >= alpha else 'may be chance'}, {words}", False


def _median(values: np.ndarray[Any, Any]) -> str:
    middle = float(np.median(np.where(np.isnan(values), math.inf, values)))
    return f"{middle:.6g}"


class Sender:
    """A plugin of a worker of pytest-xdist, which tells what it imported."""

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Tell it with what the worker sends last."""
        session.config.workeroutput[_SENT] = sorted(_imported())  # type: ignore[attr-defined]


def _imported() -> set[str]:
    return {name.partition(".")[0] for name in sys.modules}


def _here(elsewhere: set[str]) -> dict[str, dict[str, str]]:
    """The machine, and versions of Python and of the distributions imported here or elsewhere."""
    found = _distributions()
    names = {name for module in (_imported() | elsewhere) & found.keys() for name in found[module]}
    return {
        "machine": {"system": platform.platform(), "processor": cpu_model()},
        "versions": {
            "Python": platform.python_version(),
            **{name: version(name) for name in sorted(names)},
        },
    }


def _changes(then: dict[str, Any], here: dict[str, dict[str, str]]) -> list[str]:
    """Say what else is another than when the results were stored, one line at most."""
    changed = [
        f"{name} {before} -> {here[part][name]}"
        for part in ("machine", "versions")
        for name, before in then[part].items()
        if here[part].get(name, before) != before
    ]
    return [f"since then: {', '.join(changed)}"] if changed else []
