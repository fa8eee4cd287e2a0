"""Blocks: written whole or not at all, read on their node, fetched from it with the token, gone with their
executors."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress
from itertools import pairwise

import numpy as np
import pytest

from dlcore.data.sample import JTensor, Sample
from dlcore.spark import keeper, slice_store
from dlcore.spark.blocks import BlockLostError
from dlcore.spark.epoch_order import EpochOrder
from dlcore.spark.sample_file import SampleColumns, arrays_of
from dlcore.spark.shared import local_folder
from dlcore.spark.slice_store import Sharing, SliceStore, fetched, open_block
from tests.waiting import wait_for

ARRAYS = {"weights": np.arange(70_000, dtype=np.float32), "slot/0/velocity": np.ones((2, 3)), "none": np.empty(0)}


@pytest.fixture
def store(tmp_path):
    return SliceStore(tmp_path, Sharing("a token"))


def test_a_block_is_seen_when_it_is_whole(store):
    layout = {name: (array.shape, array.dtype) for name, array in ARRAYS.items()}
    draft = store.draft("block", layout)
    with pytest.raises(BlockLostError, match=r"got no block .*/block"):
        store.open(f"|{store.folder}/block")
    for name, array in ARRAYS.items():
        draft.arrays[name][...] = array
    found = store.open(draft.publish())
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert not found[name].flags.writeable
    np.testing.assert_array_equal(store.stretch(f"|{draft.path}", "weights", 5, 9), [5, 6, 7, 8])


def test_memory_of_a_freed_block_serves_the_next(store):
    first = store.write("first", ARRAYS)
    held = open_block(first)["weights"]
    place = (store.folder / "first").stat().st_ino
    store.free("first")
    store.free("never written")
    store.write("second", {**ARRAYS, "weights": ARRAYS["weights"] + 1})
    assert (store.folder / "second").stat().st_ino == place and held[0] == 1


def test_memory_of_what_was_removed_or_replaced_is_given_back(store):
    for _ in range(5):  # a step that is done again writes its block again
        draft = store.draft("dropped", {"weights": ((70_000,), np.float32)})
        draft.drop()
        del draft
        store.stretch(store.write("grads.1.0", ARRAYS), "weights", 0, 9)
    held = [path for path in opened_files() if path.startswith(str(store.folder))]
    assert held and not [path for path in held if path.endswith("(deleted)")]


def opened_files():
    """What this process has open, by path."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            found.append(os.readlink(f"/proc/self/fd/{name}"))
    return found


def test_a_keeper_that_does_not_start_says_why(tmp_path):
    with pytest.raises(OSError, match=r"got no keeper of .* on no\.such\.host: (.|\n)*did not start"):
        keeper._start_keeper(tmp_path, "a token", "no.such.host")


def test_old_blocks_are_given_up_with_what_was_not_finished(store):
    for name in ("state.3.0", "grads.3.1", "grads.4.0", "shown"):
        store.write(name, ARRAYS)
    store.draft("grads.3.2", {"grads": ((4,), np.float32)})
    store.draft("grads.4.1", {"grads": ((4,), np.float32)})
    store.free_until(3)
    left = {path.name.removesuffix(f".{os.getpid()}") for path in store.folder.iterdir() if path.name[0] != "."}
    assert left == {"grads.4.0", "grads.4.1", "shown"}


def test_a_block_without_room_is_an_error_that_leaves_nothing(store):
    with pytest.raises(OSError, match="got no room for"):
        store.draft("block", {"weights": ((1 << 50,), np.float32)})
    assert not list(store.folder.iterdir())


def test_a_folder_of_another_user_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(slice_store, "MEMORY", tmp_path)
    (tmp_path / slice_store.folder_of("a token")).mkdir()
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(PermissionError, match="expected one of user 12345"):
        SliceStore.of(Sharing("a token"), str(tmp_path), 1)


def test_a_worker_writes_to_the_folder_that_spark_names(monkeypatch):
    monkeypatch.setenv("SPARK_LOCAL_DIRS", "/first,/second")
    assert local_folder() == "/first"


