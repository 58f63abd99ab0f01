"""Which version of a user's own code a run rests on, as part of its protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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

    Args:
        config: An experiment's configuration.

    Returns:
        ``own_code``: key to digest of its source; empty where only built-in ones are named, whose
        protocol stays what it was.
    """
    digests: dict[str, str] = {}
    for name, lookup in _LOOKUPS.items():
        keys = getattr(config, name, ())
        for key in (keys,) if isinstance(keys, str) else keys:
            source = lookup(key).source
            if source:
                digests[key] = source
    return {"own_code": digests} if digests else {}
