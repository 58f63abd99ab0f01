"""What a report is made of: plain data, which the templates lay out."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from actbench.ledger.entries import Entry
from actbench.ledger.judgments import Statement
from actbench.pages.rendering import Drawing


@dataclass(frozen=True)
class Animation:
    """A moving picture of the folder.

    Args:
        file: Its name.
        caption: What is seen.
        gif: Content of the file.
    """

    file: str
    caption: str
    gif: bytes

    @property
    def uri(self) -> str:
        """The picture as an address that needs no file."""
        return f"data:image/gif;base64,{base64.b64encode(self.gif).decode()}"


@dataclass(frozen=True)
class Section:
    """One experiment.

    Args:
        key: Of the experiment.
        summary: What it does, in one line.
        missing: What the folder lacks of it, a sentence each.
        protocol: Every setting with its value, in words.
        variants: Runs of it at other settings, by file, with the settings that differ.
        findings: What was found.
        figures: Its figures.
        elsewhere: Its figures that another part of the report shows.
        animations: Its moving pictures.
        unmet: Its claims that do not hold as stated.
        rerun: The command that runs it anew.
    """

    key: str
    summary: str
    missing: tuple[str, ...]
    protocol: tuple[tuple[str, str], ...]
    variants: tuple[tuple[str, str], ...]
    findings: tuple[str, ...]
    figures: tuple[Drawing, ...]
    elsewhere: tuple[str, ...]
    animations: tuple[Animation, ...]
    unmet: tuple[Entry, ...]
    rerun: str


@dataclass(frozen=True)
class Contrast:
    """Why the published ratio misleads.

    Args:
        sentences: Measured here; empty where the folder lacks the experiment.
        claim: The claim about it, where the ledger has it.
        drawing: The figure that shows it, unless it is another experiment's.
        see: Name of the figure to look at.
    """

    sentences: tuple[str, ...]
    claim: Entry | None
    drawing: Drawing | None
    see: str | None


@dataclass(frozen=True)
class Content:
    """Everything that a report says.

    Args:
        study: What the claims are about.
        alpha: Error level of one claim.
        entries: The ledger.
        statements: The study's, each once.
        changed: Claims whose verdict is not the expected one.
        lacking: Claims that are undecided because fewer seeds were run than they need.
        environment: What the results were computed with, names and values.
        sections: The experiments.
        lead: The first figure, under the summary's counts.
        contrast: Why the published ratio misleads.
        further: Figures that belong to no experiment.
        options: Options of ``actbench reproduce`` for the same numbers.
    """

    study: str
    alpha: float
    entries: tuple[Entry, ...]
    statements: tuple[Statement, ...]
    changed: tuple[Entry, ...]
    lacking: tuple[Entry, ...]
    environment: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    lead: Drawing | None
    contrast: Contrast
    further: tuple[Drawing, ...]
    options: str
