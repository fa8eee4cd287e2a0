"""Index files: what is published is read back, whole or not at all."""

import uuid
from dataclasses import replace

import fsspec
import numpy as np
import pytest

from dlcore.search import index as index_module
from dlcore.search.index import META, Entries, open_index, publish, remove_old, versions


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


def test_what_is_published_is_read_back(uri, tmp_path):
    entries = some_entries()
    version = publish(uri, entries, "model-1")
    index = open_index(uri, cache=tmp_path / "cache")
    assert (index.version, len(index), index.meta["model_version"]) == (version, 5, "model-1")
    assert isinstance(index.entries.codes, np.memmap)
    np.testing.assert_array_equal(index.entries.codes, entries.codes)
    assert [len(index.thumbnail(n)) for n in range(5)] == [0, 1, 2, 3, 4]
    positions, apart = index.search(entries.codes[[3]], 2)
    assert (positions[0, 0], apart[0, 0]) == (3, 0)
    assert index.find("0/20261102/sku2/0").tolist() == [2]


def test_the_newest_version_is_opened_and_the_same_content_is_published_once(uri, tmp_path):
    first = publish(uri, some_entries(), "model-1")
    assert publish(uri, some_entries(), "model-1") == first
    second = publish(uri, some_entries(seed=1), "model-1")
    assert versions(uri) == [first, second]
    assert open_index(uri, cache=tmp_path / "cache").version == second
    assert open_index(uri, first, cache=tmp_path / "cache").version == first
    assert remove_old(uri, 1) == [first]
    assert versions(uri) == [second]


def test_a_writer_that_dies_before_the_last_file_leaves_nothing_readable(uri, tmp_path, monkeypatch):
    first = publish(uri, some_entries(), "model-1")
    store = type(fsspec.url_to_fs(uri)[0])
    put = store.put_file

    def die(self, source, target):
        if target.endswith(META):
            raise KeyboardInterrupt
        put(self, source, target)

    with monkeypatch.context() as patch:
        patch.setattr(store, "put_file", die)
        with pytest.raises(KeyboardInterrupt):
            publish(uri, some_entries(seed=1), "model-1")
    assert versions(uri) == [first]
    assert open_index(uri, cache=tmp_path / "cache").version == first
    assert publish(uri, some_entries(seed=1), "model-1") == versions(uri)[-1] != first


def test_a_writer_that_dies_before_the_rename_leaves_nothing_readable(tmp_path, monkeypatch):
    first = publish(str(tmp_path), some_entries(), "model-1")

    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(index_module, "_rename", die)
        with pytest.raises(KeyboardInterrupt):
            publish(str(tmp_path), some_entries(seed=1), "model-1")
    assert versions(str(tmp_path)) == [first]


def test_a_missing_index_says_what_to_run(uri):
    with pytest.raises(FileNotFoundError, match="run build_index"):
        open_index(uri)


def test_arrays_of_different_length_are_refused():
    with pytest.raises(ValueError, match="as many in each"):
        replace(some_entries(), crops=np.zeros(4, np.int16))
