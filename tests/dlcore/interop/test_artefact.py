"""Artefacts: round trip, content hash, cache, and every kind of damage."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
from pathlib import Path

import fsspec
import numpy as np
import pytest

from dlcore.errors import ModelFormatError
from dlcore.interop import artefact as module
from dlcore.interop.artefact import bring, load_artefact, name_of, names, pinned, promote, save_artefact, versions
from dlcore.models.deepbit import DeepBitConfig, deepbit_small
from dlcore.nn.graph import Graph
from dlcore.rng import RNG
from dlcore.settings import Settings
from dlcore.vision.extractor import load_extractor
from dlcore.vision.preprocessing import Preprocessing

METADATA = {"kind": "deepbit", "threshold": 0.0, "classes": ["a", "b"]}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model cache of the test's own."""
    monkeypatch.setattr(module, "settings", lambda: Settings(cache=tmp_path / "cache"))
    return tmp_path / "cache" / "models"


def small_model() -> Graph:
    return deepbit_small(DeepBitConfig(32, 16, (8, 16), (1, 1)))


def outputs(model: Graph) -> np.ndarray:
    x = np.random.default_rng(0).standard_normal((2, 3, 32, 32), dtype=np.float32)
    return model.evaluate().forward(x)[0]


def test_a_round_trip_keeps_model_metadata_and_version(cache: Path, tmp_path: Path) -> None:
    model = small_model()
    exact = save_artefact(tmp_path / "exact", model, METADATA, "# Card", half=False)
    loaded = load_artefact(tmp_path / "exact")
    assert (loaded.version, loaded.metadata) == (exact, METADATA)
    assert np.array_equal(outputs(loaded.model), outputs(model))
    save_artefact(tmp_path / "half", model, METADATA)
    half = load_artefact(f"file://{tmp_path}/half")
    np.testing.assert_allclose(outputs(half.model), outputs(model), atol=0.02)
    assert (tmp_path / "half" / "weights.npz").stat().st_size < 0.7 * (
        tmp_path / "exact" / "weights.npz"
    ).stat().st_size
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "exact", "half"]


def test_the_version_is_the_content(cache: Path, tmp_path: Path) -> None:
    model = small_model()
    first = save_artefact(tmp_path / "a", model, METADATA, card="one")
    assert save_artefact(tmp_path / "b", model, METADATA, card="two") == first
    assert save_artefact(tmp_path / "c", model, METADATA | {"threshold": 0.1}) != first
    model.named_parameters()["stem.weight"].value[0, 0, 0, 0] += 1
    assert save_artefact(tmp_path / "a", model, METADATA) != first


def test_weights_are_shared_and_read_only(cache: Path, tmp_path: Path) -> None:
    save_artefact(tmp_path / "a", small_model(), METADATA)
    weight = load_artefact(tmp_path / "a").model.named_parameters()["stem.weight"].value
    assert not weight.flags.writeable
    assert weight.ctypes.data % 64 == 0
    assert str(cache) in Path("/proc/self/maps").read_text()


def test_the_cache_serves_when_only_model_json_can_be_read(cache: Path, tmp_path: Path) -> None:
    version = save_artefact(tmp_path / "a", small_model(), METADATA)
    before = outputs(load_artefact(tmp_path / "a").model)
    (tmp_path / "a" / "weights.npz").unlink()
    assert np.array_equal(outputs(load_artefact(tmp_path / "a").model), before)
    assert [path.name for path in cache.iterdir()] == [version]


def test_versions_that_nothing_loads_any_more_leave_the_cache(cache: Path, tmp_path: Path) -> None:
    names = ("old", "used", "new")
    versions = {name: save_artefact(tmp_path / name, small_model(), {**METADATA, "name": name}) for name in names}
    old = load_artefact(tmp_path / "old")
    load_artefact(tmp_path / "used")
    before = outputs(old.model)
    (cache / ".half.unpacked").mkdir()
    for entry in cache.iterdir():
        os.utime(entry, (0, 0))
    load_artefact(tmp_path / "used")
    load_artefact(tmp_path / "new")
    assert {path.name for path in cache.iterdir()} == {versions["used"], versions["new"]}
    assert np.array_equal(outputs(old.model), before)
    assert np.array_equal(outputs(load_artefact(tmp_path / "old").model), before)


