"""Things to wear: shirt, trousers, shoe, hat, bag."""

from __future__ import annotations

import numpy as np

from sample_data.catalogue import outlines as o
from sample_data.catalogue.part import Drawing, Part


def shirt(rng: np.random.Generator) -> Drawing:
    """T-shirt, shirt with buttons, pullover: sleeves of any length, round, V or collar neck."""
    half, length = rng.uniform(0.26, 0.36), rng.uniform(0.75, 1.0)
    sleeve, drop = rng.uniform(0.18, 0.75), rng.uniform(0.15, 0.9)
    cuff, neck = rng.uniform(0.07, 0.13), rng.uniform(0.09, 0.15)
    out = half + 0.06
    reach = np.array([np.cos(drop), np.sin(drop)]) * sleeve
    tip = np.array([out, 0.06]) + reach
    across = np.array([-np.sin(drop), np.cos(drop)]) * cuff * 2
    right = [
        (neck, 0),
        (out, 0.06),
        tuple(tip),
        tuple(tip + across),
        (half, 0.06 + cuff * 2.6),
        (half * rng.uniform(0.92, 1.12), length),
    ]
    outline = np.array(right + [(-x, y) for x, y in right[::-1]])
    neck_depth = rng.uniform(0.04, 0.2)
    parts = [Part(o.ellipse(0, 0.0, neck, 0.05), "dark", "flat"), Part(outline, "main", "bevel", rng.random() < 0.6)]
    kind = rng.integers(3)
    if kind == 0:
        parts.append(Part(np.array([(-neck, -0.01), (neck, -0.01), (0, neck_depth)]), "dark", "flat"))
    else:
        parts.append(Part(o.ellipse(0, 0, neck, neck_depth, 0, 180), "dark", "flat"))
        parts.append(Part(o.ribbon(o.ellipse(0, 0, neck, neck_depth, 0, 180), 0.03), "trim", "flat"))
    if kind == 2:
        parts.append(Part(o.rectangle(-0.025, neck_depth, 0.025, length), "second", "flat"))
        parts += [
            Part(o.ellipse(0, y, 0.013, 0.013), "light", "flat")
            for y in np.linspace(neck_depth + 0.06, length - 0.06, 6)
        ]
    elif rng.random() < 0.5:
        y = rng.uniform(0.25, 0.4)
        parts.append(
            Part(
                o.superellipse(0, y, rng.uniform(0.08, 0.2), rng.uniform(0.06, 0.15), rng.uniform(1, 6)),
                "second",
                "flat",
                False,
                1.0,
                True,
            )
        )
    return parts


def trousers(rng: np.random.Generator) -> Drawing:
    """Trousers or shorts, straight, tapered or flared."""
    waist, hip, length = rng.uniform(0.17, 0.22), rng.uniform(0.22, 0.28), rng.uniform(0.45, 1.25)
    crotch, spread, cuff = rng.uniform(0.3, 0.38), rng.uniform(0.0, 0.14), rng.uniform(0.08, 0.2)
    inner = spread + rng.uniform(0.01, 0.05)
    right = [(waist, 0), (hip, crotch * 0.6), (inner + cuff + 0.02, length), (inner, length), (0.005, crotch)]
    outline = np.array(right + [(-x, y) for x, y in right[:-1][::-1]])
    parts = [Part(outline, "main", "bevel", rng.random() < 0.4)]
    parts.append(
        Part(
            o.rectangle(-waist - 0.01, -0.01, waist + 0.01, rng.uniform(0.04, 0.07)),
            "trim" if rng.random() < 0.5 else "main",
            "flat",
        )
    )
    parts.append(Part(o.rectangle(-0.006, 0.05, 0.006, crotch), "dark", "flat", opacity=0.6))
    for side in (-1, 1):
        pocket = np.array([(side * waist * 0.95, 0.06), (side * waist * 0.5, 0.06), (side * hip * 0.95, 0.2)])
        parts.append(Part(o.ribbon(o.open_curve(pocket), 0.012), "dark", "flat", opacity=0.6))
        if rng.random() < 0.3:
            x = side * (inner + cuff / 2)
            parts.append(
                Part(
                    o.rectangle(x - cuff / 2 - 0.02, length - 0.06, x + cuff / 2 + 0.02, length + 0.005),
                    "second",
                    "flat",
                )
            )
    return parts


