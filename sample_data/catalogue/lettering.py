"""Printed matter: invented words in several typefaces, bar codes and rules, on transparent ground.

The typefaces are the free DejaVu family that matplotlib carries, so every machine prints the same letters.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sample_data.catalogue.textures import Colour

_FACES = (
    "DejaVuSans.ttf",
    "DejaVuSans-Bold.ttf",
    "DejaVuSans-Oblique.ttf",
    "DejaVuSansMono-Bold.ttf",
    "DejaVuSerif.ttf",
    "DejaVuSerif-Bold.ttf",
    "DejaVuSerif-Italic.ttf",
)
_SOUNDS = {
    "beginning": "b br c ch d dr f fl g gl h j k kr l m n p pr qu r s st t tr v w z",
    "vowel": "a e i o u ai ea io oo y",
    "ending": "l n r s t x nd rt ck mo na ra lux to",
}
_BEGINNINGS, _VOWELS, _ENDINGS = (sounds.split() for sounds in _SOUNDS.values())


@cache
def typeface(number: int, size: int) -> ImageFont.FreeTypeFont:
    """Face `number` (any whole number) at `size` pixels."""
    spec = find_spec("matplotlib")
    if spec is None or spec.origin is None:
        raise RuntimeError("printed labels need the fonts that matplotlib carries: install the project's requirements")
    folder = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf"
    # Of the two layouts the other needs a library (fribidi) that not every machine has, and sets some letters
    # elsewhere.
    return ImageFont.truetype(str(folder / _FACES[number % len(_FACES)]), size, layout_engine=ImageFont.Layout.BASIC)


def word(rng: np.random.Generator) -> str:
    """An invented brand or word of one to three syllables."""
    syllables = [str(rng.choice(_BEGINNINGS)) + str(rng.choice(_VOWELS)) for _ in range(rng.integers(1, 4))]
    text = "".join(syllables) + str(rng.choice(_ENDINGS))
    return [text.upper(), text.capitalize(), text][rng.integers(3)]


def _write(draw: ImageDraw.ImageDraw, text: str, box: tuple[int, int, int, int], face: int, ink: Colour) -> None:
    """Text as large as `box` (x0, y0, x1, y1) allows, centred."""
    x0, y0, x1, y1 = box
    font = typeface(face, 32)
    length = max(font.getlength(text), 1.0)
    size = int(min((y1 - y0) * 0.85, 32 * (x1 - x0) / length))
    if size >= 5:
        draw.text(((x0 + x1) / 2, (y0 + y1) / 2), text, fill=(*ink, 255), font=typeface(face, size), anchor="mm")


def printed(rng: np.random.Generator, width: int, height: int, ink: Colour) -> Image.Image:
    """RGBA image (height, width) of one to four lines of words, and sometimes a bar code or rules."""
    layer = Image.new("RGBA", (width, height), (*ink, 0))
    draw = ImageDraw.Draw(layer)
    lines = int(rng.integers(1, 5))
    heights = rng.uniform(0.5, 1.6, lines)
    edges = np.concatenate([[0.06], 0.06 + 0.88 * np.cumsum(heights) / heights.sum()]) * height
    for line in range(lines):
        box = (int(width * 0.08), int(edges[line]), int(width * 0.92), int(edges[line + 1]))
        kind = rng.random()
        if kind < 0.8 or line == 0:
            _write(draw, " ".join(word(rng) for _ in range(rng.integers(1, 3))), box, int(rng.integers(99)), ink)
        elif kind < 0.9:
            for x in np.sort(rng.uniform(box[0], box[2], 18)):
                draw.rectangle(
                    (x, box[1] + 2, x + width * rng.uniform(0.005, 0.02), max(box[3] - 2, box[1] + 3)), fill=(*ink, 255)
                )
        else:
            middle = (box[1] + box[3]) // 2
            draw.rectangle((box[0], middle, box[2], middle + max(height // 60, 1)), fill=(*ink, 255))
    return layer
