"""Convert a picture from the colours of its ICC profile to sRGB.

All later stages take colours for sRGB. A profile that is sRGB, as most are, changes nothing; what it makes of a grid of
colours decides, not its name.
"""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image, ImageCms

from data_contracts.reasons import Flag

MAX_PROFILE_BYTES = 1 << 20
LARGEST_ERROR = 4
"""Levels of 255 by which colours may be off before a picture is converted for it."""
_SPACES = {b"RGB ": "RGB", b"GRAY": "L"}
_GRID = (0, 32, 64, 96, 128, 160, 192, 224, 255)


@lru_cache(maxsize=16)
def conversion(profile: bytes) -> ImageCms.ImageCmsTransform | None:
    """The conversion from colours of the profile to sRGB; None if the profile is sRGB itself.

    Raises:
        ValueError: no usable profile of RGB or gray colours.
    """
    mode = _SPACES.get(profile[16:20])
    if mode is None or len(profile) > MAX_PROFILE_BYTES:
        raise ValueError(f"got a profile of {profile[16:20]!r} in {len(profile)} bytes, expected RGB or gray")
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        transform = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError, TypeError) as error:
        raise ValueError(f"got a profile that littleCMS does not take: {error}") from None
    grid = np.stack(np.meshgrid(_GRID, _GRID, _GRID), -1).astype(np.uint8).reshape(27, 27, 3)
    colours = Image.fromarray(grid) if mode == "RGB" else Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    found = np.asarray(ImageCms.applyTransform(colours, transform)).astype(np.int16)
    apart = np.abs(found - np.asarray(colours.convert("RGB"))).max()
    return transform if apart > LARGEST_ERROR else None


def to_srgb(picture: Image.Image, profile: bytes, is_gray: bool) -> tuple[Image.Image, tuple[Flag, ...]]:
    """Convert a picture (RGB) with its profile to sRGB.

    is_gray: whether it had gray samples, which a profile of gray colours needs.
    """
    if not profile:
        return picture, ()
    try:
        transform = conversion(profile)
    except ValueError:
        return picture, (Flag.PROFILE_IGNORED,)
    if transform is None:
        return picture, ()
    if profile[16:20] == b"GRAY":
        if not is_gray:
            return picture, (Flag.PROFILE_IGNORED,)
        picture = picture.getchannel("R")
    converted = ImageCms.applyTransform(picture, transform)
    if converted is None:
        return picture, (Flag.PROFILE_IGNORED,)
    return converted, (Flag.COLOUR_PROFILE,)
