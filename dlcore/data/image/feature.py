"""A picture with everything known about it, by BigDL's keys."""

from __future__ import annotations

import logging
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from dlcore.activity import Array
from dlcore.data.files import read_limited
from dlcore.data.image.opencv import Picture
from dlcore.data.image.regions import RoiLabel
from dlcore.data.sample import JTensor, Sample
from dlcore.settings import settings

logger = logging.getLogger(__name__)

URI, MAT, BYTES, FLOATS, SIZE, ORIGINAL_SIZE = "uri", "mat", "bytes", "floats", "size", "originalSize"
LABEL, PREDICT, BOUNDING_BOX, SAMPLE, IMAGE_TENSOR = "label", "predict", "boundingBox", "sample", "imageTensor"
UNKNOWN_SIZE = (-1, -1, -1)
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
"""The formats of files that are decoded: others that Pillow knows start programs, or are not pictures of a camera."""


class ImageFeature:
    """One picture: what is known about it, by key, whether it is valid, and if not, why.

    Keys: "uri" its path, "bytes" its file, "mat" its pixels (H, W, C) in BGR order, uint8 or float32, "originalSize"
    and "size" as (height, width, channels), "label" (an array or a RoiLabel), "floats" and "imageTensor" what
    MatToFloats and MatToTensor made, "sample", "predict", "boundingBox" the part that the latest crop or expansion
    left, as fractions of what was there before.
    A file is decoded when its pixels are first asked for; a file that cannot be decoded makes the picture invalid, and
    transformers leave it alone.
    image: an array (H, W, C) or (H, W): bytes stay bytes, other numbers become float32. label: a number, an array or a
    RoiLabel.
    Source: BigDL's ImageFeature.

    Example:
        >>> picture = ImageFeature(np.zeros((4, 6, 3), np.uint8), label=2)
        >>> picture.get_size(), picture.get_label(), picture.get_image().shape
        ((4, 6, 3), array([2.], dtype=float32), (3, 4, 6))
    """

    def __init__(
        self, image: Any = None, label: Any = None, path: str | None = None, bigdl_type: str = "float"
    ) -> None:
        self._state: dict[str, Any] = {}
        self._file: Path | None = None
        self.is_valid, self.reason = True, ""
        if image is not None:
            self.set_mat(_as_picture(image))
            self[ORIGINAL_SIZE] = self[MAT].shape
        if path is not None:
            self[URI] = str(path)
        if label is not None:
            self[LABEL] = label if isinstance(label, RoiLabel) else JTensor.from_ndarray(np.asarray(label)).to_ndarray()

    @classmethod
    def of_file(cls, content: bytes, uri: str | None = None, label: Any = None) -> ImageFeature:
        """A picture from a file in memory, which is decoded when its pixels are first asked for."""
        found = cls(label=label, path=uri)
        found[BYTES] = content
        return found

    @classmethod
    def of_path(cls, path: Path, label: Any = None) -> ImageFeature:
        """A picture from a file on disk, which is read and decoded when its pixels are first asked for."""
        found = cls(label=label, path=str(path))
        found._file = path
        return found

    # --- by key -----------------------------------------------------------------------------------------------------

    def __getitem__(self, key: str) -> Any:
        """The value of `key`, None if there is none."""
        if key not in self._state:
            if key == BYTES and self._file is not None:
                return self._read()
            if key in (MAT, ORIGINAL_SIZE) and (self._file is not None or BYTES in self._state):
                self._decode()
        return self._state.get(key)

    def __setitem__(self, key: str, value: Any) -> None:
        self._state[key] = value

    def __contains__(self, key: str) -> bool:
        return key in self._state

    def keys(self) -> list[str]:
        """All keys that have a value."""
        self[ORIGINAL_SIZE]
        return sorted({*self._state, *([BYTES] if self._file is not None else [])})

    def clone(self) -> ImageFeature:
        """A copy of the picture: values set in one do not show in the other. Transformers replace arrays; they do not
        write into them."""
        found = ImageFeature()
        found._state, found._file = dict(self._state), self._file
        found.is_valid, found.reason = self.is_valid, self.reason
        return found

    def size_bytes(self) -> int:
        """The memory that its arrays and its file take."""
        arrays = (value.nbytes for value in self._state.values() if isinstance(value, np.ndarray))
        return sum(arrays) + len(self._state.get(BYTES) or b"")

    def check(self) -> ImageFeature:
        """This picture, made invalid if its file cannot be decoded; pixels that nobody has asked for are not kept."""
        copy = self.clone()
        copy[MAT]
        self.is_valid, self.reason = copy.is_valid, copy.reason
        return self

    def fail(self, reason: str) -> None:
        """Make the picture invalid, and log why."""
        self.is_valid, self.reason = False, reason
        logger.warning("%s: %s; transformers leave this picture alone", self.name(), reason)

    def name(self) -> str:
        """Its path, for messages."""
        return str(self._state.get(URI) or "a picture without a path")

    def known_size(self) -> tuple[int, int, int] | None:
        """The original size if it is known; nothing is decoded for that."""
        return self._state.get(ORIGINAL_SIZE)

    def has_label(self) -> bool:
        """Whether a label was given."""
        return LABEL in self._state

    # --- pixels -----------------------------------------------------------------------------------------------------

    def _read(self) -> bytes:
        """The file's content; empty, and the picture invalid, if it cannot be read."""
        try:
            return read_limited(self._file)  # type: ignore[arg-type]
        except (OSError, ValueError) as error:
            self.fail(str(error))
            return b""

    def _decode(self) -> None:
        self._state[MAT], self._state[ORIGINAL_SIZE] = None, UNKNOWN_SIZE
        content = self[BYTES]
        try:
            if self.is_valid:
                self.set_mat(decoded(content))
                self._state[ORIGINAL_SIZE] = self._state[MAT].shape
        except ValueError as error:
            self.fail(str(error))

    def mat(self) -> Picture:
        """The pixels (H, W, C).

        Raises:
            ValueError: there are none.
        """
        found: Picture | None = self[MAT]
        if found is None:
            why = self.reason or "MatToFloats and MatToTensor take the pixels, so they come last"
            raise ValueError(f"{self.name()}: got no pixels, expected some ({why})")
        return found

    def set_mat(self, picture: Picture) -> None:
        """Replace the pixels."""
        self._state[MAT] = np.ascontiguousarray(picture)

    def get_size(self) -> tuple[int, int, int]:
        """The present (height, width, channels)."""
        picture = self[MAT]
        found: tuple[int, int, int] = picture.shape if picture is not None else self[SIZE] or self.get_original_size()
        return found

    def get_original_size(self) -> tuple[int, int, int]:
        """(height, width, channels) before all transformers; (-1, -1, -1) if they are not known."""
        found: tuple[int, int, int] = self[ORIGINAL_SIZE] or UNKNOWN_SIZE
        return found

    def get_image(self, float_key: str = FLOATS, to_chw: bool = True) -> Array:
        """The pixels as float32, (C, H, W), or (H, W, C) without `to_chw`; in BGR order unless a transformer changed
        it."""
        known = self[float_key]
        array = np.asarray(self.mat() if known is None else known, np.float32)
        return array.transpose(2, 0, 1) if to_chw else array

    # --- for training -----------------------------------------------------------------------------------------------

    def get_label(self) -> Any:
        """The label; if there is none, an array of -1, as in BigDL."""
        found = self[LABEL]
        return np.full(1, -1, np.float32) if found is None else found

    def get_sample(self, key: str = SAMPLE) -> Sample:
        """The Sample that ImageFrameToSample made, else one of "imageTensor" and the label.

        Raises:
            ValueError: the picture is invalid, or no transformer has made either.
        """
        if not self.is_valid:
            raise ValueError(
                f"{self.name()}: {self.reason}; train without it: image_frame.filter(lambda feature: feature.is_valid)"
            )
        found: Sample | None = self[key]
        if found is None and self[IMAGE_TENSOR] is not None and not isinstance(self[LABEL], RoiLabel):
            return Sample.from_ndarray(self[IMAGE_TENSOR], () if self[LABEL] is None else self[LABEL])
        if found is None:
            raise ValueError(
                f"{self.name()}: got keys {', '.join(self.keys())}, expected {key!r}; end the transformers with "
                f"MatToTensor() and "
                'ImageFrameToSample(["imageTensor"], ["label"])'
            )
        return found


