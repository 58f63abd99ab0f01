"""Functions and commands of a user: what becomes of each run, and when it is made again."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from actbench.claims.claims_file import Protocol
from actbench.runs import kept
from actbench.runs.kept import Run
from actbench.runs.sources import fulfil, kept_runs
from actbench.store.errors import ActbenchError

SEEDS = (3, 1, 2)


class Study:
    """A folder with a user's files, whose protocols are run there."""

    def __init__(self, base: Path) -> None:
        self.base = base

    def write(self, name: str, text: str) -> None:
        """Write a file."""
        path = self.base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")

    @property
    def place(self) -> dict[str, Any]:
        """Return where protocols run, and where their runs are kept."""
        return {"base": self.base, "folder": self.base / ".actbench" / "runs"}

    def run(self, protocol: Mapping[str, Any], *seeds: int, **how: Any) -> list[Run]:
        """Run a protocol with some seeds."""
        return fulfil(Protocol(**protocol), seeds or SEEDS, **self.place, **how)

    def is_kept(self, protocol: Mapping[str, Any], seed: int) -> bool:
        """Tell whether a run is kept."""
        return bool(kept_runs(Protocol(**protocol), [seed], **self.place))

    def calls(self) -> list[int]:
        """Return the seeds that ran since last asked."""
        path = self.base / "calls.txt"
        found = [int(line) for line in path.read_text().split()] if path.exists() else []
        path.unlink(missing_ok=True)
        return sorted(found)

    def kept(self) -> list[Path]:
        """Return the files of the kept runs."""
        return sorted(self.base.glob(".actbench/runs/*/[0-9]*.json"))


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """Give an empty folder."""
    return Study(tmp_path)


COUNTED = """
    import model

    def train(seed, lr=1.0):
        with open("calls.txt", "a") as log:
            print(seed, file=log)
        return {"acc": model.scale * lr * seed, "nested": {"loss": 0.5}, "name": "net"}
"""
COUNT = {"function": "train.py:train", "inputs": ["data.csv"], "settings": {"lr": 0.5}}


@pytest.fixture
def counted(study: Study) -> Study:
    """Give a study whose function notes its calls."""
    study.write("train.py", COUNTED)
    study.write("model.py", "from layers import scale\n")
    study.write("layers.py", "scale = 2\n")
    study.write("data.csv", "1\n")
    return study


BEHAVIOR: list[tuple[str, str, object]] = [
    ("return 0.1 * seed", "finished", 0.2),
    ("print('{}'); os.write(1, b'{}\\n'); sys.__stdout__.write('{}'); return 1", "finished", 1),
    ("return float('nan')", "finished", math.nan),
    ("return -math.inf", "finished", -math.inf),
    ("import numpy; return numpy.float32(0.5)", "finished", 0.5),
    ("return {'value': 4, 'why': 'text', 'curve': [1, 2]}", "finished", 4),
    ("return Table([5])", "finished", 5),
    ("return Table([5, 6])", "no number", "returned a table of 2 rows; one row was expected"),
    ("return None", "no number", "returned None; a number, numbers by name or a table of one"),
    ("return '0.5'", "no number", "returned '0.5'; a number"),
    ("return {'name': 'net'}", "no number", "returned {'name': 'net'}; a number"),
    ("import numpy; return numpy.ones((2, 3))", "no number", "returned ndarray of shape (2, 3);"),
    ("return 1j", "no number", "returned complex; a number"),
    ("raise ValueError('no\\ndata')", "failed", "f.py, line 13: ValueError: no data"),
    ("return [][seed]", "failed", "f.py, line 13: IndexError: list index out of range"),
    ("import nowhere", "failed", "f.py, line 13: ModuleNotFoundError: No module named 'nowhere'"),
    ("raise Mute", "failed", "f.py, line 13: Mute: an error that can't be told"),
    ("raise KeyboardInterrupt", "failed", "f.py, line 13: KeyboardInterrupt"),
    ("sys.exit('enough')", "exited", "called sys.exit('enough')"),
    ("os._exit(3)", "exited", "the process ended with exit code 3"),
    ("os.kill(os.getpid(), signal.SIGSEGV)", "exited", "the process ended by SIGSEGV"),
    ("os.kill(os.getpid(), signal.SIGKILL)", "exited", "ended by SIGKILL, as a system short of"),
    ("os.closerange(3, 99); return 1", "exited", "the process ended with exit code 1"),
    ("os.closerange(3, 99); time.sleep(99)", "exited", "the process closed its way back"),
    ("os.fork(); return os.getpid() * 0 + 8", "finished", 8),
    ("os.fork() or sys.exit(1); return 8", "finished", 8),
    ("os.fork() or time.sleep(99); return 8", "finished", 8),
    ("os.fork() or time.sleep(99); os._exit(3)", "exited", "ended with exit code 3"),
    ("os.chdir('/'); sys.stdout.close(); return 8", "finished", 8),
]


