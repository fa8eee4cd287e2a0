"""Which segments of the newest version a new one can keep, and which small ones should be merged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dlcore.search.manifest import read_manifest, versions
from dlcore.search.part import Part
from dlcore.search.segment import SEGMENT_ITEMS
from dlcore.search.store import Store

SMALL_ITEMS = SEGMENT_ITEMS // 10
JOINED_BYTES = 256 << 20
MANY = 16
"""Number of small segments from which on they are merged."""


def reusable(store: Store, model_version: str, states: Mapping[str, str]) -> list[Part]:
    """Segments of the newest version whose days were all made from what `states` says, and are complete in such
    segments.

    None if that version has another model or an older format, if it is damaged, or if there is none.
    """
    existing = versions(store)
    try:
        manifest = read_manifest(store, existing[-1]) if existing else None
    except (FileNotFoundError, ValueError):
        manifest = None
    if manifest is None or manifest.model_version != model_version:
        return []
    kept = list(manifest.segments)
    while True:
        lost = {
            day
            for part in manifest.segments
            for day, state in part.days.items()
            if states.get(day) != state or part not in kept
        }
        left = [part for part in kept if not lost & set(part.days)]
        if len(left) == len(kept):
            return left
        kept = left


def joinable(segments: Sequence[Part]) -> list[list[Part]]:
    """Lists of neighbouring small segments, each to be merged into one; none unless MANY are small."""
    small = sorted((part for part in segments if _is_small(part)), key=lambda part: part.first)
    if len(small) < MANY:
        return []
    lists: list[list[Part]] = [[]]
    for part in small:
        together = [*lists[-1], part]
        fits = sum(p.count for p in together) <= SEGMENT_ITEMS and sum(p.size_bytes for p in together) <= JOINED_BYTES
        if fits:
            lists[-1] = together
        else:
            lists.append([part])
    return [parts for parts in lists if len(parts) > 1]


def _is_small(part: Part) -> bool:
    return part.count <= SMALL_ITEMS and part.size_bytes <= JOINED_BYTES // 2
