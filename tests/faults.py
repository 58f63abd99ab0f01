"""Faults that a bad release of torch might bring, planted where they would really sit.

Kernels are replaced in torch's dispatcher, in all their variants at once, so that no route of
Python leads around the fault; initializers, optimizers and seeding, which torch writes in Python,
are replaced there. ``python tests/faults.py`` plants them one by one and writes
``docs/planted_faults.md``: which fault was caught by which check.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn

from actbench import claims
from actbench.claims import Claim, measured
from actbench.claims.measured import Difference, Measured
from actbench.claims.verdicts import Judgment
from actbench.runs import evidence
from actbench.store import datasets
from actbench.study.catalog import activations, initializers
from actbench.study.catalog.targets import noisy_sine
from actbench.study.experiments import activation_derivatives, gradient_flow, sine_regression
from actbench.study.nets import devices
from actbench.study.nets.networks import Architecture
from actbench.study.nets.training import Member, Schedule, train_reference

TABLE = Path(__file__).parents[1] / "docs" / "planted_faults.md"

STUDY = sine_regression.STUDY_ACTIVATIONS
EVERY = tuple(activations.ACTIVATIONS)

_EPOCHS = 11
# A claim about a median needs 14 seeds at the file's error level.
_BY_SEEDS = gradient_flow.Config(
    activations=("sigmoid", "relu"),
    depths=(1,),
    seeds=16,
    initializers=("torch_default", "xavier_uniform"),
    deep_depth=0,
    spread_widths=(),
    threads=1,
)

# A loss after more epochs than are run here.
_LATER = ("loss_of_seed",)

# ``torch.optim`` removes the name of this module from its own.
_ADAM_MODULE = import_module("torch.optim.adam")

Kernel = Callable[..., Tensor]
Plant = Callable[[], AbstractContextManager[None]]


@dataclass(frozen=True)
class Fault:
    """One fault and what a report on it must name.

    Args:
        name: What it is called in tests and in the table.
        happens: What the bad release does.
        sits_in: The kernel or function that is replaced.
        plant: Returns a context in which the fault is there.
        moves: The activations that a report may name.
        metric: The metric that it must name.
    """

    name: str
    happens: str
    sits_in: str
    plant: Plant
    moves: tuple[str, ...]
    metric: str


def _variants(name: str) -> Iterator[tuple[str, Any]]:
    """List the functional, ``out`` and in-place forms of an operator that the CPU has."""
    for spelling in (name, f"{name}_"):
        packet = getattr(torch.ops.aten, spelling, None)
        for overload in packet.overloads() if packet is not None else ():
            operator = getattr(packet, overload)
            full_name = operator.name()
            # TorchScript's own overloads are not in the dispatcher.
            if torch._C._dispatch_has_kernel(
                full_name
            ) and torch._C._dispatch_has_kernel_for_dispatch_key(full_name, "CPU"):
                yield full_name.removeprefix("aten::"), operator._schema


def _in_variant(schema: Any, kernel: Kernel) -> Callable[..., Tensor]:
    """Give a function that returns a new tensor the calling convention of a schema."""
    written = [a for a in schema.arguments if a.alias_info is not None and a.alias_info.is_write]
    if not written:
        return kernel
    (target,) = written

    def run(*args: Any, **kwargs: Any) -> Tensor:
        if target.kwarg_only:
            out: Tensor = kwargs.pop(target.name)
            return out.copy_(kernel(*args, **kwargs))
        first: Tensor = args[0]
        return first.copy_(kernel(*args, **kwargs))

    return run


@contextmanager
def _registered(implementations: Mapping[str, Callable[..., Any]]) -> Iterator[None]:
    library = torch.library.Library("aten", "IMPL")  # type: ignore[no-untyped-call]
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"(?s).*Overriding a previously registered kernel")
            for name, function in implementations.items():
                library.impl(name, function, "CPU")  # type: ignore[no-untyped-call]
        yield
    finally:
        library._destroy()  # type: ignore[no-untyped-call]


def _kernels(**kernels: Kernel) -> Plant:
    """Replace CPU kernels, each in all its variants, by functions that return a new tensor."""
    return lambda: _registered(
        {
            variant: _in_variant(schema, kernel)
            for name, kernel in kernels.items()
            for variant, schema in _variants(name)
        }
    )


def _in_place(**functions: Callable[..., Any]) -> Plant:
    """Replace CPU kernels that have one variant, the in-place one, by functions that work so."""
    return lambda: _registered(functions)


def _replaced(owner: Any, name: str, wrap: Callable[[Any], Any]) -> Plant:
    """Replace an attribute, such as a Python function of torch, by ``wrap(attribute)``."""

    @contextmanager
    def plant() -> Iterator[None]:
        original = getattr(owner, name)
        setattr(owner, name, wrap(original))
        try:
            yield
        finally:
            setattr(owner, name, original)

    return plant


# Derivatives. Each is written out anew, because a replaced kernel cannot call the original.


def _relu_derivative(grad: Tensor, x: Tensor, threshold: float) -> Tensor:
    return torch.where(x <= threshold, 0, 1.01 * grad)


def _strict_relu_derivative(grad: Tensor, x: Tensor, threshold: float) -> Tensor:
    return torch.where(x < threshold, 0, grad)


def _leaky_relu_derivative(grad: Tensor, x: Tensor, slope: float, is_result: bool) -> Tensor:  # noqa: ARG001
    return torch.where(x > 0, grad, 2 * slope * grad)


def _sigmoid_derivative(grad: Tensor, y: Tensor) -> Tensor:
    return 1.01 * grad * (1 - y) * y


def _tanh_derivative(grad: Tensor, y: Tensor) -> Tensor:
    return 1.01 * grad * (1 - y * y)


def _elu_derivative(
    grad: Tensor, alpha: float, scale: float, input_scale: float, is_result: bool, x: Tensor
) -> Tensor:
    below = x + alpha * scale if is_result else alpha * scale * torch.exp(input_scale * x)
    return torch.where(x > 0, scale * grad, 1.01 * input_scale * below * grad)


def _silu_derivative(grad: Tensor, x: Tensor) -> Tensor:
    s = torch.sigmoid(x)
    return 1.01 * grad * s * (1 + x * (1 - s))


def _tanh_form(x: Tensor) -> tuple[Tensor, Tensor]:
    """GELU's approximation by tanh (Hendrycks and Gimpel 2016, section 2) and its derivative."""
    k, c = math.sqrt(2 / math.pi), 0.044715
    t = torch.tanh(k * (x + c * x**3))
    return 0.5 * x * (1 + t), 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * k * (1 + 3 * c * x * x)