def shoe(rng: np.random.Generator) -> Drawing:
    """Trainer, boot, court shoe or sandal from the side, toe to the left or right."""
    collar, heel = rng.uniform(0.28, 0.8), rng.choice([0.06, 0.08, 0.12, 0.3])
    toe, sole = rng.uniform(0.14, 0.24), rng.uniform(0.03, 0.1)
    back, mouth = rng.uniform(0.0, 0.05), rng.uniform(0.28, 0.42)
    upper = o.smooth(
        [
            (back, -heel * 0.5),
            (back - 0.02, -collar * 0.6),
            (back, -collar),
            (mouth, -collar * rng.uniform(0.85, 1.0)),
            (mouth + 0.12, -max(toe * 1.6, collar * 0.5)),
            (0.75, -toe),
            (0.97, -toe * 0.7),
            (1.02, -sole * 0.5),
            (0.6, 0),
            (0.25, -heel * 0.3),
        ]
    )
    parts = [Part(o.ellipse((back + mouth) / 2, -collar * 0.97, (mouth - back) / 2, 0.045), "dark", "flat")]
    parts.append(Part(upper, "main", "bevel", rng.random() < 0.3))
    if rng.random() < 0.7:
        x = rng.uniform(0.35, 0.5)
        swoosh = o.open_curve([(x - 0.2, -0.12), (x, -toe * 0.9), (x + 0.25, -toe * 0.6)])
        parts.append(Part(o.ribbon(swoosh, np.linspace(0.02, rng.uniform(0.05, 0.12), len(swoosh))), "second", "flat"))
    if rng.random() < 0.6:
        for step in np.linspace(0.1, 0.9, 4):
            x, y = mouth + 0.02 + 0.2 * step, -collar * 0.88 + step * (collar * 0.88 - toe * 1.15)
            parts.append(Part(o.ribbon([(x - 0.05, y + 0.02), (x, y), (x + 0.05, y + 0.03)], 0.018), "light", "flat"))
    if heel > 0.2:
        parts.append(
            Part(
                np.array([(back, -heel), (back + 0.2, -heel * 0.8), (back + 0.09, 0.06), (back + 0.02, 0.06)]),
                "trim",
                "bevel",
            )
        )
        parts.append(
            Part(
                o.ribbon(o.open_curve([(0.1, -heel * 0.75), (0.45, -heel * 0.1), (0.7, 0.03), (1.0, 0.0)]), sole),
                "trim",
                "bevel",
            )
        )
    else:
        parts.append(
            Part(
                o.rectangle(back - 0.03, -sole * 0.6, 1.05, sole, sole * 0.6),
                "trim" if rng.random() < 0.5 else "light",
                "bevel",
            )
        )
    return parts


