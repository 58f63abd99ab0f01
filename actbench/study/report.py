"""The report: one page of HTML that needs nothing else, and the same as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actbench import ledger
from actbench.claims import ClaimsFile, Verdict
from actbench.ledger import entries, parts, published_table
from actbench.ledger.entries import Entry, entry_of
from actbench.ledger.judgments import Standing, statements
from actbench.ledger.parts import Animation, Content, Contrast, Section
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
    from actbench.ledger import Results


GLOSSARY: tuple[tuple[str, str], ...] = (
    (
        "the study, its model card, its report",
        'Two documents of one study, which print different losses; "the report" in a claim is the '
        "study's, not this page.",
    ),
    (
        "the stated protocol",
        "10 hidden layers of 64 units with torch's default initializer, trained on 200 points of "
        "one period of a sine with noise of standard deviation 0.1, by Adam at learning rate 0.001 "
        "for 500 epochs of the full batch. The study does not state the initializer.",
    ),
    (
        "seed, draw",
        "One set of random initial weights; a network of another seed is another network.",
    ),
    (
        "error signal",
        "The derivative of the loss by a layer's pre-activations z: what arrives there in "
        "back-propagation.",
    ),
    (
        "gradient magnitude, gradient ratio",
        "The mean |d loss / d W| of one layer's weights; that of the output layer over that of "
        "layer 1, which is nearest the input. The study's table calls the ratio L10/L1.",
    ),
    (
        "recovered protocol",
        "The draw of networks and inputs, and the loss, that give the ratios of the study's table; "
        "it is not the training, and not stated in the study.",
    ),
    (
        "Xavier, He",
        "Initializers: xavier_uniform and he_normal unless a claim names another.",
    ),
    (
        "plateau",
        "A training loss of 0.518, that of the best constant: the network has learned the mean.",
    ),
    (
        "q, sigma_w^2, chi",
        "Of mean-field theory: the mean square of a layer's pre-activations; the variance of a "
        "weight times the inputs of its layer; the factor by which the mean square of the error "
        "signal changes from one layer to the one before.",
    ),
    ("decade", "A factor of ten."),
    (
        "other settings",
        "10 initializers times 5 learning rates, 3 weight decays and 3 numbers of epochs, 5 seeds "
        "each: where else a claim holds.",
    ),
)
"""Words and what they mean, in the order in which a reader meets them."""

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
    owned = {name for e in EXPERIMENTS.values() for name in e.drawn()} | {_CONTRAST}
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
    wanted = list(EXPERIMENTS[key].drawn())
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
    files = [out / f"{name}.gif" for name in EXPERIMENTS[key].drawn("ANIMATIONS")]
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


_HEADINGS = {
    Standing.DOCUMENTED: "What holds as documented",
    Standing.AS_RUN: "What holds only as it was run",
    Standing.PARTLY: "What holds under some settings only",
    Standing.DIRECTION: "What holds in direction only",
    Standing.NOWHERE: "What does not hold",
    Standing.UNDECIDED: "What these results leave undecided",
    Standing.UNTESTABLE: "What nothing here can decide",
}
FILES = ("report.html", "report.md")


def write(
    out: Path,
    claims: ClaimsFile,
    judgments: Sequence[Judgment],
    results: Results | None = None,
) -> list[Path]:
    """Write the report into a folder of results, as HTML and as Markdown."""
    gathered = gather(out, claims, judgments, results)
    pages = {"report.html": html(gathered), "report.md": markdown(gathered)}
    for name, page in pages.items():
        write_atomic(out / name, page.encode())
    return [out / name for name in FILES]


def html(gathered: parts.Content) -> str:
    """Render the report as a page that needs no other file and no network."""
    return rendering.html("report.html.j2", _variables(gathered))


def markdown(gathered: parts.Content) -> str:
    """Render the report as GitHub's Markdown, with figures as files beside it."""
    return rendering.markdown("report.md.j2", _variables(gathered))


def _variables(gathered: parts.Content) -> dict[str, object]:
    ledger = gathered.entries
    by_id = {entry.id: entry for entry in ledger}
    variants = {
        statement.shown.claim.id: [by_id[other.claim.id] for other in statement.others]
        for statement in gathered.statements
    }
    shown = {
        standing: [by_id[s.shown.claim.id] for s in gathered.statements if s.standing is standing]
        for standing in Standing
    }
    stated = [e for e in ledger if not e.judgment.claim.ours]
    ours = [e for e in ledger if e.judgment.claim.ours]
    return {
        "report": gathered,
        "standings": {str(standing): len(found) for standing, found in shown.items() if found},
        "groups": {str(s): entries.group(found, variants) for s, found in shown.items() if found},
        "ours": {
            str(v): entries.group([e for e in ours if e.judgment.verdict is v]) for v in Verdict
        },
        "count_of_ours": len(ours),
        "number_of": {
            str(v): tuple(sum(e.judgment.verdict is v for e in part) for part in (stated, ours))
            for v in Verdict
        },
        "headings": _HEADINGS,
        "glossary": GLOSSARY,
        "meaning": {str(verdict): text for verdict, text in entries.MEANING.items()},
        "words": words,
    }
