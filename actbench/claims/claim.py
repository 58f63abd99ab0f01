"""A claim as data: what the study says, how it is decided, which verdict is expected."""

from __future__ import annotations

import functools
import hashlib
import json
import math
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    Strict,
    WithJsonSchema,
    model_validator,
)

from actbench.claims.published_mean import Published, PublishedMean
from actbench.errors import ActbenchError
from actbench.files import baselines_folder

_FROZEN = ConfigDict(extra="forbid", frozen=True)

# Of their TOML type: a text is no number, though it may look like one. A whole number is a number.
_Number: TypeAlias = Annotated[float, Strict()]
_Whole: TypeAlias = Annotated[int, Strict()]
_Flag: TypeAlias = Annotated[bool, Strict()]
_Name: TypeAlias = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]


class Verdict(StrEnum):
    """What judging a claim can end in."""

    REPRODUCED = "reproduced"
    DIRECTION_ONLY = "direction_only"
    NOT_REPRODUCED = "not_reproduced"
    INCONCLUSIVE = "inconclusive"
    NOT_TESTABLE = "not_testable"


class Relation(BaseModel):
    """Where a measured value must lie for the claim to hold.

    Args:
        kind: ``equals`` a value within a tolerance, or lies ``above`` or ``below`` one.
        value: The value; for ``equals`` the published one where none is given.
        tolerance: For ``equals``: largest distance that still counts as the same, above 0.
        relative: Whether the tolerance is a share of the value.
        decades: Whether the tolerance is in decades, for a value above 0 that is known to an order
            of magnitude: 1 allows from a tenth to ten times of it.
        reason: Why this bound or tolerance and no other; empty where nobody says.
    """

    model_config = _FROZEN

    kind: Literal["equals", "above", "below"]
    value: _Number | None = Field(default=None, allow_inf_nan=False)
    tolerance: _Number | None = Field(default=None, gt=0, allow_inf_nan=False)
    relative: _Flag = False
    decades: _Flag = False
    reason: str = Field(default="", min_length=1)

    @model_validator(mode="after")
    def _check_tolerance(self) -> Relation:
        if (self.kind == "equals") != (self.tolerance is not None):
            raise ValueError("'equals' needs a tolerance, 'above' and 'below' take none")
        if self.relative and self.decades:
            raise ValueError("a tolerance is 'relative' or in 'decades', not both")
        return self

    @property
    def half_width(self) -> float:
        """Half of what ``bounds`` span, on ``scale``; infinite for ``above`` and ``below``."""
        if self.tolerance is None:
            return math.inf
        return self.tolerance * (abs(self._center) if self.relative else 1.0)

    def scale(self, value: float) -> float:
        """Put a value where the tolerance is the same to both sides: on its own or a log axis."""
        if not self.decades:
            return value
        return math.log10(value) if value > 0 else -math.inf

    def contains(self, value: float) -> bool:
        """Tell whether a value satisfies the relation; one that is NaN never does.

        Args:
            value: The value.

        Returns:
            Whether it lies within ``bounds``.
        """
        low, high = self.bounds
        return low <= value <= high

    def includes(self, other: Relation) -> bool:
        """Tell whether every value that satisfies another relation satisfies this one.

        Args:
            other: The stricter relation.

        Returns:
            Whether its ``bounds`` lie within these.
        """
        (low, high), (least, most) = self.bounds, other.bounds
        return low <= least and most <= high

    @property
    def _center(self) -> float:
        if self.value is None:
            raise ValueError("a relation without a value has no bounds")
        return self.value

    @property
    def bounds(self) -> tuple[float, float]:
        """Smallest and largest value that satisfies the relation."""
        if self.kind == "above":
            return self._center, math.inf
        if self.kind == "below":
            return -math.inf, self._center
        if self.decades:
            factor = 10**self.half_width
            return self._center / factor, self._center * factor
        return self._center - self.half_width, self._center + self.half_width


_Files: TypeAlias = Annotated[
    tuple[str, ...],
    BeforeValidator(lambda given: (given,) if isinstance(given, str) else given),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]

SOURCES = ("experiment", "table", "function", "command")
"""What a protocol's numbers can come from; each protocol names one."""


