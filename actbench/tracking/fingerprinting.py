"""Fingerprints of somebody's own models and functions, to find the first layer that parts.

Loads no torch where theirs does not.
"""

from __future__ import annotations

import hashlib
import random
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from actbench.runs import functions, worker
from actbench.runs.functions import Children
from actbench.store import environment, stored, studies
from actbench.store.errors import ActbenchError, require_schema
from actbench.store.files import read_json, write_json
from actbench.store.studies import FIRST_SEED
from actbench.store.terminal import plural
from actbench.tracking.records import Chain, Dtype, Step

if TYPE_CHECKING:
    from torch import Tensor

    from actbench.claims import ClaimsFile
    from actbench.tracking.drift.chains import StepDrift

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
        from actbench.tracking.drift import chains  # brings scipy

        pairs = list(zip(self.steps, other.steps, strict=False))
        alike = next((i for i, (a, b) in enumerate(pairs) if a.name != b.name), len(pairs))
        shared = [
            one.chain.model_copy(update={"steps": one.steps[:alike]}) for one in (self, other)
        ]
        found = chains.compare_chain(*shared)
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
    return Fingerprint(environment=here, chain=_chain_of(model, inputs, name))


_KEPT_VALUES = 4

Numbers = NDArray[np.floating] | NDArray[np.integer]


