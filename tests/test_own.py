"""Code of one's own: how it is found, what it must do, and what is said where it does not."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
import torch

from actbench.store.errors import ActbenchError
from actbench.study import own
from actbench.study.catalog import activations, initializers, targets
from actbench.study.experiments import capacity, sine_regression
from actbench.study.nets.networks import Architecture
from actbench.study.nets.training import Member, Schedule, train_reference, train_stack
from actbench.study.own import loading

CODE = '''
import random
import sys
import warnings

import numpy
import torch
from torch import nn


def mish(x):
    """x tanh(softplus(x))."""
    return x * torch.tanh(torch.nn.functional.softplus(x))


class Slope(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.tensor(0.25))

    def forward(self, x):
        return torch.where(x > 0, x, self.a * x)


def factory():
    return nn.PReLU(init=0.25)


instance = nn.Softplus()


def in_place(x):
    return x.clamp_(min=0)


def wave(x):
    """sin(x) cubed."""
    return numpy.sin(x) ** 3


def wide(layer):
    layer.weight.normal_(0, (2 / layer.in_features) ** 0.5)
    layer.bias.fill_(0.5)


def interrupted(x):
    raise KeyboardInterrupt


class Module(nn.Module):
    def __init__(self, a=0.25, b=1.0, frozen=()):
        super().__init__()
        self.a = nn.Parameter(torch.tensor(a), requires_grad="a" not in frozen)
        self.b = nn.Parameter(torch.tensor(b), requires_grad="b" not in frozen)
        self.n = nn.Parameter(torch.tensor(3), requires_grad=False)
        self.register_buffer("c", torch.tensor(0.5))

    def forward(self, x):
        return torch.where(x > 0, self.b * x, self.a * x)


def of(forward, **given):
    return type("Mine", (Module,), {"forward": forward})(**given)


mine = '''
"""What one may write; the tests complete the last line."""


def written(folder: Path, mine: str = "3") -> str:
    """Write a file whose `mine` is a thing; returns what names it."""
    path = folder / "mine.py"
    path.write_text(f"{CODE}{mine}\n", encoding="utf-8")
    return f"{path}:mine"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of a user's."""
    return Path(written(tmp_path).removesuffix(":mine"))


