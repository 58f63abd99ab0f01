"""What the report says, gathered from a folder of results; how it looks is the templates' part."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actbench import datasets, findings
from actbench.claims import ClaimsFile, Verdict, ledger, published_table
from actbench.claims.evidence import file_name
from actbench.claims.statements import statements
from actbench.errors import ActbenchError
from actbench.experiments import EXPERIMENTS
from actbench.figures import ANIMATIONS, FIGURES
from actbench.findings.captions import caption
from actbench.findings.gradient_flow import level_but_vanished
from actbench.findings.wording import settings, value_in_words, words
from actbench.report.entries import Entry, entry_of
from actbench.report.parts import Animation, Content, Contrast, Drawing, Section
from actbench.seeds import FIRST_SEED

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


def gather(
    out: Path,
    claims: ClaimsFile,
    judgments: Sequence[Judgment],
    results: ledger.Results | None = None,
) -> Content:
    """Read a folder of results."""
    found = _datasets(out, claims)
    if not found:
        raise ActbenchError(_nothing(out))
    results = results or ledger.Results(claims, out)
    sentences = ledger.elsewhere(claims, judgments)
    tables = {one.claims[0]: str(one) for one in published_table.together(judgments)}
    entries = tuple(
        entry_of(
            judgment,
            claims,
            not results.holds(judgment.claim.protocol),
            sentences.get(judgment.claim.id),
            tables.get(judgment.claim.id, ""),
        )
        for judgment in judgments
    )
    flipped = {judgment.claim.id for judgment in ledger.changed(judgments)}
    drawings = {path.stem: path for path in sorted(out.glob("*.svg"))}
    owned = {name for figures in FIGURES.values() for name in figures} | {_CONTRAST}
    return Content(
        study=claims.study,
        alpha=claims.level_of_each,
        entries=entries,
        statements=tuple(statements(claims, judgments)),
        changed=tuple(e for e in entries if e.id in flipped),
        lacking=tuple(e for e in entries if not e.judgment.as_expected and e.id not in flipped),
        environment=_environment(found),
        sections=tuple(_section(key, out, found, drawings, entries) for key in EXPERIMENTS),
        lead=_drawing(drawings[_LEAD]) if _LEAD in drawings else None,
        contrast=_contrast(found, drawings, entries),
        further=tuple(_drawing(path) for name, path in drawings.items() if name not in owned),
        options=_options(found.get("sine_regression.nc")),
    )


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
) -> Section:
    stem = key.replace("-", "_")
    dataset = found.get(f"{stem}.nc")
    protocol = {} if dataset is None else datasets.protocol_of(dataset)
    wanted = list(FIGURES.get(key, {}))
    absent = [f"{name}.svg" for name in wanted if name not in drawings]
    missing = []
    if dataset is None:
        missing.append(
            f"There are no results of this experiment in the folder. Run: actbench run {key}"
        )
    elif absent:
        missing.append(f"The folder lacks {', '.join(absent)}. Draw it with: actbench run {key}")
    return Section(
        key=key,
        summary=EXPERIMENTS[key].summary,
        missing=tuple(missing),
        protocol=tuple((words(name), value_in_words(value)) for name, value in protocol.items()),
        variants=tuple(
            (name, settings(_differences(protocol, datasets.protocol_of(ds))))
            for name, ds in found.items()
            if name.startswith(f"{stem}-")
        ),
        findings=() if dataset is None else tuple(findings.of(key, dataset)),
        figures=tuple(
            _drawing(drawings[name]) for name in wanted if name in drawings and name not in _APART
        ),
        elsewhere=tuple(name for name in wanted if name in drawings and name in _APART),
        animations=_animations(key, out),
        unmet=tuple(e for e in entries if e.experiment == key and e.judgment.verdict in _UNMET),
        rerun=_rerun(key, dataset),
    )


def _differences(usual: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in other.items() if usual.get(name) != value}


def _drawing(path: Path) -> Drawing:
    return Drawing(
        path.stem, caption(path.stem), path.read_bytes(), path.with_suffix(".png").exists()
    )


def _animations(key: str, out: Path) -> tuple[Animation, ...]:
    files = [out / f"{name}.gif" for name in ANIMATIONS.get(key, {})]
    return tuple(
        Animation(path.name, caption(path.name), path.read_bytes())
        for path in files
        if path.exists()
    )


def _contrast(
    found: Mapping[str, xr.Dataset], drawings: Mapping[str, Path], entries: Iterable[Entry]
) -> Contrast:
    dataset = found.get("gradient_flow.nc")
    names = [name for name in (_CONTRAST, _CONTRAST_OTHERWISE) if name in drawings]
    return Contrast(
        sentences=() if dataset is None else tuple(level_but_vanished(dataset)),
        claim=next((entry for entry in entries if entry.id == _RATIO_CLAIM), None),
        drawing=_drawing(drawings[_CONTRAST]) if _CONTRAST in drawings else None,
        see=names[0] if names else None,
    )


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


def _rerun(key: str, dataset: xr.Dataset | None) -> str:
    return f"actbench run {key}{_options(dataset)} --out again"
