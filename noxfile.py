"""Sessions for development: `nox -s lint`, `nox -s tests`, `nox -s track -- 2.6.0 2.13.0`."""

from __future__ import annotations

from pathlib import Path

import nox

nox.options.sessions = ["lint", "tests"]
nox.options.error_on_missing_interpreters = False

CONSTRAINTS = ("-c", "constraints.txt")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, types and the workflows."""
    session.install(*CONSTRAINTS, "-e", ".[dev]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    workflows = [str(path) for path in Path(".github/workflows").glob("*.yml")]
    schema = ("--builtin-schema", "vendor.github-workflows")
    session.run("check-jsonschema", *schema, *workflows)


@nox.session(python=["3.11", "3.12", "3.13"])
def tests(session: nox.Session) -> None:
    """Run the suite; arguments after `--` go to pytest."""
    session.install(*CONSTRAINTS, "-e", ".[test]")
    session.run("pytest", *session.posargs)


@nox.session
def track(session: nox.Session) -> None:
    """Make a record for each release of torch that is named, in an environment of its own."""
    if not session.posargs:
        session.error("name releases of torch: nox -s track -- 2.6.0 2.13.0")
    session.install(*CONSTRAINTS, "-e", ".")
    session.run("actbench", "track", *session.posargs)
