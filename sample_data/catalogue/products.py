"""Products: a sku, a category and a seed; drawn at any size as a cut-out (RGBA, transparent around the thing).

A product looks the same wherever it is drawn; `hue_shift` gives the same thing in another colour.

>>> product = Product.numbered(7, 3)
>>> product.category in CATEGORIES, product.draw(120).mode, max(product.draw(120).size)
(True, 'RGBA', 120)
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from sample_data.catalogue.categories import CATEGORIES
from sample_data.catalogue.painting import draw_style, paint, roughen
from sample_data.catalogue.palette import Palette, draw_palette
from sample_data.catalogue.textures import FIELDS, coloured, noise

_SHAPE, _COLOUR, _PATTERN, _STYLE, _PRINT = range(5)  # independent random streams of a product
_PATTERN_SIZE = 400


@dataclass(frozen=True)
class Product:
    """One article of a catalogue.

    sku: unique in its catalogue.  category: key of CATEGORIES.  seed: fixes everything about the product.
    """

    sku: str
    category: str
    seed: tuple[int, ...] = field(repr=False)

    @classmethod
    def numbered(cls, catalogue_seed: int, number: int) -> Product:
        """Product `number` of the catalogue with `catalogue_seed`; categories take turns."""
        names = list(CATEGORIES)
        category = names[number % len(names)]
        return cls(f"{category}-{catalogue_seed}-{number:05d}", category, (catalogue_seed, number))

    def palette(self, hue_shift: float = 0.0) -> Palette:
        """The product's colours, turned by `hue_shift` degrees."""
        return draw_palette(self._rng(_COLOUR), hue_shift)

    def draw(self, size: int, hue_shift: float = 0.0) -> Image.Image:
        """RGBA cut-out whose longer side is `size` pixels, trimmed to the thing, antialiased by drawing larger."""
        drawing = CATEGORIES[self.category](self._rng(_SHAPE))
        palette, style = self.palette(hue_shift), draw_style(self._rng(_STYLE))
        pattern = self._pattern(palette) if any(part.has_pattern for part in drawing) else None
        enlargement = 2 if size >= 240 else 3
        cut_out = paint(drawing, size * enlargement, palette, pattern, style, self._rng(_PRINT)).reduce(enlargement)
        if style.roughness > 0:
            speckle = noise(self._rng(_PATTERN), *cut_out.size, 20, 3)
            cut_out = roughen(cut_out, speckle, style.roughness)
        return cut_out

    def _rng(self, stream: int) -> np.random.Generator:
        return np.random.default_rng([*self.seed, stream])

    def _pattern(self, palette: Palette) -> Image.Image:
        rng = self._rng(_PATTERN)
        name = str(rng.choice(list(FIELDS)))
        return coloured(FIELDS[name](rng, _PATTERN_SIZE, _PATTERN_SIZE), palette.pattern)


def products(catalogue_seed: int, count: int) -> list[Product]:
    """`count` products of a catalogue, every category in turn."""
    return [Product.numbered(catalogue_seed, number) for number in range(count)]
