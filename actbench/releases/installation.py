"""What pip is asked for, so that an environment gets this actbench and differs in one release."""

from __future__ import annotations

import json
import os
import venv
from collections.abc import Collection
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from urllib.request import url2pathname

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from actbench.environment import installed_version
from actbench.errors import DISTRIBUTION, ActbenchError

_PIP_SOURCES: Final = frozenset(
    f"PIP_{name}"
    for name in (
        *("INDEX_URL", "EXTRA_INDEX_URL", "FIND_LINKS", "NO_INDEX", "TRUSTED_HOST"),
        *("CERT", "CLIENT_CERT", "PROXY", "DEFAULT_TIMEOUT", "TIMEOUT", "RETRIES"),
        *("CACHE_DIR", "NO_CACHE_DIR", "CONFIG_FILE", "KEYRING_PROVIDER"),
    )
)
"""The variables of pip that say where to get packages from; others, such as `PIP_CONSTRAINT` and
`PIP_TARGET`, say what to install and where to, which is decided here."""


def own_source(extra: str = "") -> str:
    """Return what pip is asked for to get the actbench that runs here, perhaps with an extra."""
    extras = f"[{extra}]" if extra else ""
    name = f"{DISTRIBUTION}{extras}"
    clone = Path(__file__).resolve().parents[2]
    if (clone / "pyproject.toml").is_file():
        return f"{clone}{extras}"
    told = json.loads(own_distribution().read_text("direct_url.json") or "{}")
    url = str(told.get("url", ""))
    if "vcs_info" in told:
        return f"{name} @ {told['vcs_info']['vcs']}+{url}@{told['vcs_info']['commit_id']}"
    if url.startswith("file:"):
        path = Path(url2pathname(urlsplit(url).path))
        if not path.exists():
            raise ActbenchError(f"actbench was installed from {path}, which is gone: install again")
        return f"{path}{extras}"
    return f"{name} @ {url}" if url else f"{name}=={installed_version(DISTRIBUTION)}"


def installed_pins(apart: Collection[str] = ("torch",)) -> dict[str, str]:
    """Return the versions of what actbench needs here, apart from some and what they alone need.

    torch pins some packages to other versions from release to release (``sympy``, for one).
    """
    pins: dict[str, str] = {}
    seen = {*apart}
    waiting = [r.name for r in own_needs()]
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in seen:
            continue
        seen.add(name)
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue
        needed = {canonicalize_name(r.name) for r in required_by(found)}
        waiting += needed
        if not needed & {*apart}:
            pins[name] = found.version.partition("+")[0]
    return dict(sorted(pins.items()))


def required_by(package: Distribution, extra: str = "") -> list[Requirement]:
    """Return what a package needs here, with at most one of its extras."""
    required = map(Requirement, package.requires or [])
    return [r for r in required if r.marker is None or r.marker.evaluate({"extra": extra})]


def own_needs() -> list[Requirement]:
    """Return what actbench needs here, for the study too."""
    return required_by(own_distribution(), "study")


def own_distribution() -> Distribution:
    """Return the metadata of the installed actbench."""
    try:
        return distribution(DISTRIBUTION)
    except PackageNotFoundError as error:
        raise ActbenchError(
            f"{DISTRIBUTION} is not installed in this environment. Install it with: python -m pip "
            "install -e FOLDER"
        ) from error


def write_pins(path: Path, apart: Collection[str]) -> Path:
    """Write ``installed_pins`` as constraints."""
    lines = (f"{name}=={version}\n" for name, version in installed_pins(apart).items())
    path.write_text("".join(lines), encoding="utf-8")
    return path


def make_environment(folder: Path) -> Path:
    """Make an empty environment and return its interpreter; pip works on it from outside."""
    builder = venv.EnvBuilder(symlinks=os.name != "nt")
    builder.create(folder)
    return Path(builder.ensure_directories(folder).env_exe)


def plain_variables() -> dict[str, str]:
    """Return this process's variables without those that lead Python to other packages."""
    hidden = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__"}
    return {name: value for name, value in os.environ.items() if name not in hidden}


def pip_variables() -> dict[str, str]:
    """Return this process's variables, of pip's only those that say where to get packages."""
    kept = {
        name: value
        for name, value in plain_variables().items()
        if not name.startswith("PIP_") or name in _PIP_SOURCES
    }
    return {"PIP_RETRIES": "2", **kept, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}


def temporaries_in(folder: Path) -> dict[str, str]:
    """Return variables that keep the temporary files of the commands inside the folder."""
    place = folder / "temporary"
    place.mkdir()
    return dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(place))
