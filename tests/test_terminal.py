"""Terminals and places that others have: what is printed there, and how a command ends."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import pytest
from calls import Command, printed

import actbench
from actbench.claims import metrics
from actbench.store import terminal

ENCODINGS = ("ascii", "cp1252", "cp437", "latin-1", "koi8-r", "shift_jis")
ROOT = Path(actbench.__file__).parent


def stream(encoding: str, errors: str = "strict") -> io.TextIOWrapper:
    """A standard output of some encoding."""
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors=errors)


def taken(written: io.TextIOWrapper) -> str:
    """What a stream was given."""
    written.flush()
    assert isinstance(written.buffer, io.BytesIO)
    return written.buffer.getvalue().decode(written.encoding)


@pytest.fixture
def call(actbench: Command, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """Call the command line with a standard output; returns its exit code and standard error."""

    def call(output: TextIO | None, *arguments: str) -> tuple[int, str]:
        error = stream("utf-8")
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", output)
            patch.setattr(sys, "stderr", error)
            code = actbench(*arguments).code
        return code, taken(error)

    return call


def test_every_character_of_the_package_has_a_plain_form() -> None:
    """No question mark stands for one that occurs in a source, a template or a claim."""
    files = [*ROOT.rglob("*.py"), *ROOT.rglob("*.j2"), *ROOT.parent.glob("baselines/**/*.toml")]
    used = {c for file in files for c in file.read_text(encoding="utf-8") if not c.isascii()}
    assert {"█", "…", "±"} <= used
    for character in used:
        assert terminal.plain(character).isascii()
        assert "?" not in terminal.plain(character)


@pytest.mark.parametrize(
    ("character", "form"),
    [
        ("é", "e"),
        ("ﬁ", "fi"),
        ("\N{GREEK SMALL LETTER SIGMA}", "sigma"),
        ("≤", "<="),
        ("█", "#"),
        ("☃", "?"),
        ("\ud83d", "?"),
    ],
)
def test_plain_forms(character: str, form: str) -> None:
    """Accents fall off, Greek letters have names, pictures none."""
    assert terminal.plain(character) == form


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_each_encoding_takes_each_text(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has stays as it is, from print and from Rich's tables alike."""
    output, error = stream(encoding, "surrogateescape"), stream(encoding, "backslashreplace")
    monkeypatch.setattr(sys, "stdout", output)
    monkeypatch.setattr(sys, "stderr", error)
    terminal.prepare()
    terminal.say("|∂loss/∂W| ± ½ … \udcff")
    terminal.say("é█", err=True)
    terminal.screen().print("│ σ² → 1")
    assert re.fullmatch(r"\|\wloss/\wW\| .* (\.\.\.|…) \?\n.*1\n", taken(output).replace("∂", "d"))
    kept = "".join(c if c.encode(encoding, "ignore") else terminal.plain(c) for c in "é█")
    assert taken(error) == f"{kept}\n"


def test_a_form_that_was_asked_for_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """PYTHONIOENCODING=ascii:xmlcharrefreplace is the user's word."""
    output = stream("ascii", "xmlcharrefreplace")
    monkeypatch.setattr(sys, "stdout", output)
    terminal.prepare()
    terminal.say("é")
    assert taken(output) == "&#233;\n"


@pytest.mark.parametrize("name", ["a [/b]", "res [wip]", "[bold]", ":x:", "[link=x]y"])
def test_names_are_printed_as_they_are(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a line, in a table and as the title of a progress bar."""
    from rich.table import Table

    from actbench.cli.console import progress_bar

    output = stream("utf-8")
    monkeypatch.setattr(sys, "stdout", output)
    screen = terminal.screen()
    table = Table(title=name, caption=name)
    table.add_column(name)
    table.add_row(name)
    screen.print(name)
    screen.print(table)
    with progress_bar(screen, name, 1) as progress:
        progress(1)
    assert taken(output).count(name) == 6


ANSWERS = pytest.mark.parametrize("arguments", [["list"], ["--help"], ["claims"], ["--version"]])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@ANSWERS
def test_a_full_disk_is_one_line(
    call: Callable[..., tuple[int, str]], arguments: list[str]
) -> None:
    """Exit code 2, as 1 would say that a verdict changed."""
    with open("/dev/full", "w", encoding="utf-8") as full:  # noqa: PTH123
        told = "actbench: error: standard output: No space left on device\n"
        assert call(full, *arguments) == (2, told)


@ANSWERS
def test_a_pipe_that_nobody_reads_ends_quietly(
    call: Callable[..., tuple[int, str]], arguments: list[str]
) -> None:
    """As other tools end by SIGPIPE."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", encoding="utf-8") as pipe:
        assert call(pipe, *arguments) == (141, "")


