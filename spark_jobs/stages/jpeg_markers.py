"""Read JPEG by its markers: where the first picture ends, and what its metadata says about its colours and its upright
side.

Nothing is decoded to pixels. Sources: ITU-T T.81 annex B (markers) and G (progressive scans), Exif 2.3, ICC.1:2010
annex B.4 (profiles in APP2), CIPA DC-007 (several pictures in one file).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from data_contracts.reasons import Flag
from spark_jobs.stages.limits import check_parts

_MARKER = re.compile(rb"\xff[\x02-\xcf\xd8-\xfe]")  # not a stuffed zero, a restart marker or a fill byte
_START_OF_IMAGE, _END_OF_IMAGE, _START_OF_SCAN = 0xD8, 0xD9, 0xDA
_APP0, _APP1, _APP2, _APP14 = 0xE0, 0xE1, 0xE2, 0xEE
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_EXIF, _XMP, _ICC = b"Exif\0\0", b"http://ns.adobe.com/xap/1.0/\0", b"ICC_PROFILE\0"
_KNOWN_STARTS = (b"JFIF", b"Exif")


@dataclass
class JpegHeader:
    """What precedes the pixels, and what the markers say about the whole file.

    end: offset after the first picture, None if its end is missing. scans: how often the pixels are passed over.
    ends_in_header: the file ends before its pixels.   profile: the ICC profile, empty if there is none;
    `has_broken_profile` if its
    parts, which lie at `profile_spans`, are not all there.
    """

    end: int | None = None
    scans: int = 0
    ends_in_header: bool = False
    exif: bytes = b""
    xmp: bytes = b""
    is_adobe: bool = False
    size: tuple[int, int, int] = (0, 0, 0)
    profile: bytes = b""
    has_broken_profile: bool = False
    profile_spans: tuple[tuple[int, int], ...] = ()


def read_header(data: bytes) -> JpegHeader:
    """Read the markers of the first picture of a JPEG file.

    Raises:
        Unusable: there are more segments than `limits.MAX_PARTS`.
    """
    header, start_of_scan, profile_parts = JpegHeader(), 0, []
    for count, (marker, start, end) in enumerate(_header_segments(data)):
        if marker == _START_OF_SCAN:
            start_of_scan = start
        elif end > len(data):
            header.ends_in_header = count > 0 or data[start + 4 : start + 8] in _KNOWN_STARTS
        else:
            body = data[start + 4 : end]
            _note(header, marker, body)
            if marker == _APP2 and body.startswith(_ICC):
                profile_parts.append(body[len(_ICC) :])
                header.profile_spans += ((start, end),)
    if start_of_scan:
        header.end, header.scans = _end_and_scans(data, start_of_scan)
    header.profile = _joined(profile_parts)
    header.has_broken_profile = bool(profile_parts) and not header.profile
    return header


def picture_bytes(data: bytes, header: JpegHeader) -> bytes:
    """The bytes of the first picture, without a broken profile, for which libjpeg-turbo would refuse the picture."""
    if not header.has_broken_profile:
        return data[: header.end]
    starts = (0, *(end for _, end in header.profile_spans))
    ends = (*(start for start, _ in header.profile_spans), header.end)
    return b"".join(data[start:end] for start, end in zip(starts, ends, strict=True))


def segments(data: bytes, position: int = 2) -> Iterator[tuple[int, int, int]]:
    """Yield (marker, start, end) of each segment of a JPEG; a scan's end is after its entropy-coded bytes.

    Raises:
        Unusable: there are more than `limits.MAX_PARTS`.
    """
    count = 0
    while position + 2 <= len(data):
        found = _MARKER.search(data, position)
        if found is None:
            return
        position, marker, count = found.start(), data[found.start() + 1], count + 1
        check_parts(count)
        if marker in {_END_OF_IMAGE, _START_OF_IMAGE}:
            yield marker, position, position + 2
            return
        if position + 4 > len(data):
            return
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        if marker == _START_OF_SCAN:
            following = _MARKER.search(data, end)
            end = following.start() if following else len(data)
        yield marker, position, end
        position = end


def has_all_scans(data: bytes) -> bool:
    """Tell whether the last scan of a JPEG has at least begun.

    A progressive file sends each coefficient in several scans, down to its lowest bit; before the last scan all rows
    are there, but coarse. A sequential file is complete when each component has had its scan.
    """
    lowest_bits: dict[int, list[int | None]] = {}
    for marker, start, end in segments(data):
        body = data[start + 4 : end]
        if marker in _START_OF_FRAME and len(body) > 5:
            lowest_bits = {component: [None] * 64 for component in body[6 : 6 + 3 * body[5] : 3]}
        elif marker == _START_OF_SCAN and body and len(body) >= 4 + 2 * body[0]:
            first, last, bits = body[1 + 2 * body[0] : 4 + 2 * body[0]]
            for component in body[1 : 1 + 2 * body[0] : 2]:
                if component in lowest_bits and last < 64:
                    lowest_bits[component][first : last + 1] = [bits & 15] * (last + 1 - first)
    return bool(lowest_bits) and all(bit == 0 for bits in lowest_bits.values() for bit in bits)


def tail_flags(data: bytes, end: int | None) -> tuple[Flag, ...]:
    """Say what follows the first picture: another one (a camera's MPO, joined files), foreign bytes, or nothing."""
    if end is None or end >= len(data):
        return ()
    is_picture = data[end:].lstrip(b"\0\xff").startswith(b"\xd8") and b"\xff\xd8\xff" in data[end:]
    return (Flag.SEVERAL_PICTURES,) if is_picture else (Flag.TRAILING_GARBAGE,)


def is_picture(data: bytes, position: int) -> bool:
    """Whether a JPEG begins at `position`: markers follow one another as far as the size of the picture."""
    position += 2
    for _ in range(64):
        if position + 4 > len(data) or data[position] != 0xFF:
            return False
        marker = data[position + 1]
        if marker in _START_OF_FRAME:
            return True
        if marker < 0xC0 or marker in {_START_OF_IMAGE, _END_OF_IMAGE, _START_OF_SCAN}:
            return False
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return False


def _header_segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Segments up to the start of the first scan, whose own end is not looked for."""
    position, count = 2, 0
    while (found := _MARKER.search(data, position)) and found.start() + 4 <= len(data):
        start, marker, count = found.start(), data[found.start() + 1], count + 1
        check_parts(count)
        position = start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")
        yield marker, start, position
        if marker in {_START_OF_SCAN, _END_OF_IMAGE, _START_OF_IMAGE}:
            return


def _note(header: JpegHeader, marker: int, body: bytes) -> None:
    if marker == _APP1 and body.startswith(_EXIF):
        header.exif += body[len(_EXIF) if header.exif else 0 :]
    elif marker == _APP1 and body.startswith(_XMP):
        header.xmp = header.xmp or body[len(_XMP) :]
    elif marker == _APP14 and body.startswith(b"Adobe"):
        header.is_adobe = True
    elif marker in _START_OF_FRAME and len(body) > 5:
        header.size = int.from_bytes(body[3:5], "big"), int.from_bytes(body[1:3], "big"), body[5]


def _joined(parts: list[bytes]) -> bytes:
    """The parts of a profile joined; each begins with its number and the count of all. Empty if one is missing."""
    numbered = {part[0]: part for part in parts if len(part) > 2}
    counts = {part[1] for part in numbered.values()}
    if len(counts) != 1 or sorted(numbered) != list(range(1, counts.pop() + 1)):
        return b""
    return b"".join(part[2:] for _, part in sorted(numbered.items()))


def _end_and_scans(data: bytes, start_of_scan: int) -> tuple[int | None, int]:
    """The end of the picture and its number of scans.

    In a scan, 0xFF is followed by a zero or a restart marker. So the first end marker after the only start of a scan
    is the end; segments are visited one by one only if there are several scans, or if the end is in doubt.
    """
    end = data.find(b"\xff\xd9", start_of_scan) + 2
    if end > 1 and data.find(b"\xff\xda", start_of_scan + 2, end) < 0:
        return end, 1
    scans = 0
    for marker, start, _ in segments(data, start_of_scan):
        if marker in {_END_OF_IMAGE, _START_OF_IMAGE}:  # a picture without its end, another one behind it
            return start + 2 * (marker == _END_OF_IMAGE), scans
        scans += marker == _START_OF_SCAN
    return None, scans
