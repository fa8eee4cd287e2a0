"""The pickles inside PyTorch's files, interpreted: dictionaries, numbers, text and tensors, and nothing that could be
called.

Python's own unpickler is not used. A table has an entry for each instruction that a state dictionary needs; any other
is refused, and so is every global but those of `_GLOBALS`.
"""

from __future__ import annotations

import math
import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any

from dlcore.errors import ModelFormatError

DTYPES = {
    "FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "BFloat16Storage": "<u2", "LongStorage": "<i8",
    "IntStorage": "<i4", "ShortStorage": "<i2", "CharStorage": "i1", "ByteStorage": "u1", "BoolStorage": "?",
}  # fmt: skip
"""PyTorch's kinds of storage -> numpy's types; bfloat16, which numpy has not, as its bits."""
_MAX_INSTRUCTIONS = 4_000_000


@dataclass(frozen=True)
class Storage:
    """A stretch of numbers of one kind that the file holds under `key`."""

    kind: str
    key: str
    count: int


@dataclass(frozen=True)
class Tensor:
    """A view of a storage: element [i, j] is at offset + i strides[0] + j strides[1]; within the storage, no larger
    than it."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Mark:
    """Stands on the stack where a row of values begins."""


@dataclass(frozen=True)
class _Global:
    """A name that a pickle may mention: it stands for itself, and is never looked up."""

    name: str


def _refused(what: str) -> ModelFormatError:
    return ModelFormatError(f"got {what} in a pickle, expected a state dictionary: names and tensors")


def said(value: object) -> str:
    """A value for messages; of what is no text or number only the kind: small files can hold values that are endless in
    writing."""
    return repr(value)[:80] if type(value) in (str, int, bool) else type(value).__name__


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 1 << 48


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: object) -> Tensor:
    """`torch._utils._rebuild_tensor` and its second version, checked."""
    is_geometry = isinstance(shape, tuple) and isinstance(strides, tuple) and len(shape) == len(strides) <= 32
    if not (isinstance(storage, Storage) and is_geometry and all(map(_is_count, (offset, *shape, *strides)))):
        raise _refused(f"a tensor of {said(storage)} at {said(offset)} without a right shape and strides")
    last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
    if math.prod(shape) and (last >= storage.count or math.prod(shape) > storage.count):
        raise _refused(f"a tensor of shape {shape} and strides {strides} beyond its {storage.count} numbers")
    return Tensor(storage, offset, shape, strides)


def _dictionary(pairs: Any = (), *_: object) -> dict[Any, Any]:
    """`collections.OrderedDict`; Python 2 wrote its entries as a list of pairs."""
    if not all(type(pair) is list and len(pair) == 2 and type(pair[0]) in (str, int) for pair in pairs):
        raise _refused("a dictionary made of no pairs")
    return dict(pairs)


def _parameter(data: object, *_: object) -> object:
    return data


_GLOBALS: dict[str, Callable[..., Any] | None] = {
    "collections OrderedDict": _dictionary,
    "torch._utils _rebuild_tensor": _tensor,
    "torch._utils _rebuild_tensor_v2": _tensor,
    "torch._utils _rebuild_parameter": _parameter,
    **{f"torch {kind}": None for kind in DTYPES},
}
"""Name -> what makes the value that a call of it stands for; None: it is not called."""


@dataclass
class _Machine:
    """The stack of an unpickler, and what it has remembered."""

    stack: list[Any] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def pop(self) -> Any:
        """The topmost value."""
        if not self.stack or self.stack[-1] is _Mark:
            raise _refused("an instruction without its value")
        return self.stack.pop()

    def row(self) -> list[Any]:
        """The values above the topmost mark, which goes as well."""
        values: list[Any] = []
        while self.stack and self.stack[-1] is not _Mark:
            values.append(self.stack.pop())
        if not self.stack:
            raise _refused("a row without a beginning")
        self.stack.pop()
        return values[::-1]

    def push_tuple(self, count: int) -> None:
        """The topmost `count` values as a tuple."""
        self.stack.append(tuple([self.pop() for _ in range(count)][::-1]))

    def put(self, place: int) -> None:
        """Remember the topmost value."""
        self.memo[place] = self.stack[-1] if self.stack else None

    def get(self, place: int) -> None:
        """Push a remembered value."""
        if place not in self.memo:
            raise _refused(f"memory {place} that was not written")
        self.stack.append(self.memo[place])

    def name(self, name: str) -> None:
        """Push a global, if it is a known one."""
        if name not in _GLOBALS:
            raise _refused(f"the name {said(name)}")
        self.stack.append(_Global(name))

    def name_from_stack(self) -> None:
        """Push the global whose module and name are on the stack."""
        name, module = self.pop(), self.pop()
        if not isinstance(name, str) or not isinstance(module, str):
            raise _refused(f"a name that is {said(module)} and {said(name)}")
        self.name(f"{module} {name}")

    def storage(self) -> None:
        """Push the storage that a persistent id names: ("storage", kind, key, device, count)."""
        given = self.pop()
        if (
            not isinstance(given, tuple)
            or len(given) not in (5, 6)
            or given[0] != "storage"
            or given[5:] not in ((), (None,))
        ):
            raise _refused(f"a reference to {said(given)}")
        kind = given[1].name.removeprefix("torch ") if isinstance(given[1], _Global) else ""
        if kind not in DTYPES or not isinstance(given[2], str) or not _is_count(given[4]):
            raise _refused(f"a reference to {said(given)}")
        self.stack.append(Storage(kind, given[2], given[4]))

    def call(self) -> None:
        """Push what a known global makes of its arguments."""
        arguments, called = self.pop(), self.pop()
        make = _GLOBALS[called.name] if isinstance(called, _Global) else None
        if make is None or not isinstance(arguments, tuple):
            raise _refused(f"a call of {said(called)}")
        try:
            self.stack.append(make(*arguments))
        except TypeError:
            raise _refused(f"a call with {len(arguments)} arguments") from None

    def set_items(self, row: list[Any]) -> None:
        """Put keys and values into the dictionary on the stack."""
        target = self.stack[-1] if self.stack else None
        if not isinstance(target, dict) or len(row) % 2 or not all(type(key) in (str, int) for key in row[::2]):
            raise _refused("entries of no dictionary, or under keys that are no names")
        target.update(zip(row[::2], row[1::2], strict=True))

    def append(self, row: list[Any]) -> None:
        """Put values into the list on the stack."""
        target = self.stack[-1] if self.stack else None
        if not isinstance(target, list):
            raise _refused("elements of no list")
        target.extend(row)

    def build(self) -> None:
        """Forget the attributes of a dictionary: versions of layers."""
        self.pop()
        if not self.stack or not isinstance(self.stack[-1], dict):
            raise _refused("attributes of no dictionary")


_INSTRUCTIONS: dict[str, Callable[[_Machine, Any], None]] = {
    **dict.fromkeys(("PROTO", "FRAME"), lambda machine, argument: None),
    **dict.fromkeys(
        (
            "BININT",
            "BININT1",
            "BININT2",
            "LONG1",
            "BINFLOAT",
            "BINUNICODE",
            "SHORT_BINUNICODE",
            "BINSTRING",
            "SHORT_BINSTRING",
        ),
        lambda machine, argument: machine.stack.append(argument),
    ),
    "NONE": lambda machine, argument: machine.stack.append(None),
    "NEWTRUE": lambda machine, argument: machine.stack.append(True),
    "NEWFALSE": lambda machine, argument: machine.stack.append(False),
    "EMPTY_DICT": lambda machine, argument: machine.stack.append({}),
    "EMPTY_LIST": lambda machine, argument: machine.stack.append([]),
    "EMPTY_TUPLE": lambda machine, argument: machine.stack.append(()),
    "MARK": lambda machine, argument: machine.stack.append(_Mark),
    "TUPLE": lambda machine, argument: machine.stack.append(tuple(machine.row())),
    "TUPLE1": lambda machine, argument: machine.push_tuple(1),
    "TUPLE2": lambda machine, argument: machine.push_tuple(2),
    "TUPLE3": lambda machine, argument: machine.push_tuple(3),
    **dict.fromkeys(("BINPUT", "LONG_BINPUT"), lambda machine, argument: machine.put(argument)),
    "MEMOIZE": lambda machine, argument: machine.put(len(machine.memo)),
    **dict.fromkeys(("BINGET", "LONG_BINGET"), lambda machine, argument: machine.get(argument)),
    "GLOBAL": lambda machine, argument: machine.name(argument),
    "STACK_GLOBAL": lambda machine, argument: machine.name_from_stack(),
    "BINPERSID": lambda machine, argument: machine.storage(),
    "REDUCE": lambda machine, argument: machine.call(),
    "SETITEM": lambda machine, argument: machine.set_items([machine.pop(), machine.pop()][::-1]),
    "SETITEMS": lambda machine, argument: machine.set_items(machine.row()),
    "APPEND": lambda machine, argument: machine.append([machine.pop()]),
    "APPENDS": lambda machine, argument: machine.append(machine.row()),
    "BUILD": lambda machine, argument: machine.build(),
}
"""What each instruction does to the machine."""


def interpreted(stream: IO[bytes]) -> Any:
    """The value of the pickle that begins where `stream` stands, which then stands behind it.

    Raises:
        ModelFormatError: it is damaged, or says more than a state dictionary needs.
    """
    machine = _Machine()
    try:
        for count, (instruction, argument, _) in enumerate(pickletools.genops(stream)):
            if instruction.name == "STOP":
                return machine.pop()
            if instruction.name not in _INSTRUCTIONS or count > _MAX_INSTRUCTIONS:
                raise _refused(f"the instruction {instruction.name}")
            _INSTRUCTIONS[instruction.name](machine, argument)
    except ModelFormatError:
        raise
    except (ValueError, OverflowError) as error:  # what pickletools makes of damaged bytes
        raise ModelFormatError(f"got a damaged pickle ({str(error)[:200]})") from error
    raise ModelFormatError("got a pickle without an end")
