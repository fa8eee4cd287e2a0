"""Bytes of an image in, one canonical image out, always with a reason: never an exception, never silence.

A canonical image is a JPEG (8 bits, gray or colour), upright, no side above `Limits.max_side`, nothing behind its end;
a file that is one already keeps its bytes. The order is: magic bytes, header, limits, pixels. Pillow's
LOAD_TRUNCATED_IMAGES is never set: a damaged file is measured, and used only if nearly all of its rows are there.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import PIL
import pyarrow as pa
import simplejpeg
from PIL import Image, ImageChops, features

from data_contracts.images import IMAGES
from data_contracts.reasons import Flag, Reason
from spark_jobs.stages import file_format, jpeg
from spark_jobs.stages.colour import to_rgb
from spark_jobs.stages.jpeg import Pixels

DECODER_VERSION = (
    f"pillow {PIL.__version__}, libjpeg-turbo {features.version_feature('libjpeg_turbo')}, "
    f"simplejpeg {simplejpeg.__version__}, rules 1"
)
"""What decided the pixels; recorded in the run report, because other versions may give other pixels."""

_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Limits:
    """What an image must keep to, and the canonical form. Sides in pixels, entropy in bits (0 to 8)."""

    max_bytes: int = 32 << 20
    max_pixels: int = 40_000_000
    min_side: int = 32
    max_aspect: float = 16.0
    min_decoded_share: float = 0.95
    min_entropy: float = 0.15
    max_side: int = 1024
    jpeg_quality: int = 95
    skip_leading_garbage: bool = False
    placeholders: frozenset[str] = frozenset()  # sha256 of files known to mean "no picture yet"


@dataclass(frozen=True)
class CanonicalImage:
    """One row of the dataset `images`: `image`, `width`, `height`, `blur`, `entropy` are None unless `reason` is ok.

    blur: variance of the Laplacian of the luma, low is blurred. entropy: of the luma's histogram, bits.
    sha256: of the original bytes.
    """

    image: bytes | None
    reason: Reason
    source_format: str
    sha256: str | None
    width: int | None = None
    height: int | None = None
    blur: float | None = None
    entropy: float | None = None
    flags: tuple[Flag, ...] = ()


class _Unusable(Exception):
    """The image is not used, for `reason`."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class _Source:
    """A file on its way: its bytes (cut to the image), its format, what was noticed so far."""

    data: bytes
    name: str
    flags: list[Flag] = field(default_factory=list)


def decode_image(data: bytes | None, limits: Limits | None = None) -> CanonicalImage:
    """Make the canonical image of a file's bytes, or say why not.

    >>> decode_image(b"<html>503</html>").reason.value
    'html_error_page'
    """
    if data is None:
        return CanonicalImage(None, Reason.MISSING_IMAGE, "none", None)
    source, limits = _Source(data, file_format.identify(data)), limits or Limits()
    row = CanonicalImage(None, Reason.OK, source.name, hashlib.sha256(data).hexdigest())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Pillow warns of is checked here, and flagged
        try:
            _check_bytes(row, source, limits)
            source = _cut_trailing_garbage(_skip_leading_garbage(source, limits))
            return _canonical(replace(row, source_format=source.name), source, limits)
        except _Unusable as unusable:
            return replace(row, reason=unusable.reason)
        except Exception:  # decoders raise anything on hostile bytes
            return replace(row, reason=_damage(source, Reason.UNDECODABLE))


def decode_batches(batches: Iterable[pa.RecordBatch], limits: Limits) -> Iterator[pa.RecordBatch]:
    """Rows of `raw_images` (day, key, reason, image) to rows of `images`, one for one.

    A row that is not used already keeps its reason.
    """
    schema = IMAGES.arrow_schema()
    for batch in batches:
        rows = batch.select(["day", "key", "reason", "image"]).to_pylist()
        yield pa.RecordBatch.from_pylist([_decoded(row, limits) for row in rows], schema)


def _decoded(row: dict[str, Any], limits: Limits) -> dict[str, Any]:
    if row["reason"] != Reason.OK:
        return row | {"image": None}
    return row | vars(decode_image(row["image"], limits))