def step(
    name: str, numbers: Tensor | Numbers, epoch: int | None = None, keep: int = _KEPT_VALUES
) -> Step:
    """Reduce numbers to a digest and a few of them."""
    array = numbers if isinstance(numbers, np.ndarray) else numbers.detach().cpu().numpy()
    flat = np.ascontiguousarray(array).ravel()
    little = flat.astype(flat.dtype.newbyteorder("<"), copy=False)
    places = range(0, len(flat), max(1, len(flat) // keep))
    kept = [float(flat[place]) for place in places][:keep]
    return Step(
        name=name,
        epoch=epoch,
        count=len(flat),
        digest=hashlib.sha256(little.tobytes()).hexdigest()[:16],
        values=[value if np.isfinite(value) else None for value in kept],
    )


_KEPT = 32
_HERE = "actbench.tracking.fingerprinting:write_chain"


def require_allowed(file: ClaimsFile, *, allow_code: bool) -> None:
    """Refuse to run the models that a file names, unless that was allowed."""
    for name, asked in file.fingerprint.items():
        if not allow_code:
            raise ActbenchError(
                f"{file.path}: fingerprint {name!r} runs code, function = {asked.function!r}. If "
                "you trust it, give --allow-code"
            )


def take(file: ClaimsFile, progress: Any = lambda done: None) -> tuple[list[Chain], list[str]]:
    """Take the fingerprints that a claims file names, each in a process of its own."""
    chains, notes, children = [], [], Children()
    base = Path() if file.path is None else file.path.parent.resolve()
    with tempfile.TemporaryDirectory() as folder:
        for name, asked in file.fingerprint.items():
            functions.check(asked.as_protocol())
            out = Path(folder) / f"{name}.json"
            given = {"function": asked.function, "settings": asked.settings}
            runs = asked.as_protocol(_HERE, {**given, "name": name, "out": str(out)})
            runner = functions.FunctionRunner(runs, base, Path(folder), children)
            try:
                run, _ = runner.run(FIRST_SEED)
            except BaseException:
                children.stop()
                raise
            finally:
                runner.close()
            if run.message:
                told = run.message.rpartition("ActbenchError: ")[2]  # without where it was raised
                notes.append(f"fingerprint {name}: {run.outcome}, {told}")
            else:
                chains.append(Chain.model_validate_json(out.read_bytes()))
            progress(1)
    return chains, notes


def write_chain(
    seed: int, function: str, settings: Mapping[str, Any], name: str, out: str
) -> dict[str, int]:
    """Call a user's function, and write the fingerprint of the model that it returns."""
    place = Path(function.rpartition(":")[0])
    if place.suffix == ".py":
        sys.path.insert(0, str(place.resolve().parent))
    try:
        made = worker.load(function, settings, Path())(seed=seed, **settings)
    except worker.SetupError as error:
        raise ActbenchError(str(error)) from error
    if not (isinstance(made, tuple) and len(made) == 2 and callable(made[0])):
        raise ActbenchError(
            f"{function} returned {type(made).__name__}, but must return two things: a module or a "
            "function, and its inputs"
        )
    chain = _chain_of(*made, name)
    write_json(Path(out), chain.model_dump(mode="json"))
    return {"steps": len(chain.steps)}


def _chain_of(thing: Any, inputs: Any, name: str) -> Chain:
    """Run a module or a function, and reduce all that it gives to digests and a few values."""
    if not callable(thing):
        raise ActbenchError(
            f"a fingerprint is of a torch.nn.Module or a function, but {_kind(thing)} was given"
        )
    noted = _Steps(name)
    by_place = inputs if isinstance(inputs, tuple) else () if _named(inputs) else (inputs,)
    by_name = inputs if _named(inputs) else {}
    torch = sys.modules.get("torch")
    with _seeded():
        if torch is not None and isinstance(thing, torch.nn.Module):
            studies.own_part("modules").look(thing, by_place, by_name, noted.add)
        else:
            named = {key: _copied(value) for key, value in by_name.items()}
            noted.add("output", thing(*map(_copied, by_place), **named))
    return Chain(engine="own", activation=None, dtype=noted.dtype, steps=noted.steps, model=name)


class _Steps:
    """Results as they come."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.steps: list[Step] = []
        self.dtype: Dtype = "float64"

    def add(self, name: str, value: Any) -> None:
        """Take down all numbers of a result."""
        before = len(self.steps)
        for label, array in _arrays(name, value):
            if array.size:
                if array.dtype.kind == "f" and array.dtype.itemsize < 8:
                    self.dtype = "float32"
                self.steps.append(step(label, array, keep=_KEPT))
        if name == "output" and len(self.steps) == before:
            raise ActbenchError(
                f"{self._name} gave {_kind(value)}, which holds no numbers; a tensor, an array, a "
                "number, or a tuple or mapping of these was expected"
            )


def _arrays(name: str, value: Any) -> Iterator[tuple[str, NDArray[Any]]]:
    """Find the arrays in a result, each with where it stands; what holds no number is left out."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _arrays(f"{name}.{key}", item)
    elif isinstance(value, list | tuple) and not _plain(value):
        for place, item in enumerate(value):
            yield from _arrays(f"{name}[{place}]", item)
    elif value is not None and not isinstance(value, str | bytes):
        array = _as_array(value)
        if array.dtype.kind == "c":
            array = np.ascontiguousarray(array).view(array.real.dtype)
        if array.dtype.kind == "f" and array.dtype.itemsize > 8:
            array = array.astype(np.float64)  # a longer one has bytes that mean nothing
        if array.dtype.kind in "biuf":
            yield name, array


def _plain(value: list[Any] | tuple[Any, ...]) -> bool:
    """Whether a list is of numbers only, and so one array."""
    return bool(value) and all(isinstance(item, int | float | complex) for item in value)


def _as_array(value: Any) -> NDArray[Any]:
    if hasattr(value, "detach"):
        tensor = value.detach().cpu()
        try:
            return np.asarray(tensor.resolve_conj().resolve_neg().numpy())
        except (TypeError, RuntimeError):  # bfloat16 and what is sparse or quantized have no array
            tensor = tensor.dequantize() if tensor.is_quantized else tensor
            return np.asarray(tensor.to_dense().float().numpy())
    return np.asarray(value)


def _named(inputs: Any) -> bool:
    return isinstance(inputs, Mapping) and all(isinstance(key, str) for key in inputs)


def _copied(value: Any) -> Any:
    """Hand over what the function may overwrite."""
    if hasattr(value, "detach"):
        return value.detach().clone().requires_grad_(value.requires_grad)
    return value.copy() if isinstance(value, np.ndarray) else value


def _kind(value: Any) -> str:
    return "None" if value is None else f"something of type {type(value).__name__}"


@contextmanager
def _seeded() -> Iterator[None]:
    """Draw from the first seed; the caller's streams go on where they were."""
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002 - a user's may draw from it
    random.seed(FIRST_SEED)
    np.random.seed(FIRST_SEED)  # noqa: NPY002
    try:
        if "torch" in sys.modules:
            with studies.own_part("modules").seeded():
                yield
        else:
            yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002
