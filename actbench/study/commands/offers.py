"""Code of one's own that the command line names: what packages offer, and what a file has."""

from __future__ import annotations


def offered(kind: str) -> tuple[str, ...]:
    """Name what installed packages offer, without loading any of it."""
    from importlib.metadata import entry_points

    return tuple(sorted(entry_points(group=f"actbench.{kind}s").names))


def load_own(kind: str, given: str) -> str:
    """Load what the user names as code of their own; a built-in name is left to its registry."""
    if ":" in given or given in offered(kind):
        from actbench.study import own

        getattr(own, kind)(given)
    return given
