"""Read GIF and WebP by their blocks and keep only the first frame, so that later ones cost nothing and cannot spoil it.

Sources: GIF89a specification (CompuServe 1990), sections 17 to 27; WebP container specification (Google), RIFF chunks.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from data_contracts.reasons import Flag
from spark_jobs.stages.first_picture import FirstPicture
from spark_jobs.stages.limits import Limits, check_parts, check_size

_EXTENSION, _IMAGE, _TRAILER = b"!", b",", b";"
_GRAPHIC_CONTROL = 0xF9
_COLOUR_TABLE, _TABLE_SIZE = 0x80, 0x07


def first_gif_frame(data: bytes, limits: Limits) -> FirstPicture:
    """Return a GIF of the first frame, with the extension that gives its transparent colour.

    Raises:
        Unusable: the screen is beyond the limits, or the file is in too many parts.
    """
    if len(data) < 13:
        return FirstPicture(data, ends_early=True)
    width, height = struct.unpack("<HH", data[6:10])
    check_size(width, height, limits)
    start = 13 + _table_bytes(data[10])
    control, blocks = b"", _gif_blocks(data, start)
    for kind, begin, end in blocks:
        if kind == _IMAGE:
            ends_early = end > len(data)
            others = any(later == _IMAGE for later, _, _ in blocks)
            flags = (Flag.ANIMATED,) if others else ()
            return FirstPicture(data[:start] + control + data[begin:end] + _TRAILER, flags, ends_early)
        if data[begin + 1 : begin + 2] == bytes([_GRAPHIC_CONTROL]):
            control = data[begin:end]
    return FirstPicture(data, ends_early=True)


def _table_bytes(packed: int) -> int:
    return 3 << ((packed & _TABLE_SIZE) + 1) if packed & _COLOUR_TABLE else 0


def _gif_blocks(data: bytes, position: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield (kind, start, end) of extensions and images; an end beyond `len(data)` means that bytes are missing."""
    count = 0
    while (kind := data[position : position + 1]) in {_EXTENSION, _IMAGE} and kind:
        start = position
        if kind == _EXTENSION:
            position += 2
        else:
            packed = data[position + 9] if position + 9 < len(data) else 0
            position += 10 + _table_bytes(packed) + 1
        while position < len(data) and data[position]:
            position += 1 + data[position]
            count += 1
            check_parts(count // 10)
        position += 1
        yield kind, start, position


@dataclass(frozen=True)
class _RiffChunk:
    kind: bytes
    body: bytes
    is_whole: bool

    def encoded(self) -> bytes:
        return self.kind + struct.pack("<I", len(self.body)) + self.body + b"\0" * (len(self.body) % 2)


_OF_ONE_FRAME = frozenset({b"VP8X", b"ICCP", b"ANIM", b"ALPH", b"VP8 ", b"VP8L", b"EXIF", b"XMP "})


def first_webp_frame(data: bytes, limits: Limits) -> FirstPicture:
    """Return a WebP of the first frame and its profile and orientation; what is cut behind it is left out.

    Raises:
        Unusable: the canvas is beyond the limits (Pillow would allocate memory for it when it opens the file), or the
            file is in too many parts.
    """
    end = 8 + int.from_bytes(data[4:8], "little")
    chunks = list(_riff_chunks(data[: max(end, 12)]))
    size = _webp_size(chunks[0]) if chunks else None
    if size is None:
        return FirstPicture(data, ends_early=end > len(data))
    check_size(*size, limits)
    frames = [chunk for chunk in chunks if chunk.kind == b"ANMF"]
    kept = [chunk for chunk in chunks if chunk.kind in _OF_ONE_FRAME or any(chunk is frame for frame in frames[:1])]
    is_picture_whole = any(chunk.is_whole for chunk in kept if chunk.kind in {b"VP8 ", b"VP8L", b"ANMF"})
    notes = {Flag.ANIMATED: len(frames) > 1, Flag.TRAILING_GARBAGE: end + end % 2 < len(data)}
    flags = tuple(flag for flag, is_so in notes.items() if is_so)
    if not is_picture_whole:
        return FirstPicture(data, flags, ends_early=True)
    body = b"WEBP" + b"".join(chunk.encoded() for chunk in kept if chunk.is_whole)
    return FirstPicture(b"RIFF" + struct.pack("<I", len(body)) + body, flags)


def _riff_chunks(data: bytes) -> Iterator[_RiffChunk]:
    position, count = 12, 0
    while position + 8 <= len(data):
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        body = data[position + 8 : position + 8 + length]
        yield _RiffChunk(data[position : position + 4], body, len(body) == length)
        position, count = position + 8 + length + length % 2, count + 1
        check_parts(count)


def _webp_size(first: _RiffChunk) -> tuple[int, int] | None:
    """The canvas of an extended file, or the size of its only frame; None if the chunk is none of these."""
    body = first.body
    if first.kind == b"VP8X" and len(body) >= 10:
        return int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1
    if first.kind == b"VP8 " and len(body) >= 10:
        width, height = struct.unpack("<HH", body[6:10])
        return width & 0x3FFF, height & 0x3FFF
    if first.kind == b"VP8L" and len(body) >= 5:
        packed = int.from_bytes(body[1:5], "little")
        return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    return None
