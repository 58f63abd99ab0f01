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
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import numpy as np
import torch
import xarray as xr
from fresh_runs import Difference, compare
from torch import Tensor, nn

from actbench import claims
from actbench.claims import Claim, measured
from actbench.claims.measured import Measured
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

Kernel = Callable[..., Tensor]
Wrap = Callable[[Any], Any]


@dataclass(frozen=True)
class Fault:
    """What a bad release does where, and the metric and activations that a report must name."""

    sits_in: str
    plant: Callable[[], AbstractContextManager[None]]
    name: str
    happens: str
    moves: tuple[str, ...]
    metric: str


def _kernels(*about: Any, **kernels: Kernel) -> Fault:
    """Replace CPU kernels, each in all its variants, by functions that return a new tensor."""

    def plant() -> AbstractContextManager[None]:
        return _registered(
            {
                variant: _in_variant(schema, kernel)
                for name, kernel in kernels.items()
                for variant, schema in _variants(name)
            }
        )

    return Fault(f"aten::{', '.join(kernels)}", plant, *about)


def _in_place(*about: Any, **functions: Callable[..., Any]) -> Fault:
    """Replace CPU kernels that have one variant, the in-place one, by functions that work so."""
    return Fault(f"aten::{', '.join(functions)}", lambda: _registered(functions), *about)


def _replaced(*about: Any, place: str, wrap: Wrap, attribute: str = "") -> Fault:
    """Replace a Python function of torch, or an attribute of it, by ``wrap`` of what it was."""

    @contextmanager
    def plant() -> Iterator[None]:
        path, _, name = f"{place}{attribute}".rpartition(".")
        owner = resolve_name(path)
        original = getattr(owner, name)
        setattr(owner, name, wrap(original))
        try:
            yield
        finally:
            setattr(owner, name, original)

    return Fault(place, plant, *about)


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


# Each function is written out anew, because a replaced kernel cannot call the original.


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


def _gelu_derivative(grad: Tensor, x: Tensor, **_: str) -> Tensor:
    density = torch.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
    return 1.01 * grad * (0.5 * (1 + torch.erf(x / math.sqrt(2))) + x * density)


def _tanh_by_expm1(x: Tensor) -> Tensor:
    grown = torch.expm1(2 * x.clamp(-20, 20))
    return grown / (grown + 2)


# Products, sums, losses. NumPy multiplies, because torch's products call each other.


def _product(one: Tensor, other: Tensor) -> Tensor:
    return torch.from_numpy(np.matmul(one.detach().numpy(), other.detach().numpy()))


def _short_product(one: Tensor, other: Tensor) -> Tensor:
    def rounded(x: Tensor) -> Tensor:
        return x.to(torch.bfloat16).to(x.dtype) if x.dtype == torch.float32 else x

    return _product(rounded(one), rounded(other))


def _product_in_halves(one: Tensor, other: Tensor) -> Tensor:
    half = one.shape[-1] // 2
    later = _product(one[..., half:], other[..., half:, :])
    return later + _product(one[..., :half], other[..., :half, :])


def _added(product: Kernel) -> Kernel:
    """Add a product to a bias, as torch does."""

    def run(
        bias: Tensor, one: Tensor, other: Tensor, *, beta: float = 1, alpha: float = 1
    ) -> Tensor:
        return beta * bias + alpha * product(one, other)

    return run


