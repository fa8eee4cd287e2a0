"""Index files: what is published is read back, whole or not at all."""

from __future__ import annotations

import json
import os
import signal
import time
import uuid
from dataclasses import replace
from datetime import UTC, datetime

import fsspec
import numpy as np
import pytest

from dlcore.search import store as store_module
from dlcore.search.byte_strings import ByteStrings
from dlcore.search.entries import Entries
from dlcore.search.index import open_index, publish
from dlcore.search.manifest import META, check_reached, publish_manifest, read_manifest, remove_old, versions
from dlcore.search.segment import write_segment
from dlcore.search.store import Store, time_of


def some_entries(count=5, seed=0):
    generator = np.random.default_rng(seed)
    thumbnails = [bytes(generator.integers(0, 256, n, np.uint8)) for n in range(count)]
    return Entries(
        codes=generator.integers(0, 256, (count, 16), np.uint8),
        days=np.full(count, "2026-11-02", "datetime64[D]"),
        keys=np.array([f"0/20261102/sku{n}/0" for n in range(count)], "S"),
        crops=np.zeros(count, np.int16),
        labels=np.array([b"mug"] * count),
        groups=np.array([b""] * count),
        thumbnail_ends=np.cumsum([len(picture) for picture in thumbnails]),
        thumbnails=np.frombuffer(b"".join(thumbnails), np.uint8),
    )


@pytest.fixture(params=["file", "memory"])
def uri(request, tmp_path):
    return f"file://{tmp_path}/index" if request.param == "file" else f"memory://{uuid.uuid4().hex}/index"


def parts_at(uri):
    return [name for kind in ("segments", "groups") for name in Store(uri).names(kind)]


def test_what_is_published_is_read_back(uri, tmp_path):
    entries = some_entries()
    version = publish(uri, entries, "model-1")
    index = open_index(uri, cache=tmp_path / "cache")
    assert (index.version, len(index), index.model_version) == (version, 5, "model-1")
    assert isinstance(index.segments[0].codes, np.memmap)
    np.testing.assert_array_equal(index.segments[0].codes, entries.codes)
    np.testing.assert_array_equal(index.code(3), entries.codes[3])
    assert [len(index.thumbnail(n)) for n in range(5)] == [0, 1, 2, 3, 4]
    positions, apart = index.search(entries.codes[[3]], 2)
    assert (positions[0, 0], apart[0, 0]) == (3, 0)
    assert index.find("0/20261102/sku2/0").tolist() == [2]


def test_only_what_is_asked_for_comes_to_this_machine(tmp_path):
    uri, cache = f"memory://{tmp_path.name}", tmp_path / "cache"
    entries = some_entries()
    publish(uri, entries, "model-1")
    index = open_index(uri, cache=cache)
    assert list(cache.rglob("*.bin")) == []
    index.search(entries.codes[:1], 2)
    assert [path.name for path in cache.rglob("*.bin")] == ["codes.bin"]
    assert index.thumbnail(4) == entries.thumbnails[-4:].tobytes()
    assert "thumbnails.bin" not in {path.name for path in cache.rglob("*.bin")}


def test_the_newest_version_is_opened_and_the_same_content_is_published_once(uri, tmp_path):
    first = publish(uri, some_entries(), "model-1")
    assert publish(uri, some_entries(), "model-1") == first
    second = publish(uri, some_entries(seed=1), "model-1")
    assert versions(Store(uri)) == [first, second]
    assert open_index(uri, cache=tmp_path / "cache").version == second
    assert open_index(uri, first, cache=tmp_path / "cache").version == first
    assert remove_old(uri, 1) == [first]
    assert versions(Store(uri)) == [second]


def test_parts_written_afresh_take_the_place_of_damaged_ones(uri, tmp_path):
    store = Store(uri)
    damaged = write_segment(store, some_entries())
    first = publish_manifest(store, "model-1", 16, [damaged], [])
    store.write(f"{damaged.name}/codes.bin", b"cut off")
    again = write_segment(store, some_entries())
    assert publish_manifest(store, "model-1", 16, [again], []) == first
    second = publish_manifest(store, "model-1", 16, [again], [], afresh=True)
    assert versions(store) == [first, second]
    np.testing.assert_array_equal(open_index(uri, cache=tmp_path / "cache").segments[0].codes, some_entries().codes)


