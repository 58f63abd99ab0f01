"""Metrics: what number a claim is about, computed from a dataset, one value per seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from sys import modules
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from actbench.store import studies
from actbench.store.errors import ActbenchError, one_line
from actbench.store.terminal import docstring

if TYPE_CHECKING:
    import xarray as xr


Values: TypeAlias = NDArray[np.float64]
Metric: TypeAlias = Callable[..., Values]


def values(
    array: xr.DataArray, *, keep_shape: bool = False, diverged: float | None = None
) -> Values:
    """Return an array's numbers in float64, flat unless told otherwise.

    Whether a run that diverges ends in an overflow or in what is not a number is chance: where a
    metric says what divergence counts as, ``diverged`` stands for both.
    """
    numbers = array.to_numpy().astype(np.float64)
    if diverged is not None:
        numbers = np.where(np.isfinite(numbers), numbers, diverged)
    return numbers if keep_shape else np.atleast_1d(numbers).ravel()


def _found() -> Iterator[tuple[str, Metric, studies.Installed, tuple[str, ...]]]:
    for owner in studies.registered():
        for module, keys in owner.metrics():
            yield from ((function.__name__, function, owner, keys) for function in module.METRICS)


def _experiments() -> dict[str, tuple[str, ...]]:
    keys_of: dict[str, tuple[str, ...]] = {}
    for name, _, _, keys in _found():
        keys_of[name] = (*keys_of.get(name, ()), *keys)
    return keys_of


METRICS: Mapping[str, Metric] = studies.Lookup(
    lambda: studies.by_name("metric", (found[:3] for found in _found()))
)
"""The registry: metric name to the function that computes it, of every study that is installed."""

EXPERIMENTS_OF: Mapping[str, tuple[str, ...]] = studies.Lookup(_experiments)
"""Metric name to the experiments from whose datasets it is computed."""


def definition(name: str) -> str:
    """Return what a metric is, in one sentence."""
    return docstring(METRICS[name]).partition("\n")[0]


def rounding_ceiling(metric: Mapping[str, Any], settings: Mapping[str, Any]) -> float | None:
    """Return what a metric whose true value is zero stays below on every processor.

    Such a metric is rounding and nothing else: another order of summation gives another
    distribution, so its values are compared with this ceiling and never with each other.
    """
    function = METRICS.get(str(metric.get("name")))
    ask = getattr(modules[function.__module__], "rounding_ceiling", None) if function else None
    ceiling: float | None = ask(metric, settings) if ask else None
    return ceiling


def exact(dataset: xr.Dataset) -> Iterator[dict[str, Any]]:
    """List what is deterministic up to rounding in a dataset, as the study that made it says."""
    owner = studies.owner(dataset.attrs["experiment"])
    for module, _ in owner.metrics() if owner else ():
        ask = getattr(module, "exact_metrics", None)
        yield from ask(dataset) if ask else ()


def measure(metric: Mapping[str, Any], dataset: xr.Dataset) -> Values:
    """Compute a metric from a dataset: one value per seed, a single one where no seed enters."""
    arguments = {key: value for key, value in metric.items() if key != "name"}
    function = METRICS[str(metric["name"])]
    try:
        # Diverged members give infinities and NaN, which the judge counts as such.
        with np.errstate(all="ignore"):
            return np.atleast_1d(np.asarray(function(dataset, **arguments), dtype=np.float64))
    except ActbenchError:
        raise
    except Exception as error:  # a stranger's metric raises whatever it meets
        raise ActbenchError(
            f"metric {dict(metric)!r} can't be computed from the dataset of "
            f"{dataset.attrs.get('experiment', 'an unknown experiment')!r}: "
            f"{_reason(error, arguments, dataset)}"
        ) from error


def _reason(error: Exception, arguments: Mapping[str, Any], dataset: xr.Dataset) -> str:
    """What a dataset has in place of the coordinates that were asked for.

    xarray's own text would advise to take the nearest instead, which is another measurement.
    """
    if not isinstance(error, LookupError):
        return one_line(error)
    asked = {
        "activation" if key == "over" else key.removeprefix("over_"): value
        for key, value in arguments.items()
    }
    others = "; ".join(
        f"its {key} is {' or '.join(map(str, there))}"
        for key, value in asked.items()
        if key in dataset.coords and value not in (there := dataset[key].to_numpy().tolist())
    )
    return others or str(*error.args[:1]).split(". ", maxsplit=1)[0]
