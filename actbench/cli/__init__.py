"""The command line, and how it ends; the commands are in ``app``."""

from __future__ import annotations

import errno
import sys
from contextlib import suppress
from pathlib import Path

from actbench.cli.options import EXIT_UNREAD, EXIT_USAGE
from actbench.store import terminal
from actbench.store.errors import ActbenchError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF}
"""What ends writing to standard output."""

_LONGEST = 2000
"""Characters of an error."""


def main() -> None:
    """Run the command line; a user's mistake is one line on stderr and exit code 2.

    So is a disk that is full. Where nobody reads on, as with ``| head``, it ends as other tools do.
    """
    terminal.prepare()
    try:
        _require_a_place()
        from actbench.cli.app import app  # here, as commands of studies import this package

        try:
            app()
        finally:
            sys.stdout.flush()
    except ActbenchError as error:
        _fail(str(error))
    except SystemExit as leaving:
        # Typer and Rich end with 1, which here says that a verdict changed.
        if isinstance(leaving.__context__, BrokenPipeError):
            _leave_unread()
        raise
    except BrokenPipeError:
        _leave_unread()
    except OSError as error:
        if error.filename is None and error.errno not in _FULL:
            raise
        place = "standard output" if error.filename is None else error.filename
        terminal.abandon()
        _fail(f"{place}: {error.strerror}")


def _require_a_place() -> None:
    try:
        Path.cwd()
    except OSError as error:
        # Not only relative paths need one: MKL ends the process where it can't load its libraries.
        raise ActbenchError(
            f"the working directory can't be used: {error.strerror}. Change to one that is there"
        ) from error


def _leave_unread() -> None:
    terminal.abandon()
    sys.exit(EXIT_UNREAD)


def _fail(message: str) -> None:
    text = terminal.printable(message)
    if len(text) > _LONGEST:  # a text of a file's that is given back
        text = f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"
    with suppress(OSError):
        terminal.say(f"actbench: error: {text}", err=True)
    sys.exit(EXIT_USAGE)
