"""PyTorch's files of weights, written here by Python's own pickler as torch.save writes them, also damaged and
malicious ones."""

from __future__ import annotations

import collections
import io
import os
import pickle
import struct
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dlcore.errors import ModelFormatError
from dlcore.interop.torch_files import load_torch_state, read_torch_state
from dlcore.models.mobilenet import mobilenet_v2
from dlcore.nn.init import skipped
from dlcore.nn.layer import Linear, Sequential, SpatialBatchNormalization
from dlcore.settings import Settings

KINDS = {"f4": "FloatStorage", "i8": "LongStorage", "f2": "HalfStorage", "u2": "BFloat16Storage"}
NUMBERS = np.arange(24, dtype=np.float32)


def rebuild(*_: Any) -> None:
    """Stands for torch._utils._rebuild_tensor_v2, by name alone."""


class Pickled:
    """A tensor as torch pickles it: a call of the function above with a storage, an offset, a shape and strides."""

    def __init__(self, numbers: np.ndarray, *geometry: Any) -> None:
        self.numbers, self.geometry = numbers, geometry or (0, numbers.shape, dense(numbers.shape))

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuild, (Stored(self.numbers), *self.geometry, False, collections.OrderedDict())


class Stored:
    def __init__(self, numbers: np.ndarray) -> None:
        self.numbers = numbers


def dense(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(np.prod(shape[i + 1 :])) for i in range(len(shape)))


class Writer(pickle.Pickler):
    """Puts storages beside the pickle and a reference into it."""

    def __init__(self, file: io.BytesIO, fields: int) -> None:
        super().__init__(file, 2)
        self.stored: dict[str, np.ndarray] = {}
        self.fields = fields

    def persistent_id(self, value: object) -> tuple[Any, ...] | None:
        if not isinstance(value, Stored):
            return None
        known = [key for key, numbers in self.stored.items() if numbers is value.numbers]
        key = known[0] if known else str(len(self.stored))
        self.stored[key] = value.numbers
        kind = getattr(sys.modules["torch"], KINDS[value.numbers.dtype.str[1:]])
        return ("storage", kind, key, "cpu", value.numbers.size, None)[: self.fields]


@pytest.fixture
def torch_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules of PyTorch's names for the pickler, which checks that what it writes can be found."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for kind in KINDS.values():
        setattr(torch, kind, type(kind, (), {"__module__": "torch"}))
    utils._rebuild_tensor_v2 = rebuild  # type: ignore[attr-defined]
    monkeypatch.setattr(rebuild, "__module__", "torch._utils")
    monkeypatch.setattr(rebuild, "__qualname__", "_rebuild_tensor_v2")
    monkeypatch.setattr(rebuild, "__name__", "_rebuild_tensor_v2")
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)


def as_zip(state: Any, compression: int = zipfile.ZIP_STORED) -> bytes:
    pickled, file = io.BytesIO(), io.BytesIO()
    writer = Writer(pickled, 5)
    writer.dump(state)
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("model/data.pkl", pickled.getvalue())
        archive.writestr("model/byteorder", b"little")
        for key, numbers in writer.stored.items():
            archive.writestr(f"model/data/{key}", numbers.tobytes())
        archive.writestr("model/version", b"3\n")
    return file.getvalue()


def as_pickles(state: Any) -> bytes:
    file = io.BytesIO()
    for value in (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}):
        pickle.dump(value, file, 2)
    writer = Writer(file, 6)
    writer.dump(state)
    pickle.dump(list(writer.stored), file, 2)
    for numbers in writer.stored.values():
        file.write(struct.pack("<q", numbers.size) + numbers.tobytes())
    return file.getvalue()


WRITERS = (as_zip, as_pickles)


def read(data: bytes, folder: Path, entry: str | None = None) -> dict[str, np.ndarray]:
    path = folder / "state.pth"
    path.write_bytes(data)
    return read_torch_state(path, entry)


def some_state() -> Any:
    state: Any = collections.OrderedDict()
    state["weight"] = Pickled(NUMBERS.reshape(2, 3, 4))
    state["part"] = Pickled(NUMBERS, 5, (3, 2), (1, 6))  # transposed, of the same kind in a storage of its own
    state["scalar"] = Pickled(np.array(7, np.int64))
    state["half"] = Pickled(np.array([0.5, -2.0], np.float16))
    state["brain"] = Pickled(np.array([0x3F80, 0xC020], np.uint16))  # 1 and -2.5 as bfloat16
    state["empty"] = Pickled(np.zeros((0, 3), np.float32))
    state["epoch"] = 3
    state._metadata = {"": {"version": 1}}
    return state


@pytest.mark.parametrize("write", WRITERS)
def test_tensors_come_as_they_were_saved(write: Any, tmp_path: Path, torch_names: None) -> None:
    state = read(write(some_state()), tmp_path)
    assert list(state) == ["weight", "part", "scalar", "half", "brain", "empty"]
    assert np.array_equal(state["weight"], NUMBERS.reshape(2, 3, 4))
    assert state["part"].tolist() == [[5, 11], [6, 12], [7, 13]]
    assert state["scalar"].shape == () and state["scalar"] == 7
    assert state["half"].tolist() == [0.5, -2.0] and state["half"].dtype == np.float16
    assert state["brain"].tolist() == [1.0, -2.5] and state["brain"].dtype == np.float32
    assert state["empty"].shape == (0, 3)


@pytest.mark.parametrize("write", WRITERS)
def test_a_state_inside_a_checkpoint(write: Any, tmp_path: Path, torch_names: None) -> None:
    data = write({"epoch": 3, "state_dict": some_state()})
    assert "weight" in read(data, tmp_path, "state_dict")
    with pytest.raises(ModelFormatError, match=r"pass one of these as entry: \['state_dict'\]"):
        read(data, tmp_path)


