"""Results of a sweep in one Zarr store, which xarray opens: whole chunks, or nothing of them.

The store has one dimension ``member``, and a coordinate for every axis. Its files are cut into
chunks of members. A chunk's ``status`` is written after all else of it has reached the disk, each
file under another name first, so that a chunk that has a status is whole, whenever the writer was
killed.
"""

from actbench.sweeps.stores._checks import SCHEMA_VERSION
from actbench.sweeps.stores.layout import FAILED, MISSING, NOT_TRAINED, TRAINED, bytes_per_member
from actbench.sweeps.stores.opening import open_or_create, remove_other
from actbench.sweeps.stores.store import Store

__all__ = [
    "FAILED",
    "MISSING",
    "NOT_TRAINED",
    "SCHEMA_VERSION",
    "TRAINED",
    "Store",
    "bytes_per_member",
    "open_or_create",
    "remove_other",
]
