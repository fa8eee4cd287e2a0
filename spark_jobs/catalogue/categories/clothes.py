"""Things to wear: shirt, trousers, shoe, hat, bag."""

from __future__ import annotations

import numpy as np

from spark_jobs.catalogue import outlines as o
from spark_jobs.catalogue.part import Drawing, Part


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


def tank_top(rng: np.random.Generator) -> Drawing:
    """Sleeveless shirt: shoulder straps, deep arm holes, perhaps a sash or a number."""
    half, length, strap = rng.uniform(0.26, 0.36), rng.uniform(0.75, 1.0), rng.uniform(0.05, 0.12)
    shoulder, arm, neck_depth = rng.uniform(0.14, 0.2), rng.uniform(0.22, 0.36), rng.uniform(0.12, 0.3)
    right = [(shoulder, 0), (shoulder + strap, 0), (shoulder + strap * 0.9, arm * 0.6), (half, arm), (half, length)]
    neck = o.ellipse(0, 0, shoulder, neck_depth, 0, 180)
    outline = np.concatenate([np.array(right), np.array([(-x, y) for x, y in right[::-1]]), neck[::-1]])
    parts = [Part(outline, "main", "bevel", rng.random() < 0.4)]
    parts.append(Part(o.ribbon(neck, rng.uniform(0.02, 0.05)), "trim", "flat"))
    if rng.random() < 0.5:
        wide = rng.uniform(0.06, 0.16)
        parts.append(
            Part(o.ribbon([(-half + wide / 2, arm + wide), (half - wide / 2, length - wide)], wide), "second", "flat")
        )
    elif rng.random() < 0.5:
        parts.append(Part(o.rectangle(-0.14, 0.4, 0.14, 0.65), "second", "flat", label=True))
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


def boot(rng: np.random.Generator) -> Drawing:
    """Ankle or knee boot: a shaft, a foot, a thick sole, a heel or none, laces or a strap."""
    tall, wide, sole = rng.uniform(0.55, 1.25), rng.uniform(0.34, 0.46), rng.uniform(0.05, 0.14)
    heel, toe = rng.choice([0.0, 0.0, 0.12, 0.25]), rng.uniform(0.24, 0.36)
    shaft = [(0.0, -tall), (wide, -tall * rng.uniform(0.96, 1.04)), (wide * 0.95, -toe * 1.5)]
    foot = [(0.75, -toe * rng.uniform(0.85, 1.1)), (0.98, -toe * 0.5), (1.0, 0.0), (0.3, -heel * 0.2), (-0.02, -heel)]
    upper = np.array([*shaft, *foot])
    parts = [Part(o.smooth(upper, 5) if rng.random() < 0.5 else upper, "main", "bevel", rng.random() < 0.2)]
    if heel:
        parts.append(Part(np.array([(-0.02, -heel), (0.28, -heel * 0.5), (0.22, sole), (0.02, sole)]), "trim", "bevel"))
        parts.append(Part(o.ribbon([(0.25, -heel * 0.2), (0.6, sole * 0.4), (1.0, sole * 0.4)], sole), "trim", "bevel"))
    else:
        parts.append(Part(o.rectangle(-0.04, -sole * 0.4, 1.03, sole, sole * 0.4), "trim", "bevel"))
    if rng.random() < 0.5:
        for y in np.linspace(-tall * 0.9, -toe * 1.3, 4):
            parts.append(Part(o.ribbon([(wide * 0.55, y), (wide * 1.0, y + 0.03)], 0.03), "light", "flat"))
    if rng.random() < 0.5:
        parts.append(Part(o.rectangle(-0.02, -tall, wide * 1.03, -tall + rng.uniform(0.08, 0.2), 0.03), "second"))
    return parts


def pump(rng: np.random.Generator) -> Drawing:
    """Shoe with a high heel, or a flat one, open at the top."""
    heel, thick = rng.choice([rng.uniform(0.35, 0.8), rng.uniform(0.02, 0.1)]), rng.uniform(0.04, 0.1)
    depth = rng.uniform(0.12, 0.24)
    sole = o.open_curve([(0, -heel), (0.22, -heel * 0.92), (0.6, -heel * 0.2), (0.78, 0), (1.05, 0)])
    top = o.open_curve(
        [
            (1.05, -0.02),
            (0.92, -depth * 0.8),
            (0.72, -depth),
            (0.4, -heel * 0.6 - depth * 0.5),
            (0.2, -heel - depth * 0.5),
            (0, -heel - depth * 1.3),
        ]
    )
    parts = [Part(np.array([(0, -heel - 0.02), (0.2, -heel * 0.9), (0.04 + thick, 0.03), (0.03, 0.03)]), "trim")]
    parts.append(Part(np.concatenate([sole, top]), "main", "bevel", rng.random() < 0.2))
    parts.append(Part(o.ribbon(sole, thick * 0.6), "trim" if rng.random() < 0.6 else "main", "bevel"))
    if rng.random() < 0.4:
        bow = o.star(0.75, -depth, 0.12, 0.04, rng.integers(2, 6), rng.uniform(0, 3))
        parts.append(Part(bow, "second", "bevel"))
    return parts


