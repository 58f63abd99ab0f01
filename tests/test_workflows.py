"""Workflows and sessions: what they run exists, so that a renamed option is noticed here."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from actbench.cli import app

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def jobs(path: Path) -> dict[str, dict[str, object]]:
    """The jobs of a workflow."""
    found: dict[str, dict[str, object]] = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"]
    return found


def commands(path: Path) -> Iterator[list[str]]:
    """Every command of every `run:` of a workflow, in words, expressions as one word."""
    for job in jobs(path).values():
        for step in job["steps"]:  # type: ignore[attr-defined]
            text = re.sub(r"\$\{\{.*?\}\}", "EXPRESSION", step.get("run", ""))
            for line in re.split(r"\n|\s\|\s|&&", text):
                if line.strip():
                    yield shlex.split(line)


def calls() -> list[tuple[str, list[str]]]:
    """Every use of this package's command, with the workflow's name."""
    return [
        (path.name, words[1:])
        for path in WORKFLOWS
        for words in commands(path)
        if words[0] == "actbench"
    ]


def check_call(words: list[str]) -> None:
    """Fail where the command or an option does not exist."""
    group = get_command(app)
    command = group.get_command(None, words[0])  # type: ignore[attr-defined]
    assert command is not None, f"actbench has no command {words[0]}"
    known = {option for parameter in command.params for option in parameter.opts}
    given = {word.partition("=")[0] for word in words[1:] if word.startswith("-")}
    assert given <= known, f"actbench {words[0]} has no {sorted(given - known)}"


def test_there_is_something_to_check() -> None:
    """Both workflows are there and use the package's commands."""
    assert [path.name for path in WORKFLOWS] == ["tests.yml", "track.yml"]
    assert {words[0] for _, words in calls()} == {"record", "drift", "history"}


@pytest.mark.parametrize("words", [pytest.param(w, id=f"{n}-{w[0]}") for n, w in calls()])
def test_every_command_and_option_exists(words: list[str]) -> None:
    """What a workflow calls is a command of this package, with options that it has."""
    check_call(words)


@pytest.mark.parametrize("words", [["recrod"], ["record", "--output", "x"]])
def test_a_renamed_command_would_be_noticed(words: list[str]) -> None:
    """The check above can fail."""
    with pytest.raises(AssertionError, match="actbench"):
        check_call(words)


def test_installed_extras_exist() -> None:
    """Every `-e .[extra]` names an extra of pyproject.toml, every `-c` a file that is there."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for path in WORKFLOWS:
        for words in commands(path):
            for word, following in zip(words, [*words[1:], ""], strict=True):
                if word == "-c":
                    assert (ROOT / following).is_file()
                if extra := re.fullmatch(r"\.\[(\w+)\]", word):
                    assert extra[1] in project["optional-dependencies"]


def test_workflows_may_not_write() -> None:
    """By default a workflow's token reads only, and every job ends after a while."""
    for path in WORKFLOWS:
        whole = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert whole["permissions"] == {"contents": "read"}
        assert all(1 <= job["timeout-minutes"] <= 30 for job in whole["jobs"].values())


def test_a_flip_fails_the_job_though_its_output_is_piped() -> None:
    """The exit code of `drift` reaches the job: the pipe into the summary does not swallow it."""
    steps = jobs(ROOT / ".github" / "workflows" / "track.yml")["drift"]["steps"]
    (run,) = (step["run"] for step in steps if "drift" in step.get("run", ""))  # type: ignore[attr-defined]
    assert run.startswith("set -o pipefail\n")
    assert "|| true" not in run
