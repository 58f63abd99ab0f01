"""The store of a sweep: chunks are whole or not there, and nothing foreign is taken for one."""

from __future__ import annotations

import errno
import json
import os
import pickle
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sweeping import CHUNK, TEXT, load, new_store, small_grid

from actbench.store import environment
from actbench.store.errors import ActbenchError
from actbench.study.sweeps import stores


def values(count: int = CHUNK) -> dict[str, Any]:
    """A chunk's results that could not be mistaken for what a store begins with."""
    return {
        "final_mse": np.arange(count) + 0.5,
        "final_mse_clean": np.arange(count) + 0.25,
        "diverged": np.full(count, -1),
        "loss": np.arange(2.0 * count).reshape(count, 2),
        "failure": np.array(["", "ä", *[""] * (count - 2)], dtype=object),
        "status": np.array([stores.TRAINED, stores.FAILED, *[stores.TRAINED] * (count - 2)]),
    }


def test_xarray_opens_what_was_written(tmp_path: Path) -> None:
    """Every variable and coordinate comes back, with its definition; the rest is missing."""
    store = new_store(tmp_path / "a.zarr")
    store.write(2, values())
    dataset = load(tmp_path / "a.zarr")
    assert dict(dataset.sizes) == {"member": 20, "recorded_epoch": 2}
    for name, expected in values().items():
        assert dataset[name].values[6:9].tolist() == expected.tolist()
    assert (dataset["status"] == stores.MISSING).sum() == 17
    assert np.isnan(dataset["final_mse"].values[:6]).all()
    assert set(dataset.coords) == {"activation", "depth", "learning_rate", "seed", "recorded_epoch"}
    for name, column in small_grid().columns(0, 20).items():
        assert dataset[name].values.tolist() == column.tolist()
    assert dataset["recorded_epoch"].values.tolist() == [0, 5]
    assert all(v.attrs["definition"] and v.attrs["units"] for v in dataset.variables.values())
    assert json.loads(dataset.attrs["environment"]) == environment.describe("cpu", 1)


def test_the_last_chunk_may_be_short(tmp_path: Path) -> None:
    """Twenty members in chunks of three leave two."""
    store = new_store(tmp_path / "a.zarr")
    assert (store.chunks, store.bounds(6)) == (7, (18, 20))
    store.write(6, values(2))
    assert store.status(6).tolist() == [stores.TRAINED, stores.FAILED]


def test_every_kind_of_axis_is_a_coordinate(tmp_path: Path) -> None:
    """Words, whole and other numbers and flags come back as they are; epochs may be none."""
    grid = small_grid(
        "[settings]\nepochs = 1\nrecorded_epochs = []\n[grid]\nskip = [true, false]\n"
        "target = ['step', 'sine']\nnoise_std = [0.0, 0.1]\nnoise_seed = [2]\n"
        "initializer = ['he_normal', 'normal(0.1)']\nweight_decay = [0.0]\nwidth = [3]"
    )
    new_store(tmp_path / "a.zarr", grid)
    dataset = load(tmp_path / "a.zarr")
    for name, column in grid.columns(0, grid.size).items():
        assert dataset[name].values.tolist() == column.tolist()


@pytest.mark.parametrize("victim", ["final_mse", "loss", "failure", "status"])
def test_a_writer_that_dies_leaves_no_half_chunk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, victim: str
) -> None:
    """Killed before any variable reached the disk, the chunk is missing, and can be written."""
    store = new_store(tmp_path / "a.zarr")

    def die(name: str, number: int) -> None:
        if name == victim:
            store._file(name, number).unlink()
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(store, "_flush", die)
        with pytest.raises(KeyboardInterrupt):
            store.write(0, values())
    again = new_store(tmp_path / "a.zarr")
    assert again.status(0).tolist() == [stores.MISSING] * CHUNK
    again.write(0, values())
    assert (again.status(0) != stores.MISSING).all()


def test_status_follows_what_it_vouches_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each variable is on the disk before the next is begun, and the status is the last."""
    store = new_store(tmp_path / "a.zarr")
    synced: list[str] = []
    descriptors: list[int] = []
    monkeypatch.setattr(os, "fsync", descriptors.append)
    flush = store._flush

    def note(name: str, number: int) -> None:
        before = len(descriptors)
        flush(name, number)
        synced.extend([name] * (len(descriptors) - before))

    monkeypatch.setattr(store, "_flush", note)
    store.write(0, values())
    assert synced == ["final_mse", "final_mse_clean", "diverged", "loss", "failure", "status"]


def test_a_killed_creation_is_begun_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store without its coordinates never has the store's name."""
    path = tmp_path / "a.zarr"
    with monkeypatch.context() as patched:
        patched.setattr("zarr.consolidate_metadata", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            new_store(path)
    assert not path.exists()
    new_store(path)
    assert load(path)["seed"].values[:3].tolist() == [42, 43, 44]
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]