def require_told(run: Run, outcome: str, expected: object) -> None:
    """Require a run's numbers to be those expected, to the bit, or its message to have the text."""
    assert run.outcome == outcome, run.message
    if outcome == "finished":
        numbers = expected if isinstance(expected, Mapping) else {"value": expected}
        assert run.values == pytest.approx(numbers, rel=0, abs=0, nan_ok=True)
        assert run.message == ""
    else:
        assert run.values == {}
        assert str(expected) in run.message


@pytest.mark.parametrize(("body", "outcome", "expected"), BEHAVIOR, ids=[b[0] for b in BEHAVIOR])
def test_whatever_a_function_does_is_told(
    study: Study, body: str, outcome: str, expected: object
) -> None:
    """It becomes the run of that seed, read back as it was, and the next seed runs as ever."""
    study.write(
        "f.py",
        f"""
        import math, os, signal, sys, time
        print("loaded")
        class Mute(Exception):
            def __str__(self): raise self
        class Table(list):
            columns = ["value"]
            def __getitem__(self, name): return iter(self)
        def f(seed):
            if seed == 1:
                return int(open("one.txt").read())
            # the line that misbehaves:
            {body}
        """,
    )
    study.write("one.txt", "1")
    protocol = {"function": "f.py:f", "timeout_s": 30}
    first, second = study.run(protocol, 2, 1)
    assert first.seed == 2
    require_told(first, outcome, expected)
    assert (second.outcome, second.values, second.message) == ("finished", {"value": 1}, "")
    (again,) = study.run(protocol, 2)
    assert repr(again) == repr(first)


PROGRAM: list[tuple[str, str, str, object]] = [
    ("print(0.1 * seed)", "", "finished", {"value": 0.2}),
    ('print(1); print(\'{"acc": 1, "of": {"x": 2}}\\n\')', "", "finished", {"acc": 1, "of.x": 2}),
    ("print(float('nan'))", "", "finished", {"value": math.nan}),
    ("write('{\"acc\": 0.5}')", "{out}/r.json", "finished", {"acc": 0.5}),
    ("write('0.5')", "{out}/r.json", "finished", {"value": 0.5}),
    ('write(\'{"acc": 1}\\n{"acc": 2}\\n\')', "{out}/r.jsonl", "finished", {"acc": 2}),
    ("write('acc,net\\n0.5,a\\n')", "{out}/r.csv", "finished", {"acc": 0.5}),
    ("write('7')", "r-{seed}-{lr}.json", "finished", {"value": 7}),
    ("print(7)", "r-{seed}-{lr}.json", "no number", "it left as it was its result"),
    ("print(7)", "{out}/r.json", "no number", "it did not write its result"),
    ("write('acc\\n1\\n2\\n')", "{out}/r.csv", "no number", "holds a table of 2 rows; one row"),
    ("write('{')", "{out}/r.json", "no number", "r.json holds '{'; a number, numbers by name"),
    ("open(place, 'wb').write(b'\\xff')", "{out}/r.json", "no number", "can't be read: 'utf-8'"),
    ("print('done')", "", "no number", "the last line that it printed is 'done'; a number"),
    ("pass", "", "no number", "the last line that it printed is ''; a number"),
    ("print('acc 0.1\\nacc 0.7\\nbye')", "output: acc ([0-9.]+)", "finished", {"value": 0.7}),
    ("print('acc 0.75')", "output: acc (0.[0-9]{2})", "finished", {"value": 0.75}),
    ("print('acc 0.7')", "output: (?P<acc>0.\\d)", "finished", {"acc": 0.7}),
    ("print('bye')", "output: acc (.*)", "no number", "nothing that it printed matches 'acc (.*)'"),
    ("sys.exit('bad data')", "", "failed", "ended with exit code 1: bad data"),
    ("sys.exit(3)", "", "failed", "ended with exit code 3: nothing on standard error"),
    ("1 / 0", "", "failed", "ended with exit code 1: ZeroDivisionError: division by zero"),
    ("os.kill(os.getpid(), signal.SIGSEGV)", "", "exited", "ended by SIGSEGV: nothing on"),
    ("print(0)\nassert given == ['a b', '0.1']; print(1)", "", "finished", {"value": 1}),
]