def _as_picture(image: Any) -> Picture:
    array = np.asarray(image)
    picture = array[:, :, None] if array.ndim == 2 else array
    if picture.ndim != 3 or not 1 <= picture.shape[2] <= 4 or 0 in picture.shape:
        raise ValueError(f"got an image of shape {array.shape}, expected (height, width) or (height, width, 1 to 4)")
    return picture if picture.dtype == np.uint8 else picture.astype(np.float32)


def decoded(content: bytes) -> Picture:
    """The pixels of a picture's file, uint8: (H, W, 3) in BGR order, or (H, W, 1) of a grey one.

    Transparency and the file's orientation are ignored; 16 bits of grey become 8.

    Raises:
        ValueError: it is not a picture that can be decoded, or it has more pixels than DLCORE_MAX_IMAGE_PIXELS.
    """
    from PIL import Image

    limit = settings().max_image_pixels
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as image:
            if image.width * image.height > limit:
                raise Image.DecompressionBombError(
                    f"{image.width} x {image.height} pixels, of at most {limit}; raise DLCORE_MAX_IMAGE_PIXELS if you "
                    f"trust it"
                )
            if image.mode.startswith("I;16") or image.mode == "I":
                return (np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)[:, :, None]
            if image.mode in ("1", "L", "LA"):
                return np.asarray(image.convert("L"))[:, :, None]
            return np.asarray(image.convert("RGB"))[:, :, ::-1]
    except Exception as error:  # of a damaged file Pillow raises almost anything
        raise ValueError(
            f"got a picture that cannot be decoded ({error}), expected one of {', '.join(FORMATS)}"
        ) from error
