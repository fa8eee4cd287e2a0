"""Turn the bytes of an image into one canonical image, always with a reason: a bad file is never an exception, never
silence.

A canonical image is a JPEG (8 bits, gray or colour, sRGB), upright, with no side above `Limits.max_side` and nothing
behind its end; a file that is canonical already keeps its bytes. The order is: magic bytes, structure, header, limits,
pixels. Pillow's
LOAD_TRUNCATED_IMAGES is never set: a damaged file is measured, and used only if nearly all of its rows are there.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import PIL
import pyarrow as pa
import simplejpeg
from PIL import Image, ImageChops, features

from data_contracts.images import IMAGES
from data_contracts.reasons import Flag, Reason
from dlcore.vision.pixels import Pixels, resized
from spark_jobs.stages import colour_profile, file_format, frames, jpeg, jpeg_markers, png_chunks, tiff_directory
from spark_jobs.stages.colour import Colours, to_colours
from spark_jobs.stages.first_picture import FirstPicture
from spark_jobs.stages.limits import Limits, TimedOut, Unusable, check_size, time_limit
from spark_jobs.stages.measures import blur_of, is_blank, stands_out
from spark_jobs.stages.orientation import TURNS, UPRIGHT, orientation_of, orientation_of_picture

DECODER_VERSION = (
    f"pillow {PIL.__version__}, libjpeg-turbo {features.version_feature('libjpeg_turbo')}, "
    f"littlecms {features.version_module('littlecms2')}, simplejpeg {simplejpeg.__version__}, rules 2"
)
"""The versions that decide the pixels; the run report records them, because other versions may give other pixels."""

GRAY_GROUND = (128, 128, 128)
"""The background for a picture that cannot be seen on white."""


@dataclass(frozen=True)
class CanonicalImage:
    """One row of the dataset `images`: `image`, `width`, `height`, `blur`, `entropy` are None unless `reason` is ok.

    blur: variance of the Laplacian of the luma, low is blurred. entropy: that of the luma's histogram, in bits. sha256:
    that of the original bytes.
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


@dataclass(frozen=True)
class _Source:
    """A file being decoded: its bytes, its format, and what was noticed so far."""

    data: bytes
    name: str
    flags: list[Flag] = field(default_factory=list)


def decode_image(data: bytes | None, limits: Limits | None = None) -> CanonicalImage:
    """Make the canonical image of a file's bytes, or say why not.

    Raises:
        MemoryError: the process has too little memory. Other pictures would fail too, so it is not this one's fault.

    >>> decode_image(b"<html>503</html>").reason.value
    'html_error_page'
    """
    if data is None:
        return CanonicalImage(None, Reason.MISSING_IMAGE, "none", None)
    source, limits = _Source(data, file_format.identify(data)), limits or Limits()
    row = CanonicalImage(None, Reason.OK, source.name, hashlib.sha256(data).hexdigest())
    try:
        _check_bytes(row, source, limits)
        with warnings.catch_warnings(), time_limit(limits.timeout_s):
            warnings.simplefilter("ignore")  # what Pillow warns of is checked here, and flagged
            source = _skip_leading_garbage(source, limits)
            row = replace(row, source_format=source.name)
            canonical = _canonical_jpeg if source.name == "jpeg" else _canonical_other
            return canonical(row, source, limits)
    except Unusable as unusable:
        return replace(row, reason=unusable.reason)
    except TimedOut:
        return replace(row, reason=Reason.TIMED_OUT)
    except MemoryError:
        raise
    except Exception:  # decoders raise anything on hostile bytes
        return replace(row, reason=Reason.UNDECODABLE)


def decode_batches(batches: Iterable[pa.RecordBatch], limits: Limits) -> Iterator[pa.RecordBatch]:
    """Rows of `raw_images` (day, key, reason, image) -> rows of `images`, one for one.

    A row that is not used already keeps its reason.
    """
    schema = IMAGES.arrow_schema()
    for batch in batches:
        rows = batch.select(["day", "key", "reason", "image"]).to_pylist()
        yield pa.RecordBatch.from_pylist([_decoded(row, limits) for row in rows], schema)


def _decoded(row: dict[str, Any], limits: Limits) -> dict[str, Any]:
    if row["reason"] != Reason.OK:
        return row | {"image": None}
    try:
        return row | vars(decode_image(row["image"], limits))
    except MemoryError as error:
        raise MemoryError(
            f"image {row['key']}: got no memory to decode {len(row['image'])} bytes; "
            "give the Python workers more memory, or lower max_pixels"
        ) from error


def read_pixels(canonical: bytes) -> Pixels:
    """Decode a canonical image to RGB (H, W, 3) uint8; the one decoder of all later stages."""
    pixels: Pixels = simplejpeg.decode_jpeg(canonical, "RGB", strict=False)
    return pixels


