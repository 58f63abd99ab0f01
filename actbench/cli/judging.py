"""The command that judges one claim on a table, without a file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from actbench.cli.options import EXIT_CHANGED, interruptible
from actbench.store import terminal
from actbench.store.errors import ActbenchError, unknown_name

if TYPE_CHECKING:
    from actbench.claims import ClaimsFile
    from actbench.claims.verdicts import Judgment

_FORMATS = ("text", "json")
_FIELDS = {
    "field 'relation': 'equals' needs a tolerance, 'above' and 'below' take none": (
        "--equals needs a --tolerance, --above and --below take none"
    ),
    "'best' needs mode = 'max' or 'min', which is best, and only it does": (
        "--best needs --mode max or --mode min, and only it does"
    ),
    "field 'published'": "--published",
    "published is '": "--published is '",
    "where = { … }": "--where COLUMN=VALUE",
    'the last step (last = "step")': "the last step (--last COLUMN)",
    "(best = …, mode = …)": "(--best COLUMN --mode max)",
    "(seed = …)": "(--seed COLUMN)",
    "with 'where'": "with --where",
    ", seen from the claims file's folder": "",
    "exceeds = { … }, paired = false": "--exceeds COLUMN=VALUE --unpaired",
    'among = "method", where = { method = "ours" }': "--among method --where method=ours",
}
_QUANTIFIERS = ("median", "every", "mean", "exact")

_Where = Annotated[
    list[str] | None,
    typer.Option(help="Only rows with this value, COLUMN=VALUE; may be repeated."),
]
_Number = float | None


def judge(  # every option is one part of a claim
    tables: Annotated[
        list[str], typer.Argument(help="CSV, JSON lines, Parquet or NetCDF, a row per run.")
    ],
    column: Annotated[str, typer.Option("--column", "-c", help="The number that is judged.")],
    above: Annotated[_Number, typer.Option(help="It lies at or above this.")] = None,
    below: Annotated[_Number, typer.Option(help="It lies at or below this.")] = None,
    equals: Annotated[_Number, typer.Option(help="It is this, within --tolerance.")] = None,
    tolerance: Annotated[_Number, typer.Option(help="How far off still counts as equal.")] = None,
    where: _Where = None,
    seed: Annotated[
        str,
        typer.Option(
            help="What names a run: a column, 'row', 'path: REGEX' or 'columns: REGEX'.",
            show_default="the column seed",
        ),
    ] = "",
    last: Annotated[str, typer.Option(help="Of each run the row where this is largest.")] = "",
    best: Annotated[str, typer.Option(help="Of each run the row where this is best.")] = "",
    mode: Annotated[str | None, typer.Option(help="Which is best, max or min.")] = None,
    minus: Annotated[
        str | None, typer.Option(help="Subtract this column, or rows, COLUMN=VALUE, run by run.")
    ] = None,
    over: Annotated[
        str | None, typer.Option(help="Divide by this column, or rows, COLUMN=VALUE, run by run.")
    ] = None,
    published: Annotated[
        str | None,
        typer.Option(
            help="What is published, to stand beside: 0.91 of one run, '0.91 ± 0.02 (5)' of five."
        ),
    ] = None,
    exceeds: Annotated[
        str | None,
        typer.Option(help="Ask how often it is larger than this column, or rows, COLUMN=VALUE."),
    ] = None,
    unpaired: Annotated[
        bool, typer.Option("--unpaired", help="With --exceeds: the runs are of other seeds.")
    ] = False,
    iqm_over: Annotated[
        str, typer.Option(help="Interquartile mean of all runs of the tasks that this names.")
    ] = "",
    rank_over: Annotated[
        str, typer.Option(help="Mean rank over these data sets, 1 for the largest.")
    ] = "",
    among: Annotated[str, typer.Option(help="With --rank-over: the column of methods.")] = "",
    quantifier: Annotated[
        str,
        typer.Option(
            help="median, every (95 % of all runs), mean or exact.",
            show_default="median, or what --exceeds, --iqm-over and --rank-over need",
        ),
    ] = "",
    alpha: Annotated[float, typer.Option(help="Largest probability of a wrong verdict.")] = 0.01,
    form: Annotated[str, typer.Option("--format", help="text or json.")] = "text",
) -> None:
    """Judge one claim on a table of results: does it hold, over all runs and not just on average?

    Exits with 1 unless it is reproduced. For several claims, or to keep them, write a file, which
    actbench init TABLE begins.

    Example: actbench judge runs.csv --column test_acc --above 0.92 --where method=ours

    Paired on the seed: actbench judge runs.csv -c test_acc --where method=ours
    --minus method=base --above 0
    """
    from actbench import ledger
    from actbench.claims import Verdict
    from actbench.runs import evidence

    with interruptible(), _in_options():
        if form not in _FORMATS:
            raise unknown_name("format", form, _FORMATS)
        chosen = {"last": last, "best": best, "mode": mode, "among": among}
        chosen |= {"per": iqm_over or rank_over}
        chosen |= {"aggregate": "iqm" if iqm_over else "rank" if rank_over else ""}
        beside = {"minus": minus, "over": over, "exceeds": exceeds}
        metric = _metric(column, where or (), chosen, beside, paired=not unpaired)
        quantifier = quantifier or (
            "mean" if {"exceeds", "aggregate"} & metric.keys() else "median"
        )
        if quantifier not in _QUANTIFIERS:
            raise unknown_name("quantifier", quantifier, _QUANTIFIERS)
        relation = _relation({"above": above, "below": below, "equals": equals}, tolerance)
        file = _file(tables, seed, metric, relation, published, quantifier, alpha)
        judgment = evidence.judge_one(file, file.claim[0], lambda name: None)
        terminal.say(ledger.as_json([judgment], {}) if form == "json" else _text(judgment))
    if judgment.verdict is not Verdict.REPRODUCED:
        raise typer.Exit(EXIT_CHANGED)


@contextmanager
def _in_options() -> Iterator[None]:
    """Name options where a message names the fields of a claims file."""
    try:
        yield
    except ActbenchError as error:
        text = str(error)
        for field, option in _FIELDS.items():
            text = text.replace(field, option)
        raise ActbenchError(text) from error


def init(
    table: Annotated[Path, typer.Argument(help="CSV, JSON lines, Parquet or NetCDF.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write.")] = Path(
        "claims.toml"
    ),
    seed: Annotated[
        str, typer.Option(help="What names a run.", show_default="guessed from the columns")
    ] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file.")] = False,
) -> None:
    """Look at a table of results and write a claims file to start from.

    Its claims are exploratory: they are judged, and none is expected to hold. What only you know,
    such as the bound that a publication states, is left as a question in the file.

    Example: actbench init runs.csv && actbench verify claims.toml
    """
    from actbench.runs.drafting import draft
    from actbench.store.files import write_atomic

    with interruptible():
        content = draft(table, out, seed)
        if out.exists() and not overwrite:
            raise ActbenchError(
                f"{out} is there already. Give another file with --out, or replace it with "
                "--overwrite"
            )
        write_atomic(out, content.encode())
        terminal.say(f"{out} written. Judge it with: actbench verify {out}")


def _metric(
    column: str,
    where: Sequence[str],
    chosen: Mapping[str, str | None],
    beside: Mapping[str, str | None],
    *,
    paired: bool,
) -> dict[str, Any]:
    """What the options say of a number, as a claims file says it; unpaired only where asked."""
    metric: dict[str, Any] = {"column": column, "where": _cells(where)}
    metric |= {key: value for key, value in chosen.items() if value}
    for key, given in beside.items():
        if given is not None:
            metric[key] = {"where": _cells([given])} if "=" in given else {"column": given}
    return metric if paired else metric | {"paired": False}


def _cells(given: Sequence[str]) -> dict[str, str]:
    """Read COLUMN=VALUE."""
    pairs = [text.partition("=") for text in given]
    for name, sign, value in pairs:
        if not (name and sign and value):
            raise ActbenchError(
                f"{name + sign + value!r} is no COLUMN=VALUE; write it as in --where method=ours"
            )
    return {name.strip(): value.strip() for name, _, value in pairs}


def _relation(bounds: dict[str, _Number], tolerance: _Number) -> dict[str, Any]:
    given = {key: value for key, value in bounds.items() if value is not None}
    if len(given) != 1:
        raise ActbenchError(
            f"say what must hold with one of --above, --below and --equals, not with "
            f"{' and '.join(f'--{key}' for key in given) or 'none'}"
        )
    ((kind, value),) = given.items()
    return {"kind": kind, "value": value} | ({} if tolerance is None else {"tolerance": tolerance})


def _file(
    tables: list[str],
    seed: str,
    metric: dict[str, Any],
    relation: dict[str, Any],
    published: str | None,
    quantifier: str,
    alpha: float,
) -> ClaimsFile:
    """The claims file that the options stand for."""
    from pydantic import ValidationError

    from actbench.claims import ClaimsFile, claim
    from actbench.claims.claims_file import first_problem
    from actbench.runs import columns

    content = {
        "study": Path(tables[0]).name,
        "alpha": alpha,
        "protocol": {"table": {"table": tables, "seed": seed}},
        "claim": [
            {
                "id": "claim",
                "statement": str(columns.parse(metric)),
                "protocol": "table",
                "metric": metric,
                "relation": relation,
                "published": None if published is None else claim.from_text(published),
                "quantifier": quantifier,
                "expected": "reproduced",
            }
        ],
    }
    try:
        return ClaimsFile.model_validate(content)
    except ValidationError as error:
        problem = first_problem(error, content).removeprefix("claim 'claim', ")
        raise ActbenchError(problem) from error


def _text(judgment: Judgment) -> str:
    from actbench import ledger
    from actbench.claims.picture import as_text

    lines = [f"{judgment.verdict}: {ledger.rule(judgment.claim)}", judgment.sentence]
    if beside := judgment.published_run:
        lines.append(f"the published value: {beside}")
    lines += as_text(judgment).splitlines()
    if margin := ledger.margin(judgment):
        lines.append(f"margin: {margin}")
    settling = ledger.seeds_to_settle(judgment)
    about = "" if judgment.seeds < judgment.seeds_needed else "about "
    more = f" (to settle it: {about}{settling} runs)" if settling else ""
    lines.append(f"to flip it: {judgment.to_flip}{more}")
    if flips := ledger.redraw(judgment):
        lines.append(f"a redraw of all runs flips it in {flips} of cases")
    return "\n".join(lines)
