"""Templates become pages: HTML that needs nothing else, or GitHub's Markdown."""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Mapping
from typing import TYPE_CHECKING

import jinja2
from markupsafe import Markup

from actbench.pages import svg

if TYPE_CHECKING:
    from actbench.report.parts import Drawing

_SPECIAL = re.compile(r"([\\`*\[\]|~$])")


def html(template: str, variables: Mapping[str, object]) -> str:
    """Fill a template of a page; everything that it is told is text, not markup."""
    environment = _environment()
    environment.filters["embed"] = _embed
    return environment.get_template(template).render(variables)


def markdown(template: str, variables: Mapping[str, object]) -> str:
    """Fill a template of GitHub's Markdown; everything that it is told is text, not markup."""
    environment = _environment()
    environment.finalize = _markdown_text
    environment.filters.update(code=_markdown_code, file=_markdown_file)
    return environment.get_template(template).render(variables)


def plain(template: str, variables: Mapping[str, object]) -> str:
    """Fill a template of a TOML file; its filter ``toml`` quotes a text."""
    environment = _environment()
    environment.autoescape = False
    environment.filters["toml"] = json.dumps
    return environment.get_template(template).render(variables)


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("actbench"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _embed(drawing: Drawing) -> Markup:
    return svg.embed(drawing.svg, drawing.anchor, drawing.caption)


def _markdown_text(value: object) -> object:
    # Line breaks would end a table's row; the rest would be taken for markup.
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    text = _SPECIAL.sub(r"\\\1", re.sub(r"\s+", " ", value))
    for character, name in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(character, name)
    return Markup(text)  # noqa: S704 - escaped for Markdown, where quotes mean nothing


def _markdown_file(name: str) -> Markup:
    return Markup(urllib.parse.quote(name))  # noqa: S704 - letters, digits and percent signs only


def _markdown_code(value: str) -> Markup:
    return Markup("`{}`").format(Markup(value.replace("`", "'").replace("|", "\\|")))  # noqa: S704
