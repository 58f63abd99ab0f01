"""The core names no study, half of the package needs no torch, start-up loads nothing heavy.

That imports go one way is import-linter's part: the contracts in ``pyproject.toml``.
"""

from __future__ import annotations

import ast
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from calls import printed

import actbench
from actbench.study.catalog import activations
from actbench.study.experiments import EXPERIMENTS
from actbench.study.experiments import FURTHER as FURTHER_EXPERIMENTS

ROOT = Path(actbench.__file__).parent
CORE = ("store", "pages", "claims", "runs", "ledger", "tracking", "pytest_plugin", "cli")
"""Rooms that judge a stranger's study as they judge ours, and so name neither."""
NAMED = {
    "pages.colors": set(activations.ACTIVATIONS),  # a look for each of ours, and for any other
}
"""What the core still names of the study."""
STUDY = (
    "actbench.study.",
    *(f"actbench.{name}." for name in actbench._MODULES if name != "datasets"),
)
"""How what lies in the room of the study is imported."""
PAPER = ("catalog", "theory", "figures", "findings", "report", "commands", "experiments.*.metrics")
"""Rooms of the study that need no torch."""
HEAVY = {"torch", "numpy", "xarray", "scipy", "matplotlib", "pandas", "psutil"}


def sources() -> dict[str, str]:
    """Read every module of the package, by its name below `actbench`, the package itself as ''."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        found[name] = path.read_text(encoding="utf-8")
    return found


def loaded_after(*pieces: str) -> list[set[str]]:
    """Run pieces of code in one new interpreter; return which packages are loaded after each."""
    tell = "print('\\n@', json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    said = printed("-c", "\n".join(["import json, sys", *(f"{p}\n{tell}" for p in pieces)]))
    told = [line for line in said.splitlines() if line.startswith("@ [")]
    assert len(told) == len(pieces)
    return [set(json.loads(line[1:])) for line in told]


def command(*arguments: str) -> str:
    """Return code that calls the command line and swallows its exit."""
    return (
        f"sys.argv = ['actbench', *{list(arguments)!r}]\n"
        "from actbench.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
    )


def imports(tree: ast.AST) -> Iterator[str]:
    """Give the full names that a module, or a part of it, imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


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
    return found | {name for name in imports(tree) if f"{name}.".startswith(STUDY)}


def test_the_core_names_no_study() -> None:
    """Neither an activation, nor an experiment, nor the file of claims, but for what is listed."""
    core = {name: text for name, text in sources().items() if name.split(".")[0] in CORE}
    assert {"claims.verdicts", "runs.evidence", "pytest_plugin.trainings", "cli"} <= set(core)
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
        ("from actbench.study import STUDY", {"actbench.study.STUDY"}),
        (
            "def f():\n    from actbench.study.experiments import get",
            {"actbench.study.experiments.get"},
        ),
        ("from actbench import targets", {"actbench.targets"}),
        ("import actbench.study.theory.formulas", {"actbench.study.theory.formulas"}),
        ("from actbench import studies\nx = 'activation'", set()),
        ('"""Such as ``"sine-regression"``."""', set()),
    ],
)
def test_a_name_of_the_study_is_found(source: str, named: set[str]) -> None:
    """The rule can fail: a key, a file or a module of the study is seen, wherever it stands."""
    assert study_names(source) == named


def test_the_contracts_are_about_every_room() -> None:
    """Each room has its place in the order that import-linter holds."""
    project = tomllib.loads((ROOT.parent / "pyproject.toml").read_text(encoding="utf-8"))
    order, inside = (c["layers"] for c in project["tool"]["importlinter"]["contracts"])
    rooms = {path.name for path in ROOT.iterdir() if (path / "__init__.py").exists()}
    assert set(order) == rooms
    listed = {name.strip() for layer in inside for name in layer.split(":")}
    found = {path.stem for path in (ROOT / "study").iterdir() if path.stem[0] != "_"}
    assert listed == found


def test_the_paper_half_loads_no_torch() -> None:
    """Datasets, claims, metrics and figures can be used where torch is not installed."""
    named = [f"study.{room}" for room in PAPER if "*" not in room]
    named += [
        f"study.experiments.{key.replace('-', '_')}.metrics" for key in ("capacity", "stability")
    ]
    paper = [
        name
        for name in sources()
        if name.split(".")[0] in CORE or any(f"{name}.".startswith(f"{room}.") for room in named)
    ]
    assert {"claims.verdicts", "study.theory.mean_field", "study.report"} <= set(paper)
    (loaded,) = loaded_after("\n".join(f"import actbench.{name}" for name in paper))
    assert "actbench" in loaded
    assert "torch" not in loaded


AT_ONCE = {
    "import": "import actbench",
    "--help": command("--help"),
    "run --help": command("run", "--help"),
    "claims --help": command("claims", "--help"),
    "list": command("list"),
    "pytest plugin": "import actbench.pytest_plugin",
    "drift --help": command("drift", "--help"),
    "--version": command("--version"),
    "mistake": command("run", "sine-regresion"),
}
"""What answers at once, without a numerical library."""


def test_start_up_loads_nothing_heavy() -> None:
    """One after the other in one process; and where numbers are computed, that is seen."""
    *found, at_last = loaded_after(*AT_ONCE.values(), "import actbench.claims.statistics")
    assert all("actbench" in loaded for loaded in found)
    heavy = {name: loaded & HEAVY for name, loaded in zip(AT_ONCE, found, strict=True)}
    assert {name: loaded for name, loaded in heavy.items() if loaded} == {}
    assert "numpy" in at_last & HEAVY


def test_no_module_is_longer_than_one_noun_needs() -> None:
    """CONTRIBUTING.md says how many lines are too many."""
    lengths = {path: len(path.read_text("utf-8").splitlines()) for path in ROOT.rglob("*.py")}
    assert {path: lines for path, lines in lengths.items() if lines > 400} == {}


def test_submodules_come_when_they_are_used() -> None:
    """A submodule is reached from a plain `import actbench`, and what does not exist is told."""
    assert actbench.store.errors.ActbenchError is actbench.ActbenchError
    for name in actbench.__all__:
        assert getattr(actbench, name) is not None
    with pytest.raises(AttributeError, match=r"^module 'actbench' has no attribute 'netwroks'$"):
        _ = actbench.netwroks
    with pytest.raises(
        AttributeError, match=r"^module 'actbench.study.experiments' has no attribute"
    ):
        _ = actbench.experiments.sine_regresion


def test_what_is_stored_is_judged_without_heavy_packages() -> None:
    """Where nothing is computed a command starts within a second: these take one each."""
    commands = [command("claims"), command("claims", "show", "relu-final-mse")]
    for loaded in loaded_after(*commands, "assert 'scipy.stats' not in sys.modules"):
        assert not loaded & (HEAVY - {"numpy", "scipy"})
