"""Imports go one way, half of the package needs no torch, and start-up loads nothing heavy."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

import actbench
from actbench.study.catalog import activations
from actbench.study.experiments import EXPERIMENTS
from actbench.study.experiments import FURTHER as FURTHER_EXPERIMENTS

ROOT = Path(actbench.__file__).parent

LAYERS: Sequence[Sequence[str]] = (
    ("docstrings", "errors", "terminal"),
    (
        "activations",
        "initializers",
        "targets",
        "colors",
        "files",
        "seeds",
        "settings",
        "slips",
        "stopwatch",
        "sweeps",
        "studies",
    ),
    ("stored", "study"),
    (
        *("sweeps.axes", "devices", "environment", "experiments", "parallel", "records"),
        *("statistics", "theory", "torch_state", "twosample"),
    ),
    ("aggregates", "comparisons", "kernels", "datasets", "sweeps.grids", "own"),
    ("claims.published_mean",),
    ("claims.claim",),
    (
        "claims.claims_file",
        "networks",
        "metrics",
        "checkpoints",
        "sweeps.grid_files",
        "sweeps.stores",
    ),
    (
        *("claims.references", "claims.published_run", "claims.coordinates", "looks"),
        *("stacks", "runs"),
    ),
    (
        *("training", "claims.shape", "pages", "runs.sources", "claims.mean_comparison"),
        "simulations",
    ),
    ("claims",),
    (
        "experiments.*",
        "sweeps.chunks",
        "engines",
        "records.fingerprints",
        "claims.verdicts",
        "claims.mean_errors",
        "claims.measured",
    ),
    ("claims.comparing", "redraws", "records.models"),
    (
        "claims.early",
        "claims.published_table",
        "claims.evidence",
        "sweeps.remote",
        "claims.robustness",
        "sweeps.running",
        "records.timings",
        "claims.schema",
        "own.epoch_cost",
    ),
    (
        *("claims.robustness_sentence", "sweeps.clusters", "sweeps.summaries"),
        *("judging", "records.own"),
    ),
    ("console", "figures", "findings", "claims.ledger", "records.recording"),
    ("pages.ledger", "runs.drafting"),
    ("card", "drift", "pytest_plugin.options", "pytest_plugin.outcomes"),
    (
        "estimates",
        "fingerprinting",
        "results",
        "report",
        "rules",
        "recover",
        "device_checks",
        "doctor",
        "pytest_plugin.record",
        "pytest_plugin.activation_suite",
    ),
    ("history", "pytest_plugin.activation", "batches", "device_claims"),
    ("pytest_plugin",),
    ("session", "own.battery", "releases"),
    ("verification",),
    ("cli",),
    ("__main__",),
)
"""A module imports from layers above its own line only. A package stands for those of its modules
that are not listed themselves; `experiments.*` for each experiment."""

TORCH_HALF = {
    "pytest_plugin.activation_suite",
    "sweeps.chunks",
    "sweeps.clusters",
    "devices",
    "device_checks",
    "device_claims",
    "engines",
    "own.epoch_cost",
    "experiments.*",
    "records.fingerprints",
    "kernels",
    "networks",
    "stacks",
    "own",
    "recover",
    "sweeps.running",
    "records.timings",
    "torch_state",
    "training",
}
PACKAGES = {"card", "cli", "drift", "figures", "findings", "history", "metrics", "own", "releases"}
PACKAGES |= {"claims.ledger", "claims.measured", "claims.robustness", "pytest_plugin", "records"}
PACKAGES |= {"records.fingerprints", "recover", "report", "sweeps.clusters", "sweeps.stores"}
PACKAGES |= {"pages", "runs", "theory", "training"}
"""Packages whose modules may import one another."""
MEETING = {
    "own.battery",
    "environment",
    "parallel",
    "estimates",
    "results",
    "batches",
    "records.models",
    "records.recording",
    "runs.sources",
    "sweeps.grid_files",
    "sweeps.remote",
    "claims.robustness",
    "doctor",
    "session",
    "verification",
    "cli",
    "pytest_plugin.activation",
    "__main__",
    "",
}
"""Where the halves meet; every other module belongs to the paper half."""

CORE = {
    *("aggregates", "batches", "checkpoints", "claims", "comparisons", "datasets", "drift"),
    *("judging", "looks", "metrics", "pages", "pytest_plugin", "redraws", "results", "runs"),
    *("seeds", "simulations", "statistics", "stored", "studies", "twosample", "verification"),
}
"""Packages and modules that judge a stranger's study as they judge ours, and so name neither."""
STUDY_PARTS = {
    "claims.robustness",  # the map of the settings that the study leaves open
    "claims.robustness_sentence",  # what that map says of a claim
    "pytest_plugin.activation",  # --actbench-activation: the suite for an activation of one's own
    "pytest_plugin.activation_suite",
    "metrics.*",  # the study's metrics, which it registers
}
"""Modules within the core that belong to the study of activation functions."""
NAMED = {
    # An activation or an initializer that a claim names is checked against the catalog when the
    # file is read; experiments can't say yet which of their arguments name such a thing.
    "claims.references": {"actbench.activations", "actbench.initializers"},
    # Figures are found by experiment; a study can't register its own yet.
    "results": {"actbench.study.figures"},
}
"""What the core still names of the study."""
STUDY_ROOMS = {
    "actbench.study",
    "actbench.study.experiments",
    "actbench.activations",
    "actbench.targets",
}
STUDY_ROOMS |= {
    "actbench.initializers",
    "actbench.study.findings",
    "actbench.study.figures",
    "actbench.study.theory",
}