def flip_flop(rng: np.random.Generator) -> Drawing:
    """Sandal from above: a sole and straps over it."""
    wide, waist = rng.uniform(0.2, 0.28), rng.uniform(0.12, 0.18)
    sole = o.revolve([(0.05, -0.5), (wide, -0.3), (waist, 0.1), (wide * 0.8, 0.35), (0.05, 0.5)])
    parts = [Part(o.moved(sole, 0.02, 0.03), "trim", "flat"), Part(sole, "main", "bevel", rng.random() < 0.3)]
    strap, y = rng.uniform(0.03, 0.08), rng.uniform(-0.1, 0.08)
    for side in (-1, 1):
        path = o.open_curve([(0, -0.3), (side * wide * 0.6, -0.2), (side * waist * 1.1, y)])
        parts.append(Part(o.ribbon(path, strap), "second", "bevel"))
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


def top_hat(rng: np.random.Generator) -> Drawing:
    """Tall crown, straight or flared, over a small brim, with a band."""
    tall, top, foot = rng.uniform(0.45, 0.95), rng.uniform(0.3, 0.46), rng.uniform(0.28, 0.36)
    brim, thick, band = rng.uniform(0.45, 0.68), rng.uniform(0.05, 0.16), rng.uniform(0.08, 0.2)
    parts = [Part(o.ellipse(0, 0, brim, thick), "main", "bevel")]
    parts.append(Part(o.revolve([(top, -tall), (foot, -tall * 0.3), (foot, thick * 0.4)]), "main", "cylinder"))
    parts.append(Part(o.ellipse(0, -tall, top, thick * 0.6), "main", "fade"))
    parts.append(Part(o.rectangle(-foot * 1.02, -band, foot * 1.02, thick * 0.4, 0.02), "second", "cylinder"))
    return parts


def cone_hat(rng: np.random.Generator) -> Drawing:
    """Party or witch's hat: a cone with stripes or dots, a tuft, perhaps a brim."""
    half, lean = rng.uniform(0.24, 0.4), rng.uniform(-0.1, 0.1)
    cone = np.array([(lean, -1), (half, 0), (half * 0.5, 0.06), (-half * 0.5, 0.06), (-half, 0)])
    parts = [Part(cone, "main", "cylinder", rng.random() < 0.6)]
    for y in np.linspace(-0.75, -0.1, int(rng.integers(0, 5))):
        wide = half * (1 + y)
        parts.append(Part(o.ribbon([(-wide, y + 0.04), (wide, y - 0.08)], 0.09), "second", "flat"))
    if rng.random() < 0.4:
        parts.insert(0, Part(o.ellipse(0, 0.02, half * rng.uniform(1.5, 2.2), 0.1), "main", "bevel"))
    else:
        parts.append(Part(o.star(lean, -1, 0.12, 0.08, rng.integers(6, 14)), "trim", "sphere"))
    return parts


def visor_cap(rng: np.random.Generator) -> Drawing:
    """Cap seen from the front at an angle: panels, a button, a curved peak that points down and forward."""
    dome, forward = rng.uniform(0.4, 0.6), rng.uniform(-0.6, 0.6)
    crown = o.revolve([(0.06, -dome), (0.36, -dome * 0.7), (0.44, 0.06)])
    parts = [Part(crown, "main", "sphere", rng.random() < 0.3)]
    seam = o.open_curve([(0, -dome), (forward * 0.35, -dome * 0.5), (forward * 0.4, 0)])
    parts.append(Part(o.ribbon(seam, 0.015), "dark", "flat", opacity=0.6))
    if rng.random() < 0.5:
        parts.append(Part(o.superellipse(forward * 0.4, -dome * 0.4, 0.13, 0.11, 3), "second", "flat", label=True))
    middle, reach = forward * 0.5, rng.uniform(0.14, 0.34)
    peak = o.smooth(
        [
            (middle - 0.42, 0),
            (middle, -0.08),
            (middle + 0.42, 0),
            (middle + 0.38, reach * 0.7),
            (middle, reach),
            (middle - 0.38, reach * 0.7),
        ]
    )
    parts.append(Part(peak, "second" if rng.random() < 0.5 else "main", "bevel"))
    parts.append(Part(o.ellipse(0, -dome, 0.04, 0.03), "trim", "sphere"))
    return parts


