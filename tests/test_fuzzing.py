"""Files that are cut, edited or damaged: each command ends in one line, and never in a traceback.

A seed fixes every mutation. Nothing is trained: the commands read and judge, and what would
compute is replaced by nothing.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from record_factory import a_record
from typer.main import get_command

from actbench import claims, cli
from actbench.claims import measured
from actbench.cli import app as commands
from actbench.cli.console import Session
from actbench.runs import evidence
from actbench.store import datasets
from actbench.study.commands import sweeping
from actbench.study.experiments import signal_propagation
from actbench.study.recover import folder, schema, space
from actbench.study.robustness import maps
from actbench.tracking import records

CLAIMS = """
study = "Narrow ReLU networks"

[protocol.narrow]
experiment = "signal-propagation"
settings = { widths = [2], depth = 5, initializers = ["he_normal"], activations = ["relu"] }
seeds = 16

[[claim]]
id = "two-units-mostly-die"
source = "notes"
statement = "Most networks of five hidden layers with two units are born dead."
protocol = "narrow"
metric = { name = "born_dead_share", activation = "relu", initializer = "he_normal", width = 2, depth = 5 }
published = 0.62
expected = "reproduced"
because = "About 62 % are."
[claim.relation]
kind = "above"
value = 0.25
reason = "What most means."
[claim.direction]
kind = "above"
value = 0.1
reason = "What some means."

[[claim]]
id = "nobody-knows"
source = "notes"
statement = "It is pleasant."
expected = "not_testable"
because = "A matter of taste."
"""  # noqa: E501
GRID = """
[settings]
epochs = 5
depth = 3
recorded_epochs = [0, 4]
noise_std = 0.1

[grid]
activation = ["relu", "gelu"]
seed = 3

[[zip]]
width = [8, 16]
learning_rate = [1e-4, 1e-3]

[random]
count = 3
seed = 1
weight_decay = { low = 1e-4, high = 0.1, scale = "log" }
initializer = ["torch_default", "he_normal"]
"""
SEARCH = """
schema_version = 1
quantity = "gradient_ratio"
title = "A test"
source = "a test"
width = 16
misses = 1

[[number]]
activation = "linear"
published = "0.84"
depth = 3

[[number]]
activation = "relu"
published = "1.93e0"
depth = 3
digits = 2