def test_a_version_dropped_while_it_is_loaded_is_unpacked_again(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = save_artefact(tmp_path / "a", small_model(), METADATA)
    before = outputs(load_artefact(tmp_path / "a").model)
    mapped, drops = module.mapped_flat, [lambda: shutil.rmtree(cache / version)]

    def mapped_too_late(folder: Path) -> object:
        while drops:
            drops.pop()()
        return mapped(folder)

    monkeypatch.setattr(module, "mapped_flat", mapped_too_late)
    assert np.array_equal(outputs(load_artefact(tmp_path / "a").model), before)


def load_in_child(folder: Path, cache_root: Path) -> np.ndarray:
    module.settings = lambda: Settings(cache=cache_root)  # type: ignore[assignment]
    return outputs(load_artefact(folder).model)  # type: ignore[arg-type]


def test_processes_may_unpack_at_once(cache: Path, tmp_path: Path) -> None:
    model = small_model()
    save_artefact(tmp_path / "a", model, METADATA, half=False)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        found = pool.starmap(load_in_child, [(tmp_path / "a", cache.parent)] * 2)
    assert all(np.array_equal(result, found[0]) for result in found)
    assert len(list(cache.iterdir())) == 1


def damage_metadata(folder: Path) -> None:
    (folder / "model.json").write_text("{")


def damage_format(folder: Path) -> None:
    (folder / "model.json").write_text(json.dumps({"format": "other"}))


def damage_weights(folder: Path) -> None:
    content = bytearray((folder / "weights.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "weights.npz").write_bytes(content)


def damage_topology(folder: Path) -> None:
    (folder / "topology.json").write_text("{}")


@pytest.mark.parametrize("damage", [damage_metadata, damage_format, damage_weights, damage_topology])
def test_damage_is_refused_and_leaves_nothing(damage, cache: Path, tmp_path: Path) -> None:
    save_artefact(tmp_path / "a", small_model(), METADATA)
    damage(tmp_path / "a")
    with pytest.raises(ModelFormatError, match=str(tmp_path / "a")):
        load_artefact(tmp_path / "a")
    assert not cache.exists() or not list(cache.iterdir())


def test_what_cannot_be_kept_is_refused(cache: Path, tmp_path: Path) -> None:
    model = small_model()
    model.named_parameters()["stem.weight"].value[0, 0, 0, 0] = 1e6
    with pytest.raises(ModelFormatError, match=r"stem.weight with a value beyond 65504"):
        save_artefact(tmp_path / "a", model, METADATA)
    assert isinstance(save_artefact(tmp_path / "a", model, METADATA, half=False), str)
    with pytest.raises(FileNotFoundError):
        load_artefact(tmp_path / "absent")


def test_size_limits(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_artefact(tmp_path / "a", small_model(), METADATA)
    monkeypatch.setattr(module, "settings", lambda: Settings(cache=tmp_path / "cache", max_model_bytes=1000))
    with pytest.raises(ModelFormatError, match="expected at most 1000"):
        load_artefact(tmp_path / "a")


def versions_of(folder: Path, *thresholds: float) -> list[str]:
    """Save a version for each threshold, one after the other."""
    RNG.set_seed(1)
    model, metadata = small_model(), METADATA | {"preprocessing": Preprocessing(32).metadata()}
    return [save_artefact(folder, model, metadata | {"threshold": threshold}) for threshold in thresholds]


def snapshot_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_new_version_leaves_those_before_as_they_were(cache: Path, tmp_path: Path) -> None:
    (first,) = versions_of(tmp_path / "a", 0.1)
    before = snapshot_of(tmp_path / "a")
    at_first = pinned(tmp_path / "a")
    second, third = versions_of(tmp_path / "a", 0.2, 0.3)
    assert snapshot_of(tmp_path / "a").items() >= before.items()
    for uri, version, threshold in (
        (tmp_path / "a", third, 0.3),
        (f"file://{tmp_path}/a", third, 0.3),
        (at_first, first, 0.1),
        (f"file://{tmp_path}/a@{second}", second, 0.2),
    ):
        loaded = load_artefact(uri)
        assert (loaded.version, loaded.metadata["threshold"]) == (version, threshold)
    assert (load_extractor(at_first).version, load_extractor(str(tmp_path / "a")).version) == (first, third)


def test_promotion_moves_the_name_and_back(cache: Path, tmp_path: Path) -> None:
    first, second = versions_of(tmp_path / "a", 0.1, 0.2)
    for version in (first, second, first):
        promote(tmp_path / "a", version)
        assert load_artefact(tmp_path / "a").version == version
        assert load_extractor(str(tmp_path / "a")).version == version
    assert versions_of(tmp_path / "a", 0.2) == [second]
    assert load_artefact(tmp_path / "a").version == second
    assert [path.name for path in (tmp_path / "a" / "versions").iterdir()] == [second]
    with pytest.raises(FileNotFoundError, match=f"got no version {'0' * 64}.*or {first}, which lies there"):
        promote(tmp_path / "a", "0" * 64)
    assert load_artefact(tmp_path / "a").version == second


def test_a_save_that_ends_before_it_promotes_changes_nothing(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (first,) = versions_of(tmp_path / "a", 0.1)
    with monkeypatch.context() as patch:
        patch.setattr(module, "promote", interrupted)
        with pytest.raises(KeyboardInterrupt):
            versions_of(tmp_path / "a", 0.2)
    assert load_artefact(tmp_path / "a").version == first
    (second,) = versions_of(tmp_path / "a", 0.2)
    assert load_artefact(tmp_path / "a").version == second


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_store_without_rename_keeps_versions_too(cache: Path, tmp_path: Path) -> None:
    first, second = versions_of(tmp_path / "a", 0.1, 0.2)
    store = fsspec.filesystem("memory")
    store.put(str(tmp_path / "a"), "/models/a", recursive=True)
    store.rm("/models/a/current")
    try:
        assert load_artefact("memory://models/a").version == first
        promote("memory://models/a", second)
        assert load_artefact("memory://models/a").version == second
        assert load_artefact(f"memory://models/a@{first}").version == first
        assert pinned("memory://models/a") == f"memory://models/a@{second}"
    finally:
        store.rm("/models", recursive=True)


def test_a_folder_as_it_ships_loads_without_being_written_to(cache: Path, tmp_path: Path) -> None:
    shipped = tmp_path / "detector-small"
    shutil.copytree(Path(__file__).parents[3] / "models" / "detector-small", shipped)
    before = snapshot_of(shipped)
    named = load_artefact(shipped)
    assert load_artefact(pinned(shipped)).version == named.version
    assert named.version == hashlib.sha256(before["model.json"]).hexdigest()
    assert snapshot_of(shipped) == before


def test_a_wrong_pointer_and_a_version_with_another_content_are_errors(cache: Path, tmp_path: Path) -> None:
    first, second = versions_of(tmp_path / "a", 0.1, 0.2)
    shutil.copy(tmp_path / "a" / "model.json", tmp_path / "a" / "versions" / second)
    with pytest.raises(ModelFormatError, match="another content than its version"):
        load_artefact(tmp_path / "a")
    assert load_artefact(f"{tmp_path}/a@{first}").version == first
    (tmp_path / "a" / "current").write_text("the newest")
    with pytest.raises(ModelFormatError, match="got 'the newest', expected the 64 digits of a version"):
        load_artefact(tmp_path / "a")


def test_a_version_is_brought_from_another_folder(cache: Path, tmp_path: Path) -> None:
    (first,) = versions_of(tmp_path / "a", 0.1)
    (other,) = versions_of(tmp_path / "b", 0.2)
    store = fsspec.filesystem("memory")
    try:
        for target in (tmp_path / "a", "memory://models/a"):
            assert bring(tmp_path / "b", target) == other
            assert load_artefact(f"{target}@{other}").metadata["threshold"] == 0.2
            promote(target, other)
            assert load_artefact(target).version == other
        assert versions(tmp_path / "a") == [first, other]
        assert versions("memory://models/a") == [other]
        assert names("memory://models") == ["a"] and name_of("memory://models", other) == "a"
    finally:
        store.rm("/models", recursive=True)
    (tmp_path / "b" / "weights.npz").write_bytes(b"damaged")
    with pytest.raises(ModelFormatError, match=r"another content than model\.json says"):
        bring(tmp_path / "b", tmp_path / "c")
    assert versions(tmp_path / "c") == []
