"""Records as files with a checksum, and a folder of them in the order of releases."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from actbench import stored
from actbench.errors import ActbenchError, require_schema
from actbench.files import read_json, strict_json, write_atomic
from actbench.records.schema import KIND, SCHEMA_VERSION, Record


def release_order(release: str) -> Version:
    """Return what sorts releases as they appeared, ``"2.9.1"`` before ``"2.13.0"``."""
    try:
        return Version(release)
    except InvalidVersion:
        return Version("0.dev0")


def _checksum(content: Mapping[str, Any]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def save(record: Record, path: Path) -> None:
    """Write a record with its checksum, whole or not at all."""
    content = json.loads(strict_json(record.model_dump(mode="json")))
    content["sha256"] = _checksum(content)
    lines = [f"{json.dumps(key)}: {_compact(value)}" for key, value in content.items()]
    write_atomic(path, ("{\n" + ",\n".join(lines) + "\n}\n").encode())


def _compact(value: object) -> str:
    """One line per item of a list, so that a comparison of two files by lines shows something."""
    if isinstance(value, list) and value:
        items = (json.dumps(item, separators=(",", ":")) for item in value)
        return "[\n " + ",\n ".join(items) + "\n]"
    return json.dumps(value)


def load(path: Path) -> Record:
    """Read a record and check all of it."""
    again = "Make one with: actbench record --out FILE"
    content = read_json(path, "the record", again)
    if content.get("kind") != KIND:
        raise ActbenchError(f"{path} is no record of actbench. {again}")
    require_schema(path, content.get("schema_version"), SCHEMA_VERSION, again)
    checksum = content.pop("sha256", None)
    if checksum != _checksum(content):
        raise ActbenchError(f"{path} was edited or damaged: its checksum does not fit. {again}")
    return stored.validated(Record, content, path, "the record", again)


def load_folder(folder: Path) -> tuple[list[tuple[Path, Record]], list[str]]:
    """Read every record of a folder, oldest release first."""
    found, refused = [], []
    for path in sorted(folder.glob("*.json")):
        try:
            found.append((path, load(path)))
        except ActbenchError as error:
            refused.append(str(error))
    if not found:
        why = f" ({refused[0]})" if refused else ""
        raise ActbenchError(
            f"{folder} holds no record{why}. Make one with: actbench record --out "
            f"{folder}/torch.json"
        )
    found.sort(key=lambda item: (release_order(item[1].release), item[1].made_at))
    return found, refused