@pytest.mark.parametrize(
    ("body", "result", "outcome", "expected"), PROGRAM, ids=[p[0] for p in PROGRAM]
)
def test_whatever_a_program_does_is_told(
    study: Study, body: str, result: str, outcome: str, expected: object
) -> None:
    """Its numbers are read from what it wrote or printed last; a run without any says why."""
    study.write("r-2-0.1.json", "5")
    study.write(
        "p.py",
        f"""
        import os, signal, sys
        given, place, seed = sys.argv[1:3], sys.argv[3], int(sys.argv[4])
        def write(text):
            with open(place, "w") as file:
                file.write(text)
        exec({body!r})
        """,
    )
    place = "{out}" if not result or result.startswith("output:") else result
    command = f"python p.py '{{name}}' {{lr}} {place} {{seed}}"
    settings = {"name": "a b", "lr": 0.1}
    protocol = {"command": command, "result": result, "settings": settings, "timeout_s": 30}
    (run,) = study.run(protocol, 2)
    require_told(run, outcome, expected)
    assert repr(study.run(protocol, 2)) == repr([run])


@pytest.mark.parametrize(
    ("protocol", "message"),
    [
        ({"function": "train"}, r"'train' does not name a function; write path/to/file.py:name"),
        ({"function": "gone.py:f"}, r"there is no file 'gone.py' in .*; write path"),
        ({"function": "train.py:trian"}, r"train.py has no 'trian'; did you mean 'train'\? Mend"),
        ({"function": "nowhere:f"}, r"can't be called: ModuleNotFoundError: No module .*'nowhere'"),
        ({"function": "bad.py:f"}, r"can't be called: bad.py, line 1: SyntaxError: .* Mend that"),
        ({"function": "raises.py:f"}, r"raises.py, line 2: ZeroDivisionError: division by zero"),
        ({"function": "exits.py:f"}, r"exits.py calls sys.exit\(2\) when it is loaded"),
        ({"function": "dies.py:f"}, r"loading it ended with exit code 4; see .*load.log"),
        ({"function": "layers.py:scale"}, r"scale in layers.py is no function: 2"),
        (
            {"function": "train.py:train", "settings": {"rate": 1}},
            r"train.py, line 4: train\(seed, lr=1.0\) can't be called with seed=, rate=: got an",
        ),
        ({"function": "train.py:train", "settings": {"seed": 1}}, r"settings names 'seed'"),
        ({"function": "train.py:train", "inputs": ["no*.csv"]}, r"inputs names 'no\*.csv', but th"),
        ({"command": "python train.py"}, r"has no {seed}, so that the program never learns it"),
        (
            {"command": "python p.py {seed} {rate}"},
            r"unknown placeholder {rate}; there are {seed}, ",
        ),
        ({"command": "x {seed}", "settings": {"lr": 1}}, r"has no {lr}, so that the program never"),
        ({"command": "x {seed}", "settings": {"out": 1}}, r"settings names 'out', for which"),
        ({"command": "x {seed}", "result": "r.json"}, r"'r.json' is one file for all runs; write"),
        ({"command": "x {seed}", "result": "output: acc .*"}, r"has no group for the number"),
        ({"command": "x {seed}", "result": "output: (a"}, r"is no regular expression"),
        ({"command": "x '{seed}"}, r"can't be split: No closing quotation; mend it"),
        ({"command": " "}, r"command is empty"),
        ({"command": "python gone.py {seed}"}, r"there is no file 'gone.py' in .*; mend the path"),
        ({"command": "no-such-program {seed}"}, r"no program 'no-such-program' on the PATH"),
        ({"command": "./data.csv {seed}"}, r"no program './data.csv' in .*, or it may not be run"),
        ({"command": "./odd {seed}"}, r"odd can't be run: Exec format error; mend the command"),
    ],
)
def test_what_can_run_for_no_seed_is_refused(
    counted: Study, protocol: Mapping[str, Any], message: str
) -> None:
    """One line says what is wrong and what to do, and nothing is kept."""
    counted.write("bad.py", "def f(:\n")
    counted.write("raises.py", "\n1 / 0\n")
    counted.write("exits.py", "import sys; sys.exit(2)\n")
    counted.write("dies.py", "import os; os._exit(4)\n")
    counted.write("odd", "odd\n")
    (counted.base / "odd").chmod(0o755)
    with pytest.raises(ActbenchError, match=message) as caught:
        counted.run(protocol)
    assert "\n" not in str(caught.value)
    assert counted.kept() == []


