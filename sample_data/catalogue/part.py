"""The parts of a drawing, painted one over the other."""

from __future__ import annotations

from dataclasses import dataclass

from sample_data.catalogue.outlines import Points


@dataclass(frozen=True, eq=False)
class Part:
    """One painted area of a drawing.

    outline: (N, 2) polygon in the drawing's units.
    paint: a role of the palette: main, second, trim, dark, light, metal, wood, screen, glass.
    shade: flat, cylinder (lit from the left, turning away at both sides), sphere, bevel (edges catch the light), fade
    (darker below).
    has_pattern: whether the product's pattern is printed on it.   opacity: 0-1.
    label: whether printed text may go on it.
    """

    outline: Points
    paint: str = "main"
    shade: str = "bevel"
    has_pattern: bool = False
    opacity: float = 1.0
    label: bool = False


Drawing = list[Part]
