"""Things of no known kind, so that a detector learns that anything may be an object: random compounds, and what a shop sells
beside the known kinds, such as toys, animals, plants, food and tools, each as a loose plan that no two drawings share."""

from __future__ import annotations

import numpy as np

from spark_jobs.catalogue import outlines as o
from spark_jobs.catalogue.part import Drawing, Part

_SHADES = ("flat", "cylinder", "sphere", "bevel", "fade")
_PAINTS = ("main", "second", "trim", "light", "metal", "wood")


def _any_outline(rng: np.random.Generator) -> o.Points:
    kind = rng.integers(5)
    if kind == 0:
        angle = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(5, 12)))
        radius = rng.uniform(0.2, 0.5, len(angle))
        return o.smooth(np.stack([np.cos(angle) * radius, np.sin(angle) * radius], axis=1))
    if kind == 1:
        outer = rng.uniform(0.3, 0.5)
        return o.star(0, 0, outer, outer * rng.uniform(0.35, 0.95), rng.integers(3, 9), rng.uniform(0, 6))
    if kind == 2:
        return o.superellipse(0, 0, rng.uniform(0.15, 0.5), rng.uniform(0.15, 0.5), rng.uniform(0.8, 8))
    if kind == 3:
        ys = np.linspace(-0.5, 0.5, rng.integers(4, 8))
        return o.revolve([(float(rng.uniform(0.05, 0.4)), float(y)) for y in ys], bool(rng.random() < 0.6))
    path = np.cumsum(rng.normal(0, 0.25, (rng.integers(3, 6), 2)), axis=0)
    return o.ribbon(o.open_curve(path - path.mean(0)), rng.uniform(0.06, 0.2))


def _blob(rng: np.random.Generator, x: float, y: float, wide: float, tall: float) -> o.Points:
    """Rounded random shape of about this size."""
    angle = np.linspace(0, 2 * np.pi, int(rng.integers(6, 12)), endpoint=False)
    radius = rng.uniform(0.75, 1.1, len(angle))
    return o.smooth(np.stack([x + wide * radius * np.cos(angle), y + tall * radius * np.sin(angle)], axis=1))


def animal(rng: np.random.Generator) -> Drawing:
    """Body, head, legs, tail, ears: four-legged, bird, fish or insect by its proportions."""
    long, tall, lift = rng.uniform(0.3, 0.6), rng.uniform(0.14, 0.32), rng.uniform(-0.35, 0.1)
    parts = []
    for x in np.linspace(-long * 0.8, long * 0.7, int(rng.choice([0, 2, 4, 6]))):
        foot = (x + rng.uniform(-0.1, 0.1), tall + rng.uniform(0.1, 0.5))
        paint = "main" if rng.random() < 0.7 else "trim"
        parts.append(Part(o.ribbon([(x, 0), foot], rng.uniform(0.03, 0.13)), paint, "bevel"))
    tail = np.cumsum(np.concatenate([[(-long * 0.8, 0)], rng.normal((-0.13, 0), 0.1, (3, 2))]), axis=0)
    parts.append(Part(o.ribbon(o.open_curve(tail), np.linspace(0.12, rng.uniform(0.01, 0.3), 31)), "main", "bevel"))
    parts.append(Part(_blob(rng, 0, 0, long, tall), "main", "sphere", rng.random() < 0.3))
    size, head = rng.uniform(0.1, 0.26), (long * rng.uniform(0.8, 1.15), lift - tall * 0.4)
    for side in (-1, 1) if rng.random() < 0.7 else ():
        ear = o.turned(o.ellipse(0, -size * 1.1, size * 0.35, size * rng.uniform(0.4, 1.1)), side * 30)
        parts.append(Part(o.moved(ear, *head), "main", "bevel"))
    parts.append(Part(o.ribbon([(long * 0.5, -tall * 0.1), head], size), "main", "bevel"))
    parts.append(Part(_blob(rng, *head, size, size * rng.uniform(0.7, 1)), "main", "sphere"))
    parts.append(Part(o.ellipse(head[0] + size * 0.3, head[1] - size * 0.2, size * 0.15, size * 0.15), "dark", "flat"))
    if rng.random() < 0.6:
        nose = np.array([(0, -0.3), (rng.uniform(0.3, 1.4), 0.1), (0, 0.4)]) * size
        parts.append(Part(o.moved(nose, head[0] + size * 0.7, head[1]), "second", "bevel"))
    if rng.random() < 0.4:
        parts.append(Part(_blob(rng, -long * 0.1, -tall * 0.5, long * 0.5, tall * 0.9), "second", "bevel"))
    return parts


