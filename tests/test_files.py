"""Files are written whole or not at all, and JSON is strict."""

from __future__ import annotations

import errno
import json
import math
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from actbench.store.errors import ActbenchError
from actbench.store.files import prepare_folder, read_json, read_toml, write_atomic, write_json


def failing(code: int) -> Callable[..., NoReturn]:
    """Return a function that fails as the operating system does."""

    def fail(*_: object, **__: object) -> NoReturn:
        raise OSError(code, os.strerror(code))

    return fail


def names(folder: Path) -> list[str]:
    """List what lies in a folder, hidden files too."""
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def umask() -> Iterator[int]:
    """A mask of permissions that is not the usual one, for the time of a test."""
    before = os.umask(0o027)
    yield 0o027
    os.umask(before)


def test_content_is_written_and_replaced(tmp_path: Path) -> None:
    """A second write replaces the first, and nothing else lies in the folder."""
    path = tmp_path / "data.bin"
    for content in (b"first, and longer", b"", b"\x00second"):
        write_atomic(path, content)
        assert path.read_bytes() == content
    assert names(tmp_path) == ["data.bin"]


@pytest.fixture
def old(tmp_path: Path) -> Iterator[Path]:
    """A file that can't be replaced: afterwards it is as it was, and alone."""
    path = tmp_path / "data.bin"
    write_atomic(path, b"old")
    yield path
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["data.bin"]


@pytest.mark.parametrize("call", ["os.fsync", "pathlib.Path.replace"])
def test_a_full_disk_leaves_the_old_file_and_no_rest(
    old: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Wherever the disk fills up, the old content stays, no temporary file does, and it is told."""
    with monkeypatch.context() as patch:
        patch.setattr(call, failing(errno.ENOSPC))
        with pytest.raises(ActbenchError) as caught:
            write_atomic(old, b"new")
    assert str(caught.value) == (
        f"can't write {old}: No space left on device. Free some space or choose another folder "
        "with --out; what was there before is untouched"
    )


@pytest.mark.skipif(os.name != "posix", reason="limits of POSIX")
def test_a_file_that_outgrows_a_limit_leaves_the_old_one(old: Path) -> None:
    """Where the system itself stops a write half-way, the old content stays and no other file."""
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(ActbenchError, match=r"^can't write .*data\.bin: File too large\. Free"):
            write_atomic(old, b"new" * 1000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_an_interrupt_leaves_the_old_file_and_no_rest(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the middle of writing passes through, with the old content left whole."""

    def interrupt(descriptor: int) -> NoReturn:
        raise KeyboardInterrupt(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            write_atomic(old, b"new")


def test_the_content_reaches_the_disk_before_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut can't leave the new name with half its content: the disk is synced first."""
    path = tmp_path / "data.bin"
    path.write_bytes(b"old")
    seen: list[tuple[bytes, int]] = []
    monkeypatch.setattr(
        os, "fsync", lambda handle: seen.append((path.read_bytes(), os.fstat(handle).st_size))
    )
    write_atomic(path, b"newer")
    assert seen == [(b"old", 5)]


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_files_are_for_whoever_may_read_the_folder(tmp_path: Path, umask: int) -> None:
    """Results get the permissions of any new file, not the private ones of a temporary file."""
    write_atomic(tmp_path / "data.bin", b"")
    assert stat.S_IMODE((tmp_path / "data.bin").stat().st_mode) == 0o666 & ~umask
    assert os.umask(umask) == umask


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    """Writing into a folder that is not there is a user's error that names the file."""
    with pytest.raises(ActbenchError, match=r"^can't write .*data\.bin: No such file or directory"):
        write_atomic(tmp_path / "missing" / "data.bin", b"")


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_becomes_null(tmp_path: Path, value: float) -> None:
    """At every depth of nesting, a number that JSON lacks is null and the rest is kept."""
    path = tmp_path / "data.json"
    write_json(path, {"a": [1.5, value], "b": {"c": value, "d": (value, 2, "x", None, True)}})
    text = path.read_text(encoding="utf-8")
    assert json.loads(text) == {"a": [1.5, None], "b": {"c": None, "d": [None, 2, "x", None, True]}}
    assert text.endswith("}\n")


def test_numbers_come_back_as_they_were(tmp_path: Path) -> None:
    """No digit of a number is lost on the way through a file."""
    values = [0.1, 1 / 3, 5e-324, -1.7976931348623157e308, 10**20]
    write_json(tmp_path / "data.json", values)
    assert json.loads((tmp_path / "data.json").read_text(encoding="utf-8")) == values


def test_a_folder_is_made_with_its_parents(tmp_path: Path) -> None:
    """The folder for results is made, left empty, and may be there already."""
    folder = tmp_path / "a" / "b"
    prepare_folder(folder)
    prepare_folder(folder)
    assert names(folder) == []


def test_a_folder_that_can_not_be_written_is_found_out_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused with the reason and the way out, before anything is computed."""
    (tmp_path / "file").touch()
    monkeypatch.setattr("tempfile.TemporaryFile", failing(errno.EACCES))
    for folder, why in (
        (tmp_path / "file" / "results", "Not a directory"),
        (tmp_path, "Permission denied"),
    ):
        with pytest.raises(ActbenchError) as caught:
            prepare_folder(folder)
        assert str(caught.value) == (
            f"can't write to the output folder '{folder}': {why}. Choose another with --out"
        )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"a = { b = [1, " + b"9" * 5000 + b"] }", "field 'a.b.1' is a whole number with too many"),
        (b"a = " + b"1_000" * 1000, "field 'a' is a whole number with too many digits"),
        (b"a = 0x" + b"f" * 5000, "field 'a' is a whole number with too many digits"),
        (b"a = -" + b"9" * 400, "field 'a' is a whole number with too many digits"),
        (b"a = " + b"[" * 5000, "it is nested too deep"),
        (b"a." * 5000 + b"a = 1", "it is nested too deep"),
        (b"a = \0", "Invalid value (at line 1, column 5)"),
        (b"a = '\xff'", "'utf-8' codec can't decode byte 0xff"),
        (b"a = 1\na = 2", "Cannot overwrite a value"),
    ],
    ids=str,
)
def test_toml_beyond_its_range_is_told_with_its_field(
    tmp_path: Path, text: bytes, told: str
) -> None:
    """What Python's reader can't say, or says without a place, is one line."""
    path = tmp_path / "file.toml"
    path.write_bytes(text)
    with pytest.raises(ActbenchError, match=r"^can't read the grid in ") as caught:
        read_toml(path, "the grid", "Look it up")
    assert told in str(caught.value)
    assert len(str(caught.value)) < 300


def test_whole_numbers_of_more_than_64_bits_are_rounded(tmp_path: Path) -> None:
    """As most readers of TOML and JSON do; text with many digits is text."""
    digits = "9" * 5000
    path = tmp_path / "file.toml"
    path.write_text(f"a = {2**64}\nb = {2**64 - 1}\nc = '{digits}'", encoding="utf-8")
    found = read_toml(path, "the grid", "")
    assert found == {"a": 2.0**64, "b": 2**64 - 1, "c": digits}
    assert type(found["a"]) is float


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999", "9" * 5000])
def test_json_beyond_the_range_is_told_with_its_field(tmp_path: Path, number: str) -> None:
    """None of these is a number of JSON that anything here could have written."""
    path = tmp_path / "file.json"
    path.write_text(f'{{"a": [{{"b": {number}}}]}}', encoding="utf-8")
    with pytest.raises(ActbenchError, match=r"^can't read the map in .*: field 'a\.0\.b' is "):
        read_json(path, "the map", "Make it anew")
