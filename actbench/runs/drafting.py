"""A claims file to start from, drafted from a table, and the JSON Schema that checks one."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from actbench.claims import metrics
from actbench.claims.claim import Claim, PublishedMean, Relation
from actbench.claims.claims_file import ClaimsFile, OwnModel, Protocol
from actbench.runs import columns, tables
from actbench.runs.columns import Column
from actbench.store import studies
from actbench.store.errors import ActbenchError
from actbench.store.files import strict_json
from actbench.store.terminal import docstring

if TYPE_CHECKING:
    import pandas as pd


_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TYPES = {"str": "string", "int": "integer", "float": "number"}


def schema() -> dict[str, Any]:
    """Build the schema from the models that read a claims file, with experiments and metrics."""
    built = ClaimsFile.model_json_schema()
    parts = built["$defs"]
    parts["Protocol"]["properties"]["experiment"]["oneOf"] = [
        {"const": key, "description": experiment.summary}
        for key, experiment in studies.experiments().items()
    ]
    column = Column.model_json_schema()
    _describe(column, Column)
    parts["Claim"]["properties"]["metric"] = {
        "title": "Metric",
        "anyOf": [*(_metric(name) for name in metrics.METRICS), column],
    }
    for model in (Relation, Protocol, OwnModel, PublishedMean, Claim):
        _describe(parts[model.__name__], model)
    _describe(built, ClaimsFile)
    return {"$schema": _DIALECT, **built, "title": "A file of claims for actbench"}


def _describe(part: dict[str, Any], model: type) -> None:
    """Put what a model's docstring says of each field where an editor shows it."""
    doc = docstring(model)
    part["description"], _, rest = doc.partition("\n")
    for name, text_of in re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", rest, flags=re.MULTILINE):
        part["properties"][name]["description"] = " ".join(text_of.replace("``", "").split())
        part["properties"][name].pop("title", None)


def _metric(name: str) -> dict[str, Any]:
    wanted = studies.arguments(metrics.METRICS[name])
    arguments = {key: {"type": _TYPES[kind]} for key, kind in wanted.items()}
    return {
        "type": "object",
        "description": metrics.definition(name),
        "properties": {"name": {"const": name}, **arguments},
        "required": ["name", *arguments],
        "additionalProperties": False,
    }


def text() -> str:
    """Return the schema as the file that is shipped, ``baselines/claims.schema.json``."""
    return f"{strict_json(schema())}\n"


_MOST_CLAIMS = 6
_MOST_GROUPS = 12
_SEED = re.compile(r"seed", re.IGNORECASE)
_RUN = re.compile(r"run|trial|repeat|repetition|replicate|fold", re.IGNORECASE)
_GROUP = re.compile(r"method|model|algo|variant|optimi[sz]er|agent|system", re.IGNORECASE)
_STEP = re.compile(r"^_?(global_?)?(step|epoch|iteration|iter|update)s?$", re.IGNORECASE)
_SCORE = re.compile(r"acc|f1|auc|score|reward|return|bleu|r2|precision|recall|win", re.IGNORECASE)
_COST = re.compile(r"loss|err|mse|mae|rmse|perplexity|ppl|regret|nll", re.IGNORECASE)
_ASIDE = re.compile(r"time|date|lr|rate|size|width|depth|param|alpha|beta|id$", re.IGNORECASE)


@dataclass(frozen=True)
class _Guess:
    """What the columns of a table seem to be."""

    seed: str  # the run's name, as a protocol says it
    guessed: bool  # whether that is a guess
    step: str  # empty where each run has one row
    groups: tuple[str, tuple[str, ...]]  # what tells methods apart, and their names, best first
    metric: str
    higher_is_better: bool
    others: tuple[str, ...]  # further numbers that claims could be about


