"""Numbers from tables that exist: forms of files, rows, steps and pairs, and what goes wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from calls import Command, printed
from claim_factory import least, text_of

from actbench import claims
from actbench.claims import Verdict
from actbench.claims.verdicts import Judgment
from actbench.runs import columns, evidence, tables
from actbench.store.errors import ActbenchError

FRAME = pd.DataFrame(
    {"method": m, "seed": s, "step": t, "acc": 0.5 + 0.1 * t + 0.01 * s + (m == "ours") * 0.2}
    for m in ("base", "ours")
    for s in (3, 1, 2)
    for t in (1, 2)
)
LAST = {"column": "acc", "where": {"method": "ours"}, "last": "step"}
EXPECTED = {"3": 0.93, "1": 0.91, "2": 0.92}


def parquet(path: Path) -> None:
    """Write the rows as columns."""
    pytest.importorskip("pyarrow")
    FRAME.to_parquet(path)


csv = partial(FRAME.to_csv, index=False)
json = partial(FRAME.to_json, orient="records")
FORMS: dict[str, Callable[[Path], object]] = {
    "a.csv": csv,
    "a.csv.gz": csv,
    "a.csv.bz2": csv,
    "marked.csv": partial(csv, encoding="utf-8-sig"),
    "german.csv": partial(csv, sep=";", decimal=","),
    "semicolons.csv": partial(csv, sep=";"),
    "carriage.csv": partial(csv, lineterminator="\r\n"),
    "a.tsv": partial(csv, sep="\t"),
    "a.json": json,
    "a.jsonl": partial(json, lines=True),
    "a.nc": lambda p: FRAME.set_index(["method", "seed", "step"]).to_xarray().to_netcdf(p),
    "a.parquet": parquet,
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_of_a_table_gives_the_same_numbers(name: str, tmp_path: Path) -> None:
    """Separators, decimal signs, compression and kinds of files change no number."""
    FORMS[name](tmp_path / name)
    table = tables.read([name], tmp_path, columns={"acc", "method", "step"})
    assert taken(table, LAST) == pytest.approx(EXPECTED)


def read(tmp_path: Path, text: str, seed: str = "") -> tables.Table:
    """Read a CSV of this text."""
    (tmp_path / "runs.csv").write_text(text)
    return tables.read(["runs.csv"], tmp_path, seed)


def taken(table: tables.Table, metric: Mapping[str, object]) -> dict[str, float]:
    """Return a metric by run."""
    found = columns.take(table, columns.parse(metric))
    return dict(zip(found.runs, found.values.tolist(), strict=True))


PAIRED: list[tuple[dict[str, object], dict[str, float]]] = [
    ({**LAST, "minus": {"where": {"method": "base"}}}, dict.fromkeys("312", 0.2)),
    (
        {**LAST, "over": {"where": {"method": "base"}, "last": "step"}},
        {"3": 0.93 / 0.73, "1": 0.91 / 0.71, "2": 0.92 / 0.72},
    ),
    ({**LAST, "minus": {"column": "step"}}, {"3": -1.07, "1": -1.09, "2": -1.08}),
    ({**LAST, "where": {"method": ["ours"], "seed": [1, 3]}}, {"3": 0.93, "1": 0.91}),
    (
        {"column": "acc", "where": {"method": "ours", "step": "1"}},
        {"3": 0.83, "1": 0.81, "2": 0.82},
    ),
    (
        {"column": "acc", "where": {"method": "ours"}, "best": "acc", "mode": "min"},
        {"3": 0.83, "1": 0.81, "2": 0.82},
    ),
]


@pytest.mark.parametrize(("metric", "expected"), PAIRED)
def test_rows_steps_and_pairs(
    metric: dict[str, object], expected: dict[str, float], tmp_path: Path
) -> None:
    """Runs pair by their seed, wherever their rows stand; two of one metric share what is said."""
    for frame in (FRAME, FRAME[::-1]):
        found = taken(read(tmp_path, frame.to_csv(index=False)), metric)
        assert found == pytest.approx(expected)


def test_the_seed_is_read_from_paths_and_from_the_names_of_columns(tmp_path: Path) -> None:
    """One file per run, and one column per run as trackers export it, with their extremes."""
    for seed in (7, 8):
        (tmp_path / f"seed_{seed}").mkdir()
        (tmp_path / f"seed_{seed}" / "log.csv").write_text(f"Step,Value\n1,0.5\n2,0.{seed}\n")
    table = tables.read(["*/log.csv"], tmp_path, r"path: seed_(\d+)/")
    assert taken(table, {"column": "Value", "last": "Step"}) == {"7": 0.7, "8": 0.8}
    wide = "Step,run-7 - acc,run-7 - acc__MIN,run-8 - acc\n1,0.5,0.1,\n2,0.7,0.1,0.8\n"
    table = read(tmp_path, wide, r"columns: run-(?P<seed>\d+) - (?P<metric>\w+?)(?<!__MIN)")
    metric = {"column": "value", "where": {"metric": "acc"}, "last": "Step"}
    assert taken(table, metric) == {"7": 0.7, "8": 0.8}


def test_a_run_that_ends_in_no_number_is_not_dropped(tmp_path: Path) -> None:
    """An empty cell at the last step is not yet logged; a NaN there is how the run ended."""
    text = "seed,step,acc\n1,1,0.5\n1,2,\n2,1,0.6\n2,2,nan\n3,1,\n3,2,\n4,1,inf\n"
    found = taken(read(tmp_path, text), {"column": "acc", "last": "step"})
    assert found["1"] == 0.5
    assert math.isnan(found["2"])
    assert math.isnan(found["3"])
    assert found["4"] == math.inf


@pytest.mark.parametrize("chosen", [{"last": "step"}, {"best": "step", "mode": "max"}])
def test_a_run_without_a_name_takes_no_row_of_another(
    chosen: dict[str, object], tmp_path: Path
) -> None:
    """Rows without a seed are a run of their own, with a last step of its own."""
    table = read(tmp_path, "seed,step,acc\n1,1,0.5\n,9,0.7\n")
    assert taken(table, {"column": "acc", **chosen}) == {"1.0": 0.5, "nan": 0.7}


ACC_ONLY: dict[str, object] = {"column": "acc"}
WRONG: list[tuple[str, dict[str, object], str, str]] = [
    ("seed,acc\n1,0.5\n", {"column": "ac"}, "", r"unknown column of runs.csv 'ac'.*mean 'acc'\?"),
    ("seed,acc\n1,0.5\n1,0.6\n", ACC_ONLY, "", r"run 1 has 2 rows .* differ in acc"),
    ("seed,acc\n1,0.5\n2,good\n", ACC_ONLY, "", r"runs.csv, row 2, column 'acc': 'good' is"),
    ("seed,acc\n1,x\n2,0.5\n", ACC_ONLY, "", r"row 1, column 'acc': 'x' is no number"),
    ('seed,acc\n1,"0,5"\n', ACC_ONLY, "", r"'0,5' is no number, as its decimal sign is"),
    ("s,acc\n1,0.5\n", ACC_ONLY, "", r"has no column 'seed', so what is a run\?"),
    ("", ACC_ONLY, "", r"runs.csv is empty. Give a table"),
    ("seed,acc\n", ACC_ONLY, "", r"runs.csv has no rows"),
    ("seed,acc\n1,2,3\n", ACC_ONLY, "", r"row 1 has 3 cells, but the header has 2 names"),
    ("seed,m,acc\n1,a,1\n2,b\n", ACC_ONLY, "", r"row 2 has 2 cells, but the header has 3"),
    ("seed,acc\n1,1\n", ACC_ONLY, "sede", r"unknown column .* 'sede'.*mean 'seed'\?"),
    ("seed,m,acc\n1,a,1\n2,b,2\n", {**ACC_ONLY, "where": {"m": "c"}}, "", r"known: a, b"),
    (
        "seed,m,acc\n1,a,1\n2,b,2\n",
        {**ACC_ONLY, "where": {"m": "a"}, "minus": {"where": {"m": "b"}}},
        "",
        r"runs of runs.csv do not pair: there is no acc where m is b for 1",
    ),
    ("seed,acc\n1,1\n", {**ACC_ONLY, "best": "acc"}, "", r"'best' needs mode = 'max' or 'min'"),
    ("seed,acc\n1,1\n", {"colum": "acc"}, "", r"unknown field 'colum'.*mean 'column'\?"),
    ("seed,acc\n1,1\n", ACC_ONLY, "path: x", r"has no group for the seed"),
    ("seed,acc\n1,1\n", ACC_ONLY, "path: (x", r"is no regular expression"),
    ("seed,acc\n1,1\n", ACC_ONLY, "columns: r(.)", r"no column of runs.csv matches"),
    ("seed,a,b\n1,1,2\n", {}, "", r"which number\? runs.csv has seed, a, b"),
]


@pytest.mark.parametrize(("text", "metric", "seed", "message"), WRONG)
def test_what_is_wrong_with_a_table_is_one_line(
    text: str, metric: dict[str, object], seed: str, message: str, tmp_path: Path
) -> None:
    """File, row and column are named, the nearest name, and what to do."""
    with pytest.raises(ActbenchError, match=message) as error:
        taken(read(tmp_path, text, seed), metric)
    assert "\n" not in str(error.value)


def test_files_that_differ_are_told_apart(tmp_path: Path) -> None:
    """A column that only one file lacks, and a text in the second of two files."""
    (tmp_path / "a.csv").write_text("seed,acc\n1,0.5\n")
    (tmp_path / "b.csv").write_text("seed,acc\n2,high\n")
    (tmp_path / "notes.docx").write_text("no table")
    (tmp_path / "folder").mkdir()
    (tmp_path / "wide.csv").write_bytes("seed,acc\n1,0.5\n".encode("utf-16"))
    for pattern, message in (
        ("[ab].csv", r"b.csv, row 1, column 'acc': 'high' is no number"),
        ("*.parquet", r"no file matches '\*.parquet' in"),
        ("folder", r"what kind of table is a folder\? These"),
        ("notes.docx", r"what kind of table is .docx\? These are read: .csv"),
        ("wide.csv", r"wide.csv is not UTF-8 text"),
    ):
        with pytest.raises(ActbenchError, match=message):
            taken(tables.read([pattern], tmp_path), {"column": "acc"})


def test_a_table_too_large_to_read_is_refused(tmp_path: Path) -> None:
    """Before anything is read, with what to do; the file here has holes instead of bytes."""
    with (tmp_path / "huge.csv").open("wb") as stream:
        stream.truncate(10 * 2**30)
    with pytest.raises(ActbenchError, match=r"huge.csv has 10.0 GiB, more than .* Parquet"):
        tables.read(["huge.csv"], tmp_path)


def runs_csv(folder: Path, mean: float = 0.94) -> Path:
    """Write twelve runs of two methods."""
    rng = np.random.default_rng(0)
    rows = [
        f"{m},{s},{mu + rng.normal(0, 0.004):.4f}"
        for m, mu in (("ours", mean), ("base", 0.9))
        for s in range(12)
    ]
    path = folder / "runs.csv"
    path.write_text("\n".join(["method,seed,acc", *rows]))
    return path


OURS = ("--column", "acc", "--where", "method=ours")
ENDS = [
    ((*OURS, "--above", "0.92"), 0, "reproduced: acc where method is ours: median at least 0.92"),
    ((*OURS, "--above", "0.96"), 1, "not_reproduced: "),
    ((*OURS, "--above", "0.94"), 1, "inconclusive: "),
    ((*OURS, "--above", "0.02", "--minus", "method=base"), 0, "run by run: median at least 0.02"),
    ((*OURS, "--above", "0.9", "--quantifier", "every"), 1, "104 seeds instead of 12"),
    ((*OURS,), 2, "say what must hold with one of --above, --below and --equals, not with none"),
    ((*OURS, "--above", "1", "--where", "method"), 2, "'method' is no COLUMN=VALUE"),
    ((*OURS, "--equals", "0.9"), 2, "--equals needs a --tolerance, --above and --below take none"),
    ((*OURS, "--above", "0.94"), 1, "(to settle it: about "),
    (("--column", "accc", "--above", "0"), 2, "Did you mean 'acc'?"),
]


@pytest.mark.parametrize(("options", "code", "text"), ENDS)
def test_judging_a_table_in_one_line(
    options: tuple[str, ...], code: int, text: str, tmp_path: Path, actbench: Command
) -> None:
    """The verdict first, then what it rests on; only ``reproduced`` ends with 0."""
    ended, out, err = actbench("judge", runs_csv(tmp_path), *options)
    assert ended == code
    assert text in out + err
    assert "field 'metric'" not in err, "options have no claim and no field"


def test_judging_a_table_loads_nothing_heavy(tmp_path: Path) -> None:
    """A verdict on a CSV takes a second: no torch, and nothing else that it does not need."""
    program = (
        "import sys; from actbench.cli import main\n"
        f"sys.argv = ['actbench', 'judge', {str(runs_csv(tmp_path))!r}, '-c', 'acc', "
        "'--above', '0', '--where', 'method=ours']\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "print([m for m in ('torch', 'xarray', 'scipy.stats', 'matplotlib') if m in sys.modules])"
    )
    assert printed("-c", program).splitlines()[-1] == "[]"


SCORE: dict[str, object] = {"column": "acc", "where": {"method": "ours"}}
OVER_BASE = {**SCORE, "minus": {"where": {"method": "base"}}}


def small(better: Mapping[str, object] = OVER_BASE) -> str:
    """A file of an exploratory claim and a pinned one, of which the metric is given."""
    return text_of(
        least("exploratory", "table", SCORE, "above", 0.96),
        least("pinned", "table", better, "above", 0.0, expected="reproduced"),
        table={"table": "runs.csv"},
    )


def judged(folder: Path, text: str) -> tuple[claims.ClaimsFile, list[Judgment]]:
    """Judge the claims of a file in a folder."""
    (folder / "claims.toml").write_text(text)
    file = claims.load(folder / "claims.toml")
    return file, evidence.judge_all(file, lambda name: None)


def test_what_is_exploratory_is_told_and_pins_nothing(tmp_path: Path) -> None:
    """It is judged at the file's whole level, takes nothing from the others, and is never wrong."""
    runs_csv(tmp_path)
    file, (exploratory, pinned) = judged(tmp_path, small())
    assert exploratory.verdict is Verdict.NOT_REPRODUCED
    assert exploratory.as_expected
    assert pinned.verdict is Verdict.REPRODUCED
    assert [file.level(claim) for claim in file.claim] == [0.01, 0.01]
    alone = evidence.judge_one(file, file.claim[1], lambda name: None)
    assert alone.interval == pinned.interval


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("column =", "colum =", r"claim 'exploratory', field 'metric': unknown field"),
        ("table =", "tabel =", r"protocol 'table', unknown field 'tabel'"),
        ("runs.csv", "no.csv", r"there is no file 'no.csv'"),
        (
            "table =",
            "experiment = 'closed-forms'\ntable =",
            r"protocol 'table': a protocol names one of .*; this names experiment and table",
        ),
        ("table = 'runs.csv'", "function = 'train.py:train'", r"runs code, function = 'train.py:t"),
        (
            "table =",
            "timeout_s = 3\ntable =",
            r"'timeout_s' is for function or command, not for table",
        ),
    ],
)
def test_a_mistake_in_a_file_names_claim_or_protocol(
    old: str, new: str, message: str, tmp_path: Path
) -> None:
    """Whether it is seen when the file is read or when its table is."""
    runs_csv(tmp_path)
    with pytest.raises(ActbenchError, match=message):
        judged(tmp_path, small().replace(old, new, 1))


