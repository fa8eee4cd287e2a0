"""Things at home: chair, lamp, book, box."""

from __future__ import annotations

import numpy as np

from sample_data.catalogue import outlines as o
from sample_data.catalogue.part import Drawing, Part


def chair(rng: np.random.Generator) -> Drawing:
    """Chair, stool with a back or armchair in an oblique view: back, seat and legs."""
    wide, depth, legs = rng.uniform(0.42, 0.6), rng.uniform(0.12, 0.26), rng.uniform(0.28, 0.6)
    back, thick, slant = rng.uniform(0.4, 0.75), rng.uniform(0.035, 0.08), rng.uniform(0.04, 0.16)
    frame = "wood" if rng.random() < 0.6 else "trim"
    splay = rng.uniform(-0.02, 0.1)
    parts = [Part(o.ribbon([(slant + 0.02, 0), (slant - splay * 0.5, legs * 0.88)], thick * 0.8), frame, "bevel")]
    parts.append(
        Part(
            o.ribbon([(slant + wide - 0.02, 0), (slant + wide + splay * 0.5, legs * 0.88)], thick * 0.8), frame, "bevel"
        )
    )
    is_solid = rng.random() < 0.55
    if is_solid:
        parts.append(
            Part(
                o.turned(o.rectangle(slant, -back, slant + wide, 0.02, rng.uniform(0, 0.2)), rng.uniform(-2, 2)),
                "main",
                "bevel",
                rng.random() < 0.4,
            )
        )
    else:
        for x in np.linspace(slant, slant + wide, rng.integers(3, 7)):
            parts.append(Part(o.ribbon([(x, 0.02), (x, -back)], thick * 0.7), frame, "bevel"))
        parts.append(
            Part(
                o.rectangle(slant - 0.02, -back - 0.02, slant + wide + 0.02, -back + rng.uniform(0.05, 0.16), 0.02),
                frame,
                "bevel",
            )
        )
    seat = np.array([(slant - 0.02, 0), (slant + wide + 0.02, 0), (wide + 0.03, depth), (-0.03, depth)])
    parts.append(Part(seat, "main" if is_solid or rng.random() < 0.5 else frame, "fade", rng.random() < 0.3))
    parts.append(
        Part(
            o.rectangle(-0.03, depth, wide + 0.03, depth + thick * rng.uniform(0.8, 2.0), 0.01),
            "main" if is_solid else frame,
            "bevel",
        )
    )
    if rng.random() < 0.35:
        for x in (0.0, wide):
            arm = o.open_curve([(x + slant * 0.9, -back * 0.35), (x, -back * 0.3), (x, depth)])
            parts.append(Part(o.ribbon(arm, thick * 1.2), frame, "bevel"))
    for x, foot in ((0.0, -splay), (wide, wide + splay)):
        parts.append(
            Part(
                o.ribbon([(x, depth + 0.02), (foot, depth + legs)], [thick, thick * rng.uniform(0.6, 1)]),
                frame,
                "bevel",
            )
        )
    return parts


def lamp(rng: np.random.Generator) -> Drawing:
    """Table or floor lamp: shade, stem, foot; or an angled desk lamp."""
    if rng.random() < 0.3:
        knee, head = rng.uniform(-0.35, -0.1), rng.uniform(0.2, 0.5)
        arm = rng.uniform(0.025, 0.05)
        parts = [
            Part(o.ribbon([(0, 0), (knee, -0.55)], arm), "metal", "bevel"),
            Part(o.ribbon([(knee, -0.55), (head, -0.95)], arm), "metal", "bevel"),
        ]
        cone = o.turned(o.revolve([(0.06, -0.12), (rng.uniform(0.16, 0.24), 0.16)], False), rng.uniform(-50, 10))
        parts.append(Part(o.moved(cone, head, -0.9), "main", "cylinder"))
        parts.append(Part(o.ellipse(0, 0.02, rng.uniform(0.16, 0.26), 0.05), "trim", "bevel"))
        return parts
    height, top, bottom, tall = (
        rng.uniform(0.5, 1.5),
        rng.uniform(0.1, 0.28),
        rng.uniform(0.24, 0.42),
        rng.uniform(0.26, 0.5),
    )
    stem = rng.uniform(0.02, 0.05)
    kind = rng.integers(3)
    foot = rng.uniform(0.12, 0.24)
    parts = [Part(o.ellipse(0, height, foot, foot * 0.22), "trim", "bevel")]
    if kind == 0:
        belly = rng.uniform(0.08, 0.22)
        parts.append(
            Part(
                o.revolve([(stem, 0), (stem, height * 0.2), (belly, height * 0.6), (foot * 0.8, height)]),
                "second",
                "cylinder",
                rng.random() < 0.3,
            )
        )
    elif kind == 1:
        parts.append(Part(o.rectangle(-stem, 0, stem, height), "metal", "cylinder"))
    else:
        parts += [Part(o.ribbon([(0, 0), (x, height)], stem), "wood", "bevel") for x in (-foot * 1.3, 0.0, foot * 1.3)]
    shade = o.revolve([(top, -tall), (bottom, 0.04)], False)
    if rng.random() < 0.3:
        shade = o.ellipse(0, -0.02, bottom, tall, 180, 360)
    parts.append(Part(shade, "main", "cylinder", rng.random() < 0.5))
    if rng.random() < 0.4:
        parts.append(Part(o.rectangle(-bottom, 0.0, bottom, 0.045), "trim", "cylinder"))
    return parts


