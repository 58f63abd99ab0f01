"""The report: one page of HTML that needs nothing else, and the same as Markdown."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from actbench import ledger
from actbench.claims import ClaimsFile, Verdict
from actbench.ledger import published_table
from actbench.ledger.judgments import Standing, statements
from actbench.ledger.wording import MEANING, Entry, entry_of
from actbench.pages import rendering
from actbench.pages.rendering import Drawing
from actbench.pages.wording import settings, value_in_words, words
from actbench.runs.evidence import file_name
from actbench.store import datasets
from actbench.store.errors import ActbenchError
from actbench.store.files import write_atomic
from actbench.store.studies import FIRST_SEED
from actbench.study import findings
from actbench.study.experiments import EXPERIMENTS
from actbench.study.experiments.gradient_flow.findings import level_but_vanished
from actbench.study.findings import caption

if TYPE_CHECKING:
    import xarray as xr

    from actbench.claims.verdicts import Judgment

_CONTRAST = "theory_error_signals"
_LEAD = "loss_curves"
_APART = (_CONTRAST, _LEAD)
"""Figures that stand in no experiment's part."""
_CONTRAST_OTHERWISE = "exp1_gradient_flow"
_RATIO_CLAIM = "gelu-ratio-near-one-means-flow"
_UNMET = (Verdict.NOT_REPRODUCED, Verdict.DIRECTION_ONLY)
_FIRST = ("torch", "device", "device_name", "threads")
"""What of an environment matters most; the rest follows."""
FILES = ("report.html", "report.md")


def write(
    out: Path,
    claims: ClaimsFile,
    judgments: Sequence[Judgment],
    results: ledger.Results | None = None,
) -> list[Path]:
    """Write the report into a folder of results: as HTML that needs nothing else, and Markdown."""
    found = _datasets(out, claims)
    if not found:
        raise ActbenchError(_nothing(out))
    entries = _entries(claims, judgments, results or ledger.Results(claims, out))
    drawings = {path.stem: path for path in sorted(out.glob("*.svg"))}
    owned = {name for e in EXPERIMENTS.values() for name in e.drawn()} | {_CONTRAST}
    variables = {
        "study": claims.study,
        "alpha": claims.level_of_each,
        **_summary(claims, judgments, entries),
        "sections": [_section(key, out, found, drawings, entries) for key in EXPERIMENTS],
        "lead": _drawing(drawings[_LEAD]) if _LEAD in drawings else None,
        "contrast": _contrast(found, drawings, entries),
        "further": [_drawing(path) for name, path in drawings.items() if name not in owned],
        "environment": _environment(found),
        "options": _options(found.get("sine_regression.nc")),
        "words": words,
    }
    pages = (
        rendering.html("report.html.j2", variables),
        rendering.markdown("report.md.j2", variables),
    )
    for name, page in zip(FILES, pages, strict=True):
        write_atomic(out / name, page.encode())
    return [out / name for name in FILES]


def _entries(
    claims: ClaimsFile, judgments: Sequence[Judgment], results: ledger.Results
) -> list[Entry]:
    sentences = ledger.elsewhere(claims, judgments)
    tables = {one.claims[0]: str(one) for one in published_table.together(judgments)}
    return [
        entry_of(
            judgment,
            claims,
            not results.holds(judgment.claim.protocol),
            sentences.get(judgment.claim.id),
            tables.get(judgment.claim.id, ""),
        )
        for judgment in judgments
    ]


def _summary(
    claims: ClaimsFile, judgments: Sequence[Judgment], entries: Sequence[Entry]
) -> dict[str, object]:
    """The claims, and how they stand."""
    by_id = {entry.id: entry for entry in entries}
    gathered = statements(claims, judgments)
    variants = {s.shown.claim.id: [by_id[other.claim.id] for other in s.others] for s in gathered}
    shown = {
        standing: [by_id[s.shown.claim.id] for s in gathered if s.standing is standing]
        for standing in Standing
    }
    stated = [entry for entry in entries if not entry.judgment.claim.ours]
    ours = [entry for entry in entries if entry.judgment.claim.ours]
    flipped = {judgment.claim.id for judgment in ledger.changed(judgments)}
    return {
        "entries": entries,
        "changed": [e for e in entries if e.id in flipped],
        "lacking": [e for e in entries if not e.judgment.as_expected and e.id not in flipped],
        "count_of_statements": len(gathered),
        "standings": {str(standing): len(some) for standing, some in shown.items() if some},
        "groups": {str(s): _grouped(some, variants) for s, some in shown.items() if some},
        "ours": {
            str(v): _grouped([e for e in ours if e.judgment.verdict is v], {}) for v in Verdict
        },
        "count_of_ours": len(ours),
        "number_of": {
            str(v): tuple(sum(e.judgment.verdict is v for e in part) for part in (stated, ours))
            for v in Verdict
        },
        "meaning": {str(verdict): text for verdict, text in MEANING.items()},
    }


def _grouped(
    entries: Iterable[Entry], variants: Mapping[str, Sequence[Entry]]
) -> list[dict[str, object]]:
    """Gather claims that are alike, so that a list of them can be read at a glance.

    They come from one place, are about one metric, and had the same verdict for the same reason,
    which is given for the group. Variants of the first stand beside it.
    """
    found: dict[tuple[str, object, str], list[Entry]] = {}
    for entry in entries:
        claim = entry.judgment.claim
        found.setdefault((claim.source, claim.metric.get("name"), claim.because), []).append(entry)
    return [
        {"first": first, "others": others, "variants": variants.get(first.id, ())}
        for first, *others in found.values()
    ]


