"""Claims for tests: models, entries of a file and whole files, and judgments of a claim."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actbench.claims import Claim, Verdict
from actbench.claims.verdicts import Judgment

NOT_TESTABLE = {
    "id": "beauty",
    "source": "somewhere",
    "statement": "It is beautiful.",
    "expected": "not_testable",
    "because": "Beauty is not measured.",
}


def claim(relation: Mapping[str, Any], quantifier: str = "median", **more: Any) -> Claim:
    """A testable claim, of which only the relation matters."""
    content = {"id": "a-claim", "statement": "Something holds.", "protocol": "stated", **more}
    return Claim.model_validate({**content, "relation": relation, "quantifier": quantifier})


def entry(name: str = "a-claim", **more: Any) -> dict[str, Any]:
    """A testable claim about relu's final error, as it stands in a file."""
    return {
        "id": name,
        "source": f"a table, {name}",
        "statement": f"Of {name} something holds.",
        "protocol": "trained",
        "metric": {"name": "final_mse", "activation": "relu"},
        "relation": {"kind": "below", "value": 1.0, "reason": "It is low."},
        "expected": "reproduced",
        "because": f"So it is with {name}.",
        **more,
    }


def least(
    name: str,
    protocol: str,
    metric: Mapping[str, Any],
    kind: str,
    value: float,
    tolerance: float | None = None,
    **more: Any,
) -> dict[str, Any]:
    """A claim with no more than it needs, as it stands in a file."""
    within = {} if tolerance is None else {"tolerance": tolerance}
    return {
        "id": name,
        "statement": "It is so.",
        "protocol": protocol,
        "metric": metric,
        "relation": {"kind": kind, "value": value, **within},
        **more,
    }


def text_of(*claims: Mapping[str, Any], **protocols: Mapping[str, Any]) -> str:
    """A file of these claims with these protocols, as TOML."""
    return as_toml({"study": "A study", "protocol": protocols, "claim": claims})


def as_toml(content: Mapping[str, Any]) -> str:
    """What a claims file holds, as TOML."""
    tables = {
        **{f"[protocol.{name}]": [table] for name, table in content.get("protocol", {}).items()},
        "[[claim]]": content.get("claim", []),
    }
    lines = [f"{k} = {inline(v)}" for k, v in content.items() if k not in {"protocol", "claim"}]
    for heading, each in tables.items():
        for table in each:
            lines += [heading, *(f"{k} = {inline(v)}" for k, v in table.items())]
    return "\n".join([*lines, ""])


def inline(value: object) -> str:
    """A value as TOML spells it within one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k} = {inline(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(inline, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return repr(value)


def judgment(of: Claim, verdict: str, **more: Any) -> Judgment:
    """A judgment of a claim, with evidence."""
    evidence = {
        "measured": 0.5,
        "interval": (0.25, 0.75),
        "margin": 2.0,
        "seeds": 100,
        "seeds_needed": 9,
        "sentence": f"found for {of.id}",
        "to_flip": "a measurement that left (-infinity, 1]",
        **more,
    }
    return Judgment(of, Verdict(verdict), **evidence)