[space]
seed = [42]
reset = ["once", "per_model"]
order = [["linear", "relu"]]
depths = [[2, 3], [3]]
outer_loop = ["depth"]
depth_counts = ["hidden"]
construction = ["all_first", "layer_by_layer"]
drawn = ["once"]
initializer = ["xavier_uniform", { else = "he_normal", relu = "torch_default" }]
bias = ["zero", "constructed"]
input = ["normal"]
points = [9]
loss = ["mean"]
measure = ["mean_abs"]
layers = ["output/first"]
"""
VALUES = (
    *("NaN", "nan", "inf", "-Infinity", "1e999", "-1e999", "9" * 5000, "-" + "9" * 400, "1" * 25),
    *("0x" + "f" * 5000, "0", "-1", "1.5", "1e-320", "18446744073709551616", "1979-05-27", "true"),
    *('""', '"a [/b] :x:"', '"\\u0000"', '"../../x"', '"é\\ud83d"', '"' + "x" * 5000 + '"', "null"),
    *("[]", "{}", "[[[1]]]", "{ a = 1 }", '{"a": 1}', '[1, "a"]', "[" * 3000, "relu"),
)
"""What a value may be replaced by, in TOML or JSON or neither."""
VALUE = re.compile(rb'(?<![\w.])-?\d[\d.e+-]*|"[^"\n]*"|true|false|null|\[[^\[\]]*\]|\{[^{}]*\}')


def mutants(content: bytes, count: int, seed: str) -> Iterator[bytes]:
    """Damage a file in one to three ways, again and again."""
    draw = random.Random(seed)  # noqa: S311
    for _ in range(count):
        damaged = content
        for _ in range(draw.choice((1, 1, 1, 2, 3))):
            damaged = draw.choice((value, value, value, byte, cut, lines))(damaged, draw)
        yield damaged


def value(content: bytes, draw: random.Random) -> bytes:
    """Replace a value by another, of any type, or by one that stands elsewhere in the file."""
    found = list(VALUE.finditer(content))
    if not found:
        return content
    old, other = draw.choice(found), draw.choice(found)
    new = draw.choice((draw.choice(VALUES).encode(), other.group()))
    return content[: old.start()] + new + content[old.end() :]


def byte(content: bytes, draw: random.Random) -> bytes:
    """Flip, insert or remove a byte."""
    place = draw.randrange(len(content) + 1)
    new = draw.choice((b"", bytes([draw.randrange(256)]), b"\0", b"\n", b'"', b"[", b"\xff\xfe"))
    return content[:place] + new + content[place + draw.randrange(2) :]


def cut(content: bytes, draw: random.Random) -> bytes:
    """Cut a piece out, or everything behind a place."""
    start = draw.randrange(len(content) + 1)
    stop = draw.choice((start + draw.randrange(1, 40), len(content)))
    return content[:start] + content[stop:]


def lines(content: bytes, draw: random.Random) -> bytes:
    """Remove, repeat or exchange lines."""
    parts = content.split(b"\n")
    one, other = draw.randrange(len(parts)), draw.randrange(len(parts))
    how = draw.randrange(3)
    if how == 0:
        del parts[one]
    elif how == 1:
        parts.insert(other, parts[one])
    else:
        parts[one], parts[other] = parts[other], parts[one]
    return b"\n".join(parts)


@dataclass(frozen=True)
class Ended:
    """How a command ended: its code, and what it said where that is 2."""

    code: object
    error: str

    @property
    def wrong(self) -> bool:
        """Whether it is neither a ledger nor one line that says what is wrong."""
        if self.code == 2:
            return not re.fullmatch(r"actbench: error: [^\n]{10,3000}\n", self.error)
        return self.code not in {0, 1, None}


Command = Callable[..., Ended]


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> Command:
    """Call the command line, in an empty folder; what libraries in C print counts too."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    nothing = lambda *_, **__: None  # noqa: E731
    for name in ("estimate", "execute"):
        monkeypatch.setattr(Session, name, nothing)
    monkeypatch.setattr(sweeping._Run, "cost", "")
    monkeypatch.setattr(folder, "estimate", lambda *_: "")

    # Made once, not for each of thousands.
    monkeypatch.setattr(commands, "app", get_command(commands.app))

    def call(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["actbench", *map(str, arguments)])
        try:
            cli.main()
        except SystemExit as left:
            error = capfd.readouterr().err
            return Ended(left.code, error if left.code == 2 else "")
        except BaseException:
            capfd.readouterr()
            return Ended("a traceback", traceback.format_exc(limit=-6))
        return Ended("no exit", "")

    return call


def survey(
    path: Path, content: bytes, count: int, call: Callable[[], Ended], *, signed: bool = False
) -> None:
    """Put each mutant at a path and collect the different ways in which a command fails on it."""
    path.write_bytes(content)
    assert call().code in {0, 1, None}, "it is wrong before it is damaged"
    codes: Counter[object] = Counter()
    faults: dict[str, tuple[Ended, bytes]] = {}
    for damaged in mutants(content, count, path.name):
        path.write_bytes(damaged)
        if signed:
            digest = hashlib.sha256(damaged).hexdigest()
            path.with_name(f"{path.name}.sha256").write_text(digest, encoding="utf-8")
        ended = call()
        codes[ended.code] += 1
        if ended.wrong:
            # One of each kind: by its last line, and the place that it comes from.
            kind = ended.error.strip().splitlines()[-3:]
            faults.setdefault(re.sub(r"\d+|'.*'", "", "".join(kind)), (ended, damaged))
    told = (
        f"{end.code}: {end.error[-2000:]}\n--- on\n{on[:1000]!r}" for end, on in faults.values()
    )
    assert not faults, f"{len(faults)} faults\n" + "\n\n".join(told)
    assert codes[2] > count / 10


