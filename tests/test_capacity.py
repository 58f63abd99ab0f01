"""What networks were taught: closed forms, classical fits, and that each cell is where it says."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr
from scipy.interpolate import RBFInterpolator

from actbench.study.catalog import activations
from actbench.study.catalog.targets import TARGETS, noisy
from actbench.study.experiments.capacity import (
    REFERENCES,
    Config,
    KernelRidge,
    fit_all,
    left_out_errors,
    run,
)
from actbench.study.experiments.capacity.findings import findings

pytestmark = pytest.mark.usefixtures("one_thread")
Array = npt.NDArray[np.float64]
TINY = Config(
    activations=("tanh", "relu"),
    targets=("step", "sine"),
    depths=(3, 2),
    widths=(8, 12),
    seeds=(43, 42),
    epochs=7,
    points=16,
    device="cpu",
    threads=1,
)
BY_MEMBER = ("activation", "target", "depth", "seed")
X = np.linspace(-math.pi, math.pi, 60)


@pytest.fixture(scope="module")
def tiny() -> xr.Dataset:
    """A short run of every kind of cell."""
    return run(TINY)


@pytest.fixture(scope="module")
def ridge() -> KernelRidge:
    """Kernel ridge regression on the points ``X``."""
    return KernelRidge(X)


def best_line_mse(x: Array, y: Array) -> float:
    """Variance times 1 - r^2, the identity of least squares."""
    return float(np.var(y) * (1 - np.corrcoef(x, y)[0, 1] ** 2))


def test_a_linear_network_attains_the_best_line_of_every_target() -> None:
    """Whatever its depth and the target, its loss is the closed form."""
    config = Config(
        activations="linear",
        depths=(1, 3),
        widths=(16, 8),
        seeds=1,
        epochs=150,
        learning_rate=0.03,
        points=24,
        device="cpu",
        threads=1,
    )
    dataset = run(config)
    for key in TARGETS:
        target = noisy(key, 24)
        expected = best_line_mse(target.x, target.noisy)
        found = dataset["final_mse"].sel(activation="linear", target=key)
        np.testing.assert_allclose(found, expected, rtol=1e-5)
        floor = dataset["reference_mse"].sel(target=key, reference="best_line").item()
        assert floor == pytest.approx(expected, rel=1e-10)
        # No line is below the floor by more than float32 rounding.
        assert (found > expected * (1 - 1e-6)).all()


def test_both_shapes_of_the_defaults_have_the_studys_parameter_count() -> None:
    """A layer of w units has w (w + 1) weights and biases, the first 2 w, the output w + 1."""
    config = Config()
    for depth, width in zip(config.depths, config.widths, strict=True):
        expected = 2 * width + (depth - 1) * width * (width + 1) + width + 1
        assert expected == 37_633
        assert config.architecture("relu", depth).parameter_count == expected
    formulas = config.protocol()["formulas"]
    assert (formulas["step"], formulas["sine"]) == ("-1 if x < 0 else 1", "sin(x)")
    assert config.activations == tuple(activations.ACTIVATIONS)
    assert config.targets == tuple(TARGETS)
    assert (config.epochs, config.learning_rate, config.points) == (500, 1e-3, 200)


def test_every_target_is_learned_from_its_own_points() -> None:
    """After enough training each function is nearer to its own target than to any other."""
    config = Config(
        activations="tanh",
        depths=(2,),
        widths=(32,),
        seeds=1,
        epochs=150,
        learning_rate=0.01,
        points=40,
        noise_std=0.0,
        device="cpu",
        threads=1,
    )
    dataset = run(config)
    learned = dataset["prediction"].squeeze().transpose("target", "x").to_numpy()
    clean = dataset["target_clean"].to_numpy()
    distance = np.mean(np.square(learned[:, None] - clean[None]), axis=-1)
    assert distance.argmin(axis=1).tolist() == list(range(len(TARGETS)))


@pytest.mark.parametrize("key", TINY.targets)
def test_errors_follow_from_predictions_and_targets(tiny: xr.Dataset, key: str) -> None:
    """Both errors are recomputed from the formula and the study's noise."""
    x = np.linspace(-math.pi, math.pi, 16)
    clean = {"sine": np.sin(x), "step": np.sign(x)}[key]
    noise = np.random.RandomState(42).normal(0, 0.1, 16)
    prediction = tiny["prediction"].sel(target=key).astype(np.float64)
    for variable, goal in (("final_mse", clean + noise), ("final_mse_clean", clean)):
        expected = np.square(prediction.to_numpy() - goal).mean(-1)
        np.testing.assert_allclose(tiny[variable].sel(target=key), expected, rtol=1e-10)
    np.testing.assert_array_equal(tiny["target_clean"].sel(target=key), clean)


