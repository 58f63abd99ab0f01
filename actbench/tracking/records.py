"""A record: what one release did on one machine, as one validated file with a checksum."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
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
from actbench.store.errors import ActbenchError, require_schema
from actbench.store.files import read_json, strict_json, write_atomic
from actbench.store.stored import Metric, Value

SCHEMA_VERSION = 1
KIND: Final = "actbench record"

PARTS = ("verdicts", "fingerprints", "timings")
"""What a record is made of; metric distributions come with the verdicts."""

Dtype = Literal["float32", "float64"]

_STRICT = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
_Positive = Annotated[float, Field(gt=0)]


class Verdict(BaseModel):
    """What the judge said about one claim.

    Args:
        id: The claim.
        verdict: What came out.
        expected: What the claims file pins; empty where it pins nothing.
        measured: The value; ``None`` where nothing was measured or it is not finite.
        interval: Its interval over seeds.
        margin: How far the verdict is from flipping, a factor or in tolerances.
        seeds: How many were measured.
        fresh: Whether it was measured for this record; else it was judged from values that are
            stored in the package, which say nothing about this release of torch.
        digest: Of what the claim asks, as ``ClaimsFile.digest`` names it; ``None`` in records that
            were made before.
    """

    model_config = _STRICT

    id: str
    verdict: str
    expected: str
    measured: float | None
    interval: tuple[float | None, float | None] | None
    margin: float | None
    seeds: int = Field(ge=0)
    fresh: bool
    digest: str | None = None


class Distribution(BaseModel):
    """One metric's values over seeds.

    Args:
        protocol: Name of the protocol it was measured by.
        metric: Name and arguments.
        definition: What it is.
        values: One per seed, dimensionless, finite or not.
        seeds: Names of the runs, where the values are those of a claim of somebody's own.
    """

    model_config = _STRICT

    protocol: str
    metric: Metric
    definition: str
    values: list[Value] = Field(min_length=1)
    seeds: list[str] | None = None

    @model_serializer(mode="wrap")
    def _seeds_where_there_are(self, content: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write no name that a record of the study never had, and older versions refuse."""
        written: dict[str, Any] = content(self)
        if self.seeds is None:
            del written["seeds"]
        return written


class Step(BaseModel):
    """One result on the way of a computation.

    Args:
        name: What was computed, such as ``"layer 3 activation"`` or ``"loss"``.
        epoch: Updates made before it; ``None`` outside of a training.
        count: How many numbers it has.
        digest: First 16 hexadecimal digits of the SHA-256 of their bytes, little-endian.
        values: A few of them, evenly spaced, the first among them; ``None`` for not finite.
        spread: Smallest and largest value over the record's seeds, where that was measured.
    """

    model_config = _STRICT

    name: str
    epoch: int | None = None
    count: int = Field(ge=1)
    digest: str = Field(pattern=r"^[0-9a-f]{16}$")
    values: list[float | None]
    spread: tuple[float, float] | None = None


class Chain(BaseModel):
    """Results in the order in which they were computed, each resting on those before it.

    In a chain of ``operations`` or ``streams`` every step has its own fixed input instead.

    Args:
        engine: ``streams``, ``initial weights``, ``operations``, ``reference`` (nn.Sequential with
            autograd), ``stack``, or ``own`` for a model or function of somebody's own.
        activation: Key; ``None`` where none is involved.
        dtype: ``"float32"`` or ``"float64"``.
        steps: At least one.
        model: What somebody calls a model or function of their own; ``None`` for all others.
    """

    model_config = _STRICT

    engine: Literal["streams", "initial weights", "operations", "reference", "stack", "own"]
    activation: str | None
    dtype: Dtype
    steps: list[Step] = Field(min_length=1)
    model: str | None = None

    @property
    def name(self) -> str:
        """Such as ``"reference/gelu/float64"``; parts that do not apply are left out."""
        parts = [self.engine.replace(" ", "-"), self.activation, self.model, self.dtype]
        return "/".join(part for part in parts if part)

    @model_serializer(mode="wrap")
    def _model_where_there_is_one(self, content: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write no name that a record of the study never had, and older versions refuse."""
        written: dict[str, Any] = content(self)
        if self.model is None:
            del written["model"]
        return written


class Workload(BaseModel):
    """How long one piece of work took, beside the control in the same round.

    Args:
        name: Such as ``"stack/relu/float32"``.
        unit: What was timed once, such as ``"epoch of one member"``.
        durations_s: Seconds per unit, one per round.
        relative: The same over the control's duration in that round.
        rate_gflop_per_s: Operations of the matrix products per second at the median; ``None``
            where there are none.
    """

    model_config = _STRICT

    name: str
    unit: str
    durations_s: list[_Positive] = Field(min_length=1)
    relative: list[_Positive] = Field(min_length=1)
    rate_gflop_per_s: float | None


class Timings(BaseModel):
    """Durations on one thread, each beside a control that no release of torch changes.

    Args:
        control: What the control is.
        control_durations_s: Seconds of the control, one per round.
        threads: CPU threads of each workload.
        workloads: In the order in which each round timed them.
    """

    model_config = _STRICT

    control: str
    control_durations_s: list[_Positive] = Field(min_length=1)
    threads: int = Field(ge=1)
    workloads: list[Workload] = Field(min_length=1)


def package_of(environment: Mapping[str, str | int]) -> str:
    """Return the distribution that a record with this environment follows."""
    return str(environment.get("package", "torch"))


def _release(package: str, environment: Mapping[str, str | int]) -> str:
    return str(environment.get(package, "unknown")).partition("+")[0]


class Record(BaseModel):
    """What one release of torch, or for claims of one's own of any package, did on one machine.

    Args:
        kind: Always ``"actbench record"``.
        schema_version: Of this file's shape.
        made_at: When, UTC, ISO 8601.
        environment: Versions and hardware, flat; ``package`` names what is followed where the
            claims are not the study's.
        claims_sha256: Of the claims file that was judged.
        protocols: Every setting of each protocol that was run, by the protocol's name.
        verdicts: One per claim; empty where only other parts were asked for.
        distributions: Metrics of the protocols that were run.
        chains: Numeric fingerprints.
        timings: ``None`` where they were not asked for.
    """

    model_config = _STRICT

    kind: Literal["actbench record"] = KIND
    schema_version: int = SCHEMA_VERSION
    made_at: str
    environment: dict[str, str | int]
    claims_sha256: str
    protocols: dict[str, dict[str, Any]] = Field(default_factory=dict)
    verdicts: list[Verdict] = Field(default_factory=list)
    distributions: list[Distribution] = Field(default_factory=list)
    chains: list[Chain] = Field(default_factory=list)
    timings: Timings | None = None

    @property
    def torch(self) -> str:
        """The torch release without its build, such as ``"2.13.0"``."""
        return _release("torch", self.environment)

    @property
    def of_study(self) -> bool:
        """Whether it judges the claims of the study, and not somebody's own."""
        return "package" not in self.environment

    @property
    def package(self) -> str:
        """The distribution whose releases it is one of."""
        return package_of(self.environment)

    @property
    def release(self) -> str:
        """The release of that, without its build."""
        return _release(self.package, self.environment)

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

    def chain(self, name: str) -> Chain | None:
        """Return a chain by its name, or ``None``."""
        return next((chain for chain in self.chains if chain.name == name), None)


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
