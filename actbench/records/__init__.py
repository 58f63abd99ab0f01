"""A record: what one torch release did on one machine, as one validated file.

Reading one checks everything and runs nothing: names, types, the schema's version, and a checksum
over the whole content, so that a record that was cut off or edited by hand is refused.
"""

from actbench.records.schema import (
    KIND,
    PARTS,
    SCHEMA_VERSION,
    Chain,
    Distribution,
    Dtype,
    Record,
    Step,
    Timings,
    Verdict,
    Workload,
    package_of,
)
from actbench.records.storing import load, load_folder, release_order, save

__all__ = [
    "KIND",
    "PARTS",
    "SCHEMA_VERSION",
    "Chain",
    "Distribution",
    "Dtype",
    "Record",
    "Step",
    "Timings",
    "Verdict",
    "Workload",
    "load",
    "load_folder",
    "package_of",
    "release_order",
    "save",
]