def test_a_closed_output_is_no_fault(call: Callable[..., tuple[int, str]]) -> None:
    """As after `>&-`."""
    assert call(None, "list") == (0, "")


def test_an_error_that_nobody_takes_keeps_its_code(
    actbench: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where standard error is closed, the exit code still says what happened."""
    monkeypatch.setattr(sys, "stderr", None)
    assert actbench("run", "nonsense").code == 2


def test_a_working_directory_that_is_gone_is_told(
    call: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """MKL would end the process with a line of its own there."""
    monkeypatch.chdir(tmp_path)
    tmp_path.rmdir()
    code, error = call(stream("utf-8"), "list")
    assert code == 2
    assert re.fullmatch(r"actbench: error: the working directory can't be used: .*\n", error)


def test_a_text_of_a_file_is_cut_and_steers_no_terminal(
    call: Callable[..., tuple[int, str]],
) -> None:
    """An error is one line of bounded length."""
    code, error = call(stream("utf-8"), "run", "\x1b[31m\n" + "x" * 9000)
    assert code == 2
    assert error.count("\n") == 1
    assert "\x1b" not in error
    assert len(error) < 2100


ODD = {
    "PYTHONOPTIMIZE": "2",
    "PYTHONIOENCODING": "cp1252",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
}


def said(folder: Path, *words: str, **setting: str) -> str:
    """What Python prints on a terminal of Windows, 80 columns wide."""
    plain = {"COLUMNS": "80", "NO_COLOR": "1", **setting}
    return printed(*words, folder=folder, variables=plain, encoding="cp1252")


@pytest.mark.slow
def test_docstrings_are_definitions_where_python_strips_them(tmp_path: Path) -> None:
    """PYTHONOPTIMIZE=2 changes neither the metrics' definitions nor the help."""
    told = said(tmp_path, "-m", "actbench", "verify", "--metrics", **ODD)
    assert all(metrics.definition(name) in told for name in metrics.METRICS)
    verify = ("-m", "actbench", "verify", "--help")
    stripped, whole = (said(tmp_path, *verify, **setting) for setting in (ODD, {}))
    assert "Judge a file of claims" in whole
    words = [re.findall("[A-Za-z]+", each) for each in (stripped, whole)]
    assert words[0] == words[1]


BACKEND = """
import os, pathlib
from actbench import figures
import matplotlib
from matplotlib.figure import Figure
figures.save(Figure(), pathlib.Path("drawn"), "figure")
print(os.environ["MPLBACKEND"], matplotlib.get_backend(auto_select=False))
"""


@pytest.mark.parametrize(
    "given",
    [
        "module://matplotlib_inline.backend_inline",
        pytest.param("nonsense", marks=pytest.mark.slow),
        pytest.param("svg", marks=pytest.mark.slow),
    ],
)
def test_a_backend_that_is_not_installed_hinders_no_figure(tmp_path: Path, given: str) -> None:
    """Matplotlib refuses to be imported there; the user's choice stays theirs where it is one."""
    environment, chosen = said(tmp_path, "-c", BACKEND, MPLBACKEND=given).split()
    assert {path.name for path in (tmp_path / "drawn").iterdir()} == {"figure.png", "figure.svg"}
    assert environment == given
    assert given != "svg" or chosen == "svg"


@pytest.mark.slow
def test_a_run_in_a_notebooks_shell(tmp_path: Path) -> None:
    """Its backend for figures, a terminal without block characters, and a folder in brackets."""
    run = "-m actbench run sine-regression -a relu --epochs 2 --seeds 1 --threads 1 --depth 2"
    shown = said(tmp_path, *run.split(), "--out", "res [wip]", **ODD)
    assert "res [wip]/loss_curves.png" in shown.replace("\\", "/")
    assert re.search(r"^ +1 +[#=.-]", shown, re.MULTILINE)
    assert (tmp_path / "res [wip]" / "loss_curves.svg").exists()


def test_one_is_singular() -> None:
    """None and many take an s."""
    counted = [terminal.plural(count, "claim") for count in (0, 1, 2)]
    assert counted == ["0 claims", "1 claim", "2 claims"]


def test_what_is_piped_is_not_wrapped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither sentences nor, where COLUMNS is not set, tables."""
    for name in ("COLUMNS", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    line = "word " * 60
    terminal.tell(line)
    terminal.screen(whole=True).print(line)
    assert capsys.readouterr().out.splitlines() == [line, line]
