"""The labelled dataset of an experiment: its variables, and its file with a checksum beside it.

No torch here: figures, claims and reports read datasets without it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actbench.store import studies
from actbench.store.errors import ActbenchError, one_line, require_schema
from actbench.store.files import write_atomic

if TYPE_CHECKING:
    import xarray as xr

SCHEMA_VERSION = 1


def finish(
    dataset: xr.Dataset,
    experiment: str,
    protocol: Mapping[str, Any],
    environment: Mapping[str, Any],
) -> xr.Dataset:
    """Attach what makes a dataset readable on its own.

    Args:
        dataset: Variables with named dimensions.
        experiment: Key of the experiment, such as ``"sine-regression"``.
        protocol: Every setting that a number depends on.
        environment: What it was computed with.

    Returns:
        The same dataset, with definition and unit on each variable, and with the schema's
        version, the experiment, the protocol and the environment as attributes.
    """
    owner = studies.owner(experiment)
    for name, (definition, unit) in owner.study.definitions.items() if owner else ():
        if name in dataset.variables:
            dataset[name].attrs.update(definition=definition, units=unit)
    dataset.attrs.update(
        schema_version=SCHEMA_VERSION,
        experiment=experiment,
        protocol=json.dumps(protocol, sort_keys=True),
        environment=json.dumps(environment, sort_keys=True),
    )
    return dataset


def join(parts: Sequence[xr.Dataset], dim: str) -> xr.Dataset:
    """Put parts of a dataset together along one of their dimensions.

    Args:
        parts: At least one, alike in all else; variables without the dimension are the first's.
        dim: The dimension.

    Returns:
        The whole, without the parts' attributes.
    """
    import xarray as xr

    return xr.concat(
        parts,
        dim,
        data_vars="minimal",
        coords="minimal",
        compat="override",
        join="exact",
        combine_attrs="drop",
    )


def protocol_of(dataset: xr.Dataset) -> dict[str, Any]:
    """Return every setting that the numbers of a dataset depend on.

    Args:
        dataset: As ``finish`` left it.

    Returns:
        Setting names and values.
    """
    protocol: dict[str, Any] = json.loads(dataset.attrs["protocol"])
    return protocol


def environment_of(dataset: xr.Dataset) -> dict[str, Any]:
    """Return what a dataset was computed with.

    Args:
        dataset: As ``finish`` left it.

    Returns:
        As ``environment.describe`` gave it.
    """
    environment: dict[str, Any] = json.loads(dataset.attrs["environment"])
    return environment


def _checksum_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def save(dataset: xr.Dataset, path: Path) -> None:
    """Write a dataset as NetCDF 3, with its SHA-256 in a file beside it.

    NetCDF 3 holds these arrays without a further library, and equal datasets give equal bytes.

    Args:
        dataset: As ``finish`` left it.
        path: Where to write, ending in ``.nc``.

    Raises:
        ActbenchError: The file can't be written.
    """
    content = bytes(_ordered(dataset).to_netcdf(engine="scipy", format="NETCDF3_64BIT"))
    digest = hashlib.sha256(content).hexdigest()
    # A crash between the two leaves a mismatch, which load() reports: never a wrong pair taken
    # for a good one.
    write_atomic(path, content)
    write_atomic(_checksum_path(path), f"{digest}  {path.name}\n".encode())


def _ordered(dataset: xr.Dataset) -> xr.Dataset:
    import xarray as xr

    # The order of variables is no part of a dataset, but it is one of its file.
    variables, coords = (
        {name: part[name].variable for name in sorted(part, key=str)}
        for part in (dataset.data_vars, dataset.coords)
    )
    return xr.Dataset(variables, coords, dataset.attrs).drop_encoding()


def load(path: Path) -> xr.Dataset:
    """Read a dataset, refusing one that is damaged or of another schema.

    Args:
        path: As given to ``save``.

    Returns:
        The dataset, in memory.

    Raises:
        ActbenchError: The file or its checksum is missing, they disagree, or the schema's version
            is not this one's.
    """
    import xarray as xr

    try:
        content = path.read_bytes()
        expected = _checksum_path(path).read_text(encoding="utf-8").split()[0]
    except (OSError, IndexError) as error:
        raise ActbenchError(
            f"can't read {path} with its checksum {_checksum_path(path).name}: {error}. "
            "Run the experiment again"
        ) from error
    if hashlib.sha256(content).hexdigest() != expected:
        raise ActbenchError(
            f"{path} is damaged: its SHA-256 is not the one in {_checksum_path(path).name}. "
            "Delete both and run the experiment again"
        )
    again = "Run the experiment again with --overwrite"
    try:
        dataset = xr.load_dataset(content, engine="scipy")
    except Exception as error:  # the reader raises whatever it meets
        raise ActbenchError(f"{path} is no NetCDF file ({one_line(error)}). {again}") from error
    require_schema(path, dataset.attrs.get("schema_version", 0), SCHEMA_VERSION, again)
    try:
        whole = isinstance(protocol_of(dataset), dict) and isinstance(environment_of(dataset), dict)
    except (KeyError, TypeError, ValueError, RecursionError):
        whole = False
    if not whole:
        raise ActbenchError(f"{path} does not say by which protocol it was made. {again}")
    return dataset