LISTED = {name for layer in LAYERS for name in layer}
HEAVY = {"torch", "numpy", "xarray", "scipy", "matplotlib", "pandas", "psutil"}


def sources() -> dict[str, str]:
    """Read every module of the package, by its name below `actbench`, the package itself as ''."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        found[name] = path.read_text(encoding="utf-8")
    return found


def place(module: str) -> str:
    """Return the name under which a module stands in `LAYERS`."""
    package, _, rest = module.partition(".")
    if package == "experiments" and rest:
        return "experiments.*"
    return next((name for name in above(module) if name in LISTED), package)


def above(module: str) -> Iterator[str]:
    """Give a module's name and those of the packages that hold it, the nearest first."""
    while module:
        yield module
        module = module.rpartition(".")[0]


def is_type_checking(node: ast.AST) -> bool:
    """Tell whether a node is the `if` that only type checkers enter."""
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def imports(tree: ast.AST, package: str, inside: bool = False) -> Iterator[tuple[str, bool]]:
    """Find what a module imports when it runs.

    Args:
        tree: The module, or a part of it.
        package: Full name of the package that relative imports start from.
        inside: Whether the part is a function, which runs later or never.

    Yields:
        Full names such as `actbench.store.errors.ActbenchError`, and whether it is inside a function.
    """
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*(above if node.level else []), *filter(None, [node.module])])
            yield from ((f"{base}.{alias.name}", inside) for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            yield from ((str(a.value), inside) for a in node.args if isinstance(a, ast.Constant))
        if isinstance(node, ast.If) and is_type_checking(node):
            for part in node.orelse:
                yield from imports(ast.Module([part], []), package, inside)
        else:
            function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from imports(node, package, inside or function)


def violations(modules: Mapping[str, str]) -> list[str]:
    """List every import that goes the wrong way.

    Args:
        modules: Module names below `actbench` and their sources.

    Returns:
        A sentence for each; empty where all is in order.
    """
    rank = {name: number for number, layer in enumerate(LAYERS) for name in layer}
    wrong = []
    for module, source in modules.items():
        here = place(module)
        if here not in rank and here:
            wrong.append(f"{module} has no place: add it to LAYERS")
            continue
        is_package = any(other.startswith(f"{module}.") for other in modules)
        full = f"actbench.{module}".rstrip(".")
        package = full if is_package or not module else full.rpartition(".")[0]
        for target, inside in imports(ast.parse(source), package):
            if target.split(".")[0] == "torch":
                if here not in TORCH_HALF and not inside:
                    wrong.append(f"{module} loads torch on import")
                continue
            there = placed(target, rank)
            if there is None or (there == here and here in PACKAGES):
                continue
            if here not in TORCH_HALF | MEETING and there in TORCH_HALF:
                wrong.append(f"{module} needs no torch but imports {target}")
            elif here and rank[there] >= rank[here]:
                wrong.append(f"{module} imports {target}, which does not lie below it")
    return wrong


def placed(target: str, rank: Mapping[str, int]) -> str | None:
    """Return the place of what is imported, or None where that is not in the package."""
    package, *names = target.split(".")
    if package != "actbench" or not names:
        return None
    if names[0] == "experiments" and len(names) > 1 and names[1] in EXPERIMENT_MODULES:
        return "experiments.*"
    return next((name for name in above(".".join(names)) if name in rank), None)


EXPERIMENT_MODULES = {path.stem for path in (ROOT / "experiments").glob("[!_]*.py")}


def loaded_after(code: str) -> set[str]:
    """Run code in a new interpreter and return which top-level packages it has loaded."""
    tail = (
        "import json, sys\n"
        "print('\\n' + json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    )
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-c", f"{code}\n{tail}"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def command(*arguments: str) -> str:
    """Return code that calls the command line and swallows its exit."""
    return (
        "import sys\n"
        f"sys.argv = ['actbench', *{list(arguments)!r}]\n"
        "from actbench.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
    )


def is_core(module: str) -> bool:
    """Tell whether a module judges any study."""
    if module.startswith("metrics.") or any(name in STUDY_PARTS for name in above(module)):
        return False
    return any(name in CORE for name in above(module))


def study_names(source: str) -> set[str]:
    """Find what a module names of the study: its keys, its claims file, and its modules."""
    tree = ast.parse(source)
    documented = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    texts = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in documented
    }
    keys = {*EXPERIMENTS, *FURTHER_EXPERIMENTS}
    keys |= {*activations.ACTIVATIONS, *activations.FURTHER, *(k.replace("-", "_") for k in keys)}
    longer = {key for key in keys if "-" in key} | {"published.toml"}
    found = {text for text in texts if text in keys or any(key in text for key in longer)}
    imported = {name for name, _ in imports(tree, "actbench")}
    rooms = {room for name in imported for room in above(name) if room in STUDY_ROOMS}
    return found | rooms


def test_the_core_names_no_study() -> None:
    """Neither an activation, nor an experiment, nor the file of claims, but for what is listed."""
    core = {name: source for name, source in sources().items() if is_core(name)}
    assert {"claims.verdicts", "claims.evidence", "pytest_plugin.trainings", "metrics"} <= set(core)
    found = {name: named for name, source in core.items() if (named := study_names(source))}
    assert found == NAMED


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("x = {'relu': 1}", {"relu"}),
        ("def f(key):\n    return key == 'gradient-flow'", {"gradient-flow"}),
        ("x = f'{folder}/sine_regression.nc'\ny = 'sine_regression'", {"sine_regression"}),
        ("x = folder / 'published.toml'", {"published.toml"}),
        ("x = 'as in: actbench run sine-regression'", {"as in: actbench run sine-regression"}),
        ("from actbench.study import STUDY", {"actbench.study"}),
        (
            "def f():\n    from actbench.study.experiments import get",
            {"actbench.study.experiments"},
        ),
        ("from actbench import targets", {"actbench.targets"}),
        ("import actbench.study.theory.formulas", {"actbench.study.theory"}),
        ("from actbench import studies\nx = 'activation'", set()),
        ('"""Such as ``"sine-regression"``."""', set()),
    ],
)
def test_a_name_of_the_study_is_found(source: str, named: set[str]) -> None:
    """The rule can fail: a key, a file or a module of the study is seen, wherever it stands."""
    assert study_names(source) == named