def test_a_damaged_version_goes_with_the_old_ones_and_stops_the_tidying_while_it_stays(uri, tmp_path):
    first, second = (publish(uri, some_entries(seed=seed), "model-1") for seed in range(2))
    Store(uri).write(f"{first}.json", b"{")
    with pytest.raises(ValueError, match=first):
        remove_old(uri, 2)
    assert remove_old(uri, 1) == [first]
    assert versions(Store(uri)) == [second] and len(open_index(uri, cache=tmp_path / "cache")) == 5


def test_thumbnails_that_were_cut_off_or_lost_are_refused(uri, tmp_path):
    publish(uri, some_entries(), "model-1")
    index, store = open_index(uri, cache=tmp_path / "cache"), Store(uri)
    (name,) = store.names("segments")
    assert [len(index.thumbnail(n)) for n in range(5)] == [0, 1, 2, 3, 4]
    store.write(f"segments/{name}/thumbnails.bin", b"12345")
    assert len(index.thumbnail(2)) == 2
    with pytest.raises(ValueError, match=r"got 2 bytes of thumbnails.bin from 3, expected 3; .* build_index"):
        index.thumbnail(3)
    store.remove(f"segments/{name}/thumbnails.bin")
    with pytest.raises(ValueError, match=r"got 0 bytes of thumbnails.bin"):
        index.thumbnail(2)


def test_versions_share_the_parts_that_have_not_changed(uri, tmp_path):
    store = Store(uri)
    old, new, replacing = (write_segment(store, some_entries(seed=seed)) for seed in range(3))
    first = publish_manifest(store, "model-1", 16, [old], [])
    second = publish_manifest(store, "model-1", 16, [old, new], [])
    third = publish_manifest(store, "model-1", 16, [new, replacing], [])
    assert [len(open_index(uri, version, tmp_path / "cache")) for version in (first, second, third)] == [5, 10, 10]
    assert remove_old(uri, 2) == [first]
    assert len(parts_at(uri)) == 3
    assert remove_old(uri, 1) == [second]
    assert {f"segments/{name}" for name in parts_at(uri)} == {new.name, replacing.name}


def test_a_writer_that_dies_before_the_manifest_leaves_nothing_readable(uri, tmp_path, monkeypatch):
    first = publish(uri, some_entries(), "model-1")

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store_module.Store, "publish", die)
        with pytest.raises(KeyboardInterrupt):
            publish(uri, some_entries(seed=1), "model-1")
    assert versions(Store(uri)) == [first]
    assert open_index(uri, cache=tmp_path / "cache").version == first
    assert publish(uri, some_entries(seed=1), "model-1") == versions(Store(uri))[-1] != first


def test_a_writer_that_dies_before_the_rename_leaves_nothing_readable(tmp_path, monkeypatch):
    first = publish(str(tmp_path), some_entries(), "model-1")

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store_module.os, "replace", die)
        with pytest.raises(KeyboardInterrupt):
            publish(str(tmp_path), some_entries(seed=1), "model-1")
    assert versions(Store(str(tmp_path))) == [first]


