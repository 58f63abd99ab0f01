"""What was found in the experiment ``sine-regression``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from actbench.claims import Claim, final_loss_claims, published
from actbench.claims.statistics import quantiles
from actbench.pages.wording import by_activation, listed, name, number
from actbench.store.datasets import protocol_of
from actbench.store.terminal import plural
from actbench.study.experiments._losses import medians, noise_of
from actbench.study.experiments.sine_regression.metrics import (
    escape_epoch,
    training_gradient_share,
    weight_displacement,
)

if TYPE_CHECKING:
    import xarray as xr

_STATED = {
    "epochs": 500,
    "learning_rate": 1e-3,
    "depth": 10,
    "width": 64,
    "points": 200,
    "noise_std": 0.1,
}
"""What the study says of its protocol."""
_AS_RUN = {
    "depth": 11,
    "random_state": "set to the member's seed once, then running on through linear, sigmoid, relu, "
    "leaky_relu, gelu",
}
"""In what the network that it ran differs from that."""
_LONG_PLATEAU = 50  # epochs; the networks that fit the sine leave it within about 30


def findings(ds: xr.Dataset) -> list[str]:
    """Say which networks fit the sine, which do not, and what their gradients did."""
    return [
        *_fits(ds),
        *_misfits(ds),
        *_plateaus(ds),
        *_gradients(ds),
        *against_published(ds, final_loss_claims(published(), protocol_of_run(ds))),
    ]


def _fits(ds: xr.Dataset) -> list[str]:
    noise = noise_of(ds)
    good = {key: mse for key, mse in medians(ds["final_mse"]).items() if mse < noise}
    seeds = plural(ds.sizes["seed"], "seed")
    if not good:
        return [f"No activation's median over {seeds} falls below the noise, {number(noise)}."]
    clean = {key: mse for key, mse in medians(ds["final_mse_clean"]).items() if key in good}
    best, worst = min(clean, key=clean.__getitem__), max(clean, key=clean.__getitem__)
    away = f"{name(best)} is {100 * clean[best] ** 0.5:.1f} % of the amplitude away"
    if best != worst:
        away += f", {name(worst)} {100 * clean[worst] ** 0.5:.1f} %"
    return [
        f"Median mean squared error over {seeds}: {by_activation(good)}. The noise alone is "
        f"{number(noise)}, so {'these networks have' if len(good) > 1 else 'this network has'} "
        "fitted some of it.",
        f"None of them is the sine exactly: against the targets without noise {away} (root mean "
        "square).",
    ]


def _misfits(ds: xr.Dataset) -> list[str]:
    noise = noise_of(ds)
    bad = {key: mse for key, mse in medians(ds["final_mse"]).items() if mse >= noise}
    if not bad:
        return []
    x, y = (ds[variable].to_numpy().astype(np.float64) for variable in ("x", "target_noisy"))
    line = np.mean(np.square(y - np.polynomial.Polynomial.fit(x, y, 1)(x)))
    return [
        f"Above the noise {'remain' if len(bad) > 1 else 'remains'} {by_activation(bad)}; for "
        f"comparison, the best straight line has {number(float(line))} and the best constant "
        f"{number(float(np.var(y)))}."
    ]


def _plateaus(ds: xr.Dataset) -> list[str]:
    sentences = []
    for key in ds["activation"].to_numpy():
        epochs = escape_epoch(ds, str(key))
        left = epochs[np.isfinite(epochs)]
        if np.median(epochs) <= _LONG_PLATEAU:
            continue
        start = f"{name(key)} networks begin with a long plateau, where all they give is the mean"
        if not left.size:
            sentences.append(f"{start}; none of {len(epochs)} leaves it.")
        else:
            who = "all" if left.size == epochs.size else str(left.size)
            sentences.append(
                f"{start}; {who} of {len(epochs)} leave it, at epochs {left.min():.0f} to "
                f"{left.max():.0f} of {ds.sizes['epoch']}."
            )
    return sentences


def _gradients(ds: xr.Dataset) -> list[str]:
    keys = [str(key) for key in ds["activation"].to_numpy()]
    with np.errstate(all="ignore"):
        share = {k: float(np.median(training_gradient_share(ds, k, 1))) for k in keys}
        moved = {k: float(np.median(weight_displacement(ds, k, 1))) for k in keys}
    usable = [k for k in keys if np.isfinite(share[k]) and np.isfinite(moved[k])]
    if len(usable) < 2:
        return []
    least = min(usable, key=share.__getitem__)
    rest = {k: share[k] for k in usable if k != least}
    return [
        "Before the first update, layer 1 has this share of the output layer's gradient "
        f"magnitude: {by_activation(rest)}, but {name(least)} {number(share[least])}.",
        "Small gradients do not mean still weights, as Adam divides each by its own size: over "
        f"the training layer 1 moved by {_moves(moved, usable)} of its initial norm.",
    ]


def _moves(moved: dict[str, float], keys: list[str]) -> str:
    return listed(f"{100 * moved[key]:.2g} % ({name(key)})" for key in keys)


def against_published(dataset: xr.Dataset, claims: Mapping[str, Claim] | None) -> list[str]:
    """Say in words what does not reproduce and which members diverged."""
    known = claims or {}
    sentences = []
    if (other := other_than_stated(dataset)) and claims is not None:
        sentences.append(
            f"Other settings than the study's ({other}), so what it published is not compared."
        )
    for key in dataset["activation"].to_numpy() if not other else ():
        values = dataset["final_mse"].sel(activation=key).to_numpy()
        claim, median = known.get(str(key)), quantiles(values)[1]
        if claim is not None and claim.published_value and not _holds(claim, median):
            near = sum(_holds(claim, float(value)) for value in values)
            sentences.append(
                f"{key}: the published {claim.published_value:.5g} does not reproduce; the median "
                f"is {median:.4g}, and {near} of {len(values)} seeds end near the published value."
            )
    for key in dataset["activation"].to_numpy():
        epochs = dataset["diverged"].sel(activation=key).to_numpy()
        if (epochs >= 0).any():
            sentences.append(
                f"{key}: {(epochs >= 0).sum()} of {len(epochs)} seeds diverged, the first at "
                f"epoch {epochs[epochs >= 0].min()}."
            )
    return sentences


def protocol_of_run(dataset: xr.Dataset) -> str:
    """Name the protocol that a run's losses are compared under."""
    protocol = protocol_of(dataset)
    same = all(protocol.get(name) == value for name, value in _AS_RUN.items())
    return "as-run" if same else "stated"


def other_than_stated(dataset: xr.Dataset) -> str:
    """List the settings in which a run differs from what the study states, and from what it ran."""
    protocol = protocol_of(dataset)
    study = {**_STATED, **(_AS_RUN if protocol_of_run(dataset) == "as-run" else {})}
    return listed(
        f"{name} {protocol[name]} instead of {value}"
        for name, value in study.items()
        if protocol.get(name, value) != value
    )


def _holds(claim: Claim, value: float) -> bool:
    return claim.relation is not None and claim.relation.contains(value)
