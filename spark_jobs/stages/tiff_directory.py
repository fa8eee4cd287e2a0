"""Read TIFF by its first directory: find where its pixels end, and make a file of the first page with only the tags of
its pixels.

Sources: TIFF revision 6.0 (Adobe 1992), sections 2, 13 and 15; BigTIFF design (libtiff).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data_contracts.reasons import Flag, Reason
from spark_jobs.stages.first_picture import FirstPicture
from spark_jobs.stages.limits import Limits, Unusable, check_parts, check_size

_WIDTH, _HEIGHT, _BITS, _STRIP_OFFSETS, _STRIP_BYTES = 256, 257, 258, 273, 279
_SAMPLES, _TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_BYTES = 277, 322, 323, 324, 325
_MAX_PIXEL_BYTES = 16
# size, compression, colours, samples, resolution-free layout, orientation, predictor, tables, alpha, YCbCr, ICC profile
_OF_PIXELS = frozenset({
    _WIDTH, _HEIGHT, _BITS, 259, 262, 266, _STRIP_OFFSETS, 274, _SAMPLES, 278, _STRIP_BYTES, 284, 292, 293, 317, 318,
    319, 320, _TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_BYTES, 332, 334, 338, 339, 347, 529, 530, 531, 532, 34675,
})  # fmt: skip
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_INTEGERS = {1: "u1", 3: "u2", 4: "u4", 16: "u8"}


@dataclass(frozen=True)
class _Form:
    """How a file writes numbers: the classic form, or that of BigTIFF."""

    order: str
    offset: str
    count: str
    header_bytes: int

    def read(self, kind: str, data: bytes, position: int) -> int:
        """An unsigned number; -1 if the file ends before it."""
        size = struct.calcsize(self.order + kind)
        if position + size > len(data):
            return -1
        return int(struct.unpack_from(self.order + kind, data, position)[0])

    @property
    def value_bytes(self) -> int:
        """Values of up to so many bytes are in the entry itself."""
        return struct.calcsize(self.offset)


@dataclass(frozen=True)
class _Entry:
    """A tag; `start` and `end` of its values in the file."""

    raw: bytes
    tag: int
    type: int
    start: int
    end: int

    def values(self, data: bytes, form: _Form) -> NDArray[np.int64]:
        """Its unsigned integers, as far as the file goes; empty for another type."""
        kind = _INTEGERS.get(self.type)
        if kind is None:
            return np.zeros(0, np.int64)
        size = np.dtype(kind).itemsize
        part = data[self.start : self.end]
        return np.frombuffer(part, form.order + kind, len(part) // size).astype(np.int64)


def first_page(data: bytes, limits: Limits) -> FirstPicture:
    """Return a TIFF of the first directory, with the tags that decide its pixels.

    Raises:
        Unusable: size, samples or tiles are beyond the limits.
    """
    form = _form(data)
    start = form.read(form.offset, data, form.header_bytes - form.value_bytes)
    count = form.read(form.count, data, start) if start >= 0 else -1
    if count < 0:
        return FirstPicture(data, ends_early=True)
    check_parts(count)
    entries = list(_entries(data, form, start, count))
    values = {entry.tag: entry.values(data, form) for entry in entries if entry.tag in _OF_PIXELS}
    bits = _first(values, _BITS, 1)
    _check_work(values, bits, limits)
    after = start + struct.calcsize(form.order + form.count) + count * (4 + 2 * form.value_bytes)
    flags = (Flag.ANIMATED,) if form.read(form.offset, data, after) > 0 else ()
    ends_early = after > len(data) or _pixel_end(values) > len(data) or any(e.end > len(data) for e in entries)
    if ends_early:
        return FirstPicture(data, flags, True, bits)
    return FirstPicture(_of_page(data, form, entries), flags, False, bits)


def _form(data: bytes) -> _Form:
    order = "<" if data[:2] == b"II" else ">"
    is_big = b"+" in data[2:4]
    return _Form(order, "Q", "Q", 16) if is_big else _Form(order, "I", "H", 8)


def _entries(data: bytes, form: _Form, start: int, count: int) -> Iterator[_Entry]:
    size = 4 + 2 * form.value_bytes
    position = start + struct.calcsize(form.order + form.count)
    for place in range(position, position + count * size, size):
        raw = data[place : place + size]
        if len(raw) < size:
            return
        tag, kind = struct.unpack(form.order + "HH", raw[:4])
        length = form.read(form.offset, raw, 4) * _TYPE_BYTES.get(kind, 1)
        value = place + 4 + form.value_bytes
        begin = value if length <= form.value_bytes else form.read(form.offset, data, value)
        if tag in _OF_PIXELS:
            yield _Entry(raw, tag, kind, begin, begin + length)


def _first(values: dict[int, NDArray[np.int64]], tag: int, otherwise: int) -> int:
    found = values.get(tag)
    return int(found[0]) if found is not None and found.size else otherwise


def _check_work(values: dict[int, NDArray[np.int64]], bits: int, limits: Limits) -> None:
    """Refuse tiles much larger than the picture, and many wide samples: they would cost memory that the size does not
    show."""
    width, height = _first(values, _WIDTH, 0), _first(values, _HEIGHT, 0)
    if width and height:
        check_size(width, height, limits)
    tile = _first(values, _TILE_WIDTH, 0) * _first(values, _TILE_HEIGHT, 0)
    if tile > limits.max_pixels or _first(values, _SAMPLES, 1) * bits > 8 * _MAX_PIXEL_BYTES:
        raise Unusable(Reason.TOO_MUCH_WORK)


def _pixel_end(values: dict[int, NDArray[np.int64]]) -> int:
    """The end of the last strip or tile."""
    ends = [0]
    for offsets, sizes in ((_STRIP_OFFSETS, _STRIP_BYTES), (_TILE_OFFSETS, _TILE_BYTES)):
        if offsets in values and sizes in values and len(values[offsets]) == len(values[sizes]) > 0:
            ends.append(int((values[offsets] + values[sizes]).max()))
    return max(ends)


def _of_page(data: bytes, form: _Form, entries: list[_Entry]) -> bytes:
    """Write a directory of these entries behind the data, and point the header to it; their values stay where they
    are."""
    padding = -len(data) % 16
    count = struct.pack(form.order + form.count, len(entries))
    directory = count + b"".join(entry.raw for entry in entries) + struct.pack(form.order + form.offset, 0)
    start = struct.pack(form.order + form.offset, len(data) + padding)
    begin = form.header_bytes - form.value_bytes
    return data[:begin] + start + data[form.header_bytes :] + bytes(padding) + directory
