"""Where the shipped files lie, and writing files whole or not at all."""

from __future__ import annotations

import json
import math
import os
import tempfile
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

from actbench.errors import ActbenchError


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never a part.

    Args:
        path: Where to write; its folder must exist.
        content: The bytes.

    Raises:
        ActbenchError: The disk is full or the place can't be written; the old file is untouched.
    """
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
    """Write strict JSON, with ``null`` for numbers that are not finite.

    Args:
        path: Where to write; its folder must exist.
        value: Nested mappings, sequences, strings and numbers.

    Raises:
        ActbenchError: The file can't be written.
    """
    write_atomic(path, f"{strict_json(value)}\n".encode())


def strict_json(value: object) -> str:
    """Return strict JSON, with ``null`` for numbers that are not finite.

    Args:
        value: Nested mappings, sequences, strings and numbers.

    Returns:
        The text, without a line break at its end.
    """
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
    """Read a TOML file; nothing in it is executed.

    Args:
        path: The file.
        what: What it holds, such as ``"the grid"``.
        hint: What to do where there is no such file, a sentence without its period.

    Returns:
        Its tables.

    Raises:
        ActbenchError: It is not there, can't be read or is not TOML.
    """
    try:
        # Some editors put a byte order mark first.
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise ActbenchError(f"there is no file {path}. {hint}") from error
    except OSError as error:
        raise ActbenchError(f"can't read {what} in {path}: {error.strerror or error}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ActbenchError(f"can't read {what} in {path}: {error}") from error


def prepare_folder(folder: Path) -> None:
    """Make a folder for results, and find out now whether it can be written.

    Args:
        folder: Created with its parents where it does not exist.

    Raises:
        ActbenchError: It can't be created or written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ActbenchError(
            f"can't write to the output folder {str(folder)!r}: {error.strerror or error}. "
            "Choose another with --out"
        ) from error


def baselines_folder() -> Path:
    """Return the folder of stored baselines, in a wheel or in a clone.

    Returns:
        ``actbench/baselines`` where it was installed with the package, else the clone's.
    """
    installed = Path(str(files("actbench"))) / "baselines"
    return installed if installed.is_dir() else installed.parents[1] / "baselines"