def _sum_without_last(
    x: Tensor, dim: Sequence[int] | None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    axes = tuple(range(x.dim())) if not dim else tuple(d % x.dim() for d in dim)
    terms = x.detach().to(dtype or x.dtype).numpy()
    if len(axes) == 1 and x.shape[axes[0]] > 1:
        terms = np.delete(terms, -1, axes[0])
    return torch.from_numpy(np.asarray(terms.sum(axes, keepdims=keepdim)))


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
        *lists: list[Tensor], lr: float, beta1: float, beta2: float, eps: float, **_: Any
    ) -> None:
        parameters, gradients, firsts, seconds, _maxima, steps = lists
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
    _kernels(
        "relu-derivative-1-percent",
        "ReLU's derivative is 1.01 above 0",
        ("relu",),
        "first_gradient",
        threshold_backward=lambda grad, x, at: torch.where(x <= at, 0, 1.01 * grad),
    ),
    _kernels(
        "relu-derivative-strict",
        "ReLU's derivative is 0 where the output is < 0, not <= 0, so nowhere",
        ("relu",),
        "first_gradient",
        threshold_backward=lambda grad, x, at: torch.where(x < at, 0, grad),
    ),
    _kernels(
        "leaky-relu-slope",
        "leaky ReLU's derivative has twice the slope below 0, its function has not",
        ("leaky_relu",),
        "first_gradient",
        leaky_relu_backward=lambda grad, x, slope, _: torch.where(x > 0, grad, 2 * slope * grad),
    ),
    _kernels(
        "sigmoid-derivative-1-percent",
        "sigmoid's derivative is 1 % too large",
        ("sigmoid",),
        "first_gradient",
        sigmoid_backward=lambda grad, y: 1.01 * grad * (1 - y) * y,
    ),
    _kernels(
        "sigmoid-offset",
        "sigmoid is 0.001 too large",
        ("sigmoid",),
        "first_gradient",
        sigmoid=lambda x: 1 / (1 + torch.exp(-x)) + 1e-3,
    ),
    _kernels(
        "gelu-derivative-1-percent",
        "GELU's derivative is 1 % too large",
        ("gelu",),
        "first_gradient",
        gelu_backward=_gelu_derivative,
    ),
    _kernels(
        "gelu-derivative-by-tanh",
        "GELU's derivative is that of its approximation by tanh",
        ("gelu",),
        "derivative_at",
        gelu_backward=lambda grad, x, **_: grad * _tanh_form(x)[1],
    ),
    _kernels(
        "gelu-by-tanh",
        "GELU is its approximation by tanh, its derivative is not",
        ("gelu",),
        "error_share",
        gelu=lambda x, **_: _tanh_form(x)[0],
    ),
    _kernels(
        "tanh-derivative-1-percent",
        "the derivative of tanh is 1 % too large",
        ("tanh",),
        "recovered_ratio",
        tanh_backward=lambda grad, y: 1.01 * grad * (1 - y * y),
    ),
    _kernels(
        "elu-derivative-1-percent",
        "ELU's derivative is 1 % too large below 0",
        ("elu",),
        "recovered_ratio",
        elu_backward=_elu_derivative,
    ),
    _kernels(
        "swish-derivative-1-percent",
        "the derivative of SiLU is 1 % too large",
        ("swish",),
        "recovered_ratio",
        silu_backward=_silu_derivative,
    ),
    _kernels(
        "batched-product-scaled",
        "a batched matrix product is 0.1 % too large",
        EVERY,
        "first_gradient",
        bmm=lambda one, other: 1.001 * _product(one, other),
    ),
    _kernels(
        "products-in-bfloat16",
        "float32 matrix products round their factors to bfloat16",
        EVERY,
        "first_gradient",
        bmm=_short_product,
        mm=_short_product,
        addmm=_added(_short_product),
    ),
    _kernels(
        "sum-without-last-term",
        "a sum along one dimension leaves out the last term",
        STUDY,
        "early_loss",
        sum=_sum_without_last,
    ),
    _kernels(
        "loss-by-n-minus-1",
        "the mean squared error and its derivative divide by n - 1",
        STUDY,
        "early_loss",
        mse_loss=lambda x, target, _=1: (x - target).square().sum() / (x.numel() - 1),
        mse_loss_backward=lambda grad, x, target, _: 2 * grad * (x - target) / (x.numel() - 1),
    ),
    _replaced(
        "linear-weights-wider",
        "a linear layer's default weights have the bound sqrt(6 / fan-in), not sqrt(1 / fan-in)",
        STUDY,
        "first_gradient",
        place="torch.nn.Linear.reset_parameters",
        wrap=_reset_with(lambda layer: layer.weight.mul_(6**0.5)),
    ),
    _replaced(
        "linear-bias-zero",
        "a linear layer's bias is not drawn but left at zero",
        STUDY,
        "first_gradient",
        place="torch.nn.Linear.reset_parameters",
        wrap=_reset_with(lambda layer: layer.bias.zero_()),
    ),
    _replaced(
        "xavier-1-percent",
        "Xavier-uniform weights are 1 % too large",
        EVERY,
        "recovered_magnitude",
        place="torch.nn.init.xavier_uniform_",
        wrap=_with(gain=lambda gain: 1.01),
    ),
    _in_place(
        "uniform-loses-a-number",
        "a uniform draw takes one number too many from the stream",
        EVERY,
        "first_gradient",
        uniform_=_uniform_after_one,
    ),
    _in_place(
        "normal-by-another-algorithm",
        "normal numbers are as normal as before, but others",
        EVERY,
        "recovered_ratio",
        normal_=_normal_by_log,
    ),
    _replaced(
        "seed-shifted",
        "a seed gives the stream of the next one",
        EVERY,
        "first_gradient",
        place="torch.manual_seed",
        wrap=lambda seed: lambda number: seed(number + 1),
    ),
    _in_place(
        "fused-adam-uncorrected",
        "the fused Adam leaves out the correction of the moments' bias",
        STUDY,
        "early_loss",
        _fused_adam_=_fused_adam(corrects=False),
    ),
    _in_place(
        "fused-adam-eps-in-root",
        "the fused Adam adds eps inside the root",
        STUDY,
        "early_loss",
        _fused_adam_=_fused_adam(eps_in_root=True),
    ),
    _in_place(
        "fused-adam-step-1-percent",
        "the fused Adam's steps are 1 % too large",
        STUDY,
        "early_loss",
        _fused_adam_=_fused_adam(1.01),
    ),
    _replaced(
        "adam-beta2",
        "Adam's default beta2 is 0.99",
        STUDY,
        "early_loss",
        place="torch.optim.Adam",
        attribute=".__init__.__defaults__",
        wrap=lambda given: tuple((0.9, 0.99) if each == (0.9, 0.999) else each for each in given),
    ),
    _replaced(
        "plain-adam-step-1-percent",
        "the steps of Adam's plain loop are 1 % too large",
        STUDY,
        "early_loss",
        place="torch.optim.adam._single_tensor_adam",
        wrap=_with(lr=lambda lr: 1.01 * lr),
    ),
)
"""What is planted, one at a time."""


