"""Claims for tests, of which only the relation matters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from actbench.claims import Claim


def claim(relation: Mapping[str, Any], quantifier: str = "median", **more: Any) -> Claim:
    """A testable claim."""
    content = {"id": "a-claim", "statement": "Something holds.", "protocol": "stated", **more}
    return Claim.model_validate({**content, "relation": relation, "quantifier": quantifier})
