"""Procedural textures: a field of values 0-255 coloured by a ramp of a few colours.

A field is an `L` image; each field function takes (rng, width, height). Fields are smooth or hard-edged, and cheap: a
1000 x 1000 one takes 5-30 ms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Colour = tuple[int, int, int]
Field = Callable[[np.random.Generator, int, int], Image.Image]
_Floats = NDArray[np.float32]


def _grid(width: int, height: int, degrees: float = 0.0) -> tuple[_Floats, _Floats]:
    """Coordinates turned by `degrees`, in units of the longer side: (1, W) and (H, 1) when not turned, else (H, W)
    each."""
    longest = max(width, height)
    x = np.arange(width, dtype=np.float32)[None, :] / longest
    y = np.arange(height, dtype=np.float32)[:, None] / longest
    c, s = np.float32(np.cos(np.radians(degrees))), np.float32(np.sin(np.radians(degrees)))
    return (x * c + y * s).astype(np.float32), (y * c - x * s).astype(np.float32)


def _to_image(values: NDArray[np.floating], width: int, height: int) -> Image.Image:
    """Values in [0, 1], broadcast to (height, width), as an `L` image."""
    full = np.broadcast_to(values, (height, width))
    return Image.fromarray((np.clip(full, 0, 1) * 255).astype(np.uint8), "L")


def noise(rng: np.random.Generator, width: int, height: int, coarsest: int = 3, octaves: int = 5) -> Image.Image:
    """Fractal value noise: random grids of doubling size, enlarged smoothly and added with halving weight."""
    total = np.zeros((height, width), np.float32)
    amplitude = 1.0
    for octave in range(octaves):
        cells = coarsest * 2**octave
        if cells > max(width, height):
            break
        small = rng.random(
            (max(2, cells * height // max(width, height)), max(2, cells * width // max(width, height))),
            dtype=np.float32,
        )
        total += amplitude * np.asarray(Image.fromarray(small, "F").resize((width, height), Image.Resampling.BICUBIC))
        amplitude *= 0.55
    low, high = total.min(), total.max()
    return _to_image((total - low) / max(float(high - low), 1e-6), width, height)


def stripes(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Straight stripes of any direction, frequency, width and softness."""
    x, _ = _grid(width, height, rng.choice([0, 90, 45, -45, rng.uniform(0, 180)]))
    wave = np.sin(x * np.float32(2 * np.pi * rng.uniform(3, 28)))
    return _to_image(
        0.5 + wave * np.float32(rng.choice([0.5, 2.0, 20.0])) + np.float32(rng.uniform(-0.4, 0.4)), width, height
    )