def test_references_are_fits_of_the_noisy_points(tiny: xr.Dataset) -> None:
    """None has seen the clean target, and each is what it says."""
    x, y = tiny["x"].to_numpy(), tiny["target_noisy"].sel(target="step").to_numpy()
    fits, freedom = fit_all(x, y, KernelRidge(x))
    assert list(fits) == list(REFERENCES) == tiny["reference"].to_numpy().tolist()
    stored = tiny["reference_prediction"].sel(target="step")
    for key, fit in fits.items():
        np.testing.assert_allclose(stored.sel(reference=key), fit, rtol=1e-12)
    assert tiny["kernel_ridge_freedom"].sel(target="step").item() == pytest.approx(freedom)
    np.testing.assert_allclose(fits["best_constant"], math.fsum(y) / 16)
    error = np.mean(np.square(fits["best_line"] - y))
    assert error == pytest.approx(best_line_mse(x, y), rel=1e-10)


def test_the_spline_gives_a_line_back_exactly(ridge: KernelRidge) -> None:
    """A line has no curvature, so no penalty moves it."""
    fits, _ = fit_all(X, 0.5 - 2 * X, ridge)
    np.testing.assert_allclose(fits["smoothing_spline"], 0.5 - 2 * X, atol=1e-7)
    np.testing.assert_allclose(fits["best_line"], 0.5 - 2 * X, atol=1e-12)


def test_the_spline_gives_a_cubic_polynomial_back(ridge: KernelRidge) -> None:
    """Without noise cross-validation finds next to no penalty to be best."""
    target = noisy("polynomial", 60, noise_std=0)
    fits, _ = fit_all(target.x, target.noisy, ridge)
    # A natural spline is straight at its ends, a cubic is not: that is all that is left.
    np.testing.assert_allclose(fits["smoothing_spline"], target.clean, atol=5e-3)
    np.testing.assert_allclose(fits["smoothing_spline"][10:-10], target.clean[10:-10], atol=1e-5)


def test_errors_of_points_left_out_are_those_of_fits_without_them() -> None:
    """The shortcut agrees with fitting every other point anew."""
    x, y = X[::4], np.sin(X[::4]) + np.cos(5 * X[::4])

    def fit(points: Array, values: Array, at: Array) -> Array:
        smoother = RBFInterpolator(
            points[:, None], values, kernel="gaussian", epsilon=0.7, smoothing=0.2
        )
        fitted: Array = smoother(at[:, None])
        return fitted

    matrix = fit(x, np.eye(len(x)), x)
    expected = [
        y[n] - fit(np.delete(x, n), np.delete(y, n), x[n : n + 1])[0] for n in range(len(x))
    ]
    np.testing.assert_allclose(left_out_errors(matrix, y), expected, rtol=1e-8)


def test_kernel_ridge_regression_leaves_the_error_its_freedom_predicts(ridge: KernelRidge) -> None:
    """Fitting d effective parameters to n points leaves noise variance x d / n of clean error."""
    ratios = []
    for seed in range(20):
        target = noisy("sine", 60, noise_seed=seed)
        fit, freedom = ridge.fit(target.noisy)
        assert 2 < freedom < 30
        ratios.append(np.mean(np.square(fit - target.clean)) / (0.01 * freedom / 60))
    assert 0.5 < np.median(ratios) < 2


def test_effective_parameters_are_the_fits_sensitivity_to_its_points(ridge: KernelRidge) -> None:
    """Raising each point a little raises the fit there by shares that add up to them."""
    y = noisy("sine", 60).noisy
    fit, freedom = ridge.fit(y)
    raised = [ridge.fit(y + 1e-9 * unit)[0][n] - fit[n] for n, unit in enumerate(np.eye(60))]
    assert sum(raised) / 1e-9 == pytest.approx(freedom, rel=1e-4)


