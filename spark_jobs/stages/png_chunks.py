"""Read PNG by its chunks: what decides the pixels is kept, checked and measured; all else is left out.

Source: W3C PNG third edition, sections 5 (chunks), 11.3 (ancillary chunks) and 13.1 (errors in these need not be
fatal).
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from data_contracts.reasons import Flag, Reason
from spark_jobs.stages.first_picture import FirstPicture
from spark_jobs.stages.limits import Limits, Unusable, check_parts, check_size

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_METADATA_BYTES = 1 << 20
"""Most bytes of an unpacked profile or text: Pillow refuses the picture for more."""
_PIECE_BYTES = 1 << 20
_HEADER_BYTES = 33  # signature and IHDR
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_PALETTE = 3
_USUAL_GAMMA = range(45_000, 46_001)  # 1 / 2.2 in units of 0.00001
_USUAL_PRIMARIES = frozenset({1, 2})  # BT.709, unspecified (ITU-T H.273)
# texts in which writers put an orientation
_ORIENTATION_TEXTS = re.compile(rb"(Raw profile type (exif|APP1)|XML:com\.adobe\.xmp)\0")


@dataclass(frozen=True)
class Chunk:
    """One chunk: its kind, its body as far as the file goes, and whether it is complete with a right checksum."""

    kind: bytes
    body: bytes
    is_whole: bool
    is_right: bool

    def encoded(self) -> bytes:
        """The chunk as bytes, with the right checksum."""
        return encode_chunk(self.kind, self.body)


@dataclass(frozen=True)
class Header:
    """What IHDR says; `row_bytes` with the byte that names the filter, `row_bytes * height` of all if not
    interlaced."""

    width: int
    height: int
    depth: int
    colour: int
    is_interlaced: bool

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of pixels when unpacked."""
        return 1 + (self.width * self.depth * _SAMPLES.get(self.colour, 0) + 7) // 8


@dataclass(frozen=True)
class PngRows:
    """The complete rows of a damaged PNG: `data` is a whole PNG of them, and `share` is their share of all rows."""

    data: bytes
    share: float


