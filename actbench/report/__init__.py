"""The report: one page of HTML that needs nothing else, and the same as Markdown."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
from markupsafe import Markup

from actbench.claims import ClaimsFile, Verdict
from actbench.files import write_atomic
from actbench.findings.wording import words
from actbench.report import content, entries, parts, svg
from actbench.report.glossary import GLOSSARY

if TYPE_CHECKING:
    from actbench.verdicts import Judgment

FILES = ("report.html", "report.md")

_SPECIAL = re.compile(r"([\\`*\[\]|~$])")


def write(out: Path, claims: ClaimsFile, judgments: Sequence[Judgment]) -> list[Path]:
    """Write the report into a folder of results, as HTML and as Markdown.

    Args:
        out: Folder that ``actbench reproduce`` or ``actbench run`` wrote.
        claims: The study's claims.
        judgments: Their verdicts, from the same folder.

    Returns:
        The two paths, HTML first.

    Raises:
        ActbenchError: The folder holds no results, something in it is damaged, or it can't be
            written.
    """
    gathered = content.gather(out, claims, judgments)
    pages = {"report.html": html(gathered), "report.md": markdown(gathered)}
    for name, page in pages.items():
        write_atomic(out / name, page.encode())
    return [out / name for name in FILES]


def html(gathered: parts.Content) -> str:
    """Render the report as a page that needs no other file and no network.

    Args:
        gathered: What it says.

    Returns:
        HTML.
    """
    return render("report.html.j2", **_variables(gathered))


def render(template: str, **variables: object) -> str:
    """Render one of the pages, with everything escaped and figures embedded.

    Args:
        template: Its file.
        variables: What it shows.

    Returns:
        HTML.
    """
    environment = _environment()
    environment.filters["embed"] = _embed
    return environment.get_template(template).render(variables)


def markdown(gathered: parts.Content) -> str:
    """Render the report as GitHub's Markdown, with figures as files beside it.

    Args:
        gathered: What it says.

    Returns:
        Markdown.
    """
    environment = _environment()
    environment.finalize = _markdown_text
    environment.filters.update(code=_markdown_code, file=_markdown_file)
    return environment.get_template("report.md.j2").render(_variables(gathered))


def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("actbench"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _variables(gathered: parts.Content) -> dict[str, object]:
    ledger = gathered.entries
    stated = [e for e in ledger if not e.judgment.claim.ours]
    ours = [e for e in ledger if e.judgment.claim.ours]
    return {
        "report": gathered,
        "groups": {str(v): entries.group(stated, v) for v in Verdict},
        "ours": {str(v): entries.group(ours, v) for v in Verdict},
        "count_of_ours": len(ours),
        "number_of": {
            str(v): tuple(sum(e.judgment.verdict is v for e in part) for part in (stated, ours))
            for v in Verdict
        },
        "glossary": GLOSSARY,
        "meaning": {str(verdict): text for verdict, text in entries.MEANING.items()},
        "words": words,
    }


def _embed(drawing: parts.Drawing) -> Markup:
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