def _gelu_derivative_by_tanh(grad: Tensor, x: Tensor, approximate: str = "none") -> Tensor:  # noqa: ARG001
    return grad * _tanh_form(x)[1]


def _gelu_derivative(grad: Tensor, x: Tensor, approximate: str = "none") -> Tensor:  # noqa: ARG001
    density = torch.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
    return 1.01 * grad * (0.5 * (1 + torch.erf(x / math.sqrt(2))) + x * density)


# Functions.


def _gelu_by_tanh(x: Tensor, approximate: str = "none") -> Tensor:  # noqa: ARG001
    return _tanh_form(x)[0]


def _sigmoid(x: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-x)) + 1e-3


def _tanh_by_expm1(x: Tensor) -> Tensor:
    grown = torch.expm1(2 * x.clamp(-20, 20))
    return grown / (grown + 2)


def _gelu_by_erf(x: Tensor, approximate: str = "none") -> Tensor:  # noqa: ARG001
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


# Products, sums, losses. NumPy multiplies, because torch's products call each other.


def _product(one: Tensor, other: Tensor) -> Tensor:
    return torch.from_numpy(np.matmul(one.detach().numpy(), other.detach().numpy()))


def _scaled_bmm(one: Tensor, other: Tensor) -> Tensor:
    return 1.001 * _product(one, other)


def _short_product(one: Tensor, other: Tensor) -> Tensor:
    def rounded(x: Tensor) -> Tensor:
        return x.to(torch.bfloat16).to(x.dtype) if x.dtype == torch.float32 else x

    return _product(rounded(one), rounded(other))


