"""Planted faults that a tool chooses: how many of a fixed sample do the tests find.

``python tests/mutation.py`` mutates a copy of this tree by cosmic-ray, one mutant at a time, and
runs the tests that ``mutation.toml`` names for it. It prints what survived, and ends with 1 where
fewer were killed than that file says. Words after it pick subjects.
"""

from __future__ import annotations

import ast
import hashlib
import os
import re
import shlex
import shutil
import sys
import tempfile
import tomllib
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from cosmic_ray.commands import init
from cosmic_ray.mutating import mutate_and_test, mutate_code
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import use_db
from cosmic_ray.work_item import MutationSpec, WorkResult

TABLE = Path(__file__).with_suffix(".toml")
ROOT = TABLE.parents[1]
# The same by construction, as `is` for `==` of what is one object; or an error by construction.
_POINTLESS = re.compile(
    r"Replace(\w+Operator_(Eq_Is|NotEq_IsNot|Is_Eq|IsNot_NotEq|Is(Not)?_[GL]tE?)"
    r"|BinaryOperator_(Add|Sub|Mul|Div|FloorDiv|Mod|Pow)_([LR]Shift|Bit(Or|And|Xor)))$"
)


def _executed(source: str) -> str:
    """A module without what only a type checker reads."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        for name in {"annotation", "returns"} & set(node._fields):
            setattr(node, name, None)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.test, node.body = ast.Constant(None), []
    return ast.dump(tree)


def _differs(spec: MutationSpec) -> bool:
    """Whether a mutant can be imported and does something else, or might."""
    if _POINTLESS.search(spec.operator_name):
        return False
    source = spec.module_path.read_text(encoding="utf-8")
    mutant = mutate_code(source, get_operator(spec.operator_name)(), spec.occurrence)
    try:
        return _executed(mutant) != _executed(source)
    except SyntaxError:
        return False


def _rank(spec: MutationSpec, seed: int) -> tuple[str, str, int]:
    """By chance for a place, then for a mutant there, whatever is edited elsewhere."""
    row, column = spec.start_pos
    line = spec.module_path.read_text(encoding="utf-8").splitlines()[row - 1]
    place = f"{seed} {spec.definition_name} {line.strip()} {column - len(line)}"
    less = spec.operator_name.endswith("NumberReplacer") and spec.occurrence % 2  # first 1 more
    digests = (hashlib.sha256(t.encode()) for t in (place, f"{place} {spec.operator_name} {less}"))
    first, second = (digest.hexdigest() for digest in digests)
    return first, second, spec.occurrence


def sample(modules: list[str], seed: int, count: int) -> list[MutationSpec]:
    """Choose mutants, at most one for each place in the modules."""
    with use_db(":memory:") as session:
        init([Path(module) for module in modules], session, {})
        found = [spec for item in session.work_items for spec in item.mutations]
    chosen: dict[tuple[Path, tuple[int, int]], MutationSpec] = {}
    for spec in sorted(found, key=partial(_rank, seed=seed)):
        place = (spec.module_path, spec.start_pos)
        if len(chosen) < count and place not in chosen and _differs(spec):
            chosen[place] = spec
    return list(chosen.values())


def _enter_a_copy(folder: str) -> None:
    copy = Path(tempfile.mkdtemp(dir=folder), "tree")
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "__pycache__", "results"))
    os.chdir(copy)
    os.environ.update(PYTHONPATH=str(copy), OMP_NUM_THREADS="1")


def results(subject: dict[str, Any], table: dict[str, Any]) -> list[WorkResult]:
    """Run a subject's tests on each mutant of its sample."""
    specs = sample(subject["modules"], table["seed"], table["sample"])
    options = ("-m", "pytest", "-x", "-q", "-n0", "-pno:cacheprovider")
    command = shlex.join([sys.executable, *options, *subject["tests"]])
    test = partial(mutate_and_test, test_command=command, timeout=table["timeout_s"])
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(table["workers"], None, _enter_a_copy, (folder,)) as pool,
    ):
        unchanged = pool.submit(test, []).result()
        if unchanged.is_killed:
            sys.exit(f"these tests must pass without a mutation:\n{command}\n{unchanged.output}")
        return list(pool.map(test, [[spec] for spec in specs]))


def main() -> int:
    """Judge the subjects that are asked for, or all; 1 where a score fell."""
    os.chdir(ROOT)
    table = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    fell = []
    for name in sys.argv[1:] or table["subject"]:
        subject = table["subject"][name]
        ended = results(subject, table)
        killed = sum(result.is_killed for result in ended)
        print(*(result.diff for result in ended if not result.is_killed), sep="\n")
        print(f"{name}: killed {killed} of {len(ended)}, before {subject['killed']}", flush=True)
        fell += [name] * (killed < subject["killed"])
    print(f"fewer are killed than before: {', '.join(fell)}" if fell else "no score fell")
    return int(bool(fell))


if __name__ == "__main__":
    sys.exit(main())
