"""A file of claims as data: its protocols, its error level shared out, its mistakes told."""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from actbench.claims.claim import FROZEN, Claim, Flag, Name, Number, Relation, Whole
from actbench.store import stored
from actbench.store.errors import ActbenchError
from actbench.store.studies import shipped

_Files: TypeAlias = Annotated[
    tuple[str, ...],
    BeforeValidator(lambda given: (given,) if isinstance(given, str) else given),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]

_SOURCES = ("experiment", "table", "function", "command")
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

    model_config = FROZEN

    experiment: str = ""
    table: _Files = ()
    seed: str = ""
    function: str = ""
    command: str = ""
    result: str = ""
    inputs: tuple[str, ...] = ()
    timeout_s: Number | None = Field(default=None, gt=0, allow_inf_nan=False)
    settings: dict[str, Any] = Field(default_factory=dict)
    seeds: Whole | None = Field(default=None, ge=1)
    slow: Flag = False
    as_run: Flag = False

    @property
    def source(self) -> str:
        """Which of ``_SOURCES`` it names."""
        return next(name for name in _SOURCES if getattr(self, name))

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
        named = [name for name in _SOURCES if getattr(self, name)]
        if len(named) != 1:
            given = " and ".join(named) or "none"
            raise ValueError(f"a protocol names one of {', '.join(_SOURCES)}; this names {given}")
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

    model_config = FROZEN

    function: str = Field(min_length=1)
    settings: dict[str, Any] = Field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    timeout_s: Number | None = Field(default=None, gt=0, allow_inf_nan=False)

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


class ClaimsFile(BaseModel):
    """A file of claims with the protocols they name.

    Args:
        study: What the claims are about.
        alpha: Error level of the whole file.
        protocol: Protocols by name.
        claim: The claims, in the order in which to report them.
        fingerprint: Models and functions by name, whose numbers a record takes down.
    """

    model_config = FROZEN

    study: str = Field(min_length=1)
    alpha: Number = Field(default=0.01, gt=0, lt=1)
    protocol: dict[str, Protocol]
    claim: tuple[Claim, ...] = Field(min_length=1)
    fingerprint: dict[Name, OwnModel] = Field(default_factory=dict)

    _path: Path | None = PrivateAttr(default=None)

    @property
    def path(self) -> Path | None:
        """Where the file was read from; none for claims that were not read from a file."""
        return self._path

    @functools.cached_property
    def of_the_study(self) -> bool:
        """Whether these are the claims that the package is about, and not another file's."""
        path, claims = self._path, shipped().claims
        return path is None or (claims is not None and path.resolve() == claims.resolve())

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


_MODELS: Mapping[str, type[BaseModel]] = {
    "claim": Claim,
    "protocol": Protocol,
    "relation": Relation,
    "direction": Relation,
}

_WANTED = {
    "string_pattern_mismatch": "small letters and digits, with single hyphens between them",
    "tuple_type": "tables [[claim]], with two brackets",
    "too_short": "one table [[claim]] at least",
}


def first_problem(error: ValidationError, content: Mapping[str, Any]) -> str:
    """Name what is wrong in a claims file in plain words."""
    first = stored.first(error)
    place, loc, model = _place(list(first["loc"]), content)
    if first["type"] == "extra_forbidden":
        for table in map(str, loc[:-1]):
            place, model = f"{place}{table}, ", _MODELS[table]
        loc = loc[-1:]
    return stored.in_words(first, place, loc, model.model_fields, _WANTED)


def _place(
    loc: list[int | str], content: Mapping[str, Any]
) -> tuple[str, list[int | str], type[BaseModel]]:
    """Which claim or protocol, the rest of the way to the field, and the model it belongs to."""
    if len(loc) > 1 and loc[0] == "claim" and isinstance(loc[1], int):
        table = content["claim"][loc[1]]
        named = table.get("id") if isinstance(table, dict) else None
        return f"claim {named or f'number {loc[1] + 1}'!r}, ", loc[2:], Claim
    if len(loc) > 1 and loc[0] == "protocol":
        return f"protocol {loc[1]!r}, ", loc[2:], Protocol
    return "", loc, ClaimsFile