@pytest.fixture(autouse=True)
def registries(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Registries and modules are left as they were."""
    for registry in (activations, targets, initializers):
        monkeypatch.setattr(registry, "OWN", {})
    yield
    for name in [name for name in sys.modules if name.startswith("_actbench_own_")]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("name", "by_hand"),
    [
        ("mish", lambda z: z * math.tanh(math.log1p(math.exp(z)))),
        ("Slope", lambda z: max(z, 0.25 * z)),
        ("factory", lambda z: max(z, 0.25 * z)),
        ("instance", lambda z: math.log1p(math.exp(z))),
        ("in_place", lambda z: max(z, 0)),
    ],
)
def test_every_form_of_activation_is_taken(file: Path, name: str, by_hand: object) -> None:
    """A function, a class, a factory, a module and one that works in place are what they say."""
    found = own.activation(f"{file}:{name}")
    z = torch.linspace(-3, 3, 7, dtype=torch.float64)
    with torch.no_grad():
        value = found.module().double()(z.clone())
    expected = [by_hand(x) for x in z.tolist()]  # type: ignore[operator]
    np.testing.assert_allclose(value.numpy(), expected, rtol=1e-12)
    assert found.module() is not found.module()
    assert activations.get(f"{file}:{name}") is found
    assert found.name == name


def test_bounds_of_the_derivative_are_found(file: Path) -> None:
    """Mish's derivative reaches from -0.1125 to 1.0885, where its second derivative is zero."""
    low, high = own.activation(f"{file}:mish").derivative_bounds
    assert low == pytest.approx(-0.1125261, abs=1e-6)
    assert high == pytest.approx(1.0884983, abs=1e-6)


ACTIVATIONS = [
    (
        "lambda x: x.sum(-1)",
        "returns shape (7,) for inputs of shape (7, 5), but an activation keeps",
    ),
    ("lambda x: x.double()", "returns float64 for inputs of float32, but must keep the type"),
    ("lambda x: torch.log(x)", "returns nan at -20 in float32, but must be finite from -20 to 20"),
    (
        "lambda x: torch.where(x > 0, torch.sqrt(x), 0 * x)",
        "has a gradient of nan at -20 in float32, but must be finite",
    ),
    (
        "lambda x: x.detach()",
        "has no gradient: its output does not depend on its input as autograd",
    ),
    (
        "lambda x: torch.sign(x)",
        "has no gradient by its input: autograd says 0 at all of 4,001 points",
    ),
    (
        "lambda: of(lambda self, x: torch.relu(x) + self.a.detach() * x, frozen='b')",
        "has no gradient by its parameter a, wherever it starts: what it returns does not",
    ),
    (
        "lambda x: x * random.random()",
        "is not deterministic: two calls on the same inputs differ by",
    ),
    (
        "lambda: of(lambda self, x: self.a * x, a=random.random(), frozen='b')",
        "starts with other parameters each time it is built; start them at fixed",
    ),
    (
        "lambda x: print('hello') or x",
        "prints 'hello' when it is called, which it is many thousand times; remove",
    ),
    (
        "lambda x: undefined",
        "raises NameError: name 'undefined' is not defined on inputs of shape (7, 5)",
    ),
    (
        "lambda x: torch.softmax(x, 0)",
        "is not elementwise: what it returns for a number depends on the others",
    ),
    ("lambda x: x / x.abs().max()", "is not elementwise"),
    ("lambda x: x.tolist()", "returns list, but must return a tensor"),
    ("lambda x, y: x + y", "needs 2 arguments; name a function of one tensor"),
    ("lambda x: sys.exit(3)", "raises SystemExit: 3 on inputs of shape (7, 5)"),
    (
        "lambda x: x if x.abs().max() < 30 else sys.exit(0)",
        f"raises SystemExit: 0 (line {len(CODE.splitlines())}) when it is checked; mend it",
    ),
    ("lambda: sys.exit(3)", "raises SystemExit: 3 when its module is made"),
    ("3", "is int, but must be a function of a tensor"),
    (
        "lambda: of(lambda self, x: self.a * torch.relu(x))",
        "has no gradient by its parameter b, where",
    ),
    (
        "lambda: of(lambda self, x: self.a * torch.relu(x), a=0.0, frozen='b')",
        "has no gradient by its input where its parameters start, so no network",
    ),
    (
        "lambda: of(lambda self, x: torch.relu(x) + self.a.abs().sqrt() * x, a=0.0, frozen='b')",
        "has a gradient by its parameter a that is not finite where it starts, in float32",
    ),
    ("lambda: nn.LazyLinear(1)", "has parameters without a size"),
    (
        "lambda: of(lambda self, x: x + self.c.add_(x.detach().mean()), frozen='ab')",
        "is not deterministic",
    ),
    (
        "lambda x: (lambda y: (y.mul_(y), x.add_(y), x * y)[2])(torch.sigmoid(x))",
        "has no gradient: RuntimeError: one of the variables needed for gradient computation has",
    ),
    (
        "lambda x: print('hello', file=sys.stderr) or torch.relu(x)",
        "prints 'hello' when it is called",
    ),
]
TARGETS = [
    ("lambda x: 0 * x", "is constant on [-pi, pi]"),
    ("lambda x: x[1:]", "returns (199,) for an array of shape (200,)"),
    ("lambda x: x * random.random()", "is not deterministic"),
    ("lambda x: print('hello') or x", "prints when it is called"),
    ("lambda x, y: x + y", "raises TypeError: "),
]
INITIALIZERS = [
    (
        "lambda layer: layer.weight.fill_(random.random())",
        "draws other numbers from the same seed",
    ),
    ("lambda layer: layer.weight.fill_(float('nan'))", "draws numbers that are not finite"),
    ("lambda layer: undefined", "raises NameError"),
]


@pytest.mark.parametrize(
    ("kind", "mine", "complaint"),
    [
        *(("activation", *case) for case in ACTIVATIONS),
        *(("target", *case) for case in TARGETS),
        *(("initializer", *case) for case in INITIALIZERS),
    ],
)
def test_what_is_unfit_is_refused_in_one_line(
    tmp_path: Path, kind: str, mine: str, complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each fault has its own line, which begins with what was named and says what to do."""
    given = written(tmp_path, mine)
    with pytest.raises(ActbenchError) as caught:
        getattr(own, kind)(given)
    assert str(caught.value).startswith(f"{given} {complaint}")
    assert "\n" not in str(caught.value)
    assert capsys.readouterr() == ("", "")
    assert {**activations.OWN, **targets.OWN, **initializers.OWN} == {}


def test_an_interruption_is_not_blamed_on_the_code(file: Path) -> None:
    """Ctrl-C while a user's code runs stays an interruption."""
    with pytest.raises(KeyboardInterrupt):
        own.activation(f"{file}:interrupted")


def test_a_built_in_activation_beside_the_eight_is_taken() -> None:
    """SELU, which other commands know, is known here by the same name."""
    assert own.activation("selu") is activations.FURTHER["selu"]
    assert own.candidate("selu").key == "selu"


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ("nowhere.py:f", "there is no file 'nowhere.py'; give path/to/file.py:name"),
        ("no_such_module:f", "there is no module 'no_such_module' for 'no_such_module:f'"),
        ("math:pie", "unknown name in math 'pie'; known: "),
        ("math:", "'math:' does not name a function; write path/to/file.py:name or module:name"),
        ("math:sin(x)", "'math:sin(x)' does not name a function"),
        ("relux", "unknown activation 'relux'; known: linear, "),
    ],
)
def test_what_is_not_there_is_said(given: str, complaint: str) -> None:
    """A name that leads nowhere is answered with what was looked for and how to name it."""
    with pytest.raises(ActbenchError) as caught:
        own.activation(given)
    assert str(caught.value).startswith(complaint)