def plant(rng: np.random.Generator) -> Drawing:
    """Stem with leaves and a flower, a fruit or a crown of leaves, sometimes in a pot."""
    tall, wide = rng.uniform(0.3, 0.9), rng.uniform(0.15, 0.4)
    stem = o.open_curve([(0, 0), (rng.uniform(-0.12, 0.12), -tall * 0.5), (0, -tall)])
    parts = [Part(o.ribbon(stem, rng.uniform(0.03, 0.12)), "wood" if rng.random() < 0.4 else "trim", "bevel")]
    for _ in range(rng.integers(1, 7)):
        reach, y, turn = rng.uniform(0.12, 0.4), -tall * rng.uniform(0.05, 1), rng.uniform(-70, 250)
        leaf = o.turned(o.smooth([(0, 0), (reach * 0.5, -reach * 0.25), (reach, 0), (reach * 0.5, reach * 0.25)]), turn)
        parts.append(Part(o.moved(leaf, 0, y), "second", "bevel"))
    for _ in range(rng.integers(1, 4)):
        x, y = rng.normal(0, 0.12), -tall + rng.normal(0, 0.08)
        flower = o.star(x, y, wide, wide * rng.uniform(0.4, 0.95), rng.integers(4, 12), rng.uniform(0, 6))
        parts.append(Part(o.smooth(flower, 3) if rng.random() < 0.7 else flower, "main", "sphere"))
        parts.append(Part(o.ellipse(x, y, wide * 0.3, wide * 0.3), "trim", "sphere"))
    if rng.random() < 0.4:
        parts.append(Part(o.revolve([(0.24, -0.05), (rng.uniform(0.1, 0.22), 0.35)], False), "wood", "cylinder"))
    return parts


def vehicle(rng: np.random.Generator) -> Drawing:
    """Hull with windows on wheels, runners or none."""
    long, tall, roof = rng.uniform(0.5, 0.75), rng.uniform(0.15, 0.4), rng.uniform(0.1, 0.35)
    hull = [(-long, 0), (-long * rng.uniform(0.8, 1), -tall), (long * rng.uniform(0.6, 1), -tall), (long, 0)]
    cabin = [
        (-long * rng.uniform(0.3, 0.9), -tall),
        (-long * 0.3, -tall - roof),
        (long * 0.3, -tall - roof),
        (long * rng.uniform(0.4, 0.8), -tall),
    ]
    parts = [Part(np.array(cabin), "main" if rng.random() < 0.6 else "second", "bevel")]
    for x in np.linspace(-long * 0.25, long * 0.3, int(rng.integers(1, 4))):
        parts.append(Part(o.rectangle(x - 0.09, -tall - roof * 0.8, x + 0.09, -tall, 0.03), "glass", "fade"))
    shape = np.array(hull)
    parts.append(Part(o.smooth(shape, 6) if rng.random() < 0.4 else shape, "main", "bevel", rng.random() < 0.2))
    wheel = rng.uniform(0.08, 0.22)
    for x in np.linspace(-long * 0.65, long * 0.65, int(rng.choice([0, 2, 2, 2, 3]))):
        parts.append(Part(o.ellipse(x, 0, wheel, wheel), "dark", "bevel"))
        parts.append(Part(o.ellipse(x, 0, wheel * 0.55, wheel * 0.55), "metal", "bevel"))
    if rng.random() < 0.5:
        parts.append(Part(o.rectangle(-long * 0.9, -tall * 0.6, long * 0.9, -tall * 0.4), "trim", "flat"))
    return parts


def tool(rng: np.random.Generator) -> Drawing:
    """Handle with a head of any shape at one end or both, lying at any angle."""
    long, thick = rng.uniform(0.6, 1.2), rng.uniform(0.05, 0.14)
    handle = o.ribbon([(0, 0), (0, long * 0.5), (0, long)], [thick * rng.uniform(0.5, 1), thick, thick * 1.2])
    parts = [Part(handle, "wood" if rng.random() < 0.5 else "trim", "bevel")]
    head = o.turned(_any_outline(rng), rng.uniform(0, 360)) * rng.uniform(0.3, 0.8)
    parts.insert(int(rng.integers(2)), Part(head, "metal" if rng.random() < 0.5 else "main", "bevel"))
    if rng.random() < 0.4:
        parts.append(Part(o.moved(head * rng.uniform(0.3, 0.8), 0, long), "second", "bevel"))
    turn = rng.uniform(0, 360)
    return [Part(o.turned(part.outline, turn), part.paint, part.shade) for part in parts]