@pytest.mark.parametrize("files", [0, 1, 6, 10, 11])
def test_a_writer_killed_after_some_files_leaves_nothing_readable(tmp_path, files):
    """Killed by the system after so many files of a segment, of which there are 11; the manifest is the last file."""
    uri = str(tmp_path)
    first = publish(uri, some_entries(), "model-1")
    child = os.fork()
    if not child:
        write, written = Store.write, iter(range(files))

        def write_or_die(*arguments):
            if next(written, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            write(*arguments)

        Store.write = write_or_die
        publish(uri, some_entries(seed=1), "model-1")
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert versions(Store(uri)) == [first]
    np.testing.assert_array_equal(open_index(uri).segments[0].codes, some_entries().codes)
    assert publish(uri, some_entries(seed=1), "model-1").startswith("000002-")
    np.testing.assert_array_equal(open_index(uri).segments[0].codes, some_entries(seed=1).codes)


def test_what_killed_writers_left_goes_once_nothing_can_be_under_way(uri, monkeypatch):
    """A manifest under a name of its own, a folder of an older format that lacks its last file, a part that no version
    names."""
    files, root = fsspec.url_to_fs(uri)
    kept = publish(uri, some_entries(), "model-1")
    left = [".staging-0123456789abcdef", f"000007-{'ab' * 6}", f"segments/{'ab' * 6}-{'cd' * 8}"]
    for name in (*left[1:], "notes"):
        files.makedirs(f"{root}/{name}")
        files.pipe_file(f"{root}/{name}/codes.npy", b"half")
    files.pipe_file(f"{root}/{left[0]}", b"{")
    assert remove_old(uri, 1) == []
    now = time.time()
    monkeypatch.setattr(store_module.time, "time", lambda: now + 25 * 3600)
    assert remove_old(uri, 1) == left
    assert Store(uri).names() == [f"{kept}.json", "notes", "segments"]
    assert len(open_index(uri, kept)) == 5
    assert len(parts_at(uri)) == 1


@pytest.mark.parametrize(
    "entry",
    [
        {"modificationTime": 1_793_577_600_000},
        {"LastModified": datetime(2026, 11, 2, tzinfo=UTC)},
        {"mtime": 1_793_577_600.0, "created": 1},
    ],
    ids=["webhdfs", "s3", "local"],
)
def test_times_of_change_of_other_stores(entry):
    assert time_of(entry) == 1_793_577_600  # 2026-11-02T00:00Z, by GNU date
    assert time_of({"size": 1}) is None


def test_what_was_used_longest_ago_leaves_a_full_cache(tmp_path):
    uri, cache = f"memory://{tmp_path.name}", tmp_path / "cache"
    store = Store(uri, cache, most_bytes=25)
    for number in range(3):
        store.write(f"{number}.bin", bytes([number]) * 10)
    mapped = np.memmap(store.local("0.bin"), np.uint8, "r")
    store.local("1.bin")
    for name, age_s in (("0.bin", 20), ("1.bin", 30)):
        os.utime(cache / name, (time.time() - age_s,) * 2)
    store.local("2.bin")
    assert sorted(path.name for path in cache.iterdir()) == ["0.bin", "2.bin"]
    os.utime(cache / "0.bin", (time.time() - 20,) * 2)
    store.local("1.bin")
    assert sorted(path.name for path in cache.iterdir()) == ["1.bin", "2.bin"]
    assert mapped.tolist() == [0] * 10


def test_parts_written_elsewhere_are_not_published(uri):
    part = write_segment(Store(f"{uri}-of-another-machine"), some_entries())
    with pytest.raises(FileNotFoundError, match="an index must lie where all machines reach it"):
        check_reached(Store(uri), [part])


def test_a_missing_index_says_what_to_run(uri):
    with pytest.raises(FileNotFoundError, match="run build_index"):
        open_index(uri)


def test_arrays_of_different_length_are_refused():
    with pytest.raises(ValueError, match="as many in each"):
        replace(some_entries(), crops=np.zeros(4, np.int16))


KEYS = ["a/0", "ключ/1", "a" * 300, "x\0", "x", "", "\0", "a/0"]


def with_keys(keys):
    entries = some_entries(len(keys))
    return replace(entries, keys=[key.encode() for key in keys], groups=[key.encode() * 2 for key in keys])


def test_keys_of_any_length_and_content_are_found(uri, tmp_path):
    publish(uri, with_keys(KEYS[:-1]), "model-1")
    index = open_index(uri, cache=tmp_path / "cache")
    assert [index.item(n).key for n in range(len(index))] == KEYS[:-1]
    for key in [*KEYS, "b", "a/1", "xx"]:
        assert index.find(key).tolist() == [place for place, other in enumerate(KEYS[:-1]) if other == key]
    assert [index.item(n).group for n in range(len(index))] == [key * 2 for key in KEYS[:-1]]


def test_random_keys_are_found_where_they_are():
    generator = np.random.default_rng(0)
    keys = [generator.integers(0, 3, generator.integers(0, 4), np.uint8).tobytes() for _ in range(500)]
    strings = ByteStrings.of(keys)
    assert list(strings) == keys
    order = strings.order()
    for key in {*keys, b"\x03", b"\0\0\0\0"}:
        assert strings.find(key, order).tolist() == [place for place, other in enumerate(keys) if other == key]


def test_one_long_key_does_not_make_the_others_long(tmp_path):
    publish(str(tmp_path), with_keys([f"sku{n}/0" for n in range(5000)] + ["k" * 30_000]), "model-1")
    size = sum(path.stat().st_size for path in tmp_path.rglob("*.*") if "thumbnail" not in path.name)
    assert size < 5001 * 230 + 8 * 30_000  # each item is a group of its own here, and the list has it again


def test_an_index_without_items_is_opened(uri, tmp_path):
    publish(uri, some_entries(0), "model-1")
    index = open_index(uri, cache=tmp_path / "cache")
    assert len(index) == 0
    assert index.find("a/0").tolist() == []
    assert index.search(np.zeros((1, 16), np.uint8), 5)[0].shape == (1, 0)


OLD = {
    "codes": np.arange(48, dtype=np.uint8).reshape(3, 16), "days": np.array(["2026-11-01"] * 3, "datetime64[D]"),
    "crops": np.arange(3, dtype=np.int16), "thumbnail_ends": np.array([1, 3, 3]),
}  # fmt: skip
OLD_STRINGS = {"keys": [b"sku0/0", b"sku10/0", b"s"], "labels": [b"mug", b"", b"pan"]}
OLD_STRINGS |= {"groups": [b"", b"2026-11-01/sku10/0", b""]}


@pytest.mark.parametrize("form", [1, 2])
def test_an_index_of_an_older_format_is_still_opened(tmp_path, form):
    """The files as those versions wrote them: byte strings as arrays as wide as the longest, then as bytes and ends."""
    folder = tmp_path / "index" / "000007-0123456789ab"
    folder.mkdir(parents=True)
    for name, array in OLD.items():
        np.save(folder / f"{name}.npy", array)
    for name, strings in OLD_STRINGS.items():
        if form == 1:
            np.save(folder / f"{name}.npy", np.array(strings))
        else:
            (folder / f"{name}.bin").write_bytes(b"".join(strings))
            np.save(folder / f"{name.removesuffix('s')}_ends.npy", np.cumsum([len(string) for string in strings]))
    (folder / "thumbnails.bin").write_bytes(b"abc")
    meta = {"format": form, "count": 3, "bits": 128, "model_version": "model-1", "content": "0123456789ab"}
    (folder / META).write_text(json.dumps(meta))
    uri = f"file://{tmp_path}/index"
    index = open_index(uri)
    assert [index.item(n).key for n in range(3)] == ["sku0/0", "sku10/0", "s"]
    assert (index.find("sku10/0").tolist(), index.model_version) == ([1], "model-1")
    assert (index.item(1).group, index.item(1).label, index.item(2).label) == ("2026-11-01/sku10/0", "", "pan")
    assert (index.thumbnail(1), index.item(0).group) == (b"bc", "")
    assert index.search(OLD["codes"][[2]], 1)[0].tolist() == [[2]]
    assert publish(uri, some_entries(), "model-1").startswith("000008-")
    assert remove_old(uri, 1) == [folder.name]
    assert not folder.exists()


def test_an_unknown_format_says_what_to_run(tmp_path):
    folder = tmp_path / "000007-0123456789ab"
    folder.mkdir()
    (folder / META).write_text('{"format": 9}')
    with pytest.raises(ValueError, match=r"has format 9, expected \[1, 2\]: run build_index"):
        open_index(str(tmp_path))
    (tmp_path / "000008-0123456789ab.json").write_text('{"format": 4}')
    with pytest.raises(ValueError, match=r"has format 4, expected 3; run build_index"):
        open_index(str(tmp_path))
    assert read_manifest(Store(str(tmp_path)), publish(str(tmp_path), some_entries(), "m")).code_bytes == 16
