"""A dataset's file comes back as it was written, or is refused with the reason."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from actbench.store import datasets
from actbench.store.errors import ActbenchError


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
    protocol = {
        "epochs": 3,
        "activations": ["relu", "leaky_relu"],
        "threads": None,
        "noise_std": 0.1,
    }
    return datasets.finish(
        xr.Dataset(variables, coords), "sine-regression", protocol, {"torch": "2.6.0"}
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where an example has been saved."""
    result = tmp_path / "example.nc"
    datasets.save(example(), result)
    return result


def rewrite_checksum(path: Path) -> None:
    """Give a changed file its right checksum."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name("example.nc.sha256").write_text(f"{digest}  example.nc\n", encoding="utf-8")


def test_a_dataset_comes_back_identical(path: Path) -> None:
    """Values, types, labels and attributes survive the file."""
    loaded = datasets.load(path)
    xr.testing.assert_identical(loaded, example())
    for name in ("loss", "final_mse", "diverged", "seed"):
        assert loaded[name].dtype == example()[name].dtype


def test_a_loaded_dataset_is_free_of_its_file(path: Path) -> None:
    """All is in memory: the file may go."""
    loaded = datasets.load(path)
    path.unlink()
    assert loaded["loss"].sum().item() == 66


def test_settings_and_environment_come_back(path: Path) -> None:
    """What the numbers depend on is read from the file as it was put in."""
    loaded = datasets.load(path)
    assert datasets.protocol_of(loaded) == {
        "epochs": 3,
        "activations": ["relu", "leaky_relu"],
        "threads": None,
        "noise_std": 0.1,
    }
    assert datasets.environment_of(loaded) == {"torch": "2.6.0"}


def test_variables_carry_their_definitions(path: Path) -> None:
    """Definition and unit are in the file, beside each variable."""
    attributes = datasets.load(path)["diverged"].attrs
    assert attributes == {
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


@pytest.mark.parametrize("place", [0, 700, -1])
def test_a_flipped_bit_is_found(path: Path, place: int) -> None:
    """One wrong bit anywhere in the file is damage."""
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(ActbenchError) as caught:
        datasets.load(path)
    assert str(caught.value) == (
        f"{path} is damaged: its SHA-256 is not the one in example.nc.sha256. "
        "Delete both and run the experiment again"
    )


@pytest.mark.parametrize("length", [0, 100, -1])
def test_a_truncated_file_is_found(path: Path, length: int) -> None:
    """A file that was cut off, even by one byte, is damage."""
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(ActbenchError, match=r"example\.nc is damaged: its SHA-256 is not the one"):
        datasets.load(path)


def test_a_missing_checksum_is_told(path: Path) -> None:
    """Without the checksum beside it a file is not trusted."""
    checksum = path.with_name("example.nc.sha256")
    checksum.unlink()
    with pytest.raises(ActbenchError) as caught:
        datasets.load(path)
    assert str(caught.value) == (
        f"can't read {path} with its checksum example.nc.sha256: [Errno 2] No such file or "
        f"directory: '{checksum}'. Run the experiment again"
    )


def test_an_empty_checksum_is_told(path: Path) -> None:
    """A checksum file without a checksum is an error, not a crash."""
    path.with_name("example.nc.sha256").write_text("", encoding="utf-8")
    with pytest.raises(ActbenchError, match=r"^can't read .* with its checksum example\.nc\.sha25"):
        datasets.load(path)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    """A file that is not there is a user's error that names it."""
    with pytest.raises(ActbenchError, match=r"^can't read .*absent\.nc with its checksum"):
        datasets.load(tmp_path / "absent.nc")


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
    path.write_bytes(bytes(xr.Dataset({"a": 1.0}).to_netcdf(engine="scipy")))
    rewrite_checksum(path)
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