def figure(rng: np.random.Generator) -> Drawing:
    """Doll, robot or puppet: head with a face, trunk, arms and legs."""
    size, wide, tall = rng.uniform(0.14, 0.32), rng.uniform(0.12, 0.3), rng.uniform(0.25, 0.5)
    parts = []
    for side in (-1, 1):
        hand = (side * (wide + rng.uniform(0.1, 0.3)), rng.uniform(-0.1, tall))
        foot = (side * rng.uniform(0.05, wide), tall + rng.uniform(0.1, 0.4))
        parts.append(Part(o.ribbon([(side * wide * 0.8, 0.05), hand], rng.uniform(0.05, 0.12)), "second", "bevel"))
        parts.append(Part(o.ribbon([(side * wide * 0.5, tall * 0.9), foot], rng.uniform(0.06, 0.15)), "trim", "bevel"))
    power = float(rng.choice([2, 3, 8]))
    parts.append(Part(o.superellipse(0, tall / 2, wide, tall * 0.6, power), "main", "bevel", rng.random() < 0.4))
    parts.append(Part(o.superellipse(0, -size, size, size * rng.uniform(0.8, 1.2), power), "light", "sphere"))
    for side in (-1, 1):
        parts.append(Part(o.ellipse(side * size * 0.4, -size * 1.1, size * 0.13, size * 0.16), "dark", "flat"))
    parts.append(
        Part(o.ribbon(o.ellipse(0, -size * 0.8, size * 0.4, size * 0.25, 20, 160), size * 0.1), "dark", "flat")
    )
    if rng.random() < 0.6:
        parts.append(Part(_blob(rng, 0, -size * 1.8, size * 0.9, size * 0.4), "second", "bevel"))
    return parts


def food(rng: np.random.Generator) -> Drawing:
    """Layers, a fruit, a slice or bits in a bowl or on a plate."""
    kind, wide = rng.integers(3), rng.uniform(0.3, 0.5)
    paints = ("main", "second", "trim", "light", "wood")
    if kind == 0:
        edges = np.cumsum(rng.uniform(0.05, 0.22, int(rng.integers(3, 7))))
        layers = [
            o.rectangle(-wide * k, -y, wide * k, -y + 0.2, 0.09)
            for y, k in zip(edges, rng.uniform(0.85, 1.1, len(edges)), strict=True)
        ]
        return [Part(layer, str(rng.choice(paints)), "cylinder") for layer in layers]
    bits = [
        Part(
            _blob(rng, *rng.normal(0, wide * 0.45, 2), *rng.uniform(0.08, 0.25, 2)),
            str(rng.choice(paints[:4])),
            "sphere",
        )
        for _ in range(rng.integers(1, 9))
    ]
    if kind == 1:
        leaf = o.moved(o.turned(o.ellipse(0.12, 0, 0.14, 0.06), rng.uniform(-90, 0)), 0, -0.3)
        return [Part(_blob(rng, 0, 0, wide, rng.uniform(0.25, 0.5)), "main", "sphere"), *bits[:2], Part(leaf, "second")]
    bowl = o.revolve([(wide * 1.4, 0.1), (wide * 1.2, 0.3), (wide * 0.6, rng.uniform(0.25, 0.6))])
    return [*bits, Part(bowl, "light" if rng.random() < 0.5 else "main", "cylinder", rng.random() < 0.3)]


def other(rng: np.random.Generator) -> Drawing:
    """Compound of two to six random shapes around a main one, sometimes symmetric."""
    body = o.turned(_any_outline(rng), rng.uniform(0, 360))
    parts = [Part(body, "main", str(rng.choice(_SHADES)), rng.random() < 0.5, label=rng.random() < 0.3)]
    is_symmetric = rng.random() < 0.5
    for _ in range(rng.integers(1, 6)):
        outline = o.turned(_any_outline(rng), rng.uniform(0, 360)) * rng.uniform(0.2, 0.7) + rng.normal(0, 0.22, 2)
        paint, shade = str(rng.choice(_PAINTS)), str(rng.choice(_SHADES))
        has_pattern, is_over = rng.random() < 0.3, rng.random() < 0.6
        copies = [outline, o.mirrored(outline)] if is_symmetric else [outline]
        for copy in copies:
            parts.insert(len(parts) if is_over else 0, Part(copy, paint, shade, has_pattern))
    return parts
