"""Files of models, checkpoints and methods, changed at random: each is read, or refused with a ValueError that names
it; nothing in it is executed."""

from __future__ import annotations

import copy
import json
import os
import random
import warnings
from contextlib import suppress

import numpy as np
import pytest

from dlcore.errors import CheckpointError, ModelFormatError, TrainingDivergedError
from dlcore.interop.apart import load_apart, save_apart
from dlcore.interop.native import load_module
from dlcore.keras.layer import Dense
from dlcore.keras.topology import Sequential as KerasSequential
from dlcore.nn.criterion import ClassNLLCriterion, MSECriterion
from dlcore.nn.layer import (
    LSTM,
    BatchNormalization,
    CAddTable,
    Concat,
    Dropout,
    Graph,
    Input,
    Linear,
    LogSoftMax,
    Model,
    Recurrent,
    Sequential,
    SpatialConvolution,
    Tanh,
)
from dlcore.nn.regularizer import L2Regularizer
from dlcore.optim.adaptive import Adam
from dlcore.optim.lbfgs import LBFGS
from dlcore.optim.loop import Optimizer
from dlcore.optim.method import SGD, OptimMethod
from dlcore.optim.schedule import Plateau, Poly, SequentialSchedule
from dlcore.optim.trigger import EveryEpoch, MaxIteration, SeveralIteration
from dlcore.rng import RNG

ROWS = np.random.default_rng(6)
X, Y = ROWS.standard_normal((16, 4)).astype(np.float32), np.ones((16, 1))
TRIALS = 40
WRONG = [
    *(None, -1, 0, 10**30, 1e308, 2.5, "x", "", [], {}, [1], {"a": 1}, True, [[]], 10**9, "nn.Linear", [None] * 3),
    *({"ref": 0}, {"ref": []}, {"module": {}}, {"array": [1]}, {"float": "x"}, "../../etc", {"schedule": 3}, 10**400),
]


# --- changes --------------------------------------------------------------------------------------------------------


def places(tree, place=()):
    """Where something stands in a tree of JSON."""
    parts = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in parts:
        yield (*place, key)
        yield from places(value, (*place, key))


def changed_tree(tree, rng):
    tree = copy.deepcopy(tree)
    for _ in range(rng.choice([1, 1, 2])):
        *path, key = rng.choice(list(places(tree)))
        inside = tree
        for step in path:
            inside = inside[step]
        kind = rng.random()
        if kind < 0.6:
            inside[key] = copy.deepcopy(rng.choice(WRONG))
        elif kind < 0.8 or isinstance(inside, list):
            del inside[key]
        else:
            inside[rng.choice(["x", "id", "type", "config", "bigdl_type", "name", "modules"])] = inside.pop(key)
    return tree


def changed_bytes(content, rng):
    if rng.random() < 0.4:
        return content[: rng.randrange(len(content))]
    found = bytearray(content)
    for _ in range(rng.choice([1, 1, 3, 10])):
        found[rng.randrange(len(found))] = rng.randrange(256)
    return bytes(found)


def changed_arrays(arrays, rng):
    arrays = dict(arrays)
    name = rng.choice(sorted(arrays))
    value = arrays.pop(name)
    if value.dtype == np.uint8:  # the facts
        return arrays
    kinds = {
        "missing": lambda: {},
        "other name": lambda: {f"{name}x": value},
        "other type": lambda: {name: value.astype(rng.choice([np.int32, np.complex64, bool]))},
        "flat": lambda: {name: value.reshape(-1)},
        "other shape": lambda: {name: np.zeros(rng.choice([(0,), (), (3, 3, 3), (1,)]), value.dtype)},
        "objects": lambda: {name: np.array([1, "a", None], object)},
    }
    return arrays | kinds[rng.choice(sorted(kinds))]()


def written(path, arrays):
    with warnings.catch_warnings(action="ignore"):
        np.savez(path, **arrays)


def facts_changed(path, rng):
    arrays = dict(np.load(path))
    tree = changed_tree(json.loads(arrays["facts"].tobytes()), rng)
    written(path, arrays | {"facts": np.frombuffer(json.dumps(tree).encode(), np.uint8)})


def tree_changed(path, rng):
    path.write_text(json.dumps(changed_tree(json.loads(path.read_text()), rng)))


def arrays_changed(path, rng):
    written(path, changed_arrays(dict(np.load(path)), rng))


def bytes_changed(path, rng):
    path.write_bytes(changed_bytes(path.read_bytes(), rng))


# --- files ----------------------------------------------------------------------------------------------------------


