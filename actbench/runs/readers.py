"""One file of a table as rows: CSV in its dialects, JSON, Parquet, NetCDF."""

from __future__ import annotations

import bz2
import csv
import gzip
import json
import lzma
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias

from actbench.store.errors import DISTRIBUTION, ActbenchError

if TYPE_CHECKING:
    import pandas as pd

_Choose: TypeAlias = Callable[[Sequence[str]], list[str]]
"""Which columns of a file to read, of their names."""

SMALL_BYTES = 2**24
"""Below it all of a table is looked at, which makes errors clearer."""

_SAMPLE = 2**16
_FIRST_ROWS = 1000
_OPENERS: Mapping[str, Callable[..., IO[str]]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
}
_COMMA = r"\s*[-+]?\d+,\d+([eE][-+]?\d+)?\s*"
"""A number whose decimal sign is a comma."""
_NOTHING = ("", "None", "null", "NULL", "NA", "N/A", "n/a", "<NA>", "-")
"""Cells without a value; ``nan`` is one, that of a run which ended in no number."""


def comma_hint(cell: str) -> str:
    """Say of a cell that its decimal sign is a comma; empty where it is not."""
    written = re.fullmatch(_COMMA, cell)
    return ", as its decimal sign is a comma" if written else ""


def read_file(path: Path, name: str, choose: _Choose) -> pd.DataFrame:
    """Read one file of a table."""
    import pandas as pd

    kind = next((s for s in reversed(path.suffixes) if s not in {*_OPENERS, ".zip"}), "").lower()
    reader = _READERS.get(kind)
    if reader is None:
        without = "a folder" if path.is_dir() else "a file without a suffix"
        raise ActbenchError(
            f"{name}: what kind of table is {kind or without}? These are read: "
            f"{', '.join(_READERS)}, the text ones also compressed ({', '.join(_OPENERS)})"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return reader(path, choose)
    except ActbenchError:
        raise
    except pd.errors.ParserWarning as error:
        raise ActbenchError(
            f"{name} has rows with more cells than its header has names; correct them"
        ) from error
    except pd.errors.EmptyDataError as error:
        raise ActbenchError(f"{name} is empty. Give a table with one row per run") from error
    except UnicodeDecodeError as error:
        raise ActbenchError(
            f"{name} is not UTF-8 text ({error.reason}); save it as that"
        ) from error
    except ImportError as error:
        library = "pyarrow" if kind == ".parquet" else f'"{DISTRIBUTION}[study]"'
        raise ActbenchError(
            f"{name}: {kind} needs a library that is not installed; pip install {library}, or give "
            "the table as CSV"
        ) from error
    except (OSError, ValueError, EOFError, lzma.LZMAError) as error:
        words = " ".join(str(error).split()).removeprefix("Error tokenizing data. C error: ")
        raise ActbenchError(f"can't read {name}: {words}") from error


def _opened(path: Path) -> IO[str]:
    opener: Callable[..., IO[str]] = _OPENERS.get(path.suffix, open)
    return opener(path, "rt", encoding="utf-8-sig", newline="")


def _csv(path: Path, choose: _Choose) -> pd.DataFrame:
    import pandas as pd

    with _opened(path) as stream:
        sample = stream.read(_SAMPLE)
    delimiter = "\t" if ".tsv" in path.suffixes else _delimiter(sample)
    if path.stat().st_size < SMALL_BYTES:
        _require_equal_rows(path, delimiter)
    options: dict[str, Any] = {
        "sep": delimiter,
        "decimal": "," if _decimal_comma(sample, delimiter) else ".",
        "encoding": "utf-8-sig",
        "keep_default_na": False,
        "na_values": list(_NOTHING),
        "low_memory": False,
        "index_col": False,
        "skipinitialspace": True,
    }
    # With a choice of columns pandas does not see rows that are too long.
    known = [str(column) for column in pd.read_csv(path, nrows=_FIRST_ROWS, **options).columns]
    frame = pd.read_csv(path, usecols=choose(known), **options)
    if options["decimal"] == ",":  # pandas leaves a column as it is in which one cell is no number
        for column in frame.columns[[dtype.kind not in "iuf" for dtype in frame.dtypes]]:
            written = frame[column].str.fullmatch(_COMMA).fillna(value=False)
            frame.loc[written, column] = frame.loc[written, column].str.replace(",", ".")
    return frame


def _require_equal_rows(path: Path, delimiter: str) -> None:
    """Refuse a row with fewer cells than the header has names, which pandas fills up."""
    with _opened(path) as stream:
        rows = csv.reader(stream, delimiter=delimiter)
        names = next(rows, [])
        for number, row in enumerate(filter(None, rows), start=1):
            if len(row) < len(names) or any(cell.strip() for cell in row[len(names) :]):
                raise ValueError(
                    f"row {number} has {len(row)} cells, but the header has {len(names)} names"
                )


def _delimiter(sample: str) -> str:
    """What separates the header's names: the most frequent of the usual ones."""
    header = re.sub(r'"[^"]*"', "", sample.partition("\n")[0])
    return max(",;\t", key=header.count)


def _decimal_comma(sample: str, delimiter: str) -> bool:
    if delimiter == ",":
        return False
    rows = csv.reader(sample.splitlines()[1:], delimiter=delimiter)
    return any(comma_hint(cell) for row in rows for cell in row)


def _json_lines(path: Path, choose: _Choose) -> pd.DataFrame:
    import pandas as pd

    # By column, of which one takes less memory than its rows.
    columns: dict[str, list[object]] = {}
    rows = 0
    with _opened(path) as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ValueError(f"line {number} is not JSON: {error}") from error
            if not isinstance(row, dict):
                raise ValueError(f"line {number} is no JSON object but {line.strip()[:40]!r}")
            for key, value in row.items():
                cells = columns.setdefault(key, [])
                cells += [None] * (rows - len(cells))
                cells.append(value)
            rows += 1
    for cells in columns.values():
        cells.extend([None] * (rows - len(cells)))
    if not rows:
        raise pd.errors.EmptyDataError
    return pd.DataFrame({key: columns[key] for key in choose(list(columns))})


def _json(path: Path, choose: _Choose) -> pd.DataFrame:
    import pandas as pd

    with _opened(path) as stream:
        content = json.load(stream)
    rows = content if isinstance(content, list) else [content]
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("it is neither a JSON object, one run, nor a list of such")
    frame = pd.json_normalize(rows)
    return frame[choose([str(column) for column in frame.columns])]


def _parquet(path: Path, choose: _Choose) -> pd.DataFrame:
    import pandas as pd
    from pyarrow import parquet

    known = [str(name) for name in parquet.read_schema(path).names]
    return pd.read_parquet(path, columns=choose(known))


def _netcdf(path: Path, choose: _Choose) -> pd.DataFrame:
    import xarray as xr

    with xr.open_dataset(path) as dataset:
        frame = dataset.to_dataframe().reset_index()
    return frame[choose([str(column) for column in frame.columns])]


_READERS: Mapping[str, Callable[[Path, _Choose], pd.DataFrame]] = {
    ".csv": _csv,
    ".tsv": _csv,
    ".json": _json,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".parquet": _parquet,
    ".nc": _netcdf,
}
