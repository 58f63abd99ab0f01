"""A record: what one release did on one machine, as one validated file with a checksum."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from packaging.version import InvalidVersion, Version
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from actbench.store import stored
from actbench.store.errors import ActbenchError, require_schema, unknown_name
from actbench.store.files import read_json, strict_json, write_atomic
from actbench.store.stored import Metric, Value

_SCHEMA_VERSION: Final = 1
_KIND: Final = "actbench record"

PARTS = ("verdicts", "fingerprints", "timings")
"""What a record is made of; metric distributions come with the verdicts."""


def require_parts(names: Collection[str]) -> None:
    """Refuse a part that no record has."""
    for name in names:
        if name not in PARTS:
            raise unknown_name("part of a record", name, PARTS)


Dtype = Literal["float32", "float64"]

_STRICT = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
_Positive = Annotated[float, Field(gt=0)]
_LATER = {"seeds", "model"}


class _Grown(BaseModel):
    """Has a field that records of the study never had, and that older versions refuse."""

    model_config = _STRICT

    @model_serializer(mode="wrap")
    def _later_fields_where_there_are(
        self, content: SerializerFunctionWrapHandler
    ) -> dict[str, Any]:
        written: dict[str, Any] = content(self)
        return {k: value for k, value in written.items() if value is not None or k not in _LATER}


class Verdict(BaseModel):
    """What the judge said about one claim."""

    model_config = _STRICT

    id: str
    verdict: str
    expected: str  # empty where the claims file pins nothing
    measured: float | None  # None where nothing was measured or it is not finite
    interval: tuple[float | None, float | None] | None
    margin: float | None  # how far the verdict is from flipping, a factor or in tolerances
    seeds: int = Field(ge=0)
    # Else judged from values stored in the package, which say nothing about this release of torch.
    fresh: bool
    digest: str | None = None  # of what the claim asks; None in records that were made before


class Distribution(_Grown):
    """One metric's values over seeds, dimensionless, finite or not."""

    protocol: str
    metric: Metric
    definition: str
    values: list[Value] = Field(min_length=1)
    seeds: list[str] | None = None  # names of the runs, for a claim of somebody's own


class Step(BaseModel):
    """One result on the way of a computation."""

    model_config = _STRICT

    name: str  # such as "layer 3 activation" or "loss"
    epoch: int | None = None  # updates made before it; None outside of a training
    count: int = Field(ge=1)
    # First 16 hexadecimal digits of the SHA-256 of the numbers' bytes, little-endian.
    digest: str = Field(pattern=r"^[0-9a-f]{16}$")
    values: list[float | None]  # a few of them, evenly spaced, the first among them
    spread: tuple[float, float] | None = None  # smallest and largest over the record's seeds


Engine = Literal["streams", "initial weights", "operations", "reference", "stack", "own"]
"""``reference`` is nn.Sequential with autograd, ``own`` a model or function of somebody's own.

In the order in which a first difference is looked for: what is simple explains what is not.
"""


class Chain(_Grown):
    """Results in the order in which they were computed, each resting on those before it.

    In a chain of ``streams``, ``initial weights`` or ``operations`` every step has its own fixed
    input instead.
    """

    engine: Engine
    activation: str | None
    dtype: Dtype
    steps: list[Step] = Field(min_length=1)
    model: str | None = None  # what somebody calls a model or function of their own

    @property
    def name(self) -> str:
        """Such as ``"reference/gelu/float64"``; parts that do not apply are left out."""
        parts = [self.engine.replace(" ", "-"), self.activation, self.model, self.dtype]
        return "/".join(part for part in parts if part)


class Workload(BaseModel):
    """How long one piece of work took, beside the control in the same round."""

    model_config = _STRICT

    name: str  # such as "stack/relu/float32"
    unit: str  # what was timed once, such as "epoch of one member"
    durations_s: list[_Positive] = Field(min_length=1)  # per unit, one per round
    relative: list[_Positive] = Field(min_length=1)  # over the control's duration in that round
    rate_gflop_per_s: float | None  # of the matrix products, at the median


class Timings(BaseModel):
    """Durations on one thread, each beside a control that no release of torch changes."""

    model_config = _STRICT

    control: str
    control_durations_s: list[_Positive] = Field(min_length=1)
    threads: int = Field(ge=1)
    workloads: list[Workload] = Field(min_length=1)  # in the order in which each round timed them


class Record(BaseModel):
    """What one release of torch, or for claims of one's own of any package, did on one machine."""

    model_config = _STRICT

    kind: Literal["actbench record"] = _KIND
    schema_version: int = _SCHEMA_VERSION
    made_at: str
    environment: dict[str, str | int]  # flat; "package" is what own claims follow
    claims_sha256: str  # of the claims file that was judged
    protocols: dict[str, dict[str, Any]] = Field(default_factory=dict)  # settings by name
    verdicts: list[Verdict] = Field(default_factory=list)
    distributions: list[Distribution] = Field(default_factory=list)
    chains: list[Chain] = Field(default_factory=list)
    timings: Timings | None = None

    @property
    def torch(self) -> str:
        """The torch release without its build, such as ``"2.13.0"``."""
        return self._release_of("torch")

    @property
    def of_study(self) -> bool:
        """Whether it judges the claims of the study, and not somebody's own."""
        return "package" not in self.environment

    @property
    def package(self) -> str:
        """The distribution whose releases it is one of."""
        return str(self.environment.get("package", "torch"))

    @property
    def release(self) -> str:
        """The release of that, without its build."""
        return self._release_of(self.package)

    def _release_of(self, package: str) -> str:
        return str(self.environment.get(package, "unknown")).partition("+")[0]

    @property
    def machine(self) -> tuple[str, ...]:
        """What must be equal for bits and durations to be comparable."""
        keys = ("system", "cpu", "cpu_capability", "device_name", "arithmetic")
        return tuple(str(self.environment.get(key, "unknown")) for key in keys)

    @property
    def parts(self) -> set[str]:
        """Which of ``PARTS`` it has."""
        contents = (self.verdicts, self.chains, self.timings)
        return {part for part, content in zip(PARTS, contents, strict=True) if content}


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
    if content.get("kind") != _KIND:
        raise ActbenchError(f"{path} is no record of actbench. {again}")
    require_schema(path, content.get("schema_version"), _SCHEMA_VERSION, again)
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
