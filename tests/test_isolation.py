"""A temporary folder and the processes in it are gone afterwards, whatever happens."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import namedtuple
from pathlib import Path

import pytest

from actbench.store.errors import ActbenchError
from actbench.tracking.releases.environments import require_space, run_logged, vanishing_folder

Usage = namedtuple("Usage", "total used free")


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of temporary files of its own for each test."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("error", [None, RuntimeError, KeyboardInterrupt])
def test_the_folder_vanishes(temporary: Path, error: type[BaseException] | None) -> None:
    """After success, an error and Ctrl-C nothing is left, and the error goes on."""

    def work() -> None:
        with vanishing_folder("actbench-") as folder:
            (folder / "deep").mkdir()
            (folder / "deep" / "file").touch()
            if error is not None:
                raise error

    if error is None:
        work()
    else:
        with pytest.raises(error):
            work()
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_work_and_the_folder(temporary: Path, number: signal.Signals) -> None:
    """A job that is cancelled cleans up as one that is interrupted, and handlers are put back."""
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), vanishing_folder("actbench-"):  # noqa: PT012
        os.kill(os.getpid(), number)
        pytest.fail("went on")
    assert list(temporary.iterdir()) == []
    assert signal.getsignal(number) == before


def test_impatience_does_not_stop_the_deletion(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C during the deletion is ignored: gigabytes would stay behind."""
    delete = shutil.rmtree

    def delete_slowly(folder: Path, ignore_errors: bool) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        delete(folder, ignore_errors=ignore_errors)

    monkeypatch.setattr(shutil, "rmtree", delete_slowly)
    with vanishing_folder("actbench-") as folder:
        (folder / "file").touch()
    assert list(temporary.iterdir()) == []


def test_what_a_killed_process_left_goes_with_the_next(temporary: Path) -> None:
    """An abandoned folder is deleted; one in use, a fresh one and a stranger's are not."""
    abandoned, fresh, strange = (
        temporary / name for name in ("actbench-dead", "actbench-fresh", "other-dead")
    )
    for folder in (abandoned, fresh, strange):
        folder.mkdir()
        (folder / "in-use.lock").touch()
    for folder in (abandoned, strange):
        os.utime(folder / "in-use.lock", (0, 0))
    (abandoned / "gigabytes").touch()
    with vanishing_folder("actbench-") as used:
        os.utime(used / "in-use.lock", (0, 0))
        with vanishing_folder("actbench-"):
            assert used.exists()
        assert not abandoned.exists()
    assert set(temporary.iterdir()) == {fresh, strange}


def test_what_can_not_be_deleted_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that stays is named."""
    monkeypatch.setattr(shutil, "rmtree", lambda *_, **__: None)
    wanted = r"^can't delete everything in \S+: delete it by hand$"
    with pytest.raises(ActbenchError, match=wanted), vanishing_folder("actbench-"):
        pass


def test_a_place_without_temporary_files_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no folder can be made, the variable that names another is told."""
    monkeypatch.setattr(tempfile, "tempdir", "/proc/none")
    wanted = r"^can't make .* in /proc/none: .* TMPDIR="
    with pytest.raises(ActbenchError, match=wanted), vanishing_folder("actbench-"):
        pass


def test_a_full_disk_is_refused_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is needed, what is free, and how to name another folder."""
    monkeypatch.setattr(tempfile, "tempdir", "/full")
    monkeypatch.setattr(shutil, "disk_usage", lambda place: Usage(0, 0, 1.5e9))
    with pytest.raises(ActbenchError) as caught:
        require_space(9 * 10**9, "torch 2.9.1")
    assert str(caught.value) == (
        "torch 2.9.1 needs 9 GB in /full for a while, but 1.5 GB are free. Free some space, or "
        "name another folder: TMPDIR=/other/disk actbench ..."
    )
    require_space(10**9, "torch 2.9.1")


def test_output_goes_to_the_log(tmp_path: Path) -> None:
    """Both streams are in the file, nothing is shown, and the exit code comes back."""
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    log = tmp_path / "log"
    assert run_logged([sys.executable, "-I", "-c", code], {}, log) == 3
    assert sorted(log.read_text().split()) == ["err", "out"]


def test_an_interruption_ends_the_children_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pip runs itself once more: that process too is ended before its folder is deleted."""
    log = tmp_path / "log"
    child = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-I', '-c', {child!r}])"
    waits = subprocess.Popen.wait

    def interrupt_once_started(
        process: subprocess.Popen[bytes], timeout: float | None = None
    ) -> int:
        if timeout is None and process.poll() is None and not interrupted:
            while not log.read_text().endswith("\n"):
                pass
            interrupted.append(True)
            raise KeyboardInterrupt
        return waits(process, timeout)

    interrupted: list[bool] = []
    monkeypatch.setattr(subprocess.Popen, "wait", interrupt_once_started)
    with pytest.raises(KeyboardInterrupt):
        run_logged([sys.executable, "-I", "-c", code], {}, log)
    pid = int(log.read_text())
    status = Path(f"/proc/{pid}/stat")

    def dead() -> bool:
        # Its new parent collects it when it likes; until then it is there.
        try:
            return status.read_text().rpartition(")")[2].split()[0] in "ZX"
        except OSError:
            return True

    # The kernel needs a moment to end what it was told to; far less than the child would sleep.
    assert any(dead() for _ in range(100_000))
