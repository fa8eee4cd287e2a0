"""dlcore's own model files: what is saved comes back, and damaged or foreign files are refused with a reason."""

import json
import zipfile

import numpy as np
import pytest

from dlcore.errors import ModelFormatError
from dlcore.interop.native import load_module, read_weights, save_module
from dlcore.nn.layer import (
    BatchNormalization,
    Bottle,
    Concat,
    Graph,
    Input,
    JoinTable,
    Linear,
    MapTable,
    Normalize,
    ReLU,
    SelectTable,
    Sequential,
    SplitTable,
)
from dlcore.nn.regularizer import L1Regularizer
from dlcore.settings import settings

X = np.random.default_rng(2).standard_normal((5, 4)).astype(np.float32)


def network():
    shared = Linear(4, 4, wRegularizer=L1Regularizer(1e-3)).set_name("shared")
    data = Input("data")
    twice = shared(ReLU()(shared(data)))
    joined = JoinTable(1, 1)([twice, data])
    body = Sequential().add(Bottle(Linear(8, 8))).add(Concat(2).add(Linear(8, 3)).add(BatchNormalization(8)))
    pieces = Sequential().add(SplitTable(2)).add(SelectTable(1)).set_name("first")
    both = MapTable(Normalize(float("inf")))([body(joined), twice])
    return Graph([data], [both, pieces(data)]).freeze("shared").stop_gradient(["first"]).evaluate()


@pytest.fixture
def saved(tmp_path):
    model = network()
    model.save(tmp_path / "model")
    return model, tmp_path / "model"


def test_everything_comes_back(saved):
    model, folder = saved
    loaded = load_module(folder)
    for got, expected in zip(loaded.forward(X)[0], model.forward(X)[0], strict=True):
        np.testing.assert_array_equal(got, expected)
    assert list(loaded.parameters()) == list(model.parameters())
    assert [p.frozen for p in loaded.parameters().values()] == [p.frozen for p in model.parameters().values()]
    assert loaded.find("shared").wRegularizer.l1 == 1e-3
    assert loaded.stopped == model.stopped
    assert not loaded.is_training()
    assert {type(module) for _, module in loaded.named_modules()} == {
        type(module) for _, module in model.named_modules()
    }


def test_half_precision_takes_half_the_room(saved, tmp_path):
    model, _ = saved
    save_module(model, tmp_path / "half", half=True)
    loaded = load_module(tmp_path / "half")
    for got, expected in zip(loaded.get_weights(), model.get_weights(), strict=True):
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, expected, atol=1e-3)


def test_given_weights_are_used_without_a_copy(saved):
    _, folder = saved
    weights = read_weights(folder / "weights.npz")
    loaded = load_module(folder, weights)
    assert all(np.shares_memory(p.value, weights[name]) for name, p in loaded.parameters().items())


def test_an_existing_model_is_not_overwritten_by_chance(saved):
    model, folder = saved
    with pytest.raises(FileExistsError, match="over_write=True"):
        model.save(folder)
    model.save(folder, over_write=True)
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


def rewrite(folder, change):
    path = folder / "topology.json"
    topology = json.loads(path.read_text())
    change(topology)
    path.write_text(json.dumps(topology))


def first_linear(topology):
    return next(node["module"] for node in topology["module"]["nodes"] if node["module"].get("type") == "Linear")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.update(version=9), "version 9, expected 1"),
        (lambda t: t.update(format="other"), "another kind of file"),
        (lambda t: first_linear(t).update(type="subprocess.Popen"), "import the module that defines it"),
        (lambda t: first_linear(t)["config"].update(input_size=5), r"shape \(4, 4\)"),
        (lambda t: first_linear(t)["config"].update(input_size="many"), "cannot be built"),
        (lambda t: first_linear(t)["config"].update(colour=1), "cannot be built"),
        (lambda t: first_linear(t)["config"].update(input_size=10**15), "cannot be built"),
        (lambda t: first_linear(t)["config"].update(input_size=10**11), "cannot be built|at most"),
        (lambda t: first_linear(t).update(name="other"), "missing.*other"),
        (lambda t: t["module"].update(outputs=[99]), "cannot be connected"),
        (lambda t: t["module"]["nodes"].append({"module": {"ref": 77}, "previous": []}), "reference to layer 77"),
        (lambda t: t.update(module=[]), "expected a layer's description"),
    ],
)
def test_wrong_topologies_are_refused(saved, change, message):
    _, folder = saved
    rewrite(folder, change)
    with pytest.raises(ModelFormatError, match=message):
        load_module(folder)


def test_damaged_files_are_refused(saved):
    _, folder = saved
    weights = folder / "weights.npz"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelFormatError, match="damaged weights"):
        load_module(folder)
    weights.write_bytes(whole)
    (folder / "topology.json").write_text("{")
    with pytest.raises(ModelFormatError, match="damaged JSON"):
        load_module(folder)


def test_pickled_arrays_are_refused(saved):
    _, folder = saved
    arrays = dict(read_weights(folder / "weights.npz"))
    arrays["shared.bias"] = np.array([print] * 4, object)
    np.savez(folder / "weights.npz", **arrays)
    with pytest.raises(ModelFormatError, match="damaged weights"):
        load_module(folder)


def test_an_archive_that_would_grow_beyond_the_limit_is_refused(saved, monkeypatch):
    _, folder = saved
    with zipfile.ZipFile(folder / "weights.npz", "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.npy", bytes(10 << 20))
    monkeypatch.setenv("DLCORE_MAX_MODEL_BYTES", str(1 << 20))
    settings.cache_clear()
    try:
        with pytest.raises(ModelFormatError, match="raise DLCORE_MAX_MODEL_BYTES"):
            load_module(folder)
    finally:
        monkeypatch.undo()
        settings.cache_clear()


def test_a_missing_model_is_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_module(tmp_path / "nothing")