def read_pixels(canonical: bytes) -> Pixels:
    """Decode a canonical image to RGB (H, W, 3) uint8; the one decoder of all later stages."""
    pixels: Pixels = simplejpeg.decode_jpeg(canonical, "RGB", strict=False)
    return pixels


def blur_of(luma: Pixels) -> float:
    """Variance of the 4-neighbour Laplacian over the inner pixels of `luma` (H, W); 0.0 if there are none.

    Source: Pech-Pacheco et al., Diatom autofocusing in brightfield microscopy, ICPR 2000.
    """
    if min(luma.shape) < 3:
        return 0.0
    values = luma.astype(np.int16)
    laplacian = values[:-2, 1:-1] + values[2:, 1:-1]
    laplacian += values[1:-1, :-2]
    laplacian += values[1:-1, 2:]
    laplacian -= values[1:-1, 1:-1] << 2
    flat = laplacian.ravel().astype(np.float32)
    mean = float(flat.sum(dtype=np.float64)) / flat.size
    return float(np.dot(flat, flat)) / flat.size - mean * mean


def _check_bytes(row: CanonicalImage, source: _Source, limits: Limits) -> None:
    if not source.data:
        raise _Unusable(Reason.EMPTY)
    if len(source.data) > limits.max_bytes:
        raise _Unusable(Reason.TOO_MANY_BYTES)
    if row.sha256 in limits.placeholders:
        raise _Unusable(Reason.BLANK)
    if source.name == "html":
        raise _Unusable(Reason.HTML_ERROR_PAGE)


def _skip_leading_garbage(source: _Source, limits: Limits) -> _Source:
    """Return a source that begins with its image; an image behind foreign bytes is refused unless the limits allow."""
    if source.name in file_format.DECODED_FORMATS:
        return source
    if source.name not in file_format.NOT_IMAGES:
        raise _Unusable(Reason.UNSUPPORTED_FORMAT)
    offsets = file_format.embedded_images(source.data)
    inner = next((inner for offset in offsets if _opens(inner := _from(source, offset))), None)
    if inner is None:
        raise _Unusable(Reason.NOT_IMAGE)
    if not limits.skip_leading_garbage:
        raise _Unusable(Reason.LEADING_GARBAGE)
    return inner


def _from(source: _Source, offset: int) -> _Source:
    data = source.data[offset:]
    return _Source(data, file_format.identify(data), [Flag.LEADING_GARBAGE_SKIPPED])


def _opens(source: _Source) -> bool:
    try:
        return _open(source) is not None
    except _Unusable as unusable:
        return unusable.reason is Reason.TOO_MANY_PIXELS


def _cut_trailing_garbage(source: _Source) -> _Source:
    end = file_format.image_end(source.data, source.name)
    if end is None or end >= len(source.data):
        return source
    return _Source(source.data[:end], source.name, [*source.flags, Flag.TRAILING_GARBAGE])


def _open(source: _Source) -> Image.Image:
    """Read the header only."""
    try:
        return Image.open(io.BytesIO(source.data), formats=(source.name.upper(),))
    except Image.DecompressionBombError:
        raise _Unusable(Reason.TOO_MANY_PIXELS) from None
    except Exception:
        raise _Unusable(_damage(source, Reason.CORRUPT_HEADER)) from None


def _damage(source: _Source, otherwise: Reason) -> Reason:
    """Tell a file that ends too early from one that is broken."""
    end = file_format.image_end(source.data, source.name)
    return Reason.TRUNCATED if end is not None and end > len(source.data) else otherwise


def _check_size(size: tuple[int, int], limits: Limits) -> None:
    if size[0] * size[1] > limits.max_pixels:
        raise _Unusable(Reason.TOO_MANY_PIXELS)
    if max(size) > limits.max_aspect * min(size):
        raise _Unusable(Reason.EXTREME_ASPECT)
    if min(size) < limits.min_side:
        raise _Unusable(Reason.TOO_SMALL)


