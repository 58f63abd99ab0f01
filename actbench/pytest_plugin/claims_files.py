"""The claims files of a session: those of --claims as modules of tests, and all read once."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import pytest

from actbench.pytest_plugin.outcomes import check_expected

if TYPE_CHECKING:
    from actbench.claims import ClaimsFile
    from actbench.claims.verdicts import Judgment

_CLAIMS = pytest.StashKey[dict[Path, "ClaimsFile"]]()
_ASKED = pytest.StashKey[list[Path]]()


def pytest_configure(config: pytest.Config) -> None:
    """Register the marks, also outside this repository, and collect the files of --claims."""
    asked = [path.resolve() for path in config.getoption("--claims")]
    config.stash[_ASKED] = asked
    if not hasattr(config, "workerinput"):  # once is enough
        for path in asked:
            _checked(config, path)
    if asked:
        named = config.args_source is pytest.Config.ArgsSource.ARGS
        config.args[:] = [*(config.args if named else ()), *map(str, asked)]
    config.addinivalue_line("markers", "claim: a documented claim of the study, judged")
    config.addinivalue_line("markers", "slow: trains for minutes; needs --slow")
    if config.getoption("--record") is not None:
        from actbench.pytest_plugin.record import Writer

        config.pluginmanager.register(Writer(config.getoption("--record"), claims_of(config)))


def _checked(config: pytest.Config, path: Path) -> None:
    """Read a file of --claims and check its settings, before anything is collected."""
    from actbench.claims.evidence import check_settings
    from actbench.errors import ActbenchError

    try:
        check_settings(claims_of(config, path))
    except ActbenchError as error:
        raise pytest.UsageError(str(error)) from error


def claims_of(config: pytest.Config, path: Path | None = None) -> ClaimsFile:
    """Return the claims of a file, read once per session.

    Args:
        config: Of the running session.
        path: The file; ``baselines/published.toml``, the study's, by default.

    Returns:
        Its content.
    """
    from actbench import claims
    from actbench.files import baselines_folder

    known = config.stash.setdefault(_CLAIMS, {})
    wanted = path or baselines_folder() / "published.toml"
    if wanted not in known:
        known[wanted] = claims.load(wanted)
    return known[wanted]


class ClaimsModule(pytest.Module):
    """A file of claims as a module of tests: one per claim."""

    def _getobj(self) -> ModuleType:
        module = ModuleType(self.path.stem, f"The claims of {self.path}.")
        vars(module)["test_claim"] = _claim_is_as_pinned
        return module


def _claim_is_as_pinned(judgment: Judgment, claims_file: ClaimsFile) -> None:
    """The claim's verdict is the one that is pinned."""
    check_expected(judgment, claims_file)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Collect what was named by --claims."""
    if file_path.resolve() in parent.config.stash[_ASKED]:
        return ClaimsModule.from_parent(parent, path=file_path)
    return None