class Protocol(BaseModel):
    """Where a claim's numbers come from, with every setting that they depend on.

    Args:
        experiment: Key of an experiment of actbench.
        table: Results that exist: a CSV, JSON-lines, Parquet or NetCDF file, a glob, or a list of
            such, seen from the claims file's folder.
        seed: For a table, what names the run: a column, ``"row"`` where each row is one run,
            ``"path: REGEX"`` or ``"columns: REGEX"`` whose group is the seed in a file's path or in
            the names of a wide table's columns.
        function: ``path/to/file.py:name`` or ``module:name``, called once per seed with ``seed``
            and the settings; returns a number, or numbers by name. Runs only when that is allowed.
        command: A program, run once per seed; ``{seed}``, ``{out}`` and the settings' names stand
            for their values. Runs only when that is allowed.
        result: For a command, the file that it writes its numbers to, such as
            ``"{out}/metrics.json"``, or ``"output: REGEX"`` whose groups are numbers in what it
            prints; without one, the last line of its output is read as JSON.
        inputs: For a function or a command, files that its numbers depend on besides its source.
        timeout_s: For a function or a command, seconds after which a run is ended.
        settings: What is given to the experiment, function or command where it differs from the
            defaults.
        seeds: How many seeds, whatever was asked for; ``None`` takes what was asked for.
        slow: Whether it takes so long that a fast run judges its stored result.
        as_run: Whether it is what the publication ran where it documents something else.
    """

    model_config = _FROZEN

    experiment: str = ""
    table: _Files = ()
    seed: str = ""
    function: str = ""
    command: str = ""
    result: str = ""
    inputs: tuple[str, ...] = ()
    timeout_s: _Number | None = Field(default=None, gt=0, allow_inf_nan=False)
    settings: dict[str, Any] = Field(default_factory=dict)
    seeds: _Whole | None = Field(default=None, ge=1)
    slow: _Flag = False
    as_run: _Flag = False

    @property
    def source(self) -> str:
        """Which of ``SOURCES`` it names."""
        return next(name for name in SOURCES if getattr(self, name))

    @property
    def activations(self) -> tuple[str, ...]:
        """The activations that its settings list."""
        given = self.settings.get("activations", ()) if self.experiment else ()
        keys = given if isinstance(given, list) else [given] if isinstance(given, str) else ()
        return tuple(map(str, keys))

    @property
    def own_activations(self) -> tuple[str, ...]:
        """Those of them that are code, seen from the file's folder: ``path/to/file.py:name``."""
        return tuple(key for key in self.activations if ":" in key)

    @property
    def runs_code(self) -> bool:
        """Whether its numbers come from running code that the claims file names."""
        return self.source in ("function", "command")

    @model_validator(mode="after")
    def _check_source(self) -> Protocol:
        named = [name for name in SOURCES if getattr(self, name)]
        if len(named) != 1:
            given = " and ".join(named) or "none"
            raise ValueError(f"a protocol names one of {', '.join(SOURCES)}; this names {given}")
        for field, sources in _ONLY_FOR.items():
            if getattr(self, field) and named[0] not in sources:
                raise ValueError(f"{field!r} is for {' or '.join(sources)}, not for {named[0]}")
        return self


class OwnModel(BaseModel):
    """A model or function whose numbers a record takes down layer by layer.

    Args:
        function: ``path/to/file.py:name`` or ``module:name``, called with ``seed`` and the
            settings; returns a torch module or a function, and its inputs. Runs only for a record,
            when that is allowed.
        settings: What it is given besides.
        inputs: Files that its numbers depend on besides its source.
        timeout_s: Seconds after which it is ended.
    """

    model_config = _FROZEN

    function: str = Field(min_length=1)
    settings: dict[str, Any] = Field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    timeout_s: _Number | None = Field(default=None, gt=0, allow_inf_nan=False)

    def as_protocol(self, function: str = "", settings: dict[str, Any] | None = None) -> Protocol:
        """Return what runs it, or another function with its limits."""
        changed = {"function": function, "settings": settings} if function else {}
        return Protocol(**{**self.model_dump(), **changed})


_NOT_ASKED = {"slow", "as_run", "timeout_s"}
"""Fields of a protocol that change no number."""

_ONLY_FOR = {
    "seed": ("table",),
    "result": ("command",),
    "inputs": ("function", "command"),
    "timeout_s": ("function", "command"),
    "settings": ("experiment", "function", "command"),
    "seeds": ("experiment", "function", "command"),
    "slow": ("experiment", "function", "command"),
    "as_run": ("experiment",),
}
"""Field of a protocol to the sources that it makes sense with."""


