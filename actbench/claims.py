"""Claims as data: what the study states, read from ``baselines/published.toml``."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from actbench.errors import ActbenchError


class Claim(BaseModel):
    """One documented claim.

    Args:
        id: Stable name, a short sentence in kebab case.
        source: Where in the study it is stated.
        statement: What it says, in our words.
        experiment: Key of the experiment that can decide it.
        metric: Variable of the experiment's dataset.
        activation: Key of the activation that it is about.
        published: The study's value.
        tolerance: Largest relative distance from the published value that still counts as the
            same result.
        tolerance_reason: Why that much and not less.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    source: str = Field(min_length=1)
    statement: str = Field(min_length=1)
    experiment: str
    metric: str
    activation: str
    published: float = Field(allow_inf_nan=False)
    tolerance: float = Field(gt=0, allow_inf_nan=False)
    tolerance_reason: str = Field(min_length=1)

    def holds_for(self, value: float) -> bool:
        """Tell whether a measured value is the published one, within the tolerance.

        Args:
            value: The measured value; one that is not finite never is.

        Returns:
            Whether ``|value - published| <= tolerance x |published|``.
        """
        return abs(value - self.published) <= self.tolerance * abs(self.published)


def baselines_folder() -> Path:
    """Return the folder of stored baselines, in a wheel or in a clone.

    Returns:
        ``actbench/baselines`` where it was installed with the package, else the clone's.
    """
    installed = Path(str(files("actbench"))) / "baselines"
    return installed if installed.is_dir() else installed.parents[1] / "baselines"


def load(path: Path) -> list[Claim]:
    """Read and validate a file of claims.

    Args:
        path: A TOML file with an array of tables ``[[claim]]``.

    Returns:
        The claims in the file's order.

    Raises:
        ActbenchError: The file can't be read, or a claim is wrong; names file, claim and field.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8")).get("claim")
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ActbenchError(f"can't read the claims in {path}: {error}") from error
    if not (isinstance(tables, list) and tables and all(isinstance(t, dict) for t in tables)):
        raise ActbenchError(f"{path} holds no claims; each is a table that begins with [[claim]]")
    claims: list[Claim] = []
    for number, table in enumerate(tables, 1):
        name = table.get("id", f"number {number}")
        try:
            claim = Claim.model_validate(table, strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"]) or "claim"
            raise ActbenchError(
                f"{path}: claim {name!r}, field {field!r}: {first['msg']}"
            ) from error
        if claim.id in {other.id for other in claims}:
            raise ActbenchError(f"{path}: claim {name!r}, field 'id': stands there twice")
        claims.append(claim)
    return claims


def published() -> list[Claim]:
    """Return the study's claims, as shipped with the package.

    Returns:
        The claims of ``baselines/published.toml``.
    """
    return load(baselines_folder() / "published.toml")