def test_another_node_gets_what_it_has_the_token_for(tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    endpoint = keeper.kept(folder, "a token", is_served=True)
    assert endpoint.startswith("grpc://") and keeper.kept(folder, "a token", is_served=True) == endpoint
    address = SliceStore(folder, Sharing("a token"), endpoint).write("block", ARRAYS)
    elsewhere = SliceStore(tmp_path / "elsewhere", Sharing("a token", is_apart=True))
    for name, array in elsewhere.open(address).items():
        np.testing.assert_array_equal(array, ARRAYS[name])
    stretch = elsewhere.stretch(address, "weights", 1000, 60_000)
    np.testing.assert_array_equal(stretch, ARRAYS["weights"][1000:60_000])
    with pytest.raises(BlockLostError, match="another token"):
        fetched(endpoint, f"{folder}/block", "a guess")
    with pytest.raises(BlockLostError, match="did not give none"):
        fetched(endpoint, f"{folder}/none", "a token")
    second = tmp_path / "second"
    second.mkdir()  # of another run, for which a worker that has fetched starts a keeper too
    address = SliceStore(second, Sharing("another"), keeper.kept(second, "another", is_served=True)).write(
        "block", ARRAYS
    )
    assert fetched(address.partition("|")[0], f"{second}/block", "another").keys() == ARRAYS.keys()
    shutil.rmtree(second)
    shutil.rmtree(folder)
    wait_for(lambda: not _is_served(endpoint))


def _is_served(endpoint):
    try:
        fetched(endpoint, "block", "a token")
    except BlockLostError as error:
        return "failed to connect" not in str(error)
    return True


def test_blocks_go_with_their_executors(tmp_path, monkeypatch):
    executor = subprocess.Popen(["sleep", "1000"])
    try:
        monkeypatch.setattr(keeper, "executor", lambda: executor.pid)
        monkeypatch.setattr(keeper, "GRACE_S", 0.0)
        folder = tmp_path / "store"
        folder.mkdir()
        assert keeper.kept(folder, "a token", is_served=False) == ""
        SliceStore(folder, Sharing("a token")).write("block", ARRAYS)
        keeper._remove_unused(folder)
        assert (folder / "block").exists()  # an executor that has come while nobody was there finds it
    finally:
        executor.kill()
        executor.wait()
    wait_for(lambda: not folder.exists())


def test_samples_come_back_as_they_were():
    plain = [Sample.from_ndarray([np.full((2, 3), n), np.full(1, n)], n) for n in range(5)]
    ragged = [Sample.from_ndarray(np.arange(n + 1), n, "double") for n in range(5)]
    sparse = [Sample.from_jtensor(JTensor.sparse(np.ones(n), np.arange(n), [9]), n) for n in range(1, 6)]
    for samples in (plain, ragged, sparse, [Sample.from_ndarray(np.ones(2))] * 3):
        columns = SampleColumns(arrays_of(samples))
        assert len(columns) == len(samples)
        for place, sample in enumerate(samples):
            found = columns.sample(place)
            for kind in ("features", "labels"):
                for here, there in zip(getattr(found, kind), getattr(sample, kind), strict=True):
                    np.testing.assert_array_equal(here.to_ndarray(), there.to_ndarray())
                    assert here.is_sparse == there.is_sparse
    batch = SampleColumns(arrays_of(plain)).batch(np.array([3, 1]))
    assert batch.input[0][:, 0, 0].tolist() == [3, 1] and batch.target.tolist() == [[3], [1]]
    with pytest.raises(ValueError, match="expected as many in each"):
        arrays_of([plain[0], ragged[0]])


@pytest.mark.parametrize(("records", "batch"), [(100, 12), (7, 12), (96, 12), (101, 10)])
def test_a_batch_is_the_same_for_any_number_of_partitions(records, batch):
    steps = -(-records // batch)
    for partitions in (2, 3, 5):
        cuts = [records * part // partitions for part in range(partitions + 1)]
        parts = [EpochOrder(records, batch, 3, *ends) for ends in pairwise(cuts)]
        whole = EpochOrder(records, batch, 3, 0, records)
        for epoch in range(2):
            seen = []
            for step in range(epoch * steps, (epoch + 1) * steps):
                places = whole.places(step)[1]
                shares = [part.places(step)[1] for part in parts]
                np.testing.assert_array_equal(np.concatenate(shares), places)
                assert max(map(len, shares)) <= -(-batch // partitions) + 1
                seen.append(places)
            assert sorted(np.concatenate(seen)) == list(range(records))
            assert len(seen[0]) == min(batch, records)
    is_drawn_anew = whole.places(0)[1].tolist() != whole.places(steps)[1].tolist()
    assert is_drawn_anew or records <= batch
