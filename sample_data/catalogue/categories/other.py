"""Things of no known kind: closed random shapes, compounds and pictograms, so that a detector learns that anything may
be an object."""

from __future__ import annotations

import numpy as np

from sample_data.catalogue import outlines as o
from sample_data.catalogue.part import Drawing, Part

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
