"""dlcore's own model files: what is saved comes back, and damaged or foreign files are refused with a reason."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass

import numpy as np
import pytest

from dlcore.errors import ModelFormatError
from dlcore.interop import native
from dlcore.interop.apart import save_apart
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
    Tanh,
)
from dlcore.nn.regularizer import L1L2Regularizer, L1Regularizer, L2Regularizer
from dlcore.nn.weights import cast
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
    assert list(loaded.named_parameters()) == list(model.named_parameters())
    assert [p.frozen for p in loaded.named_parameters().values()] == [
        p.frozen for p in model.named_parameters().values()
    ]
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


def test_a_model_in_double_precision_stays_one(saved, tmp_path):
    model, _ = saved
    cast(model, np.float64)
    for parameter in model.named_parameters().values():
        parameter.value += 1e-10
    loaded = load_module(model.save(tmp_path / "double"))
    for name, parameter in model.named_parameters().items():
        np.testing.assert_array_equal(loaded.named_parameters()[name].value, parameter.value, strict=True)


def test_penalties_set_after_construction_come_back(tmp_path):
    model = Sequential().add(Linear(2, 2)).add(Linear(2, 2, bRegularizer=L2Regularizer(0.5)))
    model[0].setWRegularizer(L1L2Regularizer(np.float32(0.25), 2))
    model[1].setBRegularizer(None)
    loaded = load_module(model.save(tmp_path / "model"))
    assert [p.regularizer for p in loaded.named_parameters().values()] == [L1L2Regularizer(0.25, 2), None, None, None]


@dataclass(eq=False)
class Tower(Sequential):
    """A container that adds its layers itself and keeps one by name."""

    width: int

    def __post_init__(self):
        self.head = Linear(self.width, 2).set_name("head")
        self.add(Tanh()).add(self.head)

    def apply(self, x):
        y, pullback = super().apply(x)
        return y + self.head.bias.value, pullback


def test_a_layer_that_a_container_adds_itself_stays_one(tmp_path):
    model = Tower(4)
    loaded = load_module(model.save(tmp_path / "model"))
    assert loaded.head is loaded[1]
    np.testing.assert_array_equal(loaded.forward(X), model.forward(X))


def test_given_weights_are_used_without_a_copy(saved):
    _, folder = saved
    weights = read_weights(folder / "weights.npz")
    loaded = load_module(folder, weights)
    assert all(np.shares_memory(p.value, weights[name]) for name, p in loaded.named_parameters().items())


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
    return next(node["module"] for node in topology["module"]["nodes"] if node["module"].get("type") == "nn.Linear")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.update(version=9), "version 9, expected one of"),
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
        (lambda t: t.update(regularizers={"shared.weight": [10**400, 0]}), "too large"),
        (lambda t: t.update(regularizers={"shared.weight": [1]}), "missing 1 required"),
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


def test_what_is_no_model_is_never_replaced(saved, tmp_path):
    model, folder = saved
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "mother.txt").write_text("Dear")
    (tmp_path / "report").write_text("kept")
    (tmp_path / "empty").mkdir()
    for name, found in [("letters", "a folder of other things"), ("report", "a file")]:
        for save in (save_module, save_apart):
            with pytest.raises(FileExistsError, match=f"{name}: got {found}, expected a saved model or nothing"):
                save(model, tmp_path / name, over_write=True)
    with pytest.raises(FileExistsError, match="letters exists"):
        save_apart(model, tmp_path / "new", tmp_path / "letters", over_write=True)
    assert (tmp_path / "letters" / "mother.txt").read_text() == "Dear"
    assert (tmp_path / "report").read_text() == "kept"
    assert load_module(save_module(model, tmp_path / "empty", over_write=True)).label() == model.label()
    assert not [path for path in [*tmp_path.iterdir(), *folder.parent.iterdir()] if path.name.startswith(".")]


def test_the_old_model_stands_until_the_new_one_is_there(saved, monkeypatch):
    (model, folder), standing = saved, []
    monkeypatch.setattr(native.shutil, "rmtree", lambda path, **_: standing.append(load_module(folder).label()))
    save_module(model, folder, over_write=True)
    assert standing and set(standing) == {model.label()}


def test_a_missing_model_is_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_module(tmp_path / "nothing")
