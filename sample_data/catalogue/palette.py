"""Colours of a product: one RGB value for each role that a part may be painted with."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np

from sample_data.catalogue.textures import Colour

_METALS: tuple[Colour, ...] = ((176, 180, 186), (120, 124, 130), (206, 176, 108), (190, 128, 96), (226, 228, 232))
_WOODS: tuple[Colour, ...] = ((146, 98, 58), (196, 150, 98), (92, 58, 36), (218, 184, 138), (168, 116, 74))


def rgb(hue: float, saturation: float, value: float) -> Colour:
    """Hue in degrees, saturation and value in [0, 1] -> RGB bytes."""
    r, g, b = colorsys.hsv_to_rgb(hue / 360 % 1, min(max(saturation, 0), 1), min(max(value, 0), 1))
    return round(r * 255), round(g * 255), round(b * 255)


@dataclass(frozen=True)
class Palette:
    """Roles and their colours; `saturation` is the main colour's."""

    roles: dict[str, Colour]
    pattern: tuple[Colour, ...]
    saturation: float


def _main(rng: np.random.Generator) -> tuple[float, float, float]:
    hue = rng.uniform(0, 360)
    kind = rng.random()
    if kind < 0.72:
        return hue, rng.uniform(0.35, 1.0), rng.uniform(0.4, 1.0)
    if kind < 0.87:
        return hue, rng.uniform(0.0, 0.12), rng.uniform(0.75, 1.0)
    return hue, rng.uniform(0.0, 0.25), rng.uniform(0.06, 0.4)


def _beside(rng: np.random.Generator, hue: float, value: float) -> tuple[float, float, float]:
    """A colour that goes with the main one: near, opposite, neutral, or lighter and darker."""
    kind = rng.integers(4)
    if kind == 0:
        return hue + rng.uniform(-40, 40), rng.uniform(0.3, 0.9), (value + rng.uniform(0.25, 0.6)) % 1.0
    if kind == 1:
        return hue + 180 + rng.uniform(-40, 40), rng.uniform(0.4, 1), rng.uniform(0.4, 1)
    if kind == 2:
        return hue, rng.uniform(0, 0.15), float(rng.choice([rng.uniform(0.05, 0.3), rng.uniform(0.8, 1)]))
    return hue, rng.uniform(0.2, 0.9), value * rng.uniform(0.4, 0.8)


def draw_palette(rng: np.random.Generator, hue_shift: float = 0.0) -> Palette:
    """Palette of a product; the same generator state with another `hue_shift` (degrees) is the same product in another
    colour."""
    hue, saturation, value = _main(rng)
    colours = {"main": (hue, saturation, value), "second": _beside(rng, hue, value), "trim": _beside(rng, hue, value)}
    roles = {name: rgb(h + hue_shift, s, v) for name, (h, s, v) in colours.items()}
    tint = rng.uniform(0, 360) + hue_shift
    roles["dark"] = rgb(tint, rng.uniform(0, 0.4), rng.uniform(0.05, 0.24))
    roles["light"] = rgb(tint, rng.uniform(0, 0.14), rng.uniform(0.88, 1.0))
    roles["metal"] = _METALS[rng.integers(len(_METALS))]
    roles["wood"] = _WOODS[rng.integers(len(_WOODS))]
    roles["screen"] = rgb(rng.uniform(190, 260), rng.uniform(0.2, 0.9), rng.choice([0.1, 0.2, 0.75]))
    roles["glass"] = rgb(rng.uniform(150, 230), rng.uniform(0, 0.3), rng.uniform(0.75, 1))
    pattern = [roles["main"], roles["second"], roles["trim"], roles["light"]]
    return Palette(roles, tuple(pattern[: int(rng.integers(2, 5))]), saturation)
