"""Workflows and sessions: what they run exists, so that a renamed option is noticed here."""

from __future__ import annotations

import ast
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from actbench.cli.app import app
from actbench.store.errors import DISTRIBUTION

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SHELL = {"cp", "set", "tee"}
TOOLS = {"actbench", "check-jsonschema", "mypy", "nox", "pytest", "python", "ruff"}
GUIDE = ROOT / "docs" / "tracking.md"
GUIDES = (GUIDE, ROOT / "docs" / "own_study.md")


def read(path: Path) -> dict[str, Any]:
    """Read a workflow; YAML takes the key `on` for a truth value."""
    whole: dict[Any, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    whole["on"] = whole.pop(True)
    return whole


def steps(path: Path) -> Iterator[dict[str, Any]]:
    """Every step of every job that has steps of its own."""
    for job in read(path)["jobs"].values():
        yield from job.get("steps", [])


def words(text: str) -> Iterator[list[str]]:
    """Every command of a piece of shell; expressions and variables become one word."""
    text = re.sub(r"\$\{\{.*?\}\}|\$\{.*?\}|\$\w+", "WORD", text)
    for line in re.split(r"\n|\s\|\s|&&", text):
        if line.strip():
            yield shlex.split(line)


def examples() -> Iterator[dict[str, Any]]:
    """Every workflow that the guides show."""
    for guide in GUIDES:
        text = guide.read_text(encoding="utf-8")
        for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL):
            yield yaml.safe_load(block)


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every command of the workflows, of the guide's shell and of the guide's workflows."""
    for path in WORKFLOWS:
        for step in steps(path):
            yield from ((path.name, command) for command in words(step.get("run", "")))
    for block in re.findall(r"```sh\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL):
        text = re.sub(r"\s#.*", "", block)
        yield from ((GUIDE.name, command) for command in words(text))
    for example in examples():
        for job in example["jobs"].values():
            for step in job.get("steps", []):
                yield from ((GUIDE.name, command) for command in words(step.get("run", "")))


CALLS = [(name, command[1:]) for name, command in commands() if command[0] == "actbench"]


def check_call(command: list[str]) -> None:
    """Fail where the command line does not take this: command, options, types and arguments."""
    group = get_command(app)
    name, *rest = command
    found = group.get_command(None, name)  # type: ignore[attr-defined]
    assert found is not None, f"actbench has no command {name}"
    kept = rest[: rest.index(">>")] if ">>" in rest else rest
    try:
        found.make_context(name, kept)
    except Exception as error:
        raise AssertionError(f"actbench {name}: {error}") from error


def test_there_is_something_to_check() -> None:
    """The workflows are there, and between them they use the package's commands."""
    assert [path.name for path in WORKFLOWS] == [
        "follow.yml",
        "judge.yml",
        "tests.yml",
        "track.yml",
    ]
    assert {call[0] for name, call in CALLS if name != GUIDE.name} == {
        *("record", "drift", "verify", "history")
    }


@pytest.mark.parametrize("call", [pytest.param(c, id=f"{n}-{' '.join(c)}") for n, c in CALLS])
def test_every_command_and_option_exists(call: list[str]) -> None:
    """What a workflow or the guide calls is a command of this package, with what it takes."""
    check_call(call)


@pytest.mark.parametrize(
    "call",
    [["recrod"], ["record", "--output", "x"], ["drift", "one.json"], ["record", "--seeds", "many"]],
)
def test_a_renamed_command_would_be_noticed(call: list[str]) -> None:
    """The check above can fail: by the name, an option, an argument and a type."""
    with pytest.raises(AssertionError, match="actbench"):
        check_call(call)


def test_every_program_is_one_that_gets_installed() -> None:
    """A workflow calls the shell, what the package brings, and what its extras bring."""
    called = {command[0] for name, command in commands() if name != GUIDE.name}
    assert called <= SHELL | TOOLS
    extras = " ".join(PROJECT["optional-dependencies"]["dev"])
    for tool in ("check-jsonschema", "mypy", "ruff", "nox"):
        assert f"{tool}>=" in extras