def test_imports_go_one_way() -> None:
    """No module of the package imports from its own layer or a later one, nor torch by mistake."""
    assert violations(sources()) == []


def test_the_whole_package_is_looked_at() -> None:
    """The modules that the rule is about are among those that are read."""
    found = sources()
    assert {"", "errors", "cli", "experiments", "experiments.sine_regression"} <= found.keys()
    assert {place(name) for name in found} >= TORCH_HALF
    read = [target for target, _ in imports(ast.parse(found["training.stacked"]), "actbench")]
    assert "actbench.study.nets.stacks.Stack" in read
    assert "torch" in read


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("colors", "import torch", "colors loads torch on import"),
        ("claims", "from torch.nn import Linear", "claims loads torch on import"),
        ("console", "try:\n    import torch.nn\nexcept ImportError: ...", "loads torch on import"),
        ("theory", "class A:\n    from torch import nn", "theory loads torch on import"),
        ("datasets", "from importlib import import_module\nimport_module('torch')", "loads torch"),
        ("files", "if TYPE_CHECKING:\n    pass\nelse:\n    import torch", "files loads torch"),
        ("", "import torch", " loads torch on import"),
        ("cli", "from torch import nn", "cli loads torch on import"),
        ("claims", "def f():\n    from actbench import training", "but imports actbench.training"),
        ("figures.new", "from ..stacks import Stack", "imports actbench.stacks.Stack"),
        ("figures.new", "from .. import kernels", "imports actbench.kernels"),
        ("datasets", "import actbench.study.nets.devices", "but imports actbench.devices"),
        (
            "claims.verdicts",
            "from actbench.study.experiments.sine_regression import run",
            "needs no torch but",
        ),
        ("errors", "from actbench.store.files import write_json", "which does not lie below it"),
        ("targets", "from actbench import activations", "which does not lie below it"),
        ("kernels", "from actbench.study.nets.stacks import Stack", "which does not lie below it"),
        ("networks", "from actbench import training", "which does not lie below it"),
        ("training", "import actbench.study.experiments.sine_regression", "does not lie below it"),
        (
            "experiments.new",
            "from actbench.study.experiments import sine_regression",
            "does not lie",
        ),
        (
            "experiments.new",
            "from actbench.runs.results import fulfil",
            "which does not lie below it",
        ),
        ("results", "def f():\n    from actbench.cli import app", "which does not lie below it"),
        ("statistics", "from actbench import metrics", "which does not lie below it"),
        ("metrics", "from actbench.claims import Claim", "which does not lie below it"),
        (
            "claims",
            "def f():\n    from actbench.claims.verdicts import judge",
            "does not lie below it",
        ),
        (
            "claims.measured",
            "from actbench.runs.evidence import judge_one",
            "which does not lie below it",
        ),
        (
            "claims.measured",
            "def f():\n    from actbench import networks",
            "needs no torch but imports",
        ),
        ("claims.evidence", "import torch", "claims.evidence loads torch on import"),
        (
            "claims.evidence",
            "from actbench.study.experiments.gradient_flow import run",
            "needs no torch but",
        ),
        (
            "claims.evidence",
            "def f():\n    from actbench.study.experiments import closed_forms",
            "needs no torch",
        ),
        (
            "claims.ledger",
            "from actbench.cli.session import Session",
            "which does not lie below it",
        ),
        ("pytest_plugin", "def f():\n    from actbench import devices", "needs no torch but"),
        ("session", "import torch", "session loads torch on import"),
        ("session", "from actbench.cli import app", "which does not lie below it"),
        (
            "claims.robustness",
            "from actbench.pages.saving import save",
            "which does not lie below it",
        ),
        ("findings.new", "from actbench.study.report import write", "which does not lie below it"),
        ("records", "from actbench.tracking.drift import Level", "which does not lie below it"),
        ("drift.new", "from actbench.study.report import write", "which does not lie below it"),
        ("drift.new", "def f():\n    from actbench import training", "needs no torch but imports"),
        ("report.new", "from actbench.cli.session import Session", "which does not lie below it"),
        ("findings.new", "def f():\n    from actbench import training", "needs no torch but"),
        (
            "experiments.gradient_flow",
            "from actbench.study.experiments import closed_forms",
            "not lie",
        ),
        (
            "sweeps.grids",
            "from actbench.study.sweeps.stores import Store",
            "which does not lie below it",
        ),
        (
            "sweeps.stores",
            "def f():\n    from actbench.study.sweeps import chunks",
            "needs no torch but imports",
        ),
        ("sweeps.remote", "import torch", "sweeps.remote loads torch on import"),
        (
            "sweeps.chunks",
            "from actbench.study.sweeps.running import run_here",
            "which does not lie below it",
        ),
        ("surprise", "", "surprise has no place: add it to LAYERS"),
    ],
)
def test_a_wrong_import_is_found(module: str, source: str, complaint: str) -> None:
    """The rule can fail: each way of breaking it, planted alone, is one complaint."""
    (found,) = violations({module: source, "figures": "", "figures._marks": ""})
    assert complaint in found


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("colors", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch"),
        ("claims", "import typing\nif typing.TYPE_CHECKING:\n    from actbench import training"),
        ("initializers", "def draw():\n    from torch.nn import init"),
        ("stacks", "import torch\nfrom actbench import kernels, networks"),
        ("figures", "from actbench.study.figures import _marks\nfrom . import _marks as other"),
        (
            "report.new",
            "from actbench.pages import rendering as svg\nfrom actbench.study import findings, figures",
        ),
        ("cli", "from actbench import __version__\nfrom actbench.study.experiments import get"),
        ("claims.evidence", "def f(key):\n    return EXPERIMENTS[key].module().run"),
        (
            "claims.ledger",
            "from actbench.runs.evidence import judge_all\nfrom actbench.claims import measured",
        ),
        (
            "claims.robustness",
            "def f():\n    from actbench.study.experiments import sine_regression",
        ),
        (
            "session",
            "from actbench import claims; from actbench.cli import console; from actbench.runs import results\nfrom actbench import ledger",
        ),
        ("datasets", "import torchlike\nimport json.decoder"),
        ("", "def __getattr__(name):\n    return import_module(f'actbench.{name}')"),
    ],
)
def test_a_right_import_is_left_alone(module: str, source: str) -> None:
    """Types, functions that run later, and imports from below are no complaint."""
    assert violations({module: source, "figures._marks": ""}) == []