def read_scaled(canonical: bytes, side: int) -> Pixels:
    """The same for a network whose pictures have `side` pixels: a large image is scaled down while it is decoded, to
    twice that or more."""
    least = 2 * side
    pixels: Pixels = simplejpeg.decode_jpeg(canonical, "RGB", min_height=least, min_width=least, strict=False)
    return resized(pixels, side)


def _check_bytes(row: CanonicalImage, source: _Source, limits: Limits) -> None:
    if not source.data:
        raise Unusable(Reason.EMPTY)
    if len(source.data) > limits.max_bytes:
        raise Unusable(Reason.TOO_MANY_BYTES)
    if row.sha256 in limits.placeholders:
        raise Unusable(Reason.PLACEHOLDER)
    if source.name == "html":
        raise Unusable(Reason.HTML_ERROR_PAGE)


def _skip_leading_garbage(source: _Source, limits: Limits) -> _Source:
    """Return a source that begins with its image; an image behind foreign bytes is refused unless the limits allow
    it."""
    if source.name in file_format.DECODED_FORMATS:
        return source
    if source.name not in file_format.NOT_IMAGES:
        raise Unusable(Reason.UNSUPPORTED_FORMAT)
    offset = file_format.embedded_image(source.data)
    if offset is None:
        raise Unusable(Reason.NOT_IMAGE)
    if not limits.skip_leading_garbage:
        raise Unusable(Reason.LEADING_GARBAGE)
    data = source.data[offset:]
    return _Source(data, file_format.identify(data), [Flag.LEADING_GARBAGE_SKIPPED])


def _canonical_jpeg(row: CanonicalImage, source: _Source, limits: Limits) -> CanonicalImage:
    header = jpeg_markers.read_header(source.data)
    data = jpeg_markers.picture_bytes(source.data, header)
    source.flags.extend(jpeg_markers.tail_flags(source.data, header.end))
    size = jpeg.read_size(data, header)
    check_size(size.width, size.height, limits)
    jpeg.check_scans(header, size.width * size.height)
    orientation = orientation_of(header.exif, header.xmp)
    source.flags.extend([Flag.GRAYSCALE] if size.colours == "GRAY" else [])
    is_srgb = size.colours == "CMYK" or _is_srgb(source, header)
    is_small = max(size.width, size.height) <= limits.max_side
    if size.colours != "CMYK" and orientation == UPRIGHT and is_small and is_srgb and not size.is_unusual:
        luma = jpeg.decode_sound(data, "GRAY")
        if luma is not None:
            return _finish(row, source, data, Image.fromarray(luma[:, :, 0]), limits)
    picture = (
        _load_unusual(data) if size.is_unusual else _load_jpeg(source, data, size.colours, header.is_adobe, limits)
    )
    picture.info = {} if is_srgb else {"icc_profile": header.profile}
    found = to_colours(picture, FirstPicture(data))
    source.flags.extend(found.flags)
    return _encode(row, source, _turned(found, source, orientation), limits)


def _is_srgb(source: _Source, header: jpeg_markers.JpegHeader) -> bool:
    """Whether the file's profile leaves its colours as they are; so does a profile that cannot be used, which is
    flagged."""
    source.flags.extend([Flag.PROFILE_IGNORED] if header.has_broken_profile else [])
    try:
        return not header.profile or colour_profile.conversion(header.profile) is None
    except ValueError:
        source.flags.append(Flag.PROFILE_IGNORED)
        return True


def _load_unusual(data: bytes) -> Image.Image:
    try:
        return jpeg.decode_unusual(data)
    except OSError as error:
        raise Unusable(Reason.TRUNCATED if "truncated" in str(error) else Reason.UNDECODABLE) from None


def _load_jpeg(source: _Source, data: bytes, colours: str, is_adobe: bool, limits: Limits) -> Image.Image:
    pixels = jpeg.decode_sound(data, colours, 2 * limits.max_side)
    if pixels is None:
        damaged = jpeg.decode_damaged(data, colours)
        if damaged.share < limits.min_decoded_share:
            raise Unusable(Reason.TRUNCATED)
        source.flags.append(Flag.TRUNCATED_TAIL if damaged.ends_early else Flag.CORRUPT_DATA)
        pixels = damaged.pixels
    height, width, _ = pixels.shape
    mode = "L" if colours == "GRAY" else colours
    loaded = Image.frombuffer(mode, (width, height), np.ascontiguousarray(pixels), "raw", mode, 0, 1)
    return ImageChops.invert(loaded) if colours == "CMYK" and is_adobe else loaded