class Claim(BaseModel):
    """One documented claim.

    Args:
        id: Stable name, a short sentence in kebab case.
        source: Where it is stated.
        statement: What it says, in our words.
        ours: Whether it is not a statement of the study but this suite's: an explanation of the
            study's numbers, a theory's prediction, or a question that its experiments raise.
        variant_of: Id of the claim whose statement this one judges once more under another
            protocol, such as the settings that were run where others were documented.
        protocol: Name of the protocol that decides it; none for a claim that nothing here can.
        metric: Of an experiment, name and arguments, such as ``{name = "final_mse", activation =
            "relu"}``; of any other source a column, such as ``{column = "test_acc", where =
            {method = "ours"}}``, as ``actbench.runs.columns`` reads it.
        published: The study's value, where it gives one: of one run a number, of several
            ``{mean = 0.91, std = 0.02, n = 5}``.
        relation: What must hold for the claim as stated.
        direction: The weaker statement of ordering or sign, where the claim has one.
        quantifier: ``exact`` for a value that no seed changes, ``median`` for the typical seed,
            ``every`` for at least ``share`` of all seeds, ``mean`` for what is pooled over
            networks, of which the metric gives one pseudo-value per network.
        share: Of all seeds, for ``every``.
        weight: How large a part of the file's ``alpha`` it has, beside other pinned claims.
        expected: The verdict that is pinned; without one the claim is exploratory: its verdict is
            told, and none is wrong.
        because: Why that verdict is expected; for ``not_testable``, why nothing here can decide.
    """

    model_config = _FROZEN

    id: _Name
    source: str = Field(default="", min_length=1)
    statement: str = Field(min_length=1)
    ours: _Flag = False
    variant_of: str | None = None
    protocol: str | None = None
    metric: dict[str, Any] = Field(default_factory=dict)
    published: Published | None = None
    relation: Relation | None = None
    direction: Relation | None = None
    quantifier: Literal["exact", "median", "every", "mean"] = "median"
    share: _Number = Field(default=0.95, gt=0, lt=1)
    weight: _Number = Field(default=1.0, gt=0, allow_inf_nan=False)
    expected: Verdict | None = None
    because: str = Field(default="", min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _published_is_the_value(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("relation"), dict):
            published = data.get("published")
            if isinstance(published, dict):
                published = published.get("mean")
            relation = {"value": published, **data["relation"]}
            return {**data, "relation": relation}
        return data

    @model_validator(mode="after")
    def _check_parts(self) -> Claim:
        if self.expected is Verdict.NOT_TESTABLE:
            if self.protocol or self.relation or self.metric:
                raise ValueError("a claim that is not_testable has no protocol, metric or relation")
            if not self.because:
                raise ValueError("a claim that is not_testable says why, in 'because'")
        elif not (self.protocol and self.relation):
            raise ValueError("a testable claim needs a protocol, a metric and a relation")
        if "weight" in self.model_fields_set and not self.takes_level:
            raise ValueError(
                "'weight' shares out alpha over claims that are pinned and have a sampling error; "
                "this one takes no part of it, so leave it out"
            )
        for relation in (self.relation, self.direction):
            if relation is not None and relation.value is None:
                raise ValueError("a relation needs a value, its own or the published one")
            if relation is not None and relation.decades and (relation.value or 0) <= 0:
                raise ValueError("a tolerance in decades needs a value above 0")
            if relation is not None and relation.relative and relation.value == 0:
                raise ValueError("a tolerance can't be relative to a value of 0")
        if self.pooled and self.quantifier != "mean":
            raise ValueError(
                "'exceeds' and 'aggregate' give one number of all runs, a mean; say quantifier = "
                "'mean'"
            )
        if self.relation and self.direction and self.relation.includes(self.direction):
            raise ValueError(
                "'direction' is no weaker than 'relation': what satisfies it satisfies the "
                "relation too, so it would never decide; widen it, or leave it out"
            )
        return self

    @property
    def published_value(self) -> float | None:
        """The published number: of one run, or the mean of several."""
        value = self.published
        return value.mean if isinstance(value, PublishedMean) else value

    @property
    def of_networks(self) -> bool:
        """Whether its values are pseudo-values of what is pooled over networks, and no runs."""
        return self.quantifier == "mean" and "name" in self.metric

    @property
    def takes_level(self) -> bool:
        """Whether it takes a part of its file's alpha: pinned, and with a sampling error."""
        testable = self.relation is not None and self.quantifier != "exact"
        return testable and self.expected is not None

    @property
    def activation(self) -> str | None:
        """Key of the activation that the metric is about, where it is about one."""
        value = self.metric.get("activation")
        return None if value is None else str(value)

    @property
    def pooled(self) -> bool:
        """Whether a table's metric gives one number of all runs, with an interval of its own."""
        return self.metric.get("exceeds") is not None or self.metric.get("aggregate") is not None

    def decisive(self, verdict: str) -> Relation | None:
        """Pick the relation that a verdict's margin is measured to.

        Args:
            verdict: What came out.

        Returns:
            The weaker one for ``direction_only``, else the claim's own; ``None`` where it has none.
        """
        weaker = self.direction if verdict == Verdict.DIRECTION_ONLY else None
        return weaker or self.relation


class ClaimsFile(BaseModel):
    """A file of claims with the protocols they name.

    Args:
        study: What the claims are about.
        alpha: Error level of the whole file.
        protocol: Protocols by name.
        claim: The claims, in the order in which to report them.
        fingerprint: Models and functions by name, whose numbers a record takes down.
    """

    model_config = _FROZEN

    study: str = Field(min_length=1)
    alpha: _Number = Field(default=0.01, gt=0, lt=1)
    protocol: dict[str, Protocol]
    claim: tuple[Claim, ...] = Field(min_length=1)
    fingerprint: dict[_Name, OwnModel] = Field(default_factory=dict)

    _path: Path | None = PrivateAttr(default=None)

    @property
    def path(self) -> Path | None:
        """Where the file was read from; none for claims that were not read from a file."""
        return self._path

    @property
    def of_the_study(self) -> bool:
        """Whether these are the claims that the package is about, and not another file's."""
        return self._path is None or self._path == baselines_folder() / "published.toml"

    @property
    def measured_folder(self) -> Path | None:
        """Where measurements of its protocols are stored: ``measured`` beside the file.

        None for the study's claims, which have the package's ``baselines/measured``.
        """
        if self._path is None or self.of_the_study:
            return None
        return self._path.parent / "measured"

    @property
    def as_run(self) -> frozenset[str]:
        """Names of the protocols that were run where others are documented."""
        return frozenset(name for name, protocol in self.protocol.items() if protocol.as_run)

    def alike(self, claim: Claim) -> tuple[Claim, ...]:
        """List the claims that judge one statement, each under its own protocol.

        Args:
            claim: One of them.

        Returns:
            The statement's first claim and its variants, in the file's order.
        """
        first = claim.variant_of or claim.id
        return tuple(c for c in self.claim if first in {c.id, c.variant_of})

    def digest(self, claim: Claim) -> str:
        """Name what a claim asks: its metric, relations, quantifier and protocol, not its prose.

        Args:
            claim: One of them.

        Returns:
            First 16 hexadecimal digits of a SHA-256.
        """
        parts = {"metric", "relation", "direction", "quantifier", "share"}
        asked = claim.model_dump(mode="json", include=parts)
        for relation in (asked["relation"], asked["direction"]):
            if relation is not None:
                del relation["reason"]
        protocol = self.protocol[claim.protocol] if claim.protocol else None
        how = {"experiment", "settings", "seeds"}
        asked["protocol"] = protocol and {
            **protocol.model_dump(mode="json", include=how),
            **protocol.model_dump(mode="json", exclude=how | _NOT_ASKED, exclude_defaults=True),
        }
        content = json.dumps(asked, sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def level(self, claim: Claim) -> float:
        """Share out the file's error level, so that all pinned claims together stay within it.

        Args:
            claim: One of them.

        Returns:
            The error level of one claim: for each pinned claim that has a sampling error a part of
            the file's, by its weight, and all of it for an exploratory claim, which pins nothing.
        """
        return self.alpha if claim.expected is None else self.level_of_each * claim.weight

    @functools.cached_property
    def pinned(self) -> int:
        """How many claims have a sampling error and an expected verdict."""
        return sum(c.takes_level for c in self.claim)

    @functools.cached_property
    def level_of_each(self) -> float:
        """Error level of each pinned claim that has a sampling error and a weight of 1."""
        return self.alpha / (math.fsum(c.weight for c in self.claim if c.takes_level) or 1)

    @property
    def level_in_words(self) -> str:
        """That level, such as ``"0.0001"`` or ``"0.0001 times its weight"``."""
        weighted = any(c.weight != 1 for c in self.claim)
        return f"{self.level_of_each:.2g}{' times its weight' if weighted else ''}"

    def get(self, claim_id: str) -> Claim:
        """Look up a claim by its id.

        Args:
            claim_id: The id.

        Returns:
            The claim.

        Raises:
            ActbenchError: No claim has that id; suggests the nearest.
        """
        for claim in self.claim:
            if claim.id == claim_id:
                return claim
        near = get_close_matches(claim_id.lower(), [c.id for c in self.claim], n=1, cutoff=0.5)
        hint = f"Did you mean {' or '.join(near)}? " if near else ""
        raise ActbenchError(
            f"no claim has the id {claim_id!r}. {hint}'actbench claims' lists all {len(self.claim)}"
        )