def test_what_is_kept_is_not_made_again(counted: Study) -> None:
    """Seeds keep their order, only new ones run, and progress counts each once any does."""
    steps: list[int] = []
    runs = counted.run(COUNT, progress=steps.append)
    assert [run.seed for run in runs] == [3, 1, 2]
    assert [run.values for run in runs] == [
        {"acc": float(seed), "nested.loss": 0.5} for seed in SEEDS
    ]
    assert (steps, counted.calls()) == ([1, 1, 1], [1, 2, 3])
    assert counted.run(COUNT, progress=steps.append) == runs
    assert (steps[3:], counted.calls()) == ([], [])
    assert counted.is_kept(COUNT, 1)
    assert not counted.is_kept(COUNT, 4)
    assert counted.run(COUNT, 4, 3, progress=steps.append)[1] == runs[0]
    assert (steps[3:], counted.calls()) == ([1, 1], [4])
    counted.run(COUNT, 1, 1, fresh=True)
    assert counted.calls() == [1]
    told = json.loads(counted.kept()[0].with_name("protocol.json").read_text())
    assert set(told["sources"]) == {"train.py", "model.py", "layers.py"}
    assert {"data.csv"} == set(told["inputs"])


@pytest.mark.parametrize(
    ("file", "text", "fields"),
    [
        ("train.py", f"{COUNTED}    # new", {}),
        ("model.py", "scale = 2", {}),
        ("layers.py", "scale = 3", {}),
        ("data.csv", "2", {}),
        ("data.csv", "1\n", {"settings": {"lr": 0.25}}),
        ("data.csv", "1\n", {"inputs": ["*.csv", "other"]}),
    ],
    ids=["source", "module", "module of a module", "input", "settings", "inputs"],
)
def test_what_has_changed_is_made_again(
    counted: Study, file: str, text: str, fields: Mapping[str, Any]
) -> None:
    """Whatever the numbers depend on; and what was kept counts once all is as it was."""
    counted.write("other/data.bin", "1")
    counted.run(COUNT, 1)
    before = (counted.base / file).read_text()
    counted.write(file, text)
    protocol = {**COUNT, **fields}
    assert not counted.is_kept(protocol, 1)
    counted.calls()
    counted.run(protocol, 1)
    assert counted.calls() == [1]
    counted.write(file, before)
    assert counted.is_kept(COUNT, 1)