def _guess(frame: pd.DataFrame, seed: str) -> _Guess:
    """Look at the columns of a table."""
    import pandas as pd

    names = [str(name) for name in frame.columns if name != tables.SEED]
    step = next((name for name in names if _STEP.search(name)), "")
    likely = [name for kind in (_SEED, _RUN) for name in names if kind.search(name)]
    found = seed or next((n for n in ("seed", *likely) if n in names and n != step), "row")
    number = {name for name in names if _is_number(frame[name])}
    numeric = [n for n in names if n in number and n not in (step, found, *likely)]
    texts = [name for name in names if name not in number and name != found]
    alike = [n for n in texts if 2 <= frame[n].nunique() <= min(_MOST_GROUPS, len(frame) // 3)]
    column = next((n for n in alike if _GROUP.search(n)), alike[0] if alike else "")
    metric = next(
        (
            name
            for pattern in (re.compile("test|eval"), _SCORE, _COST, re.compile(""))
            for name in numeric
            if pattern.search(name) and not _ASIDE.search(name)
        ),
        numeric[-1] if numeric else "",
    )
    if not metric:
        raise ActbenchError(
            f"no column holds numbers to judge; there are {', '.join(names)}. A table has one row "
            "per run, or per run and step, with the results in columns"
        )
    higher, guessed = not _COST.search(metric), not seed and found != "seed"
    kinds: tuple[str, ...] = ()
    if column:  # the best first, as that is what is claimed
        numbers = pd.to_numeric(frame[metric], errors="coerce")
        typical = numbers.groupby(frame[column]).median().sort_values(ascending=not higher)
        kinds = tuple(str(name) for name in typical.index)
    others = tuple(name for name in numeric if name != metric and not _ASIDE.search(name))
    return _Guess(found, guessed, step, (column, kinds), metric, higher, others)


def _is_number(cells: pd.Series[Any]) -> bool:
    """Tell whether a column holds numbers; ``nan`` among them makes pandas leave it as text."""
    import pandas as pd

    texts = cells[pd.to_numeric(cells, errors="coerce").isna() & cells.notna()].astype(str)
    return bool(texts.str.strip().str.lower().isin({"nan", "-nan"}).all()) and len(texts) < len(
        cells
    )


def draft(path: Path, target: Path, seed: str = "") -> str:
    """Write a claims file about a table, with what only its author knows left as questions."""
    from actbench.pages import rendering

    table = tables.read([path.name], path.parent, seed or "row")
    found = _guess(table.frame, seed)
    if found.seed in table.columns:
        table.frame[tables.SEED] = table.frame[found.seed]
    return rendering.plain(
        "claims.toml.j2",
        {
            "table": Path(os.path.relpath(path, target.parent)).as_posix(),
            "file": target.name,
            "study": path.stem,
            "seed": found.seed,
            "seed_guessed": found.guessed,
            "claims": _claims(table, found),
            "others": ", ".join(found.others),
        },
    )


def _claims(table: tables.Table, found: _Guess) -> list[dict[str, str]]:
    column, names = found.groups
    extra = {"last": found.step} if found.step else {}
    subject, kind = found.metric.replace("_", " "), "above" if found.higher_is_better else "below"
    claims = []

    def add(name: str, statement: str, metric: dict[str, Any], value: str, question: str) -> None:
        claim = {"id": _identifier(name), "statement": statement, "metric": _inline(metric)}
        claims.append({**claim, "kind": kind, "value": value, "question": question})

    for name in names[:_MOST_CLAIMS] or [""]:
        where = {"where": {column: name}} if column else {}
        metric = {"column": found.metric, **where, **extra}
        try:
            values = columns.take(table, columns.parse(metric)).values
        except ActbenchError:  # several rows for a run, which the file's reader will be told
            values = np.array([0.0])
        edge = np.nanmin(values) if found.higher_is_better else np.nanmax(values)
        said = f"{subject} of {name or 'every run'}"
        question = "The worst run's value. Which bound do you claim?"
        add(f"{name} {subject}", said, metric, f"{float(edge):.4g}", question)
    if len(names) > 1 and _pair(table, found):
        first, second = names[:2]
        metric = {"column": found.metric, "where": {column: first}, **extra}
        metric["minus"] = {"where": {column: second}}
        said = f"{subject} of {first} is better than that of {second}, run by run"
        question = "Better by how much? Do equal seeds mean equal data and start?"
        add(f"{first} against {second}", said, metric, "0.0", question)
    return claims


def _pair(table: tables.Table, found: _Guess) -> bool:
    """Tell whether the two best were run with the same seeds."""
    column, (first, second, *_) = found.groups
    seeds = table.frame[tables.SEED]
    runs = [set(seeds[table.rows_where(column, name)]) for name in (first, second)]
    return found.seed != "row" and runs[0] == runs[1]


def _identifier(text: str) -> str:
    return "-".join(re.findall(r"[a-z0-9]+", text.lower())) or "claim"


def _inline(table: dict[str, Any]) -> str:
    """Write an inline table of TOML."""
    parts = (
        f"{_key(key)} = {_inline(value) if isinstance(value, dict) else json.dumps(value)}"
        for key, value in table.items()
    )
    return f"{{ {', '.join(parts)} }}"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)
