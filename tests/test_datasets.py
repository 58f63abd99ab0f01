"""A dataset's file comes back as it was written, or is refused with the reason."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from actbench.store import datasets
from actbench.store.errors import ActbenchError

PROTOCOL = {
    "epochs": 3,
    "activations": ["relu", "leaky_relu"],
    "threads": None,
    "noise_std": 0.1,
}


def example(*, backwards: bool = False) -> xr.Dataset:
    """A small finished dataset with text, whole numbers, and numbers that are not finite."""
    variables = {
        "loss": (("activation", "seed", "epoch"), np.arange(12, dtype=np.float32).reshape(2, 2, 3)),
        "final_mse": (("activation", "seed"), np.array([[0.1, np.nan], [np.inf, -0.0]])),
        "diverged": (("activation", "seed"), np.array([[-1, 2], [0, -1]], dtype=np.int32)),
    }
    coords = {
        "activation": ["relu", "leaky_relu"],
        "seed": np.array([42, 43], dtype=np.int32),
        "epoch": np.arange(3, dtype=np.int32),
    }
    if backwards:
        variables = dict(reversed(variables.items()))
        coords = dict(reversed(coords.items()))
    dataset = xr.Dataset(variables, coords)
    return datasets.finish(dataset, "sine-regression", PROTOCOL, {"torch": "2.6.0"})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where an example has been saved."""
    result = tmp_path / "example.nc"
    datasets.save(example(), result)
    return result


def test_a_dataset_comes_back_identical(path: Path) -> None:
    """Values, types, labels, settings and definitions survive the file, which may go then."""
    loaded = datasets.load(path)
    path.unlink()
    xr.testing.assert_identical(loaded, example())
    assert loaded["loss"].sum().item() == 66
    for name in ("loss", "final_mse", "diverged", "seed"):
        assert loaded[name].dtype == example()[name].dtype
    assert datasets.protocol_of(loaded) == PROTOCOL
    assert datasets.environment_of(loaded) == {"torch": "2.6.0"}
    assert loaded["diverged"].attrs == {
        "definition": "first epoch with a non-finite loss, -1 if there is none",
        "units": "epoch",
    }


@pytest.mark.parametrize("again", ["made again", "loaded", "in another order"])
def test_equal_datasets_give_equal_bytes(path: Path, again: str) -> None:
    """The file depends on the content alone, so that checksums can be compared."""
    other = path.with_name("other.nc")
    made = {
        "made again": example(),
        "loaded": datasets.load(path),
        "in another order": example(backwards=True),
    }
    datasets.save(made[again], other)
    assert other.read_bytes() == path.read_bytes()


def test_another_number_gives_other_bytes(path: Path) -> None:
    """A change in one value's last bit shows in the file."""
    changed = example()
    changed["final_mse"][0, 0] = np.nextafter(0.1, 1)
    datasets.save(changed, path.with_name("other.nc"))
    assert path.with_name("other.nc").read_bytes() != path.read_bytes()


def test_the_checksum_is_the_usual_one(path: Path) -> None:
    """The file beside it is what ``sha256sum --check`` reads."""
    text = path.with_name("example.nc.sha256").read_text(encoding="utf-8")
    assert text == f"{hashlib.sha256(path.read_bytes()).hexdigest()}  example.nc\n"


def test_saving_leaves_the_dataset_as_it_was(tmp_path: Path) -> None:
    """Writing changes nothing in memory."""
    dataset = example(backwards=True)
    datasets.save(dataset, tmp_path / "example.nc")
    xr.testing.assert_identical(dataset, example(backwards=True))
    assert list(dataset.data_vars) == ["diverged", "final_mse", "loss"]


def flipped(content: bytes, place: int) -> bytes:
    """Change one bit."""
    changed = bytearray(content)
    changed[place] ^= 1
    return bytes(changed)


@pytest.mark.parametrize(
    "damage",
    [
        *(partial(flipped, place=place) for place in (0, 700, -1)),
        *(lambda content, length=length: content[:length] for length in (0, 100, -1)),
    ],
)
def test_damage_is_found(path: Path, damage: Callable[[bytes], bytes]) -> None:
    """One wrong bit anywhere in the file, or that it was cut off, even by one byte."""
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ActbenchError) as caught:
        datasets.load(path)
    assert str(caught.value) == (
        f"{path} is damaged: its SHA-256 is not the one in example.nc.sha256. "
        "Delete both and run the experiment again"
    )


def test_without_its_checksum_a_file_is_not_trusted(path: Path) -> None:
    """Whether the checksum, what is in it or the file itself is missing, that is told."""
    checksum = path.with_name("example.nc.sha256")
    checksum.write_text("", encoding="utf-8")
    with pytest.raises(ActbenchError, match=r"^can't read .* with its checksum example\.nc\.sha25"):
        datasets.load(path)
    checksum.unlink()
    with pytest.raises(ActbenchError) as caught:
        datasets.load(path)
    assert str(caught.value) == (
        f"can't read {path} with its checksum example.nc.sha256: [Errno 2] No such file or "
        f"directory: '{checksum}'. Run the experiment again"
    )
    with pytest.raises(ActbenchError, match=r"^can't read .*absent\.nc with its checksum"):
        datasets.load(path.with_name("absent.nc"))


@pytest.mark.parametrize("version", [0, 2, 99])
def test_another_schema_is_refused(path: Path, version: int) -> None:
    """A whole file of another schema is told apart from a damaged one."""
    other = example()
    other.attrs["schema_version"] = version
    datasets.save(other, path)
    with pytest.raises(ActbenchError) as caught:
        datasets.load(path)
    assert str(caught.value) == (
        f"{path} has schema version {version}, but this actbench reads version 1. "
        f"{'Update actbench' if version > 1 else 'Run the experiment again with --overwrite'}"
    )


def test_a_file_without_a_schema_is_refused(path: Path) -> None:
    """NetCDF of somebody else, with a checksum, is not taken for a dataset of ours."""
    content = bytes(xr.Dataset({"a": 1.0}).to_netcdf(engine="scipy"))
    path.write_bytes(content)
    checksum = path.with_name("example.nc.sha256")
    checksum.write_text(f"{hashlib.sha256(content).hexdigest()}  example.nc\n", encoding="utf-8")
    with pytest.raises(ActbenchError, match="has schema version 0"):
        datasets.load(path)


def test_a_crash_between_file_and_checksum_is_found(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new file beside an old checksum never passes for a pair."""
    whole, calls = os.fsync, iter([True])

    def fill_up(descriptor: int) -> None:
        if not next(calls, False):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        whole(descriptor)

    changed = example()
    changed["final_mse"][0, 0] = 7.0
    monkeypatch.setattr(os, "fsync", fill_up)
    with pytest.raises(ActbenchError, match=r"can't write .*example\.nc\.sha256: No space left"):
        datasets.save(changed, path)
    with pytest.raises(ActbenchError, match="is damaged"):
        datasets.load(path)