pytestmark = pytest.mark.slow


def results(out: Path) -> Path:
    """Write the results of `CLAIMS` into a folder."""
    (out / "claims.toml").write_text(CLAIMS, encoding="utf-8")
    file = claims.load(out / "claims.toml")
    config = evidence.config_for(file.protocol["narrow"], 16)
    path = out / evidence.file_name("narrow", file.protocol["narrow"])
    datasets.save(signal_propagation.run(config), path)
    return path


def test_claims(command: Command, tmp_path: Path) -> None:
    """A damaged claims file, judged from results."""
    results(tmp_path)
    path = tmp_path / "damaged.toml"
    survey(path, CLAIMS.encode(), 700, lambda: command("verify", path, "--out", tmp_path))


@pytest.mark.parametrize(
    ("verb", "name", "content"), [("sweep", "grid.toml", GRID), ("recover", "search.toml", SEARCH)]
)
def test_what_is_laid_out(
    verb: str, name: str, content: str, command: Command, tmp_path: Path
) -> None:
    """A damaged grid, a damaged search file."""
    path = tmp_path / name
    survey(path, content.encode(), 600, lambda: command(verb, path, "--dry-run"))


def test_records(command: Command, tmp_path: Path) -> None:
    """A damaged record; most have a checksum that fits, as it would end all others at once."""
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    for path, release in ((old, "2.6.0"), (new, "2.13.0")):
        records.save(a_record(release), path)
    draw = random.Random(1)  # noqa: S311

    def call() -> Ended:
        try:
            content = json.loads(new.read_bytes())
            content.pop("sha256")
            content["sha256"] = records._checksum(content)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            pass  # told as it is
        else:
            new.write_text(json.dumps(content), encoding="utf-8")
        if draw.random() < 0.02:  # it draws figures
            return command("history", tmp_path, "--out", tmp_path)
        return command("drift", old, new)

    survey(new, new.read_bytes(), 400, call)


@pytest.mark.parametrize("signed", [False, True])
def test_stored_runs(command: Command, tmp_path: Path, *, signed: bool) -> None:
    """Damaged results, also with a checksum that fits."""
    path = results(tmp_path)
    call = lambda: command("verify", tmp_path / "claims.toml", "--out", tmp_path)  # noqa: E731
    survey(path, path.read_bytes(), 200, call, signed=signed)


def test_measurements(command: Command, tmp_path: Path) -> None:
    """Damaged measurements beside a claims file."""
    dataset = datasets.load(results(tmp_path))
    file = claims.load(tmp_path / "claims.toml")
    stored = measured.from_dataset("narrow", file, dataset)
    (tmp_path / "measured").mkdir()
    (tmp_path / "none").mkdir()
    path = measured.save(stored, tmp_path / "measured")
    call = lambda: command("verify", tmp_path / "claims.toml", "--out", tmp_path / "none")  # noqa: E731
    survey(path, path.read_bytes(), 400, call)


def test_robustness_maps(command: Command, tmp_path: Path) -> None:
    """A damaged map."""
    path = tmp_path / "map.json"
    content = json.loads(maps.path_of().read_bytes())
    content["cells"] = content["cells"][:2]
    made = json.dumps(content, indent=1).encode()
    survey(path, made, 100, lambda: command("robustness", "--file", path))


def test_found_protocols(command: Command, tmp_path: Path) -> None:
    """A damaged result of a search."""
    path = tmp_path / "search.toml"
    path.write_text(SEARCH, encoding="utf-8")
    folder.fulfil(space.lay_out(schema.load(path)), tmp_path / "out")
    found = tmp_path / "out" / folder.RESULT
    call = lambda: command("recover", path, "--out", tmp_path / "out")  # noqa: E731
    survey(found, found.read_bytes(), 300, call)