@pytest.mark.parametrize(
    ("code", "complaint"),
    [
        ("x = 1 / 0", "raises ZeroDivisionError: division by zero (line 1) when it is loaded"),
        ("def f(x)\n  return x", "raises SyntaxError: "),
        ("import sys; sys.exit(3)", "raises SystemExit: 3 (line 1) when it is loaded"),
        ("print('hello')\ndef f(x): return x", "prints 'hello' when it is loaded"),
    ],
)
def test_a_file_that_fails_is_one_line(tmp_path: Path, code: str, complaint: str) -> None:
    """What goes wrong while a file is loaded names the file, the reason and the line."""
    path = tmp_path / "bad.py"
    path.write_text(code, encoding="utf-8")
    with pytest.raises(ActbenchError) as caught:
        own.activation(f"{path}:f")
    assert str(caught.value).startswith(f"{path} {complaint}")
    assert "\n" not in str(caught.value)


def test_a_key_from_a_data_file_runs_nothing(file: Path) -> None:
    """Registries only look up: a path that nobody loaded is an unknown name."""
    file.write_text("raise SystemExit('it ran')", encoding="utf-8")
    for config, setting in (
        (sine_regression.Config, {"activations": (f"{file}:mish",)}),
        (sine_regression.Config, {"initializer": f"{file}:wide"}),
        (capacity.Config, {"targets": (f"{file}:wave",)}),
    ):
        with pytest.raises(ActbenchError, match=r"^unknown (activation|initializer|target)"):
            config(**setting)


