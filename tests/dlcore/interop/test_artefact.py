"""Artefacts: round trip, content hash, cache, and every kind of damage."""

import json
import multiprocessing
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from dlcore.errors import ModelFormatError
from dlcore.interop import artefact as module
from dlcore.interop.artefact import load_artefact, save_artefact
from dlcore.models.deepbit import DeepBitConfig, deepbit_small
from dlcore.nn.graph import Graph
from dlcore.settings import Settings

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
    model.parameters()["stem.weight"].value[0, 0, 0, 0] += 1
    assert save_artefact(tmp_path / "a", model, METADATA) != first


def test_weights_are_shared_and_read_only(cache: Path, tmp_path: Path) -> None:
    save_artefact(tmp_path / "a", small_model(), METADATA)
    weight = load_artefact(tmp_path / "a").model.parameters()["stem.weight"].value
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
    mapped, drops = module._mapped, [lambda: shutil.rmtree(cache / version)]

    def mapped_too_late(folder: Path) -> object:
        while drops:
            drops.pop()()
        return mapped(folder)

    monkeypatch.setattr(module, "_mapped", mapped_too_late)
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
    model.parameters()["stem.weight"].value[0, 0, 0, 0] = 1e6
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