def test_a_pinned_claim_with_too_few_rows_is_not_excused(tmp_path: Path) -> None:
    """A table's runs are those there are: asking for more seeds would not bring any."""
    path = runs_csv(tmp_path)
    path.write_text("\n".join(path.read_text().splitlines()[:5]))
    pinned = judged(tmp_path, small(SCORE))[1][1]
    assert pinned.verdict is Verdict.INCONCLUSIVE
    assert not pinned.as_expected
    assert not pinned.lacks_runs


def test_a_file_to_start_from_is_drafted_and_judged(tmp_path: Path, actbench: Command) -> None:
    """The best method first, at its last step, with its worst run as the bound to ask about."""
    rows = [
        f"{name},{seed},{step},{score - 0.1 * (2 - step)},{score - seed / 100:.2f}"
        for name, score in (("base", 0.7), ("ours", 0.9))
        for seed in range(9)
        for step in (1, 2)
    ]
    rows[1] = rows[1].rpartition(",")[0] + ",nan"  # one run ends in no number
    text = "\n".join(["model,random_seed,epoch,valid_f1,test_f1", *rows])
    (tmp_path / "runs.csv").write_text(text)

    assert actbench("init", "runs.csv")[0] == 0
    drafted = (tmp_path / "claims.toml").read_text()
    assert "#? Other numbers that claims could be about: valid_f1" in drafted
    file = claims.load(tmp_path / "claims.toml")
    assert [claim.id for claim in file.claim] == [
        "ours-test-f1",
        "base-test-f1",
        "ours-against-base",
    ]
    first = file.claim[0]
    assert first.metric == {"column": "test_f1", "where": {"model": "ours"}, "last": "epoch"}
    assert first.relation is not None
    assert first.relation.value == 0.82
    assert actbench("verify", "claims.toml")[0] == 0
    for arguments, told in (
        (("runs.csv",), "claims.toml is there already"),
        (("runs.csv", "--seed", "sed"), "unknown column of runs.csv 'sed'"),
        (("no.csv",), "no file 'no.csv'"),
    ):
        code, _, said = actbench("init", *arguments)
        assert (code, told in said) == (2, True)
