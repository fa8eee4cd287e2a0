"""Kitchen things: bottle, mug, teapot, pan, jar."""

from __future__ import annotations

import numpy as np

from sample_data.catalogue import outlines as o
from sample_data.catalogue.part import Drawing, Part


def bottle(rng: np.random.Generator) -> Drawing:
    """Body, neck and closure of revolution, with a paper label or none; wine, beer, detergent and perfume
    proportions."""
    height = rng.uniform(0.9, 1.5)
    half, neck = rng.uniform(0.17, 0.34), rng.uniform(0.04, 0.1)
    shoulder, neck_length = height * rng.uniform(0.06, 0.32), height * rng.uniform(0.06, 0.3)
    waist, foot = half * rng.uniform(0.72, 1.08), half * rng.uniform(0.75, 1.05)
    top = neck_length + shoulder
    profile = [
        (neck, 0),
        (neck, neck_length * 0.9),
        (half * 0.9, top),
        (half, top + 0.06),
        (waist, (top + height) / 2),
        (foot, height * 0.96),
        (foot * 0.9, height),
    ]
    opacity = rng.choice([1.0, 1.0, 0.85, 0.7])
    parts = [Part(o.revolve(profile), "main", "cylinder", rng.random() < 0.25, opacity)]
    if rng.random() < 0.75:
        y0, y1 = top + rng.uniform(0.08, 0.16), height * rng.uniform(0.75, 0.92)
        wide = min(half, waist) * rng.uniform(0.7, 0.99)
        parts.append(
            Part(
                o.rectangle(-wide, y0, wide, max(y1, y0 + 0.15), rng.choice([0, 0.03])),
                "light",
                "cylinder",
                rng.random() < 0.3,
                label=True,
            )
        )
    cap = neck * rng.uniform(1.05, 1.6)
    cap_height = rng.uniform(0.04, 0.16)
    kind = rng.integers(3)
    if kind == 2:
        parts.append(
            Part(
                o.ribbon([(cap * 0.4, -cap_height), (-neck, -cap_height), (-neck * 3, -cap_height * 0.8)], 0.05),
                "trim",
                "bevel",
            )
        )
    parts.append(Part(o.rectangle(-cap, -cap_height, cap, 0.02 + kind * 0.02, 0.015), "trim", "cylinder"))
    return parts


def mug(rng: np.random.Generator) -> Drawing:
    """Cup with a handle and a visible rim, straight, tapered or rounded."""
    height, top = rng.uniform(0.6, 1.15), rng.uniform(0.32, 0.48)
    foot, belly = top * rng.uniform(0.55, 1.0), top * rng.uniform(0.85, 1.12)
    rim = top * rng.uniform(0.1, 0.32)
    reach, thick = rng.uniform(0.2, 0.34), rng.uniform(0.05, 0.1)
    y0, y1 = height * rng.uniform(0.12, 0.3), height * rng.uniform(0.65, 0.88)
    squareness = rng.uniform(0.7, 1.0)
    path = o.open_curve(
        [
            (top * 0.85, y0),
            (top + reach * squareness, y0),
            (top + reach, (y0 + y1) / 2),
            (top + reach * squareness * 0.9, y1),
            (belly * 0.8, y1),
        ]
    )
    body = o.revolve(
        [(top, 0), (belly, height * 0.5), ((belly + foot) / 2, height * 0.85), (foot, height)], rng.random() < 0.7
    )
    parts = [Part(o.ribbon(path, thick), "main" if rng.random() < 0.7 else "trim", "bevel")]
    parts.append(Part(body, "main", "cylinder", rng.random() < 0.55, label=rng.random() < 0.5))
    bottom = o.ellipse(0, height, foot, rim * foot / top * 0.8)
    parts.insert(1, Part(bottom, "main", "cylinder"))
    parts.append(Part(o.ellipse(0, 0, top, rim), "trim" if rng.random() < 0.4 else "main", "flat"))
    parts.append(Part(o.ellipse(0, 0.01, top * 0.92, rim * 0.85), "dark" if rng.random() < 0.6 else "light", "fade"))
    return parts


