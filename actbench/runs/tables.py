"""Results that exist, in CSV, JSON, Parquet or NetCDF: one table, with each row's run."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from actbench.runs.readers import SMALL_BYTES, comma_hint, read_file
from actbench.store.errors import ActbenchError, unknown_name

if TYPE_CHECKING:
    import pandas as pd


def grouped(field: str, given: str, prefix: str, wanted: str, example: str) -> re.Pattern[str]:
    """Read the expression behind a prefix."""
    try:
        pattern = re.compile(given.removeprefix(prefix).strip())
    except re.error as error:
        raise ActbenchError(f"{field} = {given!r} is no regular expression: {error}") from error
    if not pattern.groups:
        raise ActbenchError(
            f"{field} = {given!r} has no group for the {wanted}; put it in brackets, such as "
            f"'{prefix} {example}'"
        )
    return pattern


SEED = "seed of the run"
"""A column that reading adds: the run's name."""

_VALUE = "value"
"""The column that the cells of a wide table become."""

_ROW, _PATH, _COLUMNS = "row", "path:", "columns:"
_MOST_BYTES = 4 * 2**30


class Table:
    """Rows of one or several files, read once, whose columns are checked when they are used."""

    def __init__(self, frame: pd.DataFrame, files: Sequence[tuple[str, int]]) -> None:
        self.frame = frame  # with a column SEED
        self._files = files  # each with how many of the rows are its, in order
        self._numbers: dict[str, NDArray[np.float64]] = {}
        self._masks: dict[tuple[str, str], NDArray[np.bool_]] = {}
        # By metric and task column: many claims compare with one.
        self.taken: dict[tuple[str, str], pd.Series[float]] = {}

    @property
    def name(self) -> str:
        """The file, or the first of several and how many more."""
        more = len(self._files) - 1
        return self._files[0][0] + (f" and {more} more" if more else "")

    def place(self, row: int) -> str:
        """Name the file of a row, and which of its rows it is, from 1."""
        for file, rows in self._files:
            if row < rows:
                return f"{file}, row {row + 1}"
            row -= rows
        raise IndexError(row)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns, without what reading added."""
        return tuple(str(name) for name in self.frame.columns if name != SEED)

    @property
    def only_column(self) -> str:
        """Name the column where there is one alone."""
        if len(self.columns) != 1:
            raise ActbenchError(
                f"which number? {self.name} has {', '.join(self.columns)}; choose one with "
                "metric = { column = … }"
            )
        return self.columns[0]

    def require(self, column: str) -> None:
        """Refuse a column that is not there, naming the nearest."""
        if column not in self.frame.columns:
            raise unknown_name(f"column of {self.name}", column, self.columns)

    def missing(self, column: str) -> NDArray[np.bool_]:
        """Tell which cells of a column are empty."""
        self.require(column)
        return np.asarray(self.frame[column].isna())

    def runs(self, per: str) -> pd.Series[Any]:
        """Name each row's run: by its seed, and by its task where a column says which."""
        if not per:
            return self.frame[SEED]
        self.require(per)
        return self.frame[per].astype(str) + ", " + self.frame[SEED].astype(str)

    def tasks(self, per: str, runs: pd.Index[Any]) -> pd.Series[Any]:
        """Return the task of each of some runs."""
        named = self.frame[per].astype(str).set_axis(self.runs(per))
        return named[~named.index.duplicated()].loc[runs]

    def numbers(self, column: str) -> NDArray[np.float64]:
        """Return a column's numbers, NaN where a cell is empty."""
        import pandas as pd

        self.require(column)
        if column not in self._numbers:
            raw = self.frame[column]
            found = pd.to_numeric(raw, errors="coerce").to_numpy(np.float64, na_value=np.nan)
            wrong = np.isnan(found) & ~np.asarray(raw.isna())
            wrong[wrong] = [str(cell).strip().lower() not in {"nan", "-nan"} for cell in raw[wrong]]
            if wrong.any():
                row = int(np.argmax(wrong))
                raise ActbenchError(
                    f"{self.place(row)}, column {column!r}: {str(raw.iloc[row])[:60]!r} is no "
                    f"number{comma_hint(str(raw.iloc[row]))}. Correct it, leave the cell empty, "
                    "or choose the rows with 'where'"
                )
            self._numbers[column] = found
        return self._numbers[column]

    def rows_where(self, column: str, wanted: object) -> NDArray[np.bool_]:
        """Tell which rows hold a value, or one of several, in a column."""
        self.require(column)
        key = (column, repr(wanted))
        if key not in self._masks:
            listed = wanted if isinstance(wanted, list | tuple) else [wanted]
            self._masks[key] = np.any([self._rows_of(column, value) for value in listed], axis=0)
        return self._masks[key]

    def _rows_of(self, column: str, wanted: object) -> NDArray[np.bool_]:
        raw = self.frame[column]
        number = _as_number(wanted)
        if raw.dtype.kind in "iuf" and number is not None:
            rows = np.asarray(raw == number)
        else:
            there = [cell for cell in raw.unique() if _same(cell, wanted, number)]
            rows = np.asarray(raw.isin(there))
        if not rows.any():
            known = [str(cell) for cell in raw.dropna().unique()[:50]]
            raise unknown_name(f"value of the column {column!r} in {self.name}", str(wanted), known)
        return rows


def _as_number(value: object) -> float | None:
    try:
        return None if isinstance(value, bool) else float(str(value))
    except ValueError:
        return None


def _same(cell: object, wanted: object, number: float | None) -> bool:
    if str(cell) == str(wanted) or str(cell).lower() == str(wanted).lower() in ("true", "false"):
        return True
    return number is not None and _as_number(cell) == number