def test_other_packages_or_arithmetic_are_another_run(
    counted: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers of another installation or number of threads are not taken for these."""
    counted.run(COUNT, 1)
    with monkeypatch.context() as patched:
        patched.setattr(kept, "packages", lambda: ["numpy-1.0"])
        assert not counted.is_kept(COUNT, 1)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert not counted.is_kept(COUNT, 1)


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"schema_version": 1}', "\xff"])
def test_a_damaged_file_is_made_again(counted: Study, damage: str) -> None:
    """Nobody has to find out which file to delete."""
    runs = counted.run(COUNT, 1)
    counted.kept()[0].write_text(damage, encoding="latin-1")
    assert [run.values for run in counted.run(COUNT, 1)] == [run.values for run in runs]
    assert counted.calls() == [1, 1]


def test_sources_of_a_command_are_its_files(counted: Study) -> None:
    """Those that it names, in whatever way, with the modules that they import."""
    counted.write("pkg/__init__.py", "from . import part\n")
    counted.write("pkg/part.py", "from ..model import scale\nimport json, numpy\n")
    counted.write("pkg/main.py", "import pkg, importlib\n")
    words = ["python", "-m", "pkg.main", "--config=data.csv", "train.py", "none.py"]
    assert set(kept.of_code("", words, counted.base)) == {
        *("pkg/__init__.py", "pkg/part.py", "pkg/main.py", "data.csv"),
        *("train.py", "model.py", "layers.py"),
    }


def test_what_changes_while_it_runs_is_not_kept(study: Study) -> None:
    """Nobody could say which version of the file gave the number."""
    study.write("f.py", "def f(seed):\n    open('f.py', 'a').write('#')\n    return 1\n")
    with pytest.raises(ActbenchError, match=r"^f.py changed while runs that depend on it"):
        study.run({"function": "f.py:f"})
    assert study.kept() == []


def test_a_fresh_run_replaces_what_a_command_wrote(study: Study) -> None:
    """The folder of a run that no longer counts is not left behind."""
    study.write("p.py", "import sys; open(sys.argv[2] + '/model', 'w'); print(sys.argv[1])\n")
    command = {"command": "python p.py {seed} {out}"}
    study.run(command, 1, 2)
    (old,) = study.base.glob(".actbench/runs/*/1.*/out/model")
    study.run(command, 1, fresh=True)
    (new,) = study.base.glob(".actbench/runs/*/1.*/out/model")
    assert new != old
    assert new.parents[1].joinpath("stdout.log").read_text() == "1\n"


def test_a_run_that_takes_too_long_is_ended_with_all_that_it_started(study: Study) -> None:
    """It is a result as long as no more time is given; the next seeds run as ever."""
    os.mkfifo(study.base / "alive")
    study.write("f.py", HANGS)
    function = {"function": "f.py:f", "timeout_s": 1}
    with reading(study.base / "alive") as alive:
        ended, other = study.run(function, 3, 1)
        assert alive.read().split() == ["3", "3"]  # to its end: nobody has it open any more
    assert (ended.outcome, ended.message) == ("timed out", "did not end within timeout_s = 1")
    assert (other.outcome, other.values) == ("finished", {"value": 1})
    assert study.is_kept({**function, "timeout_s": 0.5}, 3)
    assert study.is_kept({**function, "timeout_s": 0.5}, 1)
    assert not study.is_kept({**function, "timeout_s": 2}, 3)
    assert study.is_kept({**function, "timeout_s": 2}, 1)
    with reading(study.base / "alive") as alive:
        (ended,) = study.run({"command": "python f.py {seed}", "timeout_s": 1}, 3)
        assert alive.read().split() == ["3", "3"]
    assert ended.outcome == "timed out"


HANGS = """
    import os, sys, time
    def f(seed):
        if seed != 3:
            return seed
        os.fork()
        with open("alive", "w") as alive:
            print(seed, file=alive, flush=True)
            time.sleep(60)
    if __name__ == "__main__":
        print(f(int(sys.argv[1])))
"""
"""Hangs at seed 3, twice, and both hold a pipe open."""


@contextmanager
def reading(pipe: Path) -> Iterator[IO[str]]:
    """Open a named pipe that nobody writes to yet."""
    number = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(number, True)
    with os.fdopen(number) as stream:
        yield stream


@pytest.mark.parametrize(
    ("source", "signal_", "workers"),
    [
        ({"function": "f.py:f"}, signal.SIGINT, 1),
        ({"function": "f.py:f"}, signal.SIGINT, 2),
        ({"function": "f.py:f"}, signal.SIGKILL, 1),
        ({"command": "python f.py {seed}"}, signal.SIGINT, 1),
    ],
    ids=["ctrl-c", "ctrl-c with two workers", "kill -9", "ctrl-c of a command"],
)
@pytest.mark.usefixtures("ctrl_c")
def test_an_interruption_loses_no_run_that_had_ended(
    study: Study, source: Mapping[str, str], signal_: signal.Signals, workers: int
) -> None:
    """What runs then is ended with all that it started, and is not taken for a result."""
    os.mkfifo(study.base / "alive")
    study.write("f.py", HANGS)
    study.write(
        "parent.py",
        f"""
        from pathlib import Path
        from actbench.claims.claims_file import Protocol
        from actbench.runs.sources import fulfil
        place = Path({str(study.base)!r})
        fulfil(Protocol(**{source!r}), [1, 2, 3, 4], base=place,
               folder=place / ".actbench" / "runs", workers={workers},
               progress=lambda done: print(done, flush=True))
        """,
    )
    ended = [1, 2, 4][: workers + 1]  # one worker gets no further than seed 3
    parent = subprocess.Popen(  # noqa: S603 - our own code
        [sys.executable, str(study.base / "parent.py")], stdout=subprocess.PIPE, text=True
    )
    with parent, (study.base / "alive").open() as alive:
        assert parent.stdout is not None
        assert [parent.stdout.readline() for _ in ended] == ["1\n"] * len(ended)
        assert [alive.readline() for _ in range(2)] == ["3\n"] * 2
        parent.send_signal(signal_)
        assert alive.read() == ""  # to its end: nobody has it open any more
    assert parent.returncode == -signal_
    assert [int(path.stem) for path in study.kept()] == ended
    assert all(study.is_kept(source, seed) for seed in ended)


def test_numbers_do_not_depend_on_the_workers(study: Study) -> None:
    """Not even those of a function that draws without a seed and changes its settings."""
    study.write(
        "f.py",
        """
        import random
        def f(seed, left):
            order = list({"a", "b", "c", "d", "e"}).index("a")
            return {"drawn": random.random(), "order": order, "left": left.pop()}
        """,
    )
    protocol = {"function": "f.py:f", "settings": {"left": [1, 2, 3]}}
    one = study.run(protocol, *range(6))
    three = study.run(protocol, *range(6), workers=3, fresh=True)
    assert [run.values for run in three] == [run.values for run in one]
    assert len({run.values["drawn"] for run in one}) == 6