def graph():
    start = Input()
    shared = Linear(4, 4, wRegularizer=L2Regularizer(0.1)).set_name("shared")
    branches = Concat(2).add(Linear(3, 2)).add(Sequential().add(Linear(3, 2)).add(Dropout(0.3)))
    tower = Sequential().add(Linear(4, 3)).add(Tanh()).add(branches)
    return Graph([start], [CAddTable()([tower(shared(start)), shared(start)])])


MODELS = {
    "graph": graph,
    "sequential": lambda: Sequential().add(SpatialConvolution(1, 2, 3, 3)).add(BatchNormalization(2)).freeze("0"),
    "recurrent": lambda: Sequential().add(Recurrent().add(LSTM(3, 2))),
    "keras": lambda: KerasSequential().add(Dense(3, activation="tanh", input_shape=(4,))).add(Dense(2)),
}


def trainer(method):
    RNG.set_seed(1)
    model = Sequential().add(Linear(4, 3)).add(BatchNormalization(3)).add(Linear(3, 2)).add(LogSoftMax())
    return Optimizer(model, (X, Y), ClassNLLCriterion(), MaxIteration(4), 8, method(), is_quiet=True)


METHODS = {
    "adam": lambda: Adam(
        0.01, leaningrate_schedule=SequentialSchedule(3).add(Poly(0.5, 10), 2).add(Plateau("Loss"), 9)
    ),
    "sgd": lambda: SGD(0.01, momentum=0.9, leaningrate_schedule=Plateau("Loss")),
    "lbfgs": lambda: LBFGS(max_iter=2),
}


def saved_model(folder, kind):
    return MODELS[kind]().save(folder / "model")


def saved_checkpoint(folder, kind):
    trainer(METHODS[kind]).set_checkpoint(SeveralIteration(3), folder).optimize()
    return folder / "checkpoint.npz"


def saved_method(folder, kind):
    optimizer = trainer(METHODS[kind])
    optimizer.optimize()
    optimizer.methods[""].save(folder / "method.npz", True)
    return folder / "method.npz"


def load_and_use_method(path, kind):
    method = OptimMethod.load(path)
    with suppress(ValueError, ArithmeticError):  # of other weights
        method.update(np.zeros(23, np.float32), np.ones(23, np.float32))


READERS = {
    "model": (saved_model, lambda path, kind: load_module(path), MODELS),
    "checkpoint": (saved_checkpoint, lambda path, kind: trainer(METHODS[kind]).resume(path).optimize(), METHODS),
    "method": (saved_method, load_and_use_method, METHODS),
}
CASES = [
    *(("model", kind, file, change) for kind in MODELS for file, change in (("topology.json", tree_changed),)),
    *(("model", kind, "topology.json", bytes_changed) for kind in ("graph", "keras")),
    *(("model", "graph", "weights.npz", change) for change in (arrays_changed, bytes_changed)),
    *(
        (what, kind, "", change)
        for what in ("checkpoint", "method")
        for kind in METHODS
        for change in (facts_changed, arrays_changed)
    ),
    *((what, "adam", "", bytes_changed) for what in ("checkpoint", "method")),
]


def read(path, reader, kind, name):
    """Whether the file is read; it is refused with a ValueError that names it, or a TrainingDivergedError of numbers
    without end."""
    try:
        with warnings.catch_warnings(action="error"):
            reader(path, kind)
    except TrainingDivergedError:
        return True
    except ValueError as error:
        assert name in str(error), error
        return False
    return True


@pytest.mark.parametrize(
    ("what", "kind", "file", "change"), CASES, ids=[f"{c[0]}-{c[1]}-{c[2] or 'file'}-{c[3].__name__}" for c in CASES]
)
def test_changed_files_are_refused_by_name(tmp_path, what, kind, file, change):
    save, reader, _ = READERS[what]
    path = save(tmp_path, kind)
    damaged = path / file if file else path
    whole = damaged.read_bytes()
    assert read(path, reader, kind, path.name)
    rng, results = random.Random(8), []
    for _ in range(TRIALS):
        damaged.write_bytes(whole)
        change(damaged, rng)
        results.append(read(path, reader, kind, path.name))
    assert results.count(False) > TRIALS // 8, "hardly a change was noticed"