def test_an_installed_package_offers_activations(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in the group of entry points is found by its name, a built-in one comes first."""
    entries = {
        "soft": EntryPoint("soft", "torch.nn.functional:softplus", "actbench.activations"),
        "relu": EntryPoint("relu", "nobody:nothing", "actbench.activations"),
    }
    monkeypatch.setattr(loading, "offered", lambda kind: entries)
    assert own.activation("soft").derivative_bounds[1] == pytest.approx(1)
    assert own.activation("relu") is activations.ACTIVATIONS["relu"]


def test_an_edited_file_is_another_protocol(file: Path) -> None:
    """The digest of the code is part of the protocol, and a built-in one leaves none there."""
    key = f"{file}:mish"
    own.activation(key)
    first = sine_regression.Config(activations=(key, "relu")).protocol()["own_code"]
    file.write_text(f"{CODE}4\n", encoding="utf-8")
    own.activation(key)
    second = sine_regression.Config(activations=(key, "relu")).protocol()["own_code"]
    assert first.keys() == second.keys() == {key}
    assert first != second
    assert "own_code" not in sine_regression.Config(activations=("relu",)).protocol()


def test_a_target_of_ones_own_is_learned_like_any_other(file: Path) -> None:
    """Its points are the function's, with the study's noise."""
    key = f"{file}:wave"
    own.target(key)
    x = np.linspace(-np.pi, np.pi, 12)
    data = targets.noisy(key, 12)
    np.testing.assert_allclose(data.clean, np.sin(x) ** 3)
    noise = targets.noisy("sine", 12).noisy - np.sin(x)
    np.testing.assert_allclose(data.noisy - data.clean, noise, atol=1e-15)
    protocol = capacity.Config(targets=[key, "sine"]).protocol()
    assert protocol["formulas"] == {key: "sin(x) cubed.", "sine": "sin(x)"}
    assert protocol["own_code"].keys() == {key}


def test_an_initializer_of_ones_own_states_its_variances(file: Path) -> None:
    """Measured sigma_w^2 and sigma_b^2 are those that its code draws from, 2 and 0.25."""
    found = own.initializer(f"{file}:wide")
    assert found.sigma_w2(64, 64) == pytest.approx(2, rel=0.01)
    assert found.sigma_b2(64) == 0.25
    layer = torch.nn.Linear(3, 5)
    found.apply(layer)
    assert (layer.bias == 0.5).all()
    assert layer.weight.requires_grad


def test_what_a_users_code_raises_later_is_one_line_too(file: Path) -> None:
    """An exception out of the user's file is blamed on it; any other stays as it is."""
    file.write_text(
        "import torch\n\ndef late(x):\n    if x.abs().max() > 1e3: raise OSError('too far')\n"
        "    return x\n",
        encoding="utf-8",
    )
    module = own.activation(f"{file}:late").module()
    said = r"late raises OSError: too far \(line 4\) while"
    with pytest.raises(ActbenchError, match=said), loading.blaming_own_code():
        module(torch.full((2,), 1e4))
    file.write_text(file.read_text().replace("raise OSError('too far')", "raise SystemExit(3)"))
    module = own.activation(f"{file}:late").module()
    with pytest.raises(ActbenchError, match="SystemExit: 3"), loading.blaming_own_code():
        module(torch.full((2,), 1e4))
    with pytest.raises(KeyError), loading.blaming_own_code():
        raise KeyError("ours")


TAKEN = {
    "trained": ("Module", "ab"),
    "one frozen": ("lambda: Module(frozen='b')", "a"),
    "all frozen": ("lambda: Module(frozen='ab')", ""),
    "closed gate": (
        "lambda: of(lambda self, x: torch.relu(x) + self.a * torch.tanh(self.b * x), a=0.0)",
        "ab",
    ),
    "closed twice": (
        "lambda: of(lambda self, x: torch.relu(x) + self.a**2 * x + 0 * self.b, frozen='b')",
        "a",
    ),
    "buffer": (
        "lambda: of(lambda self, x: self.c * nn.functional.softplus(x), frozen='ab')",
        "",
    ),
    "of whole numbers": ("lambda: of(lambda self, x: self.n * torch.relu(x), frozen='ab')", ""),
    "in place": ("lambda: of(lambda self, x: x.mul_(torch.sigmoid(x)), frozen='ab')", ""),
    "in place, trained": (
        "lambda: of(lambda self, x: x.clamp_(min=0).mul(self.a), frozen='b')",
        "a",
    ),
    "warning": (
        "lambda: of(lambda self, x: warnings.warn('old') or torch.relu(x), frozen='ab')",
        "",
    ),
}


@pytest.mark.filterwarnings("ignore:old")
@pytest.mark.parametrize(("mine", "moved"), TAKEN.values(), ids=TAKEN)
def test_modules_as_people_write_them_are_taken(tmp_path: Path, mine: str, moved: str) -> None:
    """A stack trains what a plain loop trains, and what is frozen stays where it is."""
    found = own.activation(written(tmp_path, mine))
    assert list(activations.trained(found.module())) == list(moved)
    architecture, schedule = Architecture(found, 2, width=8), Schedule(4)
    data = targets.noisy_sine(16)
    members = [Member(seed, initializers.get("torch_default")) for seed in (42, 43)]
    together = train_stack(architecture, members, schedule, data.x, data.noisy)
    for place, member in enumerate(members):
        alone = train_reference(architecture, member, schedule, data.x, data.noisy)
        np.testing.assert_allclose(together.loss[place], alone.loss[0], rtol=1e-4)


def test_a_file_that_sets_torchs_state_changes_nothing_beside_it(tmp_path: Path) -> None:
    """Neither when it is loaded nor when its module is made or its function is called."""
    path = tmp_path / "rude.py"
    path.write_text(
        "import torch\n"
        "torch.set_default_dtype(torch.float64)\n"
        "torch.set_flush_denormal(True)\n"
        "def rude(x):\n"
        "    torch.use_deterministic_algorithms(True, warn_only=True)\n"
        "    return torch.tanh(x)\n"
    )
    own.activation(f"{path}:rude")
    assert torch.get_default_dtype() is torch.float32
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.full((), 1e-310, dtype=torch.float64).mul(0.5).item() > 0
