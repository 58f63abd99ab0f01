"""The labelled dataset of an experiment: its variables, and its file with a checksum beside it.

No torch here: figures, claims and reports read datasets without it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actbench.errors import ActbenchError, one_line, require_schema
from actbench.files import write_atomic

if TYPE_CHECKING:
    import xarray as xr

SCHEMA_VERSION = 1

DEFINITIONS: Mapping[str, tuple[str, str]] = {
    "loss": ("mean squared error on the noisy targets, before the update of that epoch", "1"),
    "final_mse": ("mean squared error on the noisy targets, after the last update", "1"),
    "final_mse_clean": ("mean squared error on the targets without noise, at the end", "1"),
    "gradient_magnitude": ("mean |d loss / d W| over one layer's weights, before the update", "1"),
    "gradient_ratio": ("gradient magnitude of the output layer over that of layer 1", "1"),
    "robust_gradient_magnitude": ("mean |d loss / d W| over one layer's weights", "1"),
    "error_signal": ("root of the mean over inputs and units of (d loss / d z)^2", "1"),
    "error_signal_rms": ("as error_signal, pooled over networks too", "1"),
    "deep_gradient_magnitude": ("as robust_gradient_magnitude, of the deep part", "1"),
    "deep_error_signal": ("as error_signal, of the deep part", "1"),
    "deep_preactivation_square": ("mean over inputs and units of z^2, of the deep part", "1"),
    "error_slope": ("growth of one network's error_signal per layer toward the output", "decade"),
    "epoch_duration_s": ("processor time of one epoch of a plain training loop", "s"),
    "epoch_cost": ("epoch_duration_s over that of ReLU in the same round", "1"),
    "plateau_gradient": ("gradient magnitude of layer 1 at the epoch that the protocol names", "1"),
    "adam_eps": ("what Adam adds to the root of its second moment", "1"),
    "weight_displacement": ("distance of a layer's weights from their start, over their norm", "1"),
    "value": ("the activation at z", "1"),
    "derivative": ("derivative of the activation at z", "1"),
    "backward_difference": ("(value at z - value at z - 1e-5) / 1e-5", "1"),
    "forward_difference": ("(value at z + 1e-5 - value at z) / 1e-5", "1"),
    "pre_activation_mean": ("mean over the inputs and units of a hidden layer, of z", "1"),
    "pre_activation_std": ("standard deviation over inputs and units, of z", "1"),
    "pre_activation_quantile": ("quantiles over inputs and units, of z", "1"),
    "activation_mean": ("mean over the inputs and units of a hidden layer, of its output", "1"),
    "activation_std": ("standard deviation over inputs and units, of a layer's output", "1"),
    "activation_quantile": ("quantiles over inputs and units, of a layer's output", "1"),
    "activation_rms": ("root mean square over inputs and units, of a layer's output", "1"),
    "zero_share": ("share of a hidden layer's outputs that are exactly zero", "1"),
    "near_zero_share": ("share of outputs whose absolute value is below epsilon", "1"),
    "dead_unit_share": ("share of units whose output is exactly zero on every input", "1"),
    "saturated_share": ("share of outputs where the derivative is nearly zero", "1"),
    "saturated_unit_share": ("share of units whose derivative is nearly zero everywhere", "1"),
    "trained": ("1 where a network was trained, 0 where it was looked at initially alone", "1"),
    "trained_mse": ("mean squared error on the noisy targets of a trained network", "1"),
    "learned_function": ("output of the network before the update of the recorded epoch", "1"),
    "prediction": ("output of the trained network", "1"),
    "hidden_activation": ("activations of the first seed's trained network", "1"),
    "diverged": ("first epoch with a non-finite loss, -1 if there is none", "epoch"),
    "outcome": ("what became of the training, by the rules in the protocol", "1"),
    "loss_peak": ("largest loss over the larger of first loss and best constant's error", "1"),
    "stability_border": ("largest learning rate that converges, 0 if none does", "1"),
    "learning_rate": ("Adam's step size", "1"),
    "skip": ("1 where hidden layers but the first add their input to their output", "1"),
    "width": ("units per hidden layer", "1"),
    "parameters": ("weights and biases of one network", "1"),
    "reference_prediction": ("a classical fit of the noisy targets", "1"),
    "reference_mse": ("mean squared error of the fit on the noisy targets", "1"),
    "reference_mse_clean": ("mean squared error of the fit on the targets without noise", "1"),
    "kernel_ridge_freedom": ("effective number of parameters of kernel_ridge", "1"),
    "target_noisy": ("what the networks were trained on", "1"),
    "target_clean": ("the function without noise", "1"),
    "layer": ("1 is nearest the input, the last is the output layer", "1"),
    "epoch": ("number of updates made before", "epoch"),
    "stage": ("where the networks start, or after the last update", "1"),
    "level": ("probability below the quantile", "1"),
    "recorded_epoch": ("number of updates made before what is recorded", "epoch"),
    "hidden_layer": ("1 is nearest the input", "1"),
    "x": ("input of the network", "rad"),
    "born_dead_share": ("share of networks with a layer, this or below, zero on every input", "1"),
    "dead_at_input_share": ("share of networks with such a layer on one input alone", "1"),
    "pre_activation_variance": ("variance of z, pooled over networks, inputs and units", "1"),
    "activation_variance": ("variance of a layer's outputs, pooled likewise", "1"),
    "input_variance": ("variance to which the inputs are scaled", "1"),
    "next_mean": ("mean of a unit's output, from the moments of what enters it", "1"),
    "next_variance": ("variance of a unit's output, likewise", "1"),
    "jacobian_norm": ("largest singular value of the map's derivative, one layer", "1"),
    "mean": ("mean of a layer's inputs", "1"),
    "variance": ("variance of a layer's inputs", "1"),
    "weight_sum": ("sum of a unit's weights", "1"),
    "weight_square": ("sum of the squares of a unit's weights", "1"),
}
"""Definition and unit of every variable and coordinate that needs one."""


def finish(
    dataset: xr.Dataset,
    experiment: str,
    protocol: Mapping[str, Any],
    environment: Mapping[str, Any],
) -> xr.Dataset:
    """Attach what makes a dataset readable on its own.

    Args:
        dataset: Variables with named dimensions.
        experiment: Key of the experiment, such as ``"sine-regression"``.
        protocol: Every setting that a number depends on.
        environment: What it was computed with.

    Returns:
        The same dataset, with definition and unit on each variable, and with the schema's
        version, the experiment, the protocol and the environment as attributes.
    """
    for name, (definition, unit) in DEFINITIONS.items():
        if name in dataset.variables:
            dataset[name].attrs.update(definition=definition, units=unit)
    dataset.attrs.update(
        schema_version=SCHEMA_VERSION,
        experiment=experiment,
        protocol=json.dumps(protocol, sort_keys=True),
        environment=json.dumps(environment, sort_keys=True),
    )
    return dataset


def join(parts: Sequence[xr.Dataset], dim: str) -> xr.Dataset:
    """Put parts of a dataset together along one of their dimensions.

    Args:
        parts: At least one, alike in all else; variables without the dimension are the first's.
        dim: The dimension.

    Returns:
        The whole, without the parts' attributes.
    """
    import xarray as xr  # half a second, for which judging stored values does not wait

    return xr.concat(
        parts,
        dim,
        data_vars="minimal",
        coords="minimal",
        compat="override",
        join="exact",
        combine_attrs="drop",
    )


def protocol_of(dataset: xr.Dataset) -> dict[str, Any]:
    """Return every setting that the numbers of a dataset depend on.

    Args:
        dataset: As ``finish`` left it.

    Returns:
        Setting names and values.
    """
    protocol: dict[str, Any] = json.loads(dataset.attrs["protocol"])
    return protocol


def environment_of(dataset: xr.Dataset) -> dict[str, Any]:
    """Return what a dataset was computed with.

    Args:
        dataset: As ``finish`` left it.

    Returns:
        As ``environment.describe`` gave it.
    """
    environment: dict[str, Any] = json.loads(dataset.attrs["environment"])
    return environment


def _checksum_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def save(dataset: xr.Dataset, path: Path) -> None:
    """Write a dataset as NetCDF 3, with its SHA-256 in a file beside it.

    NetCDF 3 holds these arrays without a further library, and equal datasets give equal bytes.

    Args:
        dataset: As ``finish`` left it.
        path: Where to write, ending in ``.nc``.

    Raises:
        ActbenchError: The file can't be written.
    """
    content = bytes(_ordered(dataset).to_netcdf(engine="scipy", format="NETCDF3_64BIT"))
    digest = hashlib.sha256(content).hexdigest()
    # A crash between the two leaves a mismatch, which load() reports: never a wrong pair taken
    # for a good one.
    write_atomic(path, content)
    write_atomic(_checksum_path(path), f"{digest}  {path.name}\n".encode())


def _ordered(dataset: xr.Dataset) -> xr.Dataset:
    import xarray as xr

    # The order of variables is no part of a dataset, but it is one of its file.
    variables, coords = (
        {name: part[name].variable for name in sorted(part, key=str)}
        for part in (dataset.data_vars, dataset.coords)
    )
    return xr.Dataset(variables, coords, dataset.attrs).drop_encoding()


def load(path: Path) -> xr.Dataset:
    """Read a dataset, refusing one that is damaged or of another schema.

    Args:
        path: As given to ``save``.

    Returns:
        The dataset, in memory.

    Raises:
        ActbenchError: The file or its checksum is missing, they disagree, or the schema's version
            is not this one's.
    """
    import xarray as xr

    try:
        content = path.read_bytes()
        expected = _checksum_path(path).read_text(encoding="utf-8").split()[0]
    except (OSError, IndexError) as error:
        raise ActbenchError(
            f"can't read {path} with its checksum {_checksum_path(path).name}: {error}. "
            "Run the experiment again"
        ) from error
    if hashlib.sha256(content).hexdigest() != expected:
        raise ActbenchError(
            f"{path} is damaged: its SHA-256 is not the one in {_checksum_path(path).name}. "
            "Delete both and run the experiment again"
        )
    again = "Run the experiment again with --overwrite"
    try:
        dataset = xr.load_dataset(content, engine="scipy")
    except Exception as error:  # the reader raises whatever it meets
        raise ActbenchError(f"{path} is no NetCDF file ({one_line(error)}). {again}") from error
    require_schema(path, dataset.attrs.get("schema_version", 0), SCHEMA_VERSION, again)
    try:
        whole = isinstance(protocol_of(dataset), dict) and isinstance(environment_of(dataset), dict)
    except (KeyError, TypeError, ValueError, RecursionError):
        whole = False
    if not whole:
        raise ActbenchError(f"{path} does not say by which protocol it was made. {again}")
    return dataset
