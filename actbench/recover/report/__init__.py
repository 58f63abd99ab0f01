"""What a search found, for the terminal, as a page, and as a search file of one protocol."""

from __future__ import annotations

from pathlib import Path

from actbench.figures.saving import save
from actbench.files import write_atomic, write_json
from actbench.recover.drawing import draw_search
from actbench.recover.outcome import Result
from actbench.recover.report.page import FIGURE, markdown
from actbench.recover.report.protocol import protocol_file
from actbench.recover.report.terminal import terminal
from actbench.recover.report.wording import (
    chance_sentence,
    headline,
    parts_sentence,
    plan_sentence,
)

__all__ = [
    "PAGE",
    "PROTOCOL",
    "RESULT",
    "chance_sentence",
    "headline",
    "markdown",
    "parts_sentence",
    "plan_sentence",
    "protocol_file",
    "terminal",
    "write",
]

RESULT = "search.json"
PAGE = "search.md"
PROTOCOL = "protocol.toml"


def write(result: Result, folder: Path) -> list[Path]:
    """Write a result into a folder: figure, page, JSON, and the protocol if there is one."""
    written = [*save(draw_search(result), folder, FIGURE), folder / PAGE]
    write_atomic(written[-1], markdown(result).encode())
    protocol = folder / PROTOCOL
    if result.classes:
        write_atomic(protocol, protocol_file(result, result.classes[0]).encode())
        written.append(protocol)
    else:
        protocol.unlink(missing_ok=True)
    write_json(folder / RESULT, result.model_dump(mode="json"))  # last: it says that all is there
    return [*written, folder / RESULT]
