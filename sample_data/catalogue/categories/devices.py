"""Devices and accessories: phone, watch, glasses, camera, headphones."""

from __future__ import annotations

import numpy as np

from sample_data.catalogue import outlines as o
from sample_data.catalogue.part import Drawing, Part


def phone(rng: np.random.Generator) -> Drawing:
    """Phone from the front (screen with tiles) or from behind (lenses), or an old one with keys."""
    wide, height, radius = 0.5, rng.uniform(0.85, 1.1), rng.uniform(0.02, 0.1)
    parts = [Part(o.rectangle(0, 0, wide, height, radius), "main", "bevel")]
    kind = rng.integers(3)
    if kind == 1:
        x1, y1 = rng.uniform(0.18, 0.42), rng.uniform(0.16, 0.26)
        parts.append(Part(o.rectangle(0.05, 0.05, x1, y1, 0.04), "dark", "bevel"))
        parts += [
            Part(o.ellipse(x, 0.05 + (y1 - 0.05) / 2, 0.035, 0.035), "screen", "sphere")
            for x in np.linspace(0.1, x1 - 0.05, rng.integers(1, 4))
        ]
        return parts
    edge = rng.uniform(0.015, 0.05)
    bottom = height - edge - (0.0 if kind == 0 else height * 0.42)
    parts.append(
        Part(
            o.rectangle(edge, edge * 1.6, wide - edge, bottom, radius * 0.7 if kind == 0 else 0.01),
            "screen",
            "fade",
            rng.random() < 0.5,
        )
    )
    columns, rows = (4, 6) if kind == 0 else (3, 4)
    y0, y1 = (height * 0.2, height * 0.85) if kind == 0 else (bottom + 0.05, height - 0.06)
    paints = ("main", "second", "trim", "light")
    if kind == 2 or rng.random() < 0.7:
        size = 0.6 * (wide - 2 * edge) / columns / 2
        for row in np.linspace(y0, y1, rows):
            for x in np.linspace(edge + size * 1.6, wide - edge - size * 1.6, columns):
                paint = "light" if kind == 2 else str(rng.choice(paints))
                parts.append(
                    Part(o.rectangle(x - size, row - size * 0.7, x + size, row + size * 0.7, size * 0.4), paint, "flat")
                )
    return parts


def watch(rng: np.random.Generator) -> Drawing:
    """Wrist watch laid straight: strap, round or square case, dial, hands or digits."""
    strap, length, radius = rng.uniform(0.11, 0.19), rng.uniform(0.55, 0.85), rng.uniform(0.2, 0.27)
    parts = [
        Part(
            o.ribbon(
                [(0, -length), (0, -0.3), (0, 0.3), (0, length)], [strap * 1.2, strap * 1.8, strap * 1.8, strap * 1.2]
            ),
            "main",
            "cylinder",
            rng.random() < 0.3,
        )
    ]
    for y in np.linspace(0.35, length - 0.06, 4):
        parts.append(Part(o.ellipse(0, y, 0.016, 0.016), "dark", "flat"))
    if rng.random() < 0.5:
        parts += [
            Part(o.rectangle(-strap, y, strap, y + 0.015), "dark", "flat", opacity=0.5)
            for y in np.linspace(-length, length, 13)
        ]
    power = float(rng.choice([2, 2, 2, 5]))
    parts.append(Part(o.rectangle(radius * 0.9, -0.04, radius + 0.06, 0.04, 0.015), "metal", "bevel"))
    parts.append(Part(o.superellipse(0, 0, radius, radius, power), "metal" if rng.random() < 0.7 else "trim", "bevel"))
    face = "light" if rng.random() < 0.5 else "screen"
    parts.append(Part(o.superellipse(0, 0, radius * 0.83, radius * 0.83, power), face, "flat"))
    ink = "dark" if face == "light" else "light"
    for angle in np.radians(np.arange(0, 360, 30)):
        x, y = np.cos(angle) * radius * 0.7, np.sin(angle) * radius * 0.7
        parts.append(Part(o.ellipse(x, y, 0.014, 0.014), ink, "flat"))
    for reach, width in ((0.45, 0.025), (0.65, 0.016)):
        turn = rng.uniform(0, 2 * np.pi)
        parts.append(
            Part(o.ribbon([(0, 0), (np.cos(turn) * radius * reach, np.sin(turn) * radius * reach)], width), ink, "flat")
        )
    return parts


