"""Figures' SVG made fit to stand inside a page: no prolog, no clashing ids, nothing active."""

from __future__ import annotations

import re
from typing import Final
from xml.etree import ElementTree as ET

from markupsafe import Markup, escape

from actbench.errors import ActbenchError

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
