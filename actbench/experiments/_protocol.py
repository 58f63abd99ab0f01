"""A protocol: every setting of a run, and which version of a user's own code it rests on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import Any

from actbench import activations, initializers, targets

_LOOKUPS: Mapping[str, Callable[[str], Any]] = {
    "activations": activations.get,
    "targets": targets.get,
    "initializer": initializers.get,
    "initializers": initializers.get,
}


def own_code(config: object) -> dict[str, dict[str, str]]:
    """State the code of one's own that a configuration names.

    Results of a file that was edited since are then results of another protocol.
    """
    digests: dict[str, str] = {}
    for name, lookup in _LOOKUPS.items():
        keys = getattr(config, name, ())
        for key in (keys,) if isinstance(keys, str) else keys:
            source = lookup(key).source
            if source:
                digests[key] = source
    return {"own_code": digests} if digests else {}


def protocol_of(
    config: Any, fixed: Mapping[str, Any], leave_out: Iterable[str] = ()
) -> dict[str, Any]:
    """List every setting of a configuration, with those that no argument changes."""
    given = {f.name: getattr(config, f.name) for f in fields(config) if f.name not in leave_out}
    listed = {k: list(v) if isinstance(v, tuple) else v for k, v in given.items()}
    return {**listed, **fixed, **own_code(config)}