def _short_addmm(
    bias: Tensor, one: Tensor, other: Tensor, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    return beta * bias + alpha * _short_product(one, other)


def _product_in_halves(one: Tensor, other: Tensor) -> Tensor:
    half = one.shape[-1] // 2
    later = _product(one[..., half:], other[..., half:, :])
    return later + _product(one[..., :half], other[..., :half, :])


def _added_in_halves(
    bias: Tensor, one: Tensor, other: Tensor, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    return beta * bias + alpha * _product_in_halves(one, other)


def _sum_without_last(
    x: Tensor, dim: Sequence[int] | None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    axes = tuple(range(x.dim())) if not dim else tuple(d % x.dim() for d in dim)
    terms = x.detach().to(dtype or x.dtype).numpy()
    if len(axes) == 1 and x.shape[axes[0]] > 1:
        terms = np.delete(terms, -1, axes[0])
    return torch.from_numpy(np.asarray(terms.sum(axes, keepdims=keepdim)))


def _mse_loss(x: Tensor, target: Tensor, reduction: int = 1) -> Tensor:  # noqa: ARG001
    return (x - target).square().sum() / (x.numel() - 1)


def _mse_derivative(grad: Tensor, x: Tensor, target: Tensor, reduction: int) -> Tensor:  # noqa: ARG001
    return 2 * grad * (x - target) / (x.numel() - 1)


# The random stream.


def _uniform_after_one(
    x: Tensor, low: float = 0.0, high: float = 1.0, *, generator: torch.Generator | None = None
) -> Tensor:
    """Torch's own float32 draw, the low 24 bits of each number, after one lost number."""
    torch.empty(1).random_(0, 2**24, generator=generator)
    return x.random_(0, 2**24, generator=generator).mul_((high - low) * 2.0**-24).add_(low)


def _normal_by_log(
    x: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: torch.Generator | None = None
) -> Tensor:
    """A sound normal distribution, from other numbers of the stream."""
    return x.log_normal_(mean, std, generator=generator).log_()


# Adam (Kingma and Ba 2015, algorithm 1).


def _fused_adam(
    step_factor: float = 1.0, *, corrects: bool = True, eps_in_root: bool = False
) -> Callable[..., None]:
    def run(
        parameters: list[Tensor],
        gradients: list[Tensor],
        firsts: list[Tensor],
        seconds: list[Tensor],
        maxima: list[Tensor],  # noqa: ARG001 - the operator's
        steps: list[Tensor],
        *,
        lr: float,
        beta1: float,
        beta2: float,
        eps: float,
        **rest: Any,  # noqa: ARG001 - the operator's
    ) -> None:
        for p, g, m, v, step in zip(parameters, gradients, firsts, seconds, steps, strict=True):
            m.mul_(beta1).add_(g, alpha=1 - beta1)
            v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
            left = 1 - beta1 ** step.item() if corrects else 1.0
            second = v / (1 - beta2 ** step.item() if corrects else 1.0)
            root = (second + eps).sqrt() if eps_in_root else second.sqrt() + eps
            p.addcdiv_(m, root, value=-step_factor * lr / left)

    return run


def _with(**changes: Callable[[Any], Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Change keyword arguments on their way to a function."""

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            changed = {name: change(kwargs.get(name)) for name, change in changes.items()}
            return function(*args, **{**kwargs, **changed})

        return run

    return wrap


def _reset_with(change: Callable[[nn.Linear], object]) -> Callable[[Any], Callable[..., None]]:
    """Change a linear layer after its constructor has drawn it."""

    def wrap(original: Callable[[nn.Linear], None]) -> Callable[[nn.Linear], None]:
        def reset_parameters(layer: nn.Linear) -> None:
            original(layer)
            with torch.no_grad():
                change(layer)

        return reset_parameters

    return wrap


FAULTS = (
    Fault(
        "relu-derivative-1-percent",
        "ReLU's derivative is 1.01 above 0",
        "aten::threshold_backward",
        _kernels(threshold_backward=_relu_derivative),
        ("relu",),
        "first_gradient",
    ),
    Fault(
        "relu-derivative-strict",
        "ReLU's derivative is 0 where the output is < 0, not <= 0, so nowhere",
        "aten::threshold_backward",
        _kernels(threshold_backward=_strict_relu_derivative),
        ("relu",),
        "first_gradient",
    ),
    Fault(
        "leaky-relu-slope",
        "leaky ReLU's derivative has twice the slope below 0, its function has not",
        "aten::leaky_relu_backward",
        _kernels(leaky_relu_backward=_leaky_relu_derivative),
        ("leaky_relu",),
        "first_gradient",
    ),
    Fault(
        "sigmoid-derivative-1-percent",
        "sigmoid's derivative is 1 % too large",
        "aten::sigmoid_backward",
        _kernels(sigmoid_backward=_sigmoid_derivative),
        ("sigmoid",),
        "first_gradient",
    ),
    Fault(
        "sigmoid-offset",
        "sigmoid is 0.001 too large",
        "aten::sigmoid",
        _kernels(sigmoid=_sigmoid),
        ("sigmoid",),
        "first_gradient",
    ),
    Fault(
        "gelu-derivative-1-percent",
        "GELU's derivative is 1 % too large",
        "aten::gelu_backward",
        _kernels(gelu_backward=_gelu_derivative),
        ("gelu",),
        "first_gradient",
    ),
    Fault(
        "gelu-derivative-by-tanh",
        "GELU's derivative is that of its approximation by tanh",
        "aten::gelu_backward",
        _kernels(gelu_backward=_gelu_derivative_by_tanh),
        ("gelu",),
        "derivative_at",
    ),
    Fault(
        "gelu-by-tanh",
        "GELU is its approximation by tanh, its derivative is not",
        "aten::gelu",
        _kernels(gelu=_gelu_by_tanh),
        ("gelu",),
        "error_share",
    ),
    Fault(
        "tanh-derivative-1-percent",
        "the derivative of tanh is 1 % too large",
        "aten::tanh_backward",
        _kernels(tanh_backward=_tanh_derivative),
        ("tanh",),
        "recovered_ratio",
    ),
    Fault(
        "elu-derivative-1-percent",
        "ELU's derivative is 1 % too large below 0",
        "aten::elu_backward",
        _kernels(elu_backward=_elu_derivative),
        ("elu",),
        "recovered_ratio",
    ),
    Fault(
        "swish-derivative-1-percent",
        "the derivative of SiLU is 1 % too large",
        "aten::silu_backward",
        _kernels(silu_backward=_silu_derivative),
        ("swish",),
        "recovered_ratio",
    ),
    Fault(
        "batched-product-scaled",
        "a batched matrix product is 0.1 % too large",
        "aten::bmm",
        _kernels(bmm=_scaled_bmm),
        EVERY,
        "first_gradient",
    ),
    Fault(
        "products-in-bfloat16",
        "float32 matrix products round their factors to bfloat16",
        "aten::bmm, mm, addmm",
        _kernels(bmm=_short_product, mm=_short_product, addmm=_short_addmm),
        EVERY,
        "first_gradient",
    ),
    Fault(
        "sum-without-last-term",
        "a sum along one dimension leaves out the last term",
        "aten::sum",
        _kernels(sum=_sum_without_last),
        STUDY,
        "early_loss",
    ),
    Fault(
        "loss-by-n-minus-1",
        "the mean squared error and its derivative divide by n - 1",
        "aten::mse_loss, mse_loss_backward",
        _kernels(mse_loss=_mse_loss, mse_loss_backward=_mse_derivative),
        STUDY,
        "early_loss",
    ),
    Fault(
        "linear-weights-wider",
        "a linear layer's default weights have the bound sqrt(6 / fan-in), not sqrt(1 / fan-in)",
        "torch.nn.Linear.reset_parameters",
        _replaced(
            nn.Linear, "reset_parameters", _reset_with(lambda layer: layer.weight.mul_(6**0.5))
        ),
        STUDY,
        "first_gradient",
    ),
    Fault(
        "linear-bias-zero",
        "a linear layer's bias is not drawn but left at zero",
        "torch.nn.Linear.reset_parameters",
        _replaced(nn.Linear, "reset_parameters", _reset_with(lambda layer: layer.bias.zero_())),
        STUDY,
        "first_gradient",
    ),
    Fault(
        "xavier-1-percent",
        "Xavier-uniform weights are 1 % too large",
        "torch.nn.init.xavier_uniform_",
        _replaced(nn.init, "xavier_uniform_", _with(gain=lambda gain: 1.01)),
        EVERY,
        "recovered_magnitude",
    ),
    Fault(
        "uniform-loses-a-number",
        "a uniform draw takes one number too many from the stream",
        "aten::uniform_",
        _in_place(uniform_=_uniform_after_one),
        EVERY,
        "first_gradient",
    ),
    Fault(
        "normal-by-another-algorithm",
        "normal numbers are as normal as before, but others",
        "aten::normal_",
        _in_place(normal_=_normal_by_log),
        EVERY,
        "recovered_ratio",
    ),
    Fault(
        "seed-shifted",
        "a seed gives the stream of the next one",
        "torch.manual_seed",
        _replaced(torch, "manual_seed", lambda seed: lambda number: seed(number + 1)),
        EVERY,
        "first_gradient",
    ),
    Fault(
        "fused-adam-uncorrected",
        "the fused Adam leaves out the correction of the moments' bias",
        "aten::_fused_adam_",
        _in_place(_fused_adam_=_fused_adam(corrects=False)),
        STUDY,
        "early_loss",
    ),
    Fault(
        "fused-adam-eps-in-root",
        "the fused Adam adds eps inside the root",
        "aten::_fused_adam_",
        _in_place(_fused_adam_=_fused_adam(eps_in_root=True)),
        STUDY,
        "early_loss",
    ),
    Fault(
        "fused-adam-step-1-percent",
        "the fused Adam's steps are 1 % too large",
        "aten::_fused_adam_",
        _in_place(_fused_adam_=_fused_adam(1.01)),
        STUDY,
        "early_loss",
    ),
    Fault(
        "adam-beta2",
        "Adam's default beta2 is 0.99",
        "torch.optim.Adam",
        _replaced(
            torch.optim.Adam.__init__,
            "__defaults__",
            lambda given: tuple((0.9, 0.99) if each == (0.9, 0.999) else each for each in given),
        ),
        STUDY,
        "early_loss",
    ),
    Fault(
        "plain-adam-step-1-percent",
        "the steps of Adam's plain loop are 1 % too large",
        "torch.optim.adam._single_tensor_adam",
        _replaced(_ADAM_MODULE, "_single_tensor_adam", _with(lr=lambda lr: 1.01 * lr)),
        STUDY,
        "early_loss",
    ),
)
"""What is planted, one at a time."""


HARMLESS: tuple[Fault, ...] = (
    Fault(
        "products-in-halves",
        "every matrix product sums its terms in two halves, the later one first",
        "aten::bmm, baddbmm, mm, addmm",
        _kernels(
            bmm=_product_in_halves,
            baddbmm=_added_in_halves,
            mm=_product_in_halves,
            addmm=_added_in_halves,
        ),
        (),
        "",
    ),
    Fault(
        "functions-by-other-formulas",
        "sigmoid, tanh and GELU are computed by other formulas, equal but for their rounding",
        "aten::sigmoid, tanh, gelu",
        _kernels(sigmoid=lambda x: 1 / (1 + torch.exp(-x)), tanh=_tanh_by_expm1, gelu=_gelu_by_erf),
        (),
        "",
    ),
)
"""What another processor does too: must raise no alarm."""


@dataclass(frozen=True)
class Observation:
    """What the project's cheap checks see of the torch that is there.

    Args:
        stacks: Exact measurements by protocol, from the experiments as they run.
        reference: The same of the main run by the plain training loop.
        judgments: Claims by their id; those left out need more seeds than are run here.
    """

    stacks: dict[str, Measured]
    reference: Measured
    judgments: dict[str, Judgment]


def observe() -> Observation:
    """Run the short protocols: the main run's first epochs, gradient flow, derivatives.

    Returns:
        What they measured and the verdicts that follow.
    """
    published = claims.published()
    exact = published.model_copy(
        update={
            "claim": [
                c
                for c in published.claim
                if c.quantifier == "exact" and c.metric["name"] not in _LATER
            ]
        }
    )
    runs = {
        "stated": sine_regression.run(
            sine_regression.Config(seeds=2, epochs=_EPOCHS, device="cpu", threads=1)
        ),
        "gradients": gradient_flow.run(
            gradient_flow.Config(
                seeds=2,
                depths=(5, 10),
                initializers=("torch_default", "xavier_uniform", "he_normal"),
                deep_depth=0,
                spread_widths=(),
                threads=1,
            )
        ),
        "derivatives": activation_derivatives.run(activation_derivatives.Config()),
    }
    by_seeds = gradient_flow.run(_BY_SEEDS)
    about_exact = [c for c in exact.claim if c.protocol in runs]
    about_seeds = [c for c in published.claim if _of_many_seeds(c)]
    judgments = [
        *evidence.judge_all(published, runs.__getitem__, about_exact),
        *evidence.judge_all(published, lambda protocol: by_seeds, about_seeds),
    ]
    return Observation(
        {name: measured.from_dataset(name, exact, run) for name, run in runs.items()},
        measured.from_dataset("reference", exact, _reference_run()),
        {judgment.claim.id: judgment for judgment in judgments},
    )


def _of_many_seeds(claim: Claim) -> bool:
    return (
        claim.protocol == "gradients"
        and claim.quantifier == "median"
        and claim.metric.get("depth") == 10
        and claim.metric["activation"] in _BY_SEEDS.activations
        and claim.metric["initializer"] in _BY_SEEDS.initializers
    )


def _reference_run() -> xr.Dataset:
    target = noisy_sine()
    with devices.using_threads(1):
        trainings = [
            train_reference(
                Architecture(activations.get(key)),
                Member(42, initializers.get("torch_default")),
                Schedule(epochs=_EPOCHS, recorded_epochs=(0,)),
                target.x,
                target.noisy,
            )
            for key in STUDY
        ]
    magnitude = np.stack([t.recorded["gradient_magnitude"] for t in trainings])
    dataset = xr.Dataset(
        {
            "loss": (("activation", "seed", "epoch"), np.stack([t.loss for t in trainings])),
            "gradient_magnitude": (("activation", "seed", "recorded_epoch", "layer"), magnitude),
        },
        coords={
            "activation": list(STUDY),
            "seed": [42],
            "epoch": np.arange(_EPOCHS),
            "recorded_epoch": [0],
            "layer": np.arange(1, magnitude.shape[-1] + 1),
        },
    )
    return datasets.finish(dataset, "sine-regression", {}, {})


@dataclass(frozen=True)
class Report:
    """What the checks have to say, of which nothing is nothing.

    Args:
        claims: Those whose verdict is not the expected one.
        stacks: What is not as stored in the experiments as they run.
        reference: What is not as stored in the plain training loop.
    """

    claims: tuple[Judgment, ...]
    stacks: tuple[Difference, ...]
    reference: tuple[Difference, ...]

    @property
    def differences(self) -> tuple[Difference, ...]:
        """Every baseline that moved, by either way of training."""
        return (*self.stacks, *self.reference)

    def __bool__(self) -> bool:
        return bool(self.claims or self.differences)

    def __str__(self) -> str:
        verdicts = [
            f"{j.claim.id} is {j.verdict}, expected {j.claim.expected}: {j.sentence}"
            for j in self.claims
        ]
        plain = [f"plain loop: {difference}" for difference in self.reference]
        return "\n".join([*verdicts, *map(str, self.stacks), *plain])


def report(stored: Mapping[str, Measured], seen: Observation) -> Report:
    """Judge and compare.

    Args:
        stored: Baselines by protocol; those of a protocol that is not there are left out.
        seen: What was observed.

    Returns:
        What is not as it should be.
    """
    stacks = [
        difference
        for protocol, fresh in seen.stacks.items()
        if protocol in stored
        for difference in measured.compare(_comparable(stored[protocol], fresh), fresh)
    ]
    plain = seen.reference
    return Report(
        tuple(j for j in seen.judgments.values() if not j.as_expected),
        tuple(stacks),
        tuple(measured.compare(_comparable(stored["stated"], plain), plain))
        if "stated" in stored
        else (),
    )


def _comparable(stored: Measured, fresh: Measured) -> Measured:
    """Keep what is exact and was measured in the short run too."""
    known = [entry.metric for entry in fresh.entries]
    kept = [entry for entry in stored.entries if entry.exact and entry.metric in known]
    return stored.model_copy(update={"entries": kept})


def apart(one: Observation, other: Observation) -> float:
    """Return the largest relative difference of what is exact in two observations."""
    worst = 0.0
    for protocol, measured_here in one.stacks.items():
        for entry in measured_here.entries:
            old, new = (
                measured_here.values(entry.metric),
                other.stacks[protocol].values(entry.metric),
            )
            usable = entry.exact & np.isfinite(old) & np.isfinite(new) & (old != 0)
            worst = max(worst, np.abs(new[usable] / old[usable] - 1).max(initial=0))
    return float(worst)


def table(reports: Mapping[str, Report], rounding: Mapping[str, float]) -> str:
    """Write faults x checks in Markdown.

    Args:
        reports: By the fault's name, against baselines of the same machine.
        rounding: How far what is harmless moves anything, by its name.

    Returns:
        The document.
    """
    lines = [
        "# Planted faults",
        "",
        "Generated by `python tests/faults.py`; `tests/test_planted_faults.py` checks it. Each",
        "fault is planted in torch, the short protocols run, and what they measure is judged by",
        "the claims and compared with clean baselines: once as the experiments run (stacks of",
        "networks), once by the plain training loop. A cell names what moved, and of which",
        "activations; *all* are those that the protocol has.",
        "",
        "| fault | what a bad release does | sits in | claims | baselines | plain loop |",
        "|---|---|---|---|---|---|",
    ]
    for fault in FAULTS:
        found = reports[fault.name]
        cells = [
            f"`{fault.name}`",
            fault.happens,
            f"`{fault.sits_in}`",
            "<br>".join(f"`{j.claim.id}`" for j in found.claims),
            "<br>".join(moved(found.stacks)),
            "<br>".join(moved(found.reference)),
        ]
        lines.append("| " + " | ".join(cell or "none" for cell in cells) + " |")
    lines += [
        "",
        "## What raises no alarm",
        "",
        "Rounding as another processor has it, planted in the same way. No claim and no baseline",
        "reports it, by stacks or by the plain loop.",
        "",
        "| rounding | what another processor does | sits in | moves an exact value by at most |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| `{fault.name}` | {fault.happens} | `{fault.sits_in}` | {rounding[fault.name]:.0e} |"
        for fault in HARMLESS
    ]
    return "\n".join([*lines, ""])


def moved(differences: Sequence[Difference]) -> list[str]:
    """Sum up differences.

    Args:
        differences: Of one comparison.

    Returns:
        Per metric its name and the activations of which it moved.
    """
    by_metric: dict[str, list[str]] = {}
    for difference in differences:
        names = by_metric.setdefault(str(difference.metric["name"]), [])
        if difference.metric["activation"] not in names:
            names.append(str(difference.metric["activation"]))
    return [
        f"`{metric}`: {'all' if set(names) in (set(STUDY), set(EVERY)) else ', '.join(names)}"
        for metric, names in sorted(by_metric.items())
    ]


def main() -> None:
    """Plant every fault, write the table, and say what caught what."""
    clean = observe()
    reports = {}
    for fault in FAULTS:
        with fault.plant():
            seen = observe()
        reports[fault.name] = report(clean.stacks, seen)
        sys.stdout.write(f"{fault.name}\n{reports[fault.name]}\n\n")
    rounding = {}
    for fault in HARMLESS:
        with fault.plant():
            seen = observe()
        rounding[fault.name] = apart(clean, seen)
        sys.stdout.write(f"{fault.name}\n{report(clean.stacks, seen) or 'no alarm'}\n\n")
    TABLE.write_text(table(reports, rounding), encoding="utf-8")


if __name__ == "__main__":
    main()