def teapot(rng: np.random.Generator) -> Drawing:
    """Round or conical pot with a spout, a handle at the side or above, a lid and a knob."""
    wide, height = rng.uniform(0.38, 0.55), rng.uniform(0.45, 0.85)
    top, foot = wide * rng.uniform(0.35, 0.75), wide * rng.uniform(0.5, 0.85)
    body = o.revolve([(top, 0), (wide, height * rng.uniform(0.4, 0.65)), (foot, height)])
    lift, thick = rng.uniform(-0.15, 0.12), rng.uniform(0.08, 0.15)
    spout = o.open_curve(
        [
            (-wide * 0.75, height * 0.72),
            (-wide * 1.15, height * 0.55),
            (-wide * 1.3, height * 0.2),
            (-wide * rng.uniform(1.5, 1.75), lift),
        ]
    )
    widths = np.linspace(thick * 1.9, thick * rng.uniform(0.6, 1.0), len(spout))
    parts = [Part(o.ribbon(spout, widths), "main", "bevel")]
    if rng.random() < 0.6:
        loop = [
            (top * 0.9, height * 0.15),
            (wide * 1.35, height * 0.05),
            (wide * 1.5, height * 0.4),
            (wide * 0.9, height * 0.75),
        ]
    else:
        loop = [
            (-top, 0.05),
            (-wide * 0.8, -height * 0.5),
            (0, -height * rng.uniform(0.6, 0.85)),
            (wide * 0.8, -height * 0.5),
            (top, 0.05),
        ]
    parts.append(
        Part(o.ribbon(o.open_curve(loop), rng.uniform(0.045, 0.09)), "trim" if rng.random() < 0.5 else "main", "bevel")
    )
    parts.append(Part(body, "main", "sphere", rng.random() < 0.45))
    lid = rng.uniform(0.08, 0.22)
    parts.append(
        Part(
            o.revolve([(0.02, -lid), (top * 0.75, -lid * 0.5), (top * 1.05, 0.03)]),
            "main" if rng.random() < 0.6 else "trim",
            "cylinder",
        )
    )
    parts.append(Part(o.ellipse(0, -lid - 0.02, rng.uniform(0.04, 0.09), rng.uniform(0.04, 0.08)), "trim", "sphere"))
    return parts


def pan(rng: np.random.Generator) -> Drawing:
    """Frying pan or saucepan seen from above or from the side, with a long handle."""
    length, thick = rng.uniform(0.6, 1.1), rng.uniform(0.07, 0.13)
    if rng.random() < 0.55:
        squash = rng.uniform(0.45, 1.0)
        parts = [
            Part(
                o.ribbon(
                    [(0.4, 0), (0.55, 0), (0.5 + length * 0.5, 0), (0.5 + length, 0)],
                    [thick * 0.6, thick * 0.7, thick, thick * 1.1],
                ),
                "trim",
                "bevel",
            )
        ]
        parts.append(Part(o.ellipse(0, 0, 0.5, 0.5 * squash), "metal" if rng.random() < 0.5 else "main", "bevel"))
        parts.append(Part(o.ellipse(0, 0, 0.43, 0.43 * squash), "dark", "fade"))
        parts.append(Part(o.ellipse(0, 0.01, 0.38, 0.38 * squash), "dark" if rng.random() < 0.6 else "metal", "sphere"))
        return parts
    depth, foot = rng.uniform(0.16, 0.5), rng.uniform(0.38, 0.5)
    rise = rng.uniform(-0.25, 0.05)
    parts = [
        Part(
            o.ribbon(o.open_curve([(0.45, 0.08), (0.7, 0.05 + rise * 0.3), (0.5 + length, rise)]), thick),
            "trim",
            "bevel",
        )
    ]
    parts.append(
        Part(
            o.revolve([(0.5, 0), (0.49, depth * 0.5), (foot, depth)]),
            "metal" if rng.random() < 0.4 else "main",
            "cylinder",
            rng.random() < 0.2,
        )
    )
    if rng.random() < 0.5:
        parts.append(Part(o.revolve([(0.03, -0.14), (0.3, -0.09), (0.51, 0.02)]), "metal", "cylinder"))
        parts.append(Part(o.ellipse(0, -0.16, 0.07, 0.04), "trim", "sphere"))
    return parts


def jar(rng: np.random.Generator) -> Drawing:
    """Short wide jar, tin or pot with a lid as wide as the body."""
    height, half = rng.uniform(0.35, 0.75), rng.uniform(0.28, 0.42)
    lid, lid_height = half * rng.uniform(0.85, 1.05), rng.uniform(0.07, 0.18)
    body = o.revolve([(lid * 0.95, 0), (half, 0.07), (half, height * 0.9), (half * 0.92, height)], rng.random() < 0.7)
    parts = [Part(body, "main", "cylinder", rng.random() < 0.4, rng.choice([1.0, 1.0, 0.75]))]
    if rng.random() < 0.8:
        y0, y1 = height * rng.uniform(0.15, 0.3), height * rng.uniform(0.7, 0.9)
        parts.append(
            Part(o.rectangle(-half * 0.98, y0, half * 0.98, y1), "light", "cylinder", rng.random() < 0.3, label=True)
        )
    rim = lid * rng.uniform(0.05, 0.25)
    parts.append(Part(o.rectangle(-lid, -lid_height, lid, 0.02, 0.02), "trim", "cylinder"))
    parts.append(Part(o.ellipse(0, -lid_height, lid, rim), "trim", "fade"))
    return parts