def test_the_paper_half_loads_no_torch() -> None:
    """Datasets, claims and figures can be used where torch is not installed."""
    paper = [name for name in sources() if place(name) not in TORCH_HALF | MEETING]
    assert {
        *("activations", "datasets", "claims", "metrics", "statistics", "claims.verdicts"),
        *("claims.measured", "claims.evidence", "claims.ledger", "console", "figures"),
        *("figures.gradient_flow", "pytest_plugin"),
    } <= set(paper)
    code = "\n".join(f"import actbench.{name}" for name in [*paper, "claims.robustness", "session"])
    loaded = loaded_after(code)
    assert "actbench" in loaded
    assert "torch" not in loaded


@pytest.mark.parametrize(
    "code",
    [
        "import actbench",
        command("--help"),
        command("run", "--help"),
        command("claims", "--help"),
        command("list"),
        "import actbench.pytest_plugin",
        command("drift", "--help"),
        command("--version"),
        command("run", "sine-regresion"),
    ],
    ids=[
        *("import", "--help", "run --help", "claims --help", "list", "pytest plugin"),
        *("drift --help", "--version", "mistake"),
    ],
)
def test_start_up_loads_nothing_heavy(code: str) -> None:
    """What answers at once does so without a numerical library."""
    loaded = loaded_after(code)
    assert "actbench" in loaded
    assert loaded & HEAVY == set()


def test_something_heavy_would_be_seen() -> None:
    """The check of start-up can fail: where the networks are imported, torch is reported."""
    assert {"torch", "numpy"} <= loaded_after("import actbench.study.nets.networks") & HEAVY


def test_submodules_come_when_they_are_used() -> None:
    """A submodule is reached from a plain `import actbench`, and what does not exist is told."""
    assert actbench.errors.ActbenchError is actbench.ActbenchError
    for name in actbench.__all__:
        assert getattr(actbench, name) is not None
    with pytest.raises(AttributeError, match=r"^module 'actbench' has no attribute 'netwroks'$"):
        _ = actbench.netwroks
    with pytest.raises(
        AttributeError, match=r"^module 'actbench.study.experiments' has no attribute"
    ):
        _ = actbench.experiments.sine_regresion


@pytest.mark.parametrize("arguments", [("claims",), ("claims", "show", "relu-final-mse")])
def test_what_is_stored_is_judged_without_heavy_packages(arguments: tuple[str, ...]) -> None:
    """Where nothing is computed a command starts within a second: these take one each."""
    code = command(*arguments) + "assert 'scipy.stats' not in sys.modules\n"
    assert not loaded_after(code) & (HEAVY - {"numpy", "scipy"})