def encode_chunk(kind: bytes, body: bytes) -> bytes:
    """Return a chunk as bytes."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))


def first_picture(data: bytes, limits: Limits) -> FirstPicture:
    """Return a PNG of the chunks that decide its pixels; damaged pixel data is cut off if nearly all rows precede it.

    Raises:
        Unusable: the header announces a size beyond the limits, or the checksums say that pixel data is damaged.
    """
    chunks = list(read_chunks(data))
    header = _header(chunks)
    if header is None:
        return FirstPicture(data, ends_early=len(data) < _HEADER_BYTES)
    check_size(header.width, header.height, limits)
    ends_early = not (chunks[-1].kind == b"IEND" and chunks[-1].is_whole)
    transparent, doubtful = _transparent(chunks, header)
    flags = [*_notes(chunks, len(data)), *([Flag.CORRUPT_DATA] if doubtful else [])]
    if _is_damaged(chunks, header):
        rows = complete_rows(data, until_damage=True)
        if rows is None or rows.share < limits.min_decoded_share:
            raise Unusable(Reason.CORRUPT_PIXELS)
        return FirstPicture(rows.data, (*flags, Flag.CORRUPT_DATA), False, header.depth, transparent)
    kept = [chunk for chunk in chunks if _is_kept(chunk, header)]
    body = b"".join(chunk.encoded() for chunk in kept)
    whole = data[:8] + body + encode_chunk(b"IEND", b"")
    return FirstPicture(whole, tuple(flags), ends_early, header.depth, transparent)


def complete_rows(data: bytes, until_damage: bool = False) -> PngRows | None:
    """Make a whole PNG from the rows that a damaged one still has; None if there are none or it is interlaced.

    until_damage: end before the first chunk of pixels whose checksum is wrong.
    """
    chunks = list(read_chunks(data))
    header = _header(chunks)
    if header is None or header.is_interlaced or header.row_bytes == 1 or header.height == 0:
        return None
    packed, rows = _repacked(_pixel_parts(chunks, until_damage), header)
    if rows == 0:
        return None
    size = struct.pack(">II", header.width, rows) + chunks[0].body[8:]
    between = b"".join(chunk.encoded() for chunk in chunks[1:] if chunk.kind != b"IDAT" and _is_kept(chunk, header))
    whole = SIGNATURE + encode_chunk(b"IHDR", size) + between + encode_chunk(b"IDAT", packed)
    return PngRows(whole + encode_chunk(b"IEND", b""), rows / header.height)


def read_chunks(data: bytes) -> Iterator[Chunk]:
    """Yield each chunk up to IEND, the last one as far as it goes.

    Raises:
        Unusable: there are more than `MAX_PARTS`.
    """
    position, count = 8, 0
    while position + 8 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        kind, body = data[position + 4 : position + 8], data[position + 8 : position + 8 + length]
        end = position + 12 + length
        is_whole = end <= len(data)
        is_right = is_whole and zlib.crc32(body, zlib.crc32(kind)) == int.from_bytes(data[end - 4 : end], "big")
        yield Chunk(kind, body, is_whole, is_right)
        if kind == b"IEND":
            return
        position, count = end, count + 1
        check_parts(count)


def _header(chunks: list[Chunk]) -> Header | None:
    if not chunks or chunks[0].kind != b"IHDR" or len(chunks[0].body) != 13 or not chunks[0].is_right:
        return None
    width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", chunks[0].body)
    return Header(width, height, depth, colour, bool(interlace))


def _is_kept(chunk: Chunk, header: Header) -> bool:
    """Whether the decoder gets a chunk. The transparent colour of gray and colour pictures is passed separately."""
    if chunk.kind in {b"IHDR", b"IDAT"}:
        return True
    if chunk.kind in {b"PLTE", b"tRNS"}:
        return header.colour == _PALETTE and chunk.is_right
    if chunk.kind in {b"iCCP", b"zTXt", b"iTXt", b"tEXt", b"eXIf"}:
        return chunk.is_right and len(chunk.body) <= MAX_METADATA_BYTES and _is_harmless(chunk)
    return False


def _is_harmless(chunk: Chunk) -> bool:
    """Whether a profile, or a text that may hold an orientation, unpacks to no more than Pillow takes."""
    if chunk.kind in {b"zTXt", b"iTXt", b"tEXt"} and not _ORIENTATION_TEXTS.match(chunk.body):
        return False
    _, _, rest = chunk.body.partition(b"\0")
    if chunk.kind == b"iTXt" and rest[:1] == b"\x01":
        rest = rest[1:].split(b"\0", 2)[-1]
    elif chunk.kind in {b"tEXt", b"eXIf", b"iTXt"}:
        return True
    unpacking = zlib.decompressobj()
    try:
        unpacking.decompress(rest[1:], MAX_METADATA_BYTES)
    except zlib.error:
        return False
    return unpacking.eof


def _transparent(chunks: list[Chunk], header: Header) -> tuple[tuple[int, ...], bool]:
    """Return the sample values that stand for transparent, and whether a chunk of transparency is left out as
    damaged."""
    found = next((chunk for chunk in chunks if chunk.kind == b"tRNS"), None)
    if found is None:
        return (), False
    samples = {0: 1, 2: 3}.get(header.colour, 0)
    if not found.is_right or len(found.body) < 2 * samples:
        return (), True
    mask = (1 << header.depth) - 1
    return tuple(value & mask for value in struct.unpack(f">{samples}H", found.body[: 2 * samples])), False


def _notes(chunks: list[Chunk], size_bytes: int) -> list[Flag]:
    """What the omitted chunks say about the picture, and whether bytes follow its end."""
    bodies = {chunk.kind: chunk.body for chunk in reversed(chunks) if chunk.is_right}
    used_bytes = 8 + sum(12 + len(chunk.body) for chunk in chunks)
    gamma = int.from_bytes(bodies.get(b"gAMA", b""), "big")
    has_profile = b"iCCP" in bodies or b"sRGB" in bodies
    primaries = bodies.get(b"cICP", b"\x01")[:1]
    has_other_colours = (primaries and primaries[0] not in _USUAL_PRIMARIES) or (
        len(bodies.get(b"gAMA", b"")) == 4 and not has_profile and gamma not in _USUAL_GAMMA
    )
    notes = {
        Flag.ANIMATED: int.from_bytes(bodies.get(b"acTL", b"")[:4], "big") > 1,
        Flag.TRAILING_GARBAGE: chunks[-1].is_whole and used_bytes < size_bytes,
        Flag.PROFILE_IGNORED: has_other_colours or _has_lost_profile(chunks),
    }
    return [flag for flag, is_so in notes.items() if is_so]


def _has_lost_profile(chunks: list[Chunk]) -> bool:
    profiles = [chunk for chunk in chunks if chunk.kind == b"iCCP"]
    return bool(profiles) and not any(chunk.is_right and _is_harmless(chunk) for chunk in profiles)


def _is_damaged(chunks: list[Chunk], header: Header) -> bool:
    """Whether pixel data, or a palette that it needs, differs from what was written.

    A wrong checksum of a chunk is no damage if the one over all unpacked pixels is right.
    """
    wrong = {chunk.kind for chunk in chunks if chunk.is_whole and not chunk.is_right}
    if header.colour == _PALETTE and b"PLTE" in wrong:
        return True
    return b"IDAT" in wrong and not _unpacks(chunks, header)


def _unpacks(chunks: list[Chunk], header: Header) -> bool:
    """Whether the pixels unpack to their end: zlib compares its own checksum (Adler-32) there."""
    unpacking = zlib.decompressobj()
    most = 2 * header.row_bytes * header.height + _PIECE_BYTES  # interlaced rows are more, and shorter
    count = 0
    try:
        for piece in _unpacked(unpacking, _pixel_parts(chunks, until_damage=False)):
            count += len(piece)
            if count > most:
                return False
    except zlib.error:
        return False
    return unpacking.eof


def _pixel_parts(chunks: list[Chunk], until_damage: bool) -> Iterator[bytes]:
    for chunk in chunks:
        if chunk.kind == b"PLTE" and until_damage and chunk.is_whole and not chunk.is_right:
            return
        if chunk.kind == b"IDAT":
            if until_damage and chunk.is_whole and not chunk.is_right:
                return
            yield chunk.body


def _unpacked(unpacking: zlib._Decompress, parts: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the unpacked parts, at most 1 MB at a time.

    Raises:
        zlib.error: the data is damaged.
    """
    for part in parts:
        rest = part
        while rest and not unpacking.eof:
            yield unpacking.decompress(rest, _PIECE_BYTES)
            rest = unpacking.unconsumed_tail


def _repacked(parts: Iterable[bytes], header: Header) -> tuple[bytes, int]:
    """Pack the complete rows of pixel data again; return them and their number."""
    packing = zlib.compressobj(1)
    packed, rest, rows = [], b"", 0
    try:
        for piece in _unpacked(zlib.decompressobj(), parts):
            rest += piece
            complete = min(len(rest) // header.row_bytes, header.height - rows)
            packed.append(packing.compress(rest[: complete * header.row_bytes]))
            rest, rows = rest[complete * header.row_bytes :], rows + complete
            if rows == header.height:
                break
    except zlib.error:
        rows = 0
    return b"".join([*packed, packing.flush()]), rows
