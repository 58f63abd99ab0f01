"""Docstrings that are definitions and help, also where Python was told to strip them."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable
from textwrap import dedent
from typing import Any


def docstring(thing: Callable[..., Any]) -> str:
    """Return what the docstring of a function or class says."""
    if sys.flags.optimize < 2:
        return inspect.getdoc(thing) or ""
    (node,) = ast.parse(dedent(inspect.getsource(thing))).body
    return (isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node)) or ""