def _canonical(row: CanonicalImage, source: _Source, limits: Limits) -> CanonicalImage:
    picture = _open(source)
    _check_size(picture.size, limits)
    orientation = _orientation(picture)
    if source.name == "jpeg":
        source.flags.extend([Flag.GRAYSCALE] if picture.mode == "L" else [])
        keeps_bytes = picture.mode in {"L", "RGB"} and orientation == 1 and max(picture.size) <= limits.max_side
        luma = jpeg.decode_sound(source.data, "GRAY") if keeps_bytes else None
        if luma is not None:
            return _finish(row, source, source.data, Image.fromarray(luma[:, :, 0]), limits)
        picture = _load_jpeg(source, picture, limits)
    else:
        picture = _load(source, picture, limits)
    rgb, flags = to_rgb(picture)
    source.flags.extend(flags)
    return _encode(row, source, _turn(rgb, source, orientation), limits)


def _orientation(picture: Image.Image) -> int:
    with contextlib.suppress(Exception):
        orientation = picture.getexif().get(_ORIENTATION_TAG, 1)
        return orientation if orientation in _UPRIGHT else 1
    return 1


def _turn(rgb: Image.Image, source: _Source, orientation: int) -> Image.Image:
    if orientation == 1:
        return rgb
    source.flags.append(Flag.EXIF_ROTATED)
    return rgb if source.name == "tiff" else rgb.transpose(_UPRIGHT[orientation])  # Pillow has turned a TIFF


def _load_jpeg(source: _Source, picture: Image.Image, limits: Limits) -> Image.Image:
    colours = "CMYK" if picture.mode == "CMYK" else "RGB"
    pixels = jpeg.decode_sound(source.data, colours, 2 * limits.max_side)
    if pixels is None:
        damaged = jpeg.decode_damaged(source.data, colours)
        if damaged.share < limits.min_decoded_share:
            raise _Unusable(Reason.TRUNCATED)
        source.flags.append(Flag.TRUNCATED_TAIL if damaged.ends_early else Flag.CORRUPT_DATA)
        pixels = damaged.pixels
    height, width, _ = pixels.shape
    loaded = Image.frombuffer(colours, (width, height), np.ascontiguousarray(pixels), "raw", colours, 0, 1)
    return ImageChops.invert(loaded) if colours == "CMYK" and "adobe" in picture.info else loaded


def _load(source: _Source, picture: Image.Image, limits: Limits) -> Image.Image:
    """Load a file other than a JPEG: whole, or the rows of a truncated PNG if they are nearly all."""
    try:
        source.flags.extend([Flag.ANIMATED] if getattr(picture, "is_animated", False) else [])
        picture.load()
        return picture
    except Exception as error:
        broken = Reason.TRUNCATED if "truncated" in str(error) else Reason.UNDECODABLE
        rows = file_format.complete_png_rows(source.data) if source.name == "png" else None
    if rows is None or rows.share < limits.min_decoded_share:
        raise _Unusable(_damage(source, broken))
    source.flags.append(Flag.TRUNCATED_TAIL)
    picture = Image.open(io.BytesIO(rows.data), formats=("PNG",))
    picture.load()
    return picture


def _encode(row: CanonicalImage, source: _Source, rgb: Image.Image, limits: Limits) -> CanonicalImage:
    scale = limits.max_side / max(rgb.size)
    if scale < 1:
        source.flags.append(Flag.DOWNSCALED)
        size = (max(1, round(rgb.width * scale)), max(1, round(rgb.height * scale)))
        rgb = rgb.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    data = simplejpeg.encode_jpeg(np.asarray(rgb), limits.jpeg_quality, "RGB", "444")
    return _finish(row, source, data, rgb.convert("L"), limits)


def _finish(row: CanonicalImage, source: _Source, image: bytes, luma: Image.Image, limits: Limits) -> CanonicalImage:
    entropy = luma.entropy()
    if entropy < limits.min_entropy and _colour_entropy(image) < limits.min_entropy:
        raise _Unusable(Reason.BLANK)
    return replace(
        row,
        image=image,
        width=luma.width,
        height=luma.height,
        blur=blur_of(np.asarray(luma)),
        entropy=entropy,
        flags=tuple(source.flags),
    )


def _colour_entropy(image: bytes) -> float:
    """Two colours of the same luma are a picture too."""
    return max(channel.entropy() for channel in Image.fromarray(read_pixels(image)).split())
