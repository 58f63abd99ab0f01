"""A fingerprint of a model or a function of one's own, to find the first layer that parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

from actbench.store import environment, stored
from actbench.store.errors import ActbenchError, require_schema
from actbench.store.files import read_json, write_json
from actbench.store.terminal import plural
from actbench.tracking import models
from actbench.tracking.drift.chains import StepDrift, compare_chain
from actbench.tracking.records import Chain, Step

__all__ = ["Fingerprint", "fingerprint"]

_KIND: Final = "actbench fingerprint"
_SCHEMA_VERSION: Final = 1
_AGAIN = "Make one with: actbench.fingerprint(model, inputs).save(path)"


class Fingerprint(BaseModel):
    """What a model or a function gave, step by step.

    Args:
        kind: Always ``"actbench fingerprint"``.
        schema_version: Of this file's shape.
        environment: Versions, processor and arithmetic mode, flat.
        chain: Name and dtype, and for each step its name, the count of its numbers, a digest of all
            their bits and 32 of them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    kind: Literal["actbench fingerprint"] = _KIND
    schema_version: int = _SCHEMA_VERSION
    environment: dict[str, str]
    chain: Chain

    @property
    def steps(self) -> list[Step]:
        """Its steps, in the order in which they were computed."""
        return self.chain.steps

    def __str__(self) -> str:
        ends = f"{self.steps[0].name} to {self.steps[-1].name}"
        return f"{self.chain.name}: {plural(len(self.steps), 'step')}, {ends}"

    def first_difference(self, other: Fingerprint) -> StepDrift | None:
        """Return the first step whose bits are others in another fingerprint of the same model.

        Args:
            other: Made elsewhere, or with another release, thread count or setting.

        Returns:
            The step: its ``name``, its largest distance in ``units`` in the last place of the
            chain's dtype and ``relative``, among the numbers that are kept; as text, all of it in
            words. ``None`` where every bit is the same.

        Raises:
            ActbenchError: Up to where they have the same steps no bit differs, but they go on with
                different ones: these are two models.
        """
        pairs = list(zip(self.steps, other.steps, strict=False))
        alike = next((i for i, (a, b) in enumerate(pairs) if a.name != b.name), len(pairs))
        shared = [
            chain.model_copy(update={"steps": chain.steps[:alike]})
            for chain in (self.chain, other.chain)
        ]
        found = compare_chain(*shared)
        if found.first is None and (alike < len(self.steps) or alike < len(other.steps)):
            here, there = (
                repr(one.steps[alike].name) if alike < len(one.steps) else "nothing"
                for one in (self, other)
            )
            raise ActbenchError(
                f"these are fingerprints of two models: step {alike + 1} is {here} in one and "
                f"{there} in the other; compare two of the same model"
            )
        return found.first

    def save(self, path: str | Path) -> None:
        """Write it as JSON, whole or not at all.

        Args:
            path: Where; its folder must exist.

        Raises:
            ActbenchError: The file can't be written; what was there is untouched.
        """
        write_json(Path(path), self.model_dump(mode="json"))

    @classmethod
    def load(cls, path: str | Path) -> Fingerprint:
        """Read one that was saved.

        Args:
            path: The file.

        Returns:
            The fingerprint.

        Raises:
            ActbenchError: The file is missing, no fingerprint, damaged, or of another schema.
        """
        content = read_json(Path(path), "the fingerprint", _AGAIN)
        if content.get("kind") != _KIND:
            raise ActbenchError(f"{path} is no fingerprint of actbench. {_AGAIN}")
        require_schema(path, content.get("schema_version"), _SCHEMA_VERSION, _AGAIN)
        return stored.validated(cls, content, Path(path), "the fingerprint", _AGAIN)


def fingerprint(model: Any, inputs: Any, name: str = "model") -> Fingerprint:
    """Take a fingerprint of a model or a function, from seed 42 and on one thread of torch.

    Of a ``torch.nn.Module``, in the mode that it is in: the output of each submodule, named as in
    ``named_modules``, in the order of the forward pass, then that of the whole, then the gradient
    of each parameter, the last first. Gradients are of the sum of all outputs, the i-th of them,
    from 0, times ``sqrt(i + 2) % 1 - 0.5``: a sum of squares would tell nothing of an output that
    is normalized. Of any other function: what it returns. Nothing of the caller's is changed:
    neither the model, its mode, gradients and buffers, nor the inputs, random streams and threads.

    Args:
        model: A module, or a function that returns a tensor, an array, a number, or a tuple or
            mapping of these.
        inputs: A tensor or an array; a tuple for several, a mapping for such that have names. A
            module is given arrays as tensors of its parameters' dtype and device.
        name: What to call it.

    Returns:
        The fingerprint; compare two with ``first_difference``.

    Raises:
        ActbenchError: It can't be called, or gives no numbers.
    """
    mode = {"arithmetic": environment.arithmetic()} if environment.arithmetic() else {}
    here = {**environment.versions(), "cpu": environment.cpu_model(), **mode}
    return Fingerprint(environment=here, chain=models.chain_of(model, inputs, name))
