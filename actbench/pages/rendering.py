"""Templates filled in, and figures' SVG made fit to stand inside a page."""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree as ET

import jinja2
from markupsafe import Markup, escape

from actbench.pages import blocks
from actbench.store.errors import ActbenchError


@dataclass(frozen=True)
class Drawing:
    """A figure of the folder."""

    name: str  # of its file without the suffix
    caption: str
    svg: bytes
    png: bool  # whether there is a PNG of it too

    @property
    def anchor(self) -> str:
        """What to call it in an id, whatever letters its name has."""
        return re.sub(r"[^A-Za-z0-9_-]", lambda odd: f".{ord(odd[0]):x}.", self.name)


_DRAWN: Final = frozenset(
    {
        *("svg", "g", "defs", "symbol", "use", "clipPath", "mask", "marker", "pattern", "image"),
        *("path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "text", "tspan"),
        *("linearGradient", "radialGradient", "stop"),
    }
)
_EMBEDDED_IMAGE: Final = re.compile(r"data:image/(png|jpeg|gif);base64,")
_LOCAL_URL: Final = re.compile(r"url\(\s*['\"]?#([^)'\"\s]+)['\"]?\s*\)")
_LONG_DECIMAL: Final = re.compile(r"-?\d+\.\d{3,}")
_GAPS: Final = re.compile(r">\s+<")
_NAME: Final = re.compile(r"\{[^}]*\}")


def embed(svg: bytes, name: str, label: str) -> Markup:
    """Turn an SVG file into an element of an HTML page."""
    try:
        root = ET.fromstring(svg)  # noqa: S314 - expat loads nothing and limits expansion itself
    except ET.ParseError as error:
        raise ActbenchError(f"{name}.svg is not a readable SVG file ({error})") from error
    if _local(root.tag) != "svg":
        raise ActbenchError(f"{name}.svg is not an SVG file: it begins with <{_local(root.tag)}>")
    box = root.get("viewBox") or f"0 0 {_length(root, 'width')} {_length(root, 'height')}"
    _clean(root, f"{name}--")
    root.attrib = {"viewBox": box}
    _drop_ids_nobody_uses(root)
    body = "".join(ET.tostring(child, encoding="unicode") for child in root)
    attributes = f'viewBox="{escape(box)}" role="img" aria-label="{escape(label)}"'
    return Markup(f"<svg {attributes}>{_GAPS.sub('><', body).strip()}</svg>")  # noqa: S704


def _local(name: object) -> str:
    return _NAME.sub("", str(name))


def _length(root: ET.Element, side: str) -> str:
    return re.sub(r"[^0-9.]", "", root.get(side, "")) or "100"


def _clean(element: ET.Element, prefix: str) -> None:
    element.tag = _local(element.tag)
    given = {_local(key): value for key, value in element.attrib.items()}
    element.attrib = {
        key: kept
        for key, value in given.items()
        if (kept := _attribute(key, value, prefix)) is not None
    }
    for child in list(element):
        if _local(child.tag) in _DRAWN:
            _clean(child, prefix)
        else:
            element.remove(child)


def _attribute(key: str, value: str, prefix: str) -> str | None:
    """The value to keep, or ``None`` for an attribute that could load or run something."""
    if key.lower().startswith("on"):
        return None
    if key == "id":
        return prefix + value
    if key == "href":
        if value.startswith("#"):
            return f"#{prefix}{value[1:]}"
        return "".join(value.split()) if _EMBEDDED_IMAGE.match(value) else None
    if "url(" in value:
        local = _LOCAL_URL.sub(lambda found: f"\0#{prefix}{found[1]})", value)
        return None if "url(" in local else local.replace("\0", "url(")
    # A hundredth of a point is far below what any screen or printer shows.
    return _LONG_DECIMAL.sub(_rounded, value) if key == "d" else value


def _rounded(found: re.Match[str]) -> str:
    return f"{float(found[0]):.2f}".rstrip("0").rstrip(".")


def _drop_ids_nobody_uses(root: ET.Element) -> None:
    used = {
        name
        for element in root.iter()
        for key, value in element.attrib.items()
        if key != "id"
        for name in re.findall(r"#([^)\s]+)", value)
    }
    for element in root.iter():
        if element.get("id") not in used:
            element.attrib.pop("id", None)


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
        loader=jinja2.PackageLoader("actbench.pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _embed(drawing: Drawing) -> Markup:
    return embed(drawing.svg, drawing.anchor, drawing.caption)


def _markdown_text(value: object) -> object:
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return Markup(blocks.escaped(value))  # noqa: S704 - for Markdown, where quotes mean nothing


def _markdown_file(name: str) -> Markup:
    return Markup(urllib.parse.quote(name))  # noqa: S704 - letters, digits and percent signs only


def _markdown_code(value: str) -> Markup:
    return Markup(blocks.code(value, in_table=True))  # noqa: S704 - within code nothing is markup