def test_installed_extras_and_named_files_exist() -> None:
    """Every `-e .[extra]` names an extra, every `-c` and every path of a tool what is there."""
    called = [job["with"]["package"].split() for job in callers()]
    for command in (*called, *(command for _, command in commands())):
        for word, following in zip(command, [*command[1:], ""], strict=True):
            if word == "-c":
                assert (ROOT / following).is_file()
            if extra := re.fullmatch(r"\.\[(\w+)\]", word):
                assert extra[1] in PROJECT["optional-dependencies"]
            if word.startswith(".github/"):
                assert list(ROOT.glob(word))


def test_sessions_that_are_named_exist() -> None:
    """`nox -s NAME` in the guide and in the README names a session of noxfile.py."""
    tree = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    sessions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    named = {"lint", "tests", "guests", "mutation", "processors", "rooms", "track"}
    assert sessions == named
    for path in (GUIDE, ROOT / "README.md"):
        assert set(re.findall(r"nox -s (\w+)", path.read_text(encoding="utf-8"))) <= sessions


def test_what_is_mutated_exists() -> None:
    """The modules and the test files of `nox -s mutation`."""
    table = tomllib.loads((ROOT / "tests" / "mutation.toml").read_text(encoding="utf-8"))
    for subject in table["subject"].values():
        paths = [word.partition("::")[0] for word in subject["tests"] if word.startswith("tests/")]
        assert paths
        for path in (*subject["modules"], *paths):
            assert (ROOT / path).is_file()


SHARED = {"follow.yml", "judge.yml"}


def callers() -> list[dict[str, Any]]:
    """Jobs that use the shared workflow: this repository's, and those that the guide shows."""
    jobs = [job for path in WORKFLOWS for job in read(path)["jobs"].values()]
    jobs += [job for example in examples() for job in example["jobs"].values()]
    return [job for job in jobs if "uses" in job]


def test_the_shared_workflow_gets_inputs_that_it_has() -> None:
    """`with:` of each call, the guides' too, names inputs of the workflow that it calls."""
    found = callers()
    assert {Path(job["uses"].partition("@")[0]).name for job in found} == SHARED
    for job in found:
        called = Path(job["uses"].partition("@")[0]).name
        inputs = read(ROOT / ".github" / "workflows" / called)["on"]["workflow_call"]["inputs"]
        needed = {name for name, about in inputs.items() if about.get("required")}
        assert needed <= set(job["with"]) <= set(inputs)


def test_the_shared_workflow_installs_what_it_is_told() -> None:
    """No call, and no default, asks the public index: our names there are another's, or free."""
    for name in SHARED:
        inputs = read(ROOT / ".github" / "workflows" / name)["on"]["workflow_call"]["inputs"]
        assert inputs["package"]["required"]
        assert "default" not in inputs["package"]
    for job in callers():  # pip gets it word by word, so `NAME @ URL` would be three packages
        assert not {"actbench", DISTRIBUTION, "@"} & set(job["with"]["package"].split())


def test_inputs_reach_the_shell_as_variables_only() -> None:
    """No expression stands in a command: what a caller writes is never run as shell."""
    for path in WORKFLOWS:
        for step in steps(path):
            inserted = re.findall(r"\$\{\{\s*(.*?)\s*\}\}", step.get("run", ""))
            assert [e for e in inserted if not e.startswith("matrix.")] == []


def test_the_guide_shows_the_job_in_ten_lines() -> None:
    """Another repository needs no more than the README promises."""
    blocks = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    assert all(len(block.splitlines()) <= 10 for block in blocks)


def test_workflows_may_not_write() -> None:
    """By default a workflow's token reads only, and every job of its own ends after a while."""
    for path in WORKFLOWS:
        whole = read(path)
        assert whole["permissions"] == {"contents": "read"}
        for job in whole["jobs"].values():
            assert "uses" in job or 1 <= job["timeout-minutes"] <= 60


def test_actions_are_pinned_to_a_major_version() -> None:
    """Every action that is used is one of GitHub's own, at a major version."""
    used = [step["uses"] for path in WORKFLOWS for step in steps(path) if "uses" in step]
    assert len(used) >= 8
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", action) for action in used)


def test_a_flip_fails_the_job_though_its_output_is_piped() -> None:
    """The exit code of `drift` reaches the job: the pipe into the summary does not swallow it."""
    found = steps(ROOT / ".github" / "workflows" / "follow.yml")
    compared = [step["run"] for step in found if "actbench drift" in step.get("run", "")]
    assert len(compared) == 2
    for run in compared:
        assert run.startswith("set -o pipefail\n")
        assert "|| true" not in run