def book(rng: np.random.Generator) -> Drawing:
    """Closed book from the front with its page edges, or standing at an angle with its spine."""
    wide, height = rng.uniform(0.5, 0.85), rng.uniform(0.75, 1.1)
    if rng.random() < 0.5:
        pages, skew = rng.uniform(0.03, 0.12), rng.uniform(0.02, 0.06)
        parts = [
            Part(
                np.array([(wide, skew), (wide + pages, 0), (wide + pages, height - skew), (wide, height)]),
                "light",
                "flat",
            )
        ]
        parts.append(Part(np.array([(0, 0), (pages, -skew), (wide + pages, -skew), (wide, 0)]), "light", "fade"))
        parts.append(Part(o.rectangle(0, 0, wide, height, 0.01), "main", "bevel", rng.random() < 0.4))
    else:
        spine, skew = rng.uniform(0.06, 0.22), rng.uniform(0.03, 0.14)
        parts = [Part(np.array([(-spine, skew), (0, 0), (0, height), (-spine, height - skew)]), "second", "cylinder")]
        parts.append(
            Part(
                np.array([(0, 0), (wide, skew), (wide, height - skew), (0, height)]),
                "main",
                "bevel",
                rng.random() < 0.4,
            )
        )
        parts.append(
            Part(np.array([(-spine, skew), (0, 0), (wide, skew), (wide - spine, skew * 2 - 0.02)]), "light", "flat")
        )
    margin = wide * rng.uniform(0.08, 0.16)
    y0 = height * rng.uniform(0.14, 0.25)
    parts.append(
        Part(
            o.rectangle(margin, y0, wide - margin, y0 + height * rng.uniform(0.12, 0.3)),
            "light" if rng.random() < 0.4 else "second",
            "flat",
            label=True,
        )
    )
    if rng.random() < 0.7:
        emblem = o.star(
            wide / 2,
            height * 0.7,
            wide * rng.uniform(0.12, 0.3),
            wide * rng.uniform(0.08, 0.2),
            rng.integers(3, 12),
            rng.uniform(0, 6),
        )
        parts.append(Part(emblem, "trim", "flat"))
    parts.append(Part(o.rectangle(0.02, 0, 0.04, height), "dark", "flat", opacity=0.3))
    return parts


def box(rng: np.random.Generator) -> Drawing:
    """Carton in an oblique view: front, side and top, tape or a printed front."""
    wide, height = rng.uniform(0.4, 0.95), rng.uniform(0.35, 1.05)
    depth_x, depth_y = rng.uniform(0.14, 0.4), rng.uniform(0.08, 0.25)
    side = np.array(
        [
            (wide, 0),
            (wide + depth_x, -depth_y),
            (wide + depth_x, height - depth_y * rng.uniform(0.8, 1.1)),
            (wide, height),
        ]
    )
    top = np.array([(0, 0), (depth_x, -depth_y), (wide + depth_x, -depth_y), (wide, 0)])
    paint = "wood" if rng.random() < 0.3 else "main"
    pattern = rng.random() < 0.35
    parts = [Part(top, paint, "flat", pattern), Part(top, "light", "flat", opacity=0.3)]
    parts += [Part(side, paint, "fade", pattern), Part(side, "dark", "flat", opacity=0.35)]
    parts.append(Part(o.rectangle(0, 0, wide, height), paint, "bevel", pattern))
    if rng.random() < 0.45:
        x, tape = wide * rng.uniform(0.35, 0.65), rng.uniform(0.03, 0.07)
        parts.append(
            Part(o.rectangle(x - tape, 0, x + tape, height * rng.uniform(0.2, 1.0)), "second", "flat", opacity=0.9)
        )
        parts.append(
            Part(
                np.array(
                    [(x - tape, 0), (x + tape, 0), (x + tape + depth_x, -depth_y), (x - tape + depth_x, -depth_y)]
                ),
                "second",
                "flat",
                opacity=0.9,
            )
        )
    if rng.random() < 0.8:
        x0, y0 = wide * rng.uniform(0.06, 0.25), height * rng.uniform(0.1, 0.4)
        parts.append(
            Part(
                o.rectangle(x0, y0, wide * rng.uniform(0.7, 0.95), height * rng.uniform(0.6, 0.92), 0.01),
                "light",
                "flat",
                label=True,
            )
        )
    return parts