def test_a_step_takes_narrower_kernels_than_a_sine(ridge: KernelRidge) -> None:
    """Cross-validation finds how smooth the points are: a step needs many times the parameters."""
    smooth, rough = (ridge.fit(noisy(key, 60).noisy)[1] for key in ("sine", "step"))
    assert rough > 3 * smooth


def test_pure_noise_is_hardly_fitted(ridge: KernelRidge) -> None:
    """Where there is nothing to learn, leaving points out chooses a fit that is mostly flat."""
    fitted = []
    for seed in range(20):
        noise = np.random.RandomState(seed).normal(0, 1, 60)
        fitted.append(np.var(ridge.fit(noise)[0]) / np.var(noise))
    assert np.median(fitted) < 0.2


def test_a_diverged_network_is_recorded(tiny: xr.Dataset) -> None:
    """A learning rate beyond all measure leaves the first epoch that is not finite."""
    config = dataclasses.replace(TINY, activations="relu", learning_rate=1e30)
    dataset = run(config)
    assert (dataset["diverged"] == 1).all()
    assert not np.isfinite(dataset["final_mse"]).any()
    assert (tiny["diverged"] == -1).all()


def test_the_fewest_points_are_enough() -> None:
    """With as few points as are allowed, every part of the run still works."""
    config = dataclasses.replace(TINY, points=5, epochs=1, activations="relu", targets="chirp")
    dataset = run(config)
    assert np.isfinite(dataset["reference_mse"]).all()
    assert 1 <= dataset["kernel_ridge_freedom"].item() <= 5


def made() -> xr.Dataset:
    """Two activations on two targets at two depths, with errors chosen by hand."""
    x = np.linspace(-1, 1, 50)
    clean = np.stack([np.where(x < 0, -1.0, 1.0), np.where(x < 0, 1.0, -1.0)])  # variance 1
    # activation x target x depth, one seed
    errors = np.array([[[0.5, 0.5], [0.5, 0.5]], [[0.02, 0.002], [0.2, 0.96]]])[..., None]
    return xr.Dataset(
        {
            "final_mse": (BY_MEMBER, np.where(errors == 0.5, 0.6, errors)),
            "final_mse_clean": (BY_MEMBER, errors),
            "target_clean": (("target", "x"), clean),
            "reference_mse": (("reference", "target"), np.full((4, 2), 0.6)),
            "reference_mse_clean": (
                ("reference", "target"),
                np.array([[1, 1], [0.5, 0.5], [0.01, 0.3], [0.02, 0.1]]),
            ),
            "kernel_ridge_freedom": ("target", [3.2, 7.9]),
            "width": ("depth", [192, 64]),
            "parameters": ("depth", [37_633, 37_633]),
        },
        coords={
            "activation": ["linear", "relu"],
            "target": ["step", "sine"],
            "depth": [2, 10],
            "seed": [42],
            "reference": list(REFERENCES),
        },
    )


def test_findings_are_computed_from_the_errors() -> None:
    """What was learned, what depth changes, what classical fits reach, and what nobody learned."""
    text = " ".join(findings(made()))
    assert "2 x 192: Linear 0 and ReLU 0; 10 x 64: Linear 0 and ReLU 1." in text
    assert (
        "with 10 hidden layers than with 2 (37,633 parameters in both): step 1 and sine 0" in text
    )
    assert "this many of 4 kinds of network: step 1 and sine 0." in text
    assert "uses 3 to 8 effective parameters" in text
    assert "37,633 are far more than 50 points can fix" in text
    assert "end on the best line of every target" in text
    assert "ReLU 10 x 64 on sine." in text


def test_findings_do_not_say_what_is_not_so() -> None:
    """A linear network off its line and networks that learned are not spoken of."""
    ds = made()
    ds["final_mse"][0, 0, 0] = 0.7
    ds["final_mse_clean"][1] = 0.001
    text = " ".join(findings(ds))
    assert "best line" not in text
    assert "no better than a constant" not in text
    ds["final_mse"][0, 0, 0] = math.nan
    assert "best line" not in " ".join(findings(ds))


def test_findings_of_the_smallest_run() -> None:
    """One of everything has findings too."""
    small = made().isel(activation=[0], target=[1], depth=[1])
    assert "10 x 64: Linear 0." in findings(small)[0]