def test_dictionaries_as_python_2_wrote_them(tmp_path: Path, torch_names: None) -> None:
    state = read(as_pickles(Command(collections.OrderedDict, [["weight", Pickled(NUMBERS)]])), tmp_path)
    assert np.array_equal(state["weight"], NUMBERS)


class Command:
    """A call that a pickle asks for."""

    def __init__(self, *call: Any) -> None:
        self.call = call

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call[0], self.call[1:]


def nested(depth: int) -> Any:
    """Small as a pickle, endless in writing."""
    value: Any = ()
    for _ in range(depth):
        value = (value, value)
    return value


MALICIOUS: dict[str, Any] = {
    "a command": lambda: {"weight": Command(os.system, "echo ran > ran")},
    "a builtin": lambda: {"weight": Command(getattr, NUMBERS, "tobytes")},
    "a class": lambda: {"weight": Command(np.float32, 1)},
    "beyond its storage": lambda: {"weight": Pickled(NUMBERS, 20, (5,), (1,))},
    "far strides": lambda: {"weight": Pickled(NUMBERS, 0, (2, 2), (1, 1 << 40))},
    "negative strides": lambda: {"weight": Pickled(NUMBERS, 5, (3,), (-1,))},
    "one number many times": lambda: {"weight": Pickled(NUMBERS, 0, (1 << 40,), (0,))},
    "a shape of text": lambda: {"weight": Pickled(NUMBERS, 0, ("2",), (1,))},
    "no tensor": lambda: {"weight": Pickled(NUMBERS, nested(200), (1,), (1,))},
    "names that are tuples": lambda: {nested(3): Pickled(NUMBERS)},
    "no dictionary": lambda: [Pickled(NUMBERS)],
    "a dictionary of no pairs": lambda: {"weight": Command(collections.OrderedDict, [["a", 1, 2]])},
    "a dictionary of a number": lambda: {"weight": Command(collections.OrderedDict, 5)},
    "a number": lambda: 5,
}


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("name", MALICIOUS)
def test_all_but_names_and_tensors_is_refused(
    name: str, write: Any, tmp_path: Path, torch_names: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelFormatError, match="expected"):
        read(write(MALICIOUS[name]()), tmp_path)
    assert not Path("ran").exists()


@pytest.mark.parametrize("write", WRITERS)
def test_damaged_files_are_refused_or_read(write: Any, tmp_path: Path, torch_names: None) -> None:
    data, rng = write(some_state()), np.random.default_rng(0)
    for _ in range(400):
        damaged = bytearray(data)
        for place in rng.integers(0, len(data), rng.integers(1, 4)):
            damaged[place] = rng.integers(256)
        whole = int(rng.integers(len(data))) if rng.random() < 0.3 else len(data)
        try:
            state = read(bytes(damaged[:whole]), tmp_path)
        except ModelFormatError:
            continue
        assert all(np.isfinite(array.size) for array in state.values())


def test_foreign_files_are_refused(tmp_path: Path, torch_names: None) -> None:
    with pytest.raises(ModelFormatError, match="got compressed members"):
        read(as_zip(some_state(), zipfile.ZIP_DEFLATED), tmp_path)
    for data in (b"", b"PK", b"\x80\x02]q\x00.", pickle.dumps(5, 2), b"weights"):
        with pytest.raises(ModelFormatError):
            read(data, tmp_path)
    with pytest.raises(FileNotFoundError):
        read_torch_state(tmp_path / "nothing.pth")


def test_too_large_files_are_refused(tmp_path: Path, torch_names: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dlcore.interop.native.settings", lambda: Settings(max_model_bytes=100))
    with pytest.raises(ModelFormatError, match="raise DLCORE_MAX_MODEL_BYTES"):
        read(as_zip(some_state()), tmp_path)


def test_a_state_fills_a_network() -> None:
    with skipped():
        source, target = mobilenet_v2(3, 0.35), mobilenet_v2(3, 0.35)
    rng = np.random.default_rng(0)
    state = {
        n: rng.random(h.value.shape, np.float32) for n, h in {**source.named_parameters(), **source.buffers()}.items()
    }
    state["features.0.1.num_batches_tracked"] = np.array(5)
    load_torch_state(target, state)
    assert np.array_equal(target.find("features.1.conv.0.0").weight.value, state["features.1.conv.0.0.weight"])
    assert np.array_equal(target.find("features.18.1").running_var.value, state["features.18.1.running_var"])


def test_names_are_mapped_and_what_does_not_fit_is_refused() -> None:
    model = Sequential().add(Linear(2, 3).set_name("fc")).add(SpatialBatchNormalization(3, affine=False).set_name("bn"))
    state = {
        "module.fc.weight": np.ones((3, 2)), "module.fc.bias": np.full(3, 2.0), "extra": np.zeros(1),
        "module.bn.running_mean": np.zeros(3), "module.bn.running_var": np.ones(3),
    }  # fmt: skip
    load_torch_state(model, state, lambda name: name.removeprefix("module.") if name != "extra" else None)
    assert model.find("fc").bias.value.tolist() == [2, 2, 2]
    load_torch_state(model, state, {name: name[7:] for name in state if name != "extra"})
    with pytest.raises(ValueError, match=r"got a state without \['bn.running_mean'.*pass a name_map"):
        load_torch_state(model, state)
    with pytest.raises(ValueError, match=r"got fc\.weight of shape"):
        named = {name.removeprefix("module."): value for name, value in state.items() if name != "extra"}
        load_torch_state(model, named | {"fc.weight": np.ones((2, 3))})
    with pytest.raises(ValueError, match="another name is mapped to as well"):
        load_torch_state(model, state, lambda name: "fc.weight")