def _canonical_other(row: CanonicalImage, source: _Source, limits: Limits) -> CanonicalImage:
    first = _FIRST_PICTURES.get(source.name, _unchanged)(source.data, limits)
    source.flags.extend(first.flags)
    picture = _open(source, first)
    check_size(*picture.size, limits)
    orientation = orientation_of_picture(picture)
    picture, first = _load(source, picture, first, limits)
    found = to_colours(picture, first)
    source.flags.extend(found.flags)
    return _encode(row, source, _turned(found, source, orientation), limits)


def _unchanged(data: bytes, limits: Limits) -> FirstPicture:
    return FirstPicture(data)


def _avif(data: bytes, limits: Limits) -> FirstPicture:
    flags = (Flag.PROFILE_IGNORED,) if file_format.has_other_avif_colours(data) else ()
    return FirstPicture(file_format.avif_data(data), flags, file_format.avif_end(data) > len(data))


_FIRST_PICTURES: dict[str, Callable[[bytes, Limits], FirstPicture]] = {
    "png": png_chunks.first_picture,
    "gif": frames.first_gif_frame,
    "webp": frames.first_webp_frame,
    "tiff": tiff_directory.first_page,
    "avif": _avif,
}


def _open(source: _Source, first: FirstPicture) -> Image.Image:
    """Read the header only."""
    try:
        return Image.open(io.BytesIO(first.data), formats=(source.name.upper(),))
    except Image.DecompressionBombError:
        raise Unusable(Reason.TOO_MANY_PIXELS) from None
    except MemoryError:
        raise
    except Exception:
        raise Unusable(Reason.TRUNCATED if first.ends_early else Reason.CORRUPT_HEADER) from None


def _load(
    source: _Source, picture: Image.Image, first: FirstPicture, limits: Limits
) -> tuple[Image.Image, FirstPicture]:
    """Load a file other than a JPEG: whole, or the rows of a truncated PNG if nearly all are there."""
    try:
        is_animated = source.name == "avif" and getattr(picture, "is_animated", False)
        picture.load()
        source.flags.extend([Flag.ANIMATED] if is_animated else [])
        source.flags.extend([Flag.TRUNCATED_TAIL] if source.name == "png" and first.ends_early else [])
        return picture, first
    except MemoryError:
        raise
    except Exception as error:
        ends_early = first.ends_early or "truncated" in str(error)
        rows = png_chunks.complete_rows(first.data) if source.name == "png" and ends_early else None
    if rows is None or rows.share < limits.min_decoded_share:
        raise Unusable(Reason.TRUNCATED if ends_early else Reason.UNDECODABLE)
    source.flags.append(Flag.TRUNCATED_TAIL)
    picture = Image.open(io.BytesIO(rows.data), formats=("PNG",))
    picture.load()
    return picture, replace(first, data=rows.data)


def _turned(found: Colours, source: _Source, orientation: int) -> Colours:
    if orientation == UPRIGHT:
        return found
    source.flags.append(Flag.EXIF_ROTATED)
    if source.name == "tiff":  # Pillow has turned it
        return found
    alpha = None if found.alpha is None else found.alpha.transpose(TURNS[orientation])
    return replace(found, rgb=found.rgb.transpose(TURNS[orientation]), alpha=alpha)


def _encode(row: CanonicalImage, source: _Source, found: Colours, limits: Limits) -> CanonicalImage:
    """Write the picture on white as JPEG, or on gray if only its outline stands out."""
    rgb = _scaled_down(found.on(), source, limits)
    if found.has_outline() and not stands_out(rgb, limits):
        on_gray = _scaled_down(found.on(GRAY_GROUND), source, limits)
        if stands_out(on_gray, limits):
            source.flags.append(Flag.GRAY_GROUND)
            rgb = on_gray
    data = simplejpeg.encode_jpeg(np.asarray(rgb), limits.jpeg_quality, "RGB", "444")
    return _finish(row, source, data, rgb.convert("L"), limits)


def _scaled_down(rgb: Image.Image, source: _Source, limits: Limits) -> Image.Image:
    scale = limits.max_side / max(rgb.size)
    if scale >= 1:
        return rgb
    source.flags.append(Flag.DOWNSCALED)
    size = (max(1, round(rgb.width * scale)), max(1, round(rgb.height * scale)))
    return rgb.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)


def _finish(row: CanonicalImage, source: _Source, image: bytes, luma: Image.Image, limits: Limits) -> CanonicalImage:
    entropy = luma.entropy()
    if entropy < limits.min_entropy and is_blank(Image.fromarray(read_pixels(image)), limits):
        raise Unusable(Reason.BLANK)
    return replace(
        row,
        image=image,
        width=luma.width,
        height=luma.height,
        blur=blur_of(np.asarray(luma)),
        entropy=entropy,
        flags=tuple(dict.fromkeys(source.flags)),
    )