class Trap:
    """Unpickled, it leaves a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("what", READERS)
def test_no_pickle_is_loaded(tmp_path, what):
    save, reader, kinds = READERS[what]
    kind = next(iter(kinds))
    path = save(tmp_path, kind)
    weights = path / "weights.npz" if what == "model" else path
    trap = tmp_path / "trapped"
    for name in dict(np.load(weights)):
        arrays = dict(np.load(weights)) | {name: np.array([Trap(str(trap))], object)}
        damaged = tmp_path / "trap"
        np.savez(damaged, **arrays)
        weights.write_bytes(damaged.with_suffix(".npz").read_bytes())
        assert not read(path, reader, kind, path.name)
        assert not trap.exists()
        save(tmp_path / name.replace("/", "_"), kind)
        weights.write_bytes(next(each for each in (tmp_path / name.replace("/", "_")).rglob(weights.name)).read_bytes())


@pytest.mark.parametrize("what", ["checkpoint", "method"])
def test_archives_that_would_grow_beyond_the_limit_are_refused(tmp_path, what, monkeypatch):
    from dlcore.optim import archive
    from dlcore.settings import Settings

    save, reader, _ = READERS[what]
    path = save(tmp_path, "adam")
    monkeypatch.setattr(archive, "settings", lambda: Settings(max_model_bytes=500))
    with pytest.raises(ValueError, match=r"got \d+ bytes, expected at most 500; raise DLCORE_MAX_MODEL_BYTES"):
        reader(path, "adam")


def test_later_versions_say_so(tmp_path):
    model, checkpoint, method = (
        saved_model(tmp_path, "graph"),
        saved_checkpoint(tmp_path, "adam"),
        saved_method(tmp_path, "adam"),
    )
    topology = json.loads((model / "topology.json").read_text())
    (model / "topology.json").write_text(json.dumps(topology | {"version": 99}))
    for path in (checkpoint, method):
        arrays = dict(np.load(path))
        facts = json.loads(arrays["facts"].tobytes()) | {"format": 99}
        written(path, arrays | {"facts": np.frombuffer(json.dumps(facts).encode(), np.uint8)})
    for what, path in (("model", model), ("checkpoint", checkpoint), ("method", method)):
        with pytest.raises(ValueError, match=rf"{path.name}.*got (version|format) 99, expected"):
            READERS[what][1](path, "adam")


def test_weights_apart_are_refused_by_their_name(tmp_path):
    save_apart(graph(), tmp_path / "model", tmp_path / "apart.npz")
    assert load_apart(tmp_path / "model", tmp_path / "apart.npz") is not None
    whole = (tmp_path / "apart.npz").read_bytes()
    (tmp_path / "apart.npz").write_bytes(whole[:200])
    with pytest.raises(ValueError, match=r"apart\.npz: got damaged weights"):
        load_apart(tmp_path / "model", tmp_path / "apart.npz")
    with pytest.raises(FileNotFoundError):
        load_apart(tmp_path / "model")


@pytest.mark.parametrize("what", READERS)
def test_what_is_missing_is_a_missing_file(tmp_path, what):
    with pytest.raises(FileNotFoundError):
        READERS[what][1](tmp_path / "nothing", next(iter(READERS[what][2])))


def test_a_place_without_what_is_asked_for_says_what_is_there(tmp_path):
    model = Sequential().add(Linear(2, 2))
    model.saveModel(tmp_path / "model", tmp_path / "weights.npz")
    Optimizer(Linear(2, 2), (np.ones((4, 2)), np.ones((4, 2))), MSECriterion(), is_quiet=True).set_checkpoint(
        EveryEpoch(), tmp_path
    ).optimize()
    resume = Optimizer(Linear(2, 2), (np.ones((4, 2)), np.ones((4, 2))), MSECriterion()).resume
    for call, kind, message in [
        (
            lambda: Model.load(tmp_path / "no"),
            FileNotFoundError,
            "no: got nothing, expected the folder that save wrote",
        ),
        (lambda: Model.load(tmp_path), FileNotFoundError, "got a folder without a model, expected the folder"),
        (lambda: Model.load(tmp_path / "checkpoint.npz"), ModelFormatError, "got a file.*Optimizer.resume"),
        (
            lambda: Model.loadModel(tmp_path / "model"),
            FileNotFoundError,
            "pass weightPath if saveModel wrote them apart",
        ),
        (lambda: OptimMethod.load(tmp_path / "no"), FileNotFoundError, "no: got no such file, expected a method that"),
        (lambda: resume(tmp_path / "no"), FileNotFoundError, "no: got no such file, expected a checkpoint that"),
        (lambda: resume(tmp_path), CheckpointError, "got a folder.*in it are checkpoint.npz, weights.npz"),
    ]:
        with pytest.raises(kind, match=message):
            call()
