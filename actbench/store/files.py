"""Where the shipped files lie, and writing files whole or not at all."""

from __future__ import annotations

import json
import math
import os
import re
import sys
import tempfile
import tomllib
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

from actbench.store.errors import ActbenchError

_MOST_BITS = 64
_LARGEST = int(sys.float_info.max)
_MOST_DIGITS = 400  # more than a floating-point number can be large
_MANY_DIGITS = re.compile(r"[0-9_]{4000,}")


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        raise ActbenchError(
            f"can't write {path}: {error.strerror or error}. Free some space or choose another "
            "folder with --out; what was there before is untouched"
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_json(path: Path, value: object) -> None:
    """Write strict JSON, with ``null`` for numbers that are not finite."""
    write_atomic(path, f"{strict_json(value)}\n".encode())


def strict_json(value: object) -> str:
    """Return strict JSON, with ``null`` for numbers that are not finite."""
    return json.dumps(_finite(value), indent=1, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def read_toml(path: Path, what: str, hint: str) -> dict[str, Any]:
    """Read a TOML file; nothing in it is executed."""
    # Some editors put a byte order mark first.
    tables: dict[str, Any] = _read(path, what, hint, tomllib.loads, encoding="utf-8-sig")
    return tables


def read_json(path: Path, what: str, hint: str) -> dict[str, Any]:
    """Read a file that holds one JSON object; strictly, so NaN is no number."""
    content = _read(path, what, hint, json.loads, encoding="utf-8")
    if not isinstance(content, dict):
        raise ActbenchError(f"can't read {what} in {path}: it is no JSON object. {hint}")
    return content


def _read(path: Path, what: str, hint: str, parse: Callable[[str], Any], *, encoding: str) -> Any:
    try:
        text = path.read_text(encoding=encoding)
        try:
            content = parse(text)
        except ValueError as error:
            if "set_int_max_str_digits" not in str(error):
                raise
            # Python says neither line nor field; a shorter number lets us find it.
            content = parse(_MANY_DIGITS.sub("9" * _MOST_DIGITS, text))
        return _in_range(content, "", strict=parse is json.loads)
    except FileNotFoundError as error:
        raise ActbenchError(f"there is no file {path}. {hint}") from error
    except OSError as error:
        raise ActbenchError(f"can't read {what} in {path}: {error.strerror or error}") from error
    except (RecursionError, ValueError) as error:
        why = "it is nested too deep" if isinstance(error, RecursionError) else error
        raise ActbenchError(f"can't read {what} in {path}: {why}. {hint}") from error


def _in_range(value: Any, field: str, *, strict: bool) -> Any:
    """Return what was read, with whole numbers of more than 64 bits as floating-point numbers.

    That is how most readers take them, and nothing here can be so many.
    """
    if isinstance(value, dict):
        prefix = f"{field}." if field else ""
        return {
            key: _in_range(item, f"{prefix}{key}", strict=strict) for key, item in value.items()
        }
    if isinstance(value, list):
        return [_in_range(item, f"{field}.{i}", strict=strict) for i, item in enumerate(value)]
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        if abs(value) > _LARGEST:
            raise ValueError(f"field {field!r} is a whole number with too many digits")
        return float(value)
    if strict and isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"field {field!r} is {value}, or too large: write a number or null")
    return value


def prepare_folder(folder: Path) -> None:
    """Make a folder for results, and find out now whether it can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ActbenchError(
            f"can't write to the output folder {str(folder)!r}: {error.strerror or error}. "
            "Choose another with --out"
        ) from error


def kept_folder(base: Path, name: str) -> Path:
    """Make a folder for what is kept of a project, which its version control leaves out."""
    folder = base / ".actbench" / name
    prepare_folder(folder)
    ignore = folder.parent / ".gitignore"
    if not ignore.exists():
        write_atomic(ignore, b"*\n")
    return folder


def baselines_folder() -> Path:
    """Return the folder of stored baselines, in a wheel or in a clone."""
    installed = Path(str(files("actbench"))) / "baselines"
    return installed if installed.is_dir() else installed.parents[1] / "baselines"