def plaid(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Crossing soft stripes."""
    x, y = _grid(width, height, rng.choice([0, 0, 45]))
    frequencies = rng.uniform(3, 22, 3).astype(np.float32) * np.float32(2 * np.pi)
    waves = [
        np.tanh(np.sin(a * f) * 6) for a, f in ((x, frequencies[0]), (y, frequencies[0]), (x + y * 0, frequencies[2]))
    ]
    return _to_image(0.5 + 0.22 * waves[0] + 0.22 * waves[1] + 0.08 * waves[2], width, height)


def checks(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Chessboard or diamonds."""
    x, y = _grid(width, height, rng.choice([0, 45, rng.uniform(0, 90)]))
    cells, stretch = rng.uniform(4, 22), rng.choice([1.0, 1.0, 0.5])
    return _to_image(((np.floor(x * cells) + np.floor(y * cells * stretch)) % 2).astype(np.float32), width, height)


def dots(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Dots on a square or staggered lattice."""
    x, y = _grid(width, height, rng.choice([0, 45, 30]))
    cells, radius = rng.uniform(5, 24), rng.uniform(0.18, 0.42)
    u, v = (x * cells) % 1 - 0.5, (y * cells) % 1 - 0.5
    return _to_image((radius - np.sqrt(u * u + v * v)) * np.float32(rng.choice([4.0, 30.0])) + 0.5, width, height)


def bricks(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Bricks or tiles: cells of random value between joints."""
    x, y = _grid(width, height)
    rows, aspect = rng.uniform(4, 18), rng.choice([1.0, 2.0, 3.0])
    row = np.floor(y * rows).astype(np.int64)
    shifted = x * rows / aspect + (0.5 * (row % 2) if rng.random() < 0.6 else 0.0)
    values = rng.random((64, 64), dtype=np.float32)[row % 64, np.floor(shifted).astype(np.int64) % 64]
    joint = rng.uniform(0.03, 0.1)
    is_joint = ((y * rows) % 1 < joint) | (shifted % 1 < joint / aspect)
    return _to_image(np.where(is_joint, np.float32(0), 0.35 + 0.65 * values).astype(np.float32), width, height)


def marble(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Veins: a wave bent by noise."""
    bend = np.asarray(noise(rng, width, height), np.float32) / 255
    x, _ = _grid(width, height, rng.uniform(0, 180))
    wave = np.sin((x * np.float32(rng.uniform(1, 6)) + bend * np.float32(rng.uniform(0.8, 3))) * np.float32(2 * np.pi))
    return _to_image(np.abs(wave) ** np.float32(rng.uniform(0.3, 1.2)), width, height)


def wood(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Grain: fine lines drawn out along one direction."""
    along = rng.random() < 0.5
    rows, columns = (int(rng.uniform(40, 120)), 3) if along else (3, int(rng.uniform(40, 120)))
    grain = Image.fromarray(rng.random((rows, columns), dtype=np.float32), "F").resize(
        (width, height), Image.Resampling.BICUBIC
    )
    slow = np.asarray(noise(rng, width, height, 2, 2), np.float32) / 255
    return _to_image(0.6 * np.asarray(grain) + 0.4 * np.sin(slow * 12) ** 2, width, height)


def cells(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Voronoi cells: pebbles, terrazzo or leather."""
    w, h = max(width // 4, 16), max(height // 4, 16)
    seeds = rng.random((int(rng.uniform(20, 220)), 2)) * [w, h]
    nearest, first, second = _two_nearest(seeds, w, h)
    edge = np.clip((second - first) / 3, 0, 1)
    value = rng.random(len(seeds))[nearest] * edge if rng.random() < 0.6 else edge
    small = Image.fromarray((value * 255).astype(np.uint8), "L")
    return small.resize((width, height), Image.Resampling.BICUBIC)


def _two_nearest(
    seeds: NDArray[np.float64], width: int, height: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """For each pixel, the nearest of the seeds (S, 2), the distance to it, and the distance to the second nearest: each
    (H, W)."""
    nearest = np.zeros((height, width), np.int64)
    first, second = np.full((2, height, width), np.inf)
    xs, ys = np.arange(width), np.arange(height)
    for number, (x, y) in enumerate(seeds):
        squared = ((xs - x) ** 2)[None, :] + ((ys - y) ** 2)[:, None]
        is_nearer = squared < first
        second = np.minimum(second, np.where(is_nearer, first, squared))
        nearest[is_nearer] = number
        first = np.minimum(first, squared)
    return nearest, np.sqrt(first), np.sqrt(second)


def grain(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """Fine speckle: paper, sand, carpet."""
    w, h = max(int(width / rng.uniform(1, 4)), 2), max(int(height / rng.uniform(1, 4)), 2)
    speckle = rng.integers(0, 256, (h, w), dtype=np.uint8)
    return Image.fromarray(speckle, "L").resize((width, height), Image.Resampling.BILINEAR)


FIELDS: dict[str, Field] = {
    f.__name__: f for f in (noise, stripes, plaid, checks, dots, bricks, marble, wood, cells, grain)
}


def ramp(colours: Sequence[Colour]) -> list[int]:
    """256 colours through `colours`, as Pillow's palette (768 numbers)."""
    stops = np.linspace(0, 255, len(colours))
    table = np.stack([np.interp(np.arange(256), stops, channel) for channel in zip(*colours, strict=True)], axis=1)
    return [int(v) for v in table.round().ravel()]


def coloured(field: Image.Image, colours: Sequence[Colour]) -> Image.Image:
    """`L` field -> RGB image, 0 in the first colour and 255 in the last."""
    image = field.copy()
    image.putpalette(ramp(colours))
    return image.convert("RGB")