def wide_hat(rng: np.random.Generator) -> Drawing:
    """Sun or cowboy hat: a wide waving brim, a low crown with a dent, a band and perhaps a bow."""
    wide, dome, lift = rng.uniform(0.6, 0.85), rng.uniform(0.25, 0.45), rng.uniform(-0.15, 0.3)
    brim = o.smooth([(-wide, -lift * 0.7), (-0.3, -0.08), (0.3, -0.08), (wide, -lift * 0.7), (0.4, 0.15), (-0.4, 0.15)])
    crown = o.smooth(
        [
            (-0.36, 0.04),
            (-0.3, -dome * 0.8),
            (-0.12, -dome),
            (0, -dome * rng.uniform(0.8, 1)),
            (0.12, -dome),
            (0.3, -dome * 0.8),
            (0.36, 0.04),
        ]
    )
    parts = [Part(brim, "main", "bevel", rng.random() < 0.2), Part(crown, "main", "bevel", rng.random() < 0.2)]
    band = o.open_curve([(-0.35, -0.06), (0, 0.0), (0.35, -0.06)])
    parts.append(Part(o.ribbon(band, rng.uniform(0.06, 0.14)), "second", "flat"))
    if rng.random() < 0.5:
        side = rng.uniform(-0.3, 0.3)
        for way in (-1, 1):
            loop = np.array([(side, 0), (side + way * 0.2, -0.1), (side + way * 0.17, 0.1)])
            parts.append(Part(o.smooth(loop), "second", "bevel"))
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


def backpack(rng: np.random.Generator) -> Drawing:
    """Round-topped body with a grip, straps at the sides, pockets."""
    half, height, round_ = rng.uniform(0.34, 0.44), rng.uniform(0.85, 1.1), rng.uniform(0.15, 0.34)
    parts = [Part(o.ribbon(o.ellipse(0, 0.02, 0.11, 0.12, 180, 360), 0.05), "trim", "bevel")]
    for side in (-1, 1):
        strap = o.open_curve([(side * half * 0.8, 0.2), (side * (half + 0.09), 0.5), (side * half * 0.9, height)])
        parts.append(Part(o.ribbon(strap, 0.09), "trim", "bevel"))
    parts.append(Part(o.rectangle(-half, 0, half, height, round_), "main", "bevel", rng.random() < 0.3))
    y = height * rng.uniform(0.45, 0.6)
    parts.append(Part(o.rectangle(-half * 0.8, y, half * 0.8, height * 0.94, 0.08), "second", "bevel"))
    parts.append(Part(o.rectangle(-half * 0.65, y + 0.06, half * 0.65, y + 0.09), "metal", "flat"))
    if rng.random() < 0.5:
        parts.append(Part(o.rectangle(-half * 0.6, y * 0.4, half * 0.6, y * 0.8, 0.05), "trim", "bevel"))
    return parts


def clutch(rng: np.random.Generator) -> Drawing:
    """Flat pouch or purse with a zip or a clasp, and a thin loop or none."""
    half, height = rng.uniform(0.4, 0.55), rng.uniform(0.4, 0.65)
    parts = [Part(o.rectangle(-half, 0, half, height, rng.uniform(0.04, 0.2)), "main", "bevel", rng.random() < 0.3)]
    if rng.random() < 0.5:
        parts.append(Part(o.rectangle(-half * 0.9, 0.06, half * 0.9, 0.1), "metal", "flat"))
        parts.append(Part(o.rectangle(half * 0.8, 0.07, half * 0.88, 0.25, 0.03), "trim", "bevel"))
    else:
        parts.append(
            Part(
                o.smooth(
                    [
                        (-half, 0),
                        (half, 0),
                        (half * 0.9, height * 0.4),
                        (0, height * 0.62),
                        (-half * 0.9, height * 0.4),
                    ],
                    5,
                ),
                "second",
            )
        )
        parts.append(Part(o.ellipse(0, height * 0.58, 0.06, 0.05), "metal", "sphere"))
    if rng.random() < 0.4:
        loop = o.open_curve([(-half * 0.8, 0.05), (-half * 0.5, -0.35), (half * 0.5, -0.35), (half * 0.8, 0.05)])
        parts.insert(0, Part(o.ribbon(loop, 0.03), "trim", "bevel"))
    return parts
