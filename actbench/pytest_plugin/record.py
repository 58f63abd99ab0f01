"""``pytest --actbench-record FILE``: a session's trainings as ``actbench record`` writes them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from actbench.errors import ActbenchError
from actbench.files import prepare_folder
from actbench.pytest_plugin.options import devices_of, value_of

if TYPE_CHECKING:
    import xarray as xr

    from actbench.claims import ClaimsFile

FOLDER = pytest.StashKey[Path]()
"""Where the session keeps its trainings; workers of pytest-xdist share one place."""

_SENT = "actbench_folder"


def shared_path(folder: Path, protocol: str, device: str) -> Path:
    """Return where a session keeps what a protocol trained."""
    return folder / f"actbench-{protocol}-{device.replace(':', '-')}.nc"


class Writer:
    """A plugin that writes the record once, in the process that the user started.

    Args:
        path: Where to.
        claims: What was judged.

    Raises:
        pytest.UsageError: The file is there already, or its folder can't be written.
    """

    def __init__(self, path: Path, claims: ClaimsFile) -> None:
        if path.exists():
            raise pytest.UsageError(
                f"{path} is there already; name another file with --actbench-record"
            )
        try:
            prepare_folder(path.parent)
        except ActbenchError as error:
            raise pytest.UsageError(str(error)) from error
        self._path = path
        self._claims = claims

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Learn from a worker of pytest-xdist where they keep their trainings."""
        folder = getattr(node, "workeroutput", {}).get(_SENT)
        if folder is not None:
            node.config.stash[FOLDER] = Path(folder)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Make the record from what was trained, adding fingerprints and timings."""
        config = session.config
        folder = config.stash.get(FOLDER, None)
        if hasattr(config, "workerinput"):
            if folder is not None:
                config.workeroutput[_SENT] = str(folder)  # type: ignore[attr-defined]
            return
        from actbench import records
        from actbench.records import recording

        device = devices_of(config)[0]
        fast = [n for n, protocol in self._claims.protocol.items() if not protocol.slow]
        made = recording.make(
            device=device,
            threads=value_of(config, "threads"),
            already={} if folder is None else _trained(folder, fast, device),
        )
        records.save(made, self._path)
        reporter = config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None:
            fresh = sum(verdict.fresh for verdict in made.verdicts)
            reporter.write_line(f"\nrecord written to {self._path}: {fresh} claims measured")


def _trained(folder: Path, protocols: Iterable[str], device: str) -> dict[str, xr.Dataset]:
    from actbench import datasets

    paths = {name: shared_path(folder, name, device) for name in protocols}
    return {name: datasets.load(path) for name, path in paths.items() if path.exists()}