def test_a_flipped_bit_makes_a_chunk_missing(tmp_path: Path) -> None:
    """A status that its checksum does not confirm vouches for nothing."""
    store = new_store(tmp_path / "a.zarr")
    store.write(0, values())
    file = tmp_path / "a.zarr" / "status" / "c" / "0"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert store.status(0).tolist() == [stores.MISSING] * CHUNK


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What can't be written is said, and other chunks stay."""
    store = new_store(tmp_path / "a.zarr")
    store.write(0, values())

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, f"No space left on device for {descriptor}")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ActbenchError, match=r"No space left on device for \d+\. Free some"):
        store.write(1, values())
    assert (store.status(0) != stores.MISSING).all()
    assert store.status(1).tolist() == [stores.MISSING] * CHUNK


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a file of JSON."""
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")


def attribute(name: str, value: object) -> Callable[[Path], None]:
    """Return what changes an attribute of a store."""

    def change(path: Path) -> None:
        edit(path / "zarr.json", lambda d: d["attributes"].update({name: value}))

    return change


def of_another_torch(path: Path) -> None:
    """Change what a store says it was begun with."""
    found = {**environment.describe("cpu", 1), "torch": "1.0"}
    attribute("environment", json.dumps(found))(path)


def other_layout(path: Path) -> None:
    """Change how an array is cut."""
    edit(
        path / "loss" / "zarr.json",
        lambda d: d["chunk_grid"]["configuration"].update(chunk_shape=[4, 2]),
    )


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (attribute("schema_version", 9), "has schema version 9, but this actbench reads version 1"),
        (attribute("grid_sha256", "0"), "holds the results of another grid. Choose another folder"),
        (of_another_torch, r"was begun with torch 1.0 \(here .*Install the versions that it was"),
        (attribute("environment", "{}"), "is not a store of a sweep, or is damaged: its environm"),
        (attribute("chunk", 0), "is not a store of a sweep, or is damaged: its size of chunks"),
        (attribute("chunk", 4), "final_mse is not as this actbench and zarr write it"),
        (attribute("experiment", "x"), "is not a store of a sweep, or is damaged: it holds some"),
        (other_layout, "loss is not as this actbench and zarr write it"),
        (lambda p: (p / "zarr.json").write_bytes(b"{"), "is not a store of a sweep, or is damaged"),
        (lambda p: (p / "zarr.json").write_bytes(b"[]"), "is not a store of a sweep, or is damag"),
        (lambda p: (p / "zarr.json").unlink(), "is not a store of a sweep, or is damaged"),
        (lambda p: (p / "loss" / "zarr.json").unlink(), "loss is damaged or missing"),
        (lambda p: (p / "loss" / "zarr.json").write_bytes(b"[]"), "loss is not as this actbench"),
    ],
)
def test_what_is_no_store_of_this_sweep_is_refused(
    tmp_path: Path, spoil: Callable[[Path], None], complaint: str
) -> None:
    """Another grid, version or kind, and damage, are one line each, and nothing is touched."""
    path = tmp_path / "a.zarr"
    new_store(path).write(0, values())
    spoil(path)
    before = {f: f.read_bytes() for f in path.rglob("*") if f.is_file()}
    with pytest.raises(ActbenchError, match=complaint) as caught:
        new_store(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert {f: f.read_bytes() for f in path.rglob("*") if f.is_file()} == before


def test_another_size_of_chunks_is_refused_only_if_asked_for(tmp_path: Path) -> None:
    """A store keeps its chunks; asking for others is a mistake, not asking is none."""
    path = tmp_path / "a.zarr"
    new_store(path)
    assert new_store(path, chunk=5).chunk == CHUNK
    with pytest.raises(ActbenchError, match=r"was begun with chunks of 3 members, not 5\. Leave"):
        stores.open_or_create(
            path, small_grid(), 5, environment.describe("cpu", 1), exact_chunk=True
        )


class Bomb:
    """Runs code when it is unpickled."""

    def __init__(self, fuse: Path) -> None:
        self.fuse = fuse

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.fuse,))


def set_codec(name: str, document: dict[str, Any]) -> None:
    """Have an array decoded by one codec."""
    document["codecs"] = [{"name": name, "configuration": {}}]


def test_nothing_in_a_store_is_executed(tmp_path: Path) -> None:
    """Arrays whose codec unpickles are refused before a byte of them is decoded."""
    path, fuse = tmp_path / "a.zarr", tmp_path / "exploded"
    new_store(path).write(0, values())
    for codec in ("numcodecs.pickle", "pickle"):
        edit(path / "status" / "zarr.json", partial(set_codec, codec))
        (path / "status" / "c" / "0").write_bytes(pickle.dumps(Bomb(fuse)))
        with pytest.raises(ActbenchError, match="status is not as this actbench and zarr write"):
            new_store(path)
    assert not fuse.exists()


def test_only_a_sweep_of_something_else_is_removed(tmp_path: Path) -> None:
    """Replacing keeps a store of the same grid, and never deletes what is no store."""
    path, grid = tmp_path / "a.zarr", small_grid()
    stores.remove_other(path, grid)
    new_store(path).write(0, values())
    stores.remove_other(path, grid)
    assert (new_store(path).status(0) != stores.MISSING).all()
    stores.remove_other(path, small_grid(TEXT.replace("seed = 5", "seed = 6")))
    assert not path.exists()
    path.mkdir()
    (path / "thesis.txt").touch()
    with pytest.raises(ActbenchError, match="is not a store of a sweep"):
        stores.remove_other(path, grid)
    assert (path / "thesis.txt").exists()