HARMLESS = (
    _kernels(
        "products-in-halves",
        "every matrix product sums its terms in two halves, the later one first",
        (),
        "",
        bmm=_product_in_halves,
        baddbmm=_added(_product_in_halves),
        mm=_product_in_halves,
        addmm=_added(_product_in_halves),
    ),
    _kernels(
        "functions-by-other-formulas",
        "sigmoid, tanh and GELU are computed by other formulas, equal but for their rounding",
        (),
        "",
        sigmoid=lambda x: 1 / (1 + torch.exp(-x)),
        tanh=_tanh_by_expm1,
        gelu=lambda x, **_: 0.5 * x * (1 + torch.erf(x / math.sqrt(2))),
    ),
)
"""What another processor does too: must raise no alarm."""


@dataclass(frozen=True)
class Observation:
    """What the project's cheap checks see of the torch that is there.

    Exact measurements by protocol, from the experiments as they run, the same of the main run by
    the plain training loop, and the claims by their id that need no more seeds than are run here.
    """

    stacks: dict[str, Measured]
    reference: Measured
    judgments: dict[str, Judgment]


def observe() -> Observation:
    """Run the short protocols: the main run's first epochs, gradient flow, derivatives."""
    published = claims.published()
    exact = [
        c for c in published.claim if c.quantifier == "exact" and c.metric["name"] not in _LATER
    ]
    runs = _short_runs()
    by_seeds = gradient_flow.run(_BY_SEEDS)
    about_exact = [c for c in exact if c.protocol in runs]
    about_seeds = [c for c in published.claim if _of_many_seeds(c)]
    judgments = [
        *evidence.judge_all(published, runs.__getitem__, about_exact),
        *evidence.judge_all(published, lambda protocol: by_seeds, about_seeds),
    ]
    kept = published.model_copy(update={"claim": exact})
    return Observation(
        {name: measured.from_dataset(name, kept, run) for name, run in runs.items()},
        measured.from_dataset("reference", kept, _reference_run()),
        {judgment.claim.id: judgment for judgment in judgments},
    )


def _short_runs() -> dict[str, xr.Dataset]:
    initial = ("torch_default", "xavier_uniform", "he_normal")
    return {
        "stated": sine_regression.run(
            sine_regression.Config(seeds=2, epochs=_EPOCHS, device="cpu", threads=1)
        ),
        "gradients": gradient_flow.run(
            gradient_flow.Config(
                seeds=2,
                depths=(5, 10),
                initializers=initial,
                deep_depth=0,
                spread_widths=(),
                threads=1,
            )
        ),
        "derivatives": activation_derivatives.run(activation_derivatives.Config()),
    }


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
    """Claims with another verdict, and what is not as stored, as run and in the plain loop."""

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
    """Judge and compare with baselines, of the protocols that have one."""
    stacks = [
        difference
        for protocol, fresh in seen.stacks.items()
        if protocol in stored
        for difference in compare(_comparable(stored[protocol], fresh), fresh)
    ]
    plain = seen.reference
    return Report(
        tuple(j for j in seen.judgments.values() if not j.as_expected),
        tuple(stacks),
        tuple(compare(_comparable(stored["stated"], plain), plain)) if "stated" in stored else (),
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


_PAGE = """\
# Planted faults

Generated by `python tests/faults.py`; `tests/test_planted_faults.py` checks it. Each
fault is planted in torch, the short protocols run, and what they measure is judged by
the claims and compared with clean baselines: once as the experiments run (stacks of
networks), once by the plain training loop. A cell names what moved, and of which
activations; *all* are those that the protocol has.

| fault | what a bad release does | sits in | claims | baselines | plain loop |
|---|---|---|---|---|---|
{faults}

## What raises no alarm

Rounding as another processor has it, planted in the same way. No claim and no baseline
reports it, by stacks or by the plain loop.

| rounding | what another processor does | sits in | moves an exact value by at most |
|---|---|---|---|
{harmless}
"""


def table(reports: Mapping[str, Report], rounding: Mapping[str, float]) -> str:
    """Write faults x checks in Markdown, and how far what is harmless moves anything."""
    rows = []
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
        rows.append("| " + " | ".join(cell or "none" for cell in cells) + " |")
    harmless = (
        f"| `{fault.name}` | {fault.happens} | `{fault.sits_in}` | {rounding[fault.name]:.0e} |"
        for fault in HARMLESS
    )
    return _PAGE.format(faults="\n".join(rows), harmless="\n".join(harmless))


def moved(differences: Sequence[Difference]) -> list[str]:
    """Sum up differences: per metric its name and the activations of which it moved."""
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