def from_rows(name: str, seeds: Sequence[object], rows: Sequence[Mapping[str, float]]) -> Table:
    """Make a table of runs that were computed, one row each."""
    import pandas as pd

    frame = pd.DataFrame.from_records(list(rows), index=range(len(rows))).assign(**{SEED: seeds})
    return Table(frame, [(name, len(rows))])


def read(
    patterns: Sequence[str], base: Path, seed: str = "", columns: Iterable[str] | None = None
) -> Table:
    """Read the files of a table."""
    import pandas as pd

    files = _files(patterns, base)
    wide = _pattern(seed, _COLUMNS)
    small = sum(path.stat().st_size for path in files) < SMALL_BYTES
    # All columns of a small table: what else there is makes errors clearer.
    asked = None if columns is None or small else set(columns)
    frames = []
    for path in files:
        shown = _shown(path, base)
        frame = read_file(path, shown, partial(_wanted, shown, asked, seed, wide))
        if not len(frame):
            raise ActbenchError(f"{shown} has no rows. Give a table with one row per run")
        if wide is not None:
            frame = _unfolded(frame, shown, wide)
        frame[SEED] = _seeds(frame, path, shown, seed)
        frames.append(frame)
    whole = frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)
    sizes = [(_shown(path, base), len(frame)) for path, frame in zip(files, frames, strict=True)]
    if seed == _ROW:
        whole[SEED] = np.arange(1, len(whole) + 1)
    return Table(whole, sizes)


def _files(patterns: Sequence[str], base: Path) -> list[Path]:
    found: list[Path] = []
    for pattern in patterns:
        matched = sorted(glob.glob(str(base / pattern), recursive=True))  # noqa: PTH207 - absolute too
        if not matched:
            missing = "no file matches" if glob.has_magic(pattern) else "there is no file"
            raise ActbenchError(
                f"{missing} {pattern!r} in {base}/. Say where the results lie, seen from "
                "the claims file's folder"
            )
        found += [Path(name) for name in matched if Path(name) not in found]
    size = sum(path.stat().st_size for path in found if path.suffix not in {".parquet", ".nc"})
    if size > _MOST_BYTES:
        raise ActbenchError(
            f"{found[0]}{' and others have' if len(found) > 1 else ' has'} {size / 2**30:.1f} GiB, "
            f"more than the {_MOST_BYTES / 2**30:.0f} that are read as text. Convert it to "
            "Parquet, of which only the columns that claims name are read, or split off what "
            "they need"
        )
    return found


def _shown(path: Path, base: Path) -> str:
    return str(path.relative_to(base)) if path.is_relative_to(base) else str(path)


def _pattern(seed: str, prefix: str) -> re.Pattern[str] | None:
    """The expression behind a prefix, which has a group for the seed."""
    if not seed.startswith(prefix):
        return None
    return grouped("seed", seed, prefix, "seed", r"seed_(\d+)")


def _wanted(
    name: str, asked: set[str] | None, seed: str, wide: re.Pattern[str] | None, known: Sequence[str]
) -> list[str]:
    """The columns of a file to read."""
    if asked is None:
        return list(known)
    wanted = asked | ({_seed_column(name, known, seed)} - {""})
    if wide:
        wanted -= {_VALUE, *wide.groupindex}
    for column in sorted(wanted - set(known)):
        raise unknown_name(f"column of {name}", column, known)
    return [c for c in known if c in wanted or (wide and wide.fullmatch(c))]


def _seed_column(name: str, known: Sequence[str], seed: str) -> str:
    """The column that names the run; none where something else does."""
    if seed == _ROW or seed.startswith((_PATH, _COLUMNS)):
        return ""
    if (column := seed or "seed") in known:
        return column
    if seed:
        raise unknown_name(f"column of {name}", seed, known)
    raise ActbenchError(
        f"{name} has no column 'seed', so what is a run? Name its column with seed = (--seed for "
        f"'actbench judge'), one of {', '.join(map(str, known))}; or seed = 'row' where each row "
        r"is a run, 'path: run_(\d+)' where the file's path says it"
    )


def _seeds(frame: pd.DataFrame, path: Path, shown: str, seed: str) -> Any:
    if (pattern := _pattern(seed, _PATH)) is not None:
        found = pattern.search(path.as_posix())
        if found is None:
            raise ActbenchError(f"the path {path} does not match the seed's {pattern.pattern!r}")
        return found.group(1)
    if SEED in frame.columns:  # unfolded
        return frame[SEED]
    column = _seed_column(shown, list(frame.columns), seed)
    return frame[column] if column else 0


def _unfolded(frame: pd.DataFrame, name: str, wide: re.Pattern[str]) -> pd.DataFrame:
    """Turn a table with a column per run into one with a row per run and step."""
    spread = {column: m for column in frame.columns if (m := wide.fullmatch(str(column)))}
    if not spread:
        raise ActbenchError(
            f"no column of {name} matches the seed's {wide.pattern!r}; it has "
            f"{', '.join(map(str, frame.columns))}"
        )
    rest = [column for column in frame.columns if column not in spread]
    named = "seed" if "seed" in wide.groupindex else 1
    long = frame.melt(id_vars=rest, value_vars=list(spread), var_name=SEED, value_name=_VALUE)
    for group in wide.groupindex.keys() - {"seed"}:
        long[group] = long[SEED].map({column: m.group(group) for column, m in spread.items()})
    long[SEED] = long[SEED].map({column: m.group(named) for column, m in spread.items()})
    return long