def _nothing(out: Path) -> str:
    # A ledger without results of the study is one of another claims file, from actbench verify.
    if any(out.glob("ledger.json")):
        return (
            f"{str(out)!r} holds the ledger of another claims file, not results of the study. For "
            f"its page: actbench verify FILE --out {out} --report page.html"
        )
    return (
        f"{str(out)!r} holds no results to report. Write some with: actbench reproduce --out {out}"
    )


def _datasets(out: Path, claims: ClaimsFile) -> dict[str, xr.Dataset]:
    names = [f"{key.replace('-', '_')}.nc" for key in EXPERIMENTS]
    names += [file_name(name, protocol) for name, protocol in claims.protocol.items()]
    there = [name for name in dict.fromkeys(names) if (out / name).exists()]
    return {name: datasets.load(out / name) for name in there}


def _environment(found: Mapping[str, xr.Dataset]) -> tuple[tuple[str, str], ...]:
    described = {name: datasets.environment_of(ds) for name, ds in found.items()}
    keys = dict.fromkeys((*_FIRST, *(key for facts in described.values() for key in facts)))
    rows = []
    for key in keys:
        files: dict[str, list[str]] = {}
        for name, facts in described.items():
            files.setdefault(str(facts.get(key, "not recorded")), []).append(name)
        values = (
            list(files) if len(files) == 1 else [f"{v} ({', '.join(n)})" for v, n in files.items()]
        )
        rows.append((words(key), "; ".join(values)))
    return tuple(rows)


def _section(
    key: str,
    out: Path,
    found: Mapping[str, xr.Dataset],
    drawings: Mapping[str, Path],
    entries: Iterable[Entry],
) -> dict[str, object]:
    """One experiment."""
    stem = key.replace("-", "_")
    dataset = found.get(f"{stem}.nc")
    protocol = {} if dataset is None else datasets.protocol_of(dataset)
    variants = {
        name: datasets.protocol_of(ds) for name, ds in found.items() if name.startswith(f"{stem}-")
    }
    drawn = EXPERIMENTS[key].drawn()
    there = [name for name in drawn if name in drawings]
    return {
        "key": key,
        "summary": EXPERIMENTS[key].summary,
        "missing": _missing(key, dataset, [f"{name}.svg" for name in drawn if name not in there]),
        "protocol": [(words(name), value_in_words(value)) for name, value in protocol.items()],
        "variants": [
            (name, settings({k: v for k, v in other.items() if protocol.get(k) != v}))
            for name, other in variants.items()
        ],
        "findings": [] if dataset is None else findings.of(key, dataset),
        "figures": [_drawing(drawings[name]) for name in there if name not in _APART],
        "elsewhere": [name for name in there if name in _APART],
        "animations": _animations(key, out),
        "unmet": [e for e in entries if e.experiment == key and e.judgment.verdict in _UNMET],
        "rerun": f"actbench run {key}{_options(dataset)} --out again",
    }


def _missing(key: str, dataset: xr.Dataset | None, absent: Sequence[str]) -> str:
    if dataset is None:
        return f"There are no results of this experiment in the folder. Run: actbench run {key}"
    if absent:
        return f"The folder lacks {', '.join(absent)}. Draw it with: actbench run {key}"
    return ""


def _drawing(path: Path) -> Drawing:
    return Drawing(
        path.stem, caption(path.stem), path.read_bytes(), path.with_suffix(".png").exists()
    )


def _animations(key: str, out: Path) -> list[dict[str, str]]:
    files = [out / f"{name}.gif" for name in EXPERIMENTS[key].drawn("ANIMATIONS")]
    return [
        {
            "file": path.name,
            "caption": caption(path.name),
            "uri": f"data:image/gif;base64,{base64.b64encode(path.read_bytes()).decode()}",
        }
        for path in files
        if path.exists()
    ]


def _contrast(
    found: Mapping[str, xr.Dataset], drawings: Mapping[str, Path], entries: Iterable[Entry]
) -> dict[str, object]:
    """Why the published ratio misleads: in sentences, a claim, and a figure or its name."""
    dataset = found.get("gradient_flow.nc")
    names = [name for name in (_CONTRAST, _CONTRAST_OTHERWISE) if name in drawings]
    return {
        "sentences": [] if dataset is None else level_but_vanished(dataset),
        "claim": next((entry for entry in entries if entry.id == _RATIO_CLAIM), None),
        "drawing": _drawing(drawings[_CONTRAST]) if _CONTRAST in drawings else None,
        "see": names[0] if names else None,
    }


def _options(dataset: xr.Dataset | None) -> str:
    """Options that give the same seeds and threads, where the command line can ask for them."""
    if dataset is None:
        return ""
    protocol, options = datasets.protocol_of(dataset), ""
    seeds = protocol.get("seeds") or []
    if seeds == list(range(FIRST_SEED, FIRST_SEED + len(seeds))) and seeds:
        options += f" --seeds {len(seeds)}"
    if "threads" in protocol:
        options += f" --threads {datasets.environment_of(dataset)['threads']}"
    return options