def glasses(rng: np.random.Generator) -> Drawing:
    """Spectacles or sunglasses from the front: two rims, a bridge, temples."""
    wide, tall, power = rng.uniform(0.19, 0.27), rng.uniform(0.13, 0.24), rng.choice([2, 2.5, 4, 6])
    gap, thick = rng.uniform(0.05, 0.1), rng.uniform(0.018, 0.05)
    centre = wide + gap
    parts: Drawing = []
    lens = "dark" if rng.random() < 0.5 else "glass"
    opacity = 0.9 if lens == "dark" else 0.35
    slant = rng.uniform(-8, 8)
    for side in (-1, 1):
        rim = o.turned(o.superellipse(side * centre, 0, wide, tall, power), side * slant, side * centre)
        hinge = centre + wide
        path = [
            (side * hinge * 0.98, -tall * 0.4),
            (side * (hinge + 0.05), -tall * 0.5),
            (side * (hinge + rng.uniform(0.05, 0.12)), -tall * rng.uniform(0.2, 1.4)),
        ]
        parts.append(Part(o.ribbon(path, thick * 1.1), "main", "bevel"))
        parts.append(Part(rim, lens, "fade", opacity=opacity))
        parts.append(Part(o.ribbon(np.concatenate([rim, rim[:2]]), thick), "main", "bevel", rng.random() < 0.3))
    bridge = o.open_curve([(-gap - 0.02, -tall * 0.2), (0, -tall * rng.uniform(0.3, 0.7)), (gap + 0.02, -tall * 0.2)])
    parts.append(Part(o.ribbon(bridge, thick), "main" if rng.random() < 0.6 else "metal", "bevel"))
    return parts


def camera(rng: np.random.Generator) -> Drawing:
    """Camera from the front: body, grip, lens rings, viewfinder hump, shutter, flash."""
    wide, height, lens = rng.uniform(0.85, 1.15), rng.uniform(0.5, 0.72), rng.uniform(0.18, 0.27)
    x, y = wide * rng.uniform(0.42, 0.6), height * rng.uniform(0.5, 0.6)
    hump = rng.uniform(0.06, 0.18)
    parts = [
        Part(
            np.array([(x - 0.2, 0.02), (x - 0.13, -hump), (x + 0.13, -hump), (x + 0.2, 0.02)]),
            "main" if rng.random() < 0.5 else "metal",
            "bevel",
        )
    ]
    parts.append(Part(o.rectangle(wide * 0.08, -0.05, wide * 0.2, 0.05, 0.02), "metal", "bevel"))
    parts.append(Part(o.rectangle(0, 0, wide, height, rng.uniform(0.02, 0.12)), "main", "bevel"))
    band = rng.uniform(0.15, 0.3)
    parts.append(
        Part(
            o.rectangle(0.0, height * band, wide, height * 0.88),
            "dark" if rng.random() < 0.6 else "second",
            "bevel",
            rng.random() < 0.4,
        )
    )
    rings = (("metal", 1.0), ("dark", 0.9), ("trim", 0.72), ("dark", 0.66), ("screen", 0.45), ("dark", 0.22))
    parts += [
        Part(o.ellipse(x, y, lens * scale, lens * scale), paint, "bevel" if scale > 0.5 else "sphere")
        for paint, scale in rings
    ]
    parts.append(
        Part(o.ellipse(x - lens * 0.2, y - lens * 0.22, lens * 0.1, lens * 0.07), "light", "flat", opacity=0.8)
    )
    if rng.random() < 0.6:
        parts.append(Part(o.rectangle(wide * 0.78, height * 0.06, wide * 0.93, height * 0.2, 0.02), "light", "fade"))
    return parts


def headphones(rng: np.random.Generator) -> Drawing:
    """Headphones from the front: a band over two ear cups."""
    half, rise, thick = rng.uniform(0.34, 0.46), rng.uniform(0.5, 0.8), rng.uniform(0.04, 0.09)
    cup_wide, cup_tall = rng.uniform(0.08, 0.16), rng.uniform(0.16, 0.26)
    band = o.open_curve(
        [
            (-half, 0),
            (-half * 1.02, -rise * 0.5),
            (-half * 0.6, -rise * 0.9),
            (0, -rise),
            (half * 0.6, -rise * 0.9),
            (half * 1.02, -rise * 0.5),
            (half, 0),
        ]
    )
    parts = [Part(o.ribbon(band, thick), "main", "bevel")]
    if rng.random() < 0.6:
        count = len(band)
        parts.append(
            Part(o.ribbon(o.moved(band[count // 4 : 3 * count // 4], 0, thick * 0.6), thick * 0.8), "second", "bevel")
        )
    tilt = rng.uniform(-12, 12)
    for side in (-1, 1):
        inner = o.superellipse(side * (half - cup_wide * 0.75), 0.02, cup_wide * 0.7, cup_tall * 0.95, 3)
        outer = o.superellipse(side * half, 0.02, cup_wide, cup_tall, rng.choice([2, 3, 5]))
        parts.append(Part(o.turned(inner, side * tilt, side * half), "dark", "bevel"))
        parts.append(Part(o.turned(outer, side * tilt, side * half), "main", "sphere"))
        parts.append(
            Part(
                o.turned(
                    o.superellipse(side * half * 1.02, 0.02, cup_wide * 0.55, cup_tall * 0.6, 2),
                    side * tilt,
                    side * half,
                ),
                "trim",
                "bevel",
            )
        )
    return parts