def hat(rng: np.random.Generator) -> Drawing:
    """Brimmed hat, baseball cap or woollen hat."""
    kind, dome = rng.integers(3), rng.uniform(0.3, 0.6)
    if kind == 0:
        brim, thick = rng.uniform(0.5, 0.75), rng.uniform(0.06, 0.18)
        top = rng.uniform(0.22, 0.33)
        parts = [Part(o.ellipse(0, 0, brim, thick), "main", "fade")]
        parts.append(
            Part(
                o.revolve([(top * 0.6, -dome), (top, -dome * 0.9), (0.34, -dome * 0.2), (0.35, 0.02)]),
                "main",
                "cylinder",
                rng.random() < 0.3,
            )
        )
        band = rng.uniform(0.05, 0.13)
        parts.append(Part(o.ribbon(o.ellipse(0, -band, 0.345, thick * 0.35, 0, 180), band), "second", "cylinder"))
        return parts
    crown = o.ellipse(0, 0, 0.4, dome, 180, 360)
    parts = [Part(crown, "main", "sphere", rng.random() < 0.4)]
    if kind == 1:
        peak = o.open_curve([(-0.1, 0), (-0.5, 0.02), (-rng.uniform(0.7, 0.9), rng.uniform(0.05, 0.15))])
        parts.append(
            Part(
                o.ribbon(peak, np.linspace(0.14, rng.uniform(0.05, 0.1), len(peak))),
                "second" if rng.random() < 0.5 else "main",
                "bevel",
            )
        )
        parts.append(Part(o.ellipse(0, -dome, 0.03, 0.025), "trim", "sphere"))
        if rng.random() < 0.6:
            parts.append(
                Part(o.superellipse(-0.12, -dome * 0.5, 0.1, 0.09, rng.uniform(1.5, 6)), "second", "flat", label=True)
            )
        return parts
    parts.append(
        Part(
            o.rectangle(-0.42, -0.08, 0.42, rng.uniform(0.08, 0.16), 0.05),
            "second" if rng.random() < 0.5 else "main",
            "bevel",
            rng.random() < 0.4,
        )
    )
    if rng.random() < 0.6:
        parts.append(Part(o.star(0, -dome - 0.06, 0.13, 0.1, 14), "second", "sphere"))
    return parts


def bag(rng: np.random.Generator) -> Drawing:
    """Handbag, shopping bag, backpack: a body with one or two handles, a flap, a buckle, pockets."""
    top, bottom, height = rng.uniform(0.28, 0.5), rng.uniform(0.32, 0.52), rng.uniform(0.45, 1.0)
    arch, thick = rng.uniform(0.18, 0.55), rng.uniform(0.03, 0.07)
    grip = top * rng.uniform(0.35, 0.8)
    handle = o.open_curve(
        [(-grip, 0.08), (-grip * 0.9, -arch * 0.6), (0, -arch), (grip * 0.9, -arch * 0.6), (grip, 0.08)]
    )
    parts = [Part(o.ribbon(handle, thick), "trim", "bevel")]
    body = np.array([(-top, 0), (top, 0), (bottom, height), (-bottom, height)])
    if rng.random() < 0.6:
        body = o.smooth(
            np.array(
                [
                    (-top, 0.0),
                    (0, -0.01),
                    (top, 0),
                    (bottom * 1.02, height * 0.5),
                    (bottom, height * 0.97),
                    (0, height),
                    (-bottom, height * 0.97),
                    (-bottom * 1.02, height * 0.5),
                ]
            )
        )
    parts.append(Part(body, "main", "bevel", rng.random() < 0.45, label=rng.random() < 0.3))
    kind = rng.integers(4)
    if kind == 0:
        flap = rng.uniform(0.3, 0.6) * height
        parts.append(
            Part(
                o.smooth(np.array([(-top, -0.01), (top, -0.01), (top, flap * 0.6), (0, flap), (-top, flap * 0.6)]), 5),
                "second",
                "bevel",
            )
        )
        parts.append(Part(o.rectangle(-0.04, flap * 0.75, 0.04, flap * 1.05, 0.015), "metal", "bevel"))
    elif kind == 1:
        parts.append(Part(o.rectangle(-top * 0.7, height * 0.45, top * 0.7, height * 0.85, 0.04), "second", "bevel"))
        parts.append(Part(o.rectangle(-top * 0.7, height * 0.5, top * 0.7, height * 0.53), "metal", "flat"))
    elif kind == 2:
        parts.append(Part(o.rectangle(-top, 0.0, top, height * 0.1), "trim", "bevel"))
    if kind != 1 and rng.random() < 0.5:
        parts.append(Part(o.ribbon(o.moved(handle, 0, 0.03), thick * 0.9), "trim", "bevel"))
    return parts
