"""Plan a catalogue: originals, planted duplicates, look-alikes that are no duplicates, and bad images, over several
days.

The plan is data; `write_catalogue` (demo.py) draws it. Every original has a product of its own, so any two images of
different groups show different things.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
from PIL import ImageChops, ImageStat

from sample_data.catalogue.backgrounds import Background
from sample_data.catalogue.bad_images import BAD_IMAGES
from sample_data.catalogue.listings import Listing, copied_listing, original_listing
from sample_data.catalogue.products import Product
from sample_data.catalogue.scenes import Scene, draw_scene
from sample_data.catalogue.transforms import ALL_TRANSFORMS, BACKGROUND_SWAP

RECOLOURED = "recoloured"
SAME_BACKGROUND = "same_background"
_TOLD = 3
"""The random stream for what shops say, separate from those of the pictures."""


@dataclass(frozen=True)
class Entry:
    """One image of a catalogue.

    sku, number: of the shop's article; `key` is both.
    scene: what it shows.
    group: sku of the original that it is or copies; None for a bad image.
    transform: what was done to the original's picture, None for an original.
    bad: key of BAD_IMAGES.
    listing: what its shop says about it.
    is_counted: whether it takes part in the score of duplicates (a greyscale copy of a thing that also exists in
    another colour may be called either way).
    """

    day: date
    sku: str
    number: int
    scene: Scene
    seed: tuple[int, ...]
    listing: Listing
    group: str | None = None
    transform: str | None = None
    bad: str | None = None
    is_counted: bool = True

    @property
    def key(self) -> str:
        """`<sku>/<number>`: unique in a day, and the end of the row key in HBase."""
        return f"{self.sku}/{self.number}"

    def metadata(self) -> dict[str, str]:
        """What the image's shop says about it."""
        return {"category": self.scene.things[0][0].category, **self.listing.metadata()}


@dataclass(frozen=True)
class LookAlike:
    """Two entries that must not share a group; kind: recoloured (same product, 60 degrees of hue or more away) or
    same_background."""

    first: Entry
    second: Entry
    kind: str


@dataclass(frozen=True)
class Plan:
    """Entries by day, and the planted look-alike pairs among them."""

    entries: list[Entry]
    look_alikes: list[LookAlike]


def plan_catalogue(seed: int, days: Sequence[date], per_day: int) -> Plan:
    """About `per_day` images on each of `days`: 8 % look-alike pairs, a third duplicates, one of each bad class in all.

    Raises:
        ValueError: the days are too few or too small to hold every bad class and every transform once.
    """
    total = len(days) * per_day - len(BAD_IMAGES)
    copies = round(total * 0.32)
    if copies < len(ALL_TRANSFORMS):
        least = -(-(len(ALL_TRANSFORMS) * 4 + len(BAD_IMAGES)) // max(len(days), 1))
        raise ValueError(f"got {per_day} images on {len(days)} days, expected at least {least} a day; raise per_day")
    rng = np.random.default_rng([seed, 0])
    pairs = max(round(total * 0.04), 2)
    originals = _originals(seed, rng, days, total - copies - 2 * pairs)
    look_alikes = _recoloured(seed, rng, days, originals, pairs) + _same_background(seed, rng, days, originals, pairs)
    twins = {pair.first.sku for pair in look_alikes if pair.kind == RECOLOURED}
    duplicates = _duplicates(rng, days, originals, copies, twins)
    everything = originals + [pair.second for pair in look_alikes] + duplicates + _bad(seed, rng, days)
    return Plan(sorted(everything, key=lambda entry: (entry.day, entry.key)), look_alikes)


def _any_day(rng: np.random.Generator, days: Sequence[date]) -> date:
    return days[int(rng.integers(len(days)))]


def _original(seed: int, rng: np.random.Generator, day: date, number: int) -> Entry:
    product = Product.numbered(seed, number)
    companions = [Product.numbered(seed, 1_000_000 + 4 * number + i) for i in range(rng.integers(1, 4))]
    scene = draw_scene(product, rng, companions if rng.random() < 0.15 else ())
    return _entry(day, product, scene, (seed, 1, number))


def _entry(day: date, product: Product, scene: Scene, seed: tuple[int, ...]) -> Entry:
    listing = original_listing(np.random.default_rng([*seed, _TOLD]), day, product.category)
    return Entry(day, product.sku, 0, scene, seed, listing, group=product.sku)


def _originals(seed: int, rng: np.random.Generator, days: Sequence[date], count: int) -> list[Entry]:
    return [_original(seed, rng, days[number % len(days)], number) for number in range(count)]


def _recoloured(
    seed: int, rng: np.random.Generator, days: Sequence[date], originals: Sequence[Entry], count: int
) -> list[LookAlike]:
    """For `count` originals, the same thing in a clearly different colour, in a scene of its own."""
    found: list[LookAlike] = []
    for original in originals:
        product = original.scene.things[0][0]
        shift = float(rng.uniform(75, 285))
        if len(found) == count:
            break
        if len(original.scene.things) > 1 or not _changes_colour(product, shift):
            continue
        scene = draw_scene(product, rng)
        placement = replace(scene.things[0][1], hue_shift=shift)
        sku, number = f"{product.sku}-other-colour", (seed, 2, len(found))
        day, coloured = _any_day(rng, days), replace(scene, things=((product, placement),))
        told = np.random.default_rng([*number, _TOLD])  # another shop, which calls the article the same
        listing = original_listing(told, day, product.category, original.listing.title)
        twin = Entry(day, sku, 0, coloured, number, listing, group=sku)
        found.append(LookAlike(original, twin, RECOLOURED))
    return found


def _changes_colour(product: Product, shift: float) -> bool:
    """Whether turning the hue is plain to see; on a black camera, nothing changes."""
    first, second = product.draw(64), product.draw(64, shift)
    difference = ImageChops.difference(first.convert("RGB"), second.convert("RGB"))
    mean = ImageStat.Stat(difference, first.getchannel("A").point([255 if v > 128 else 0 for v in range(256)])).mean
    return product.palette().saturation > 0.45 and sum(mean) / 3 > 36


def _same_background(
    seed: int, rng: np.random.Generator, days: Sequence[date], originals: Sequence[Entry], count: int
) -> list[LookAlike]:
    """For the last `count` originals another product on the very same background."""
    found = []
    for number, original in enumerate(originals[-count:]):
        product = Product.numbered(seed, 2_000_000 + number * 7)
        scene = draw_scene(product, rng)
        twin = replace(original.scene, things=scene.things, seed=scene.seed)
        other = _entry(_any_day(rng, days), product, twin, (seed, 3, number))
        found.append(LookAlike(original, other, SAME_BACKGROUND))
    return found


def _duplicates(
    rng: np.random.Generator, days: Sequence[date], originals: Sequence[Entry], count: int, twins: set[str]
) -> list[Entry]:
    """`count` copies, every transform in turn, of about half as many originals, on any day."""
    popular = rng.permutation(len(originals))[: max(count * 5 // 9, 1)]
    found = []
    for number in range(count):
        original = originals[popular[number % len(popular)]]
        transform = ALL_TRANSFORMS[number % len(ALL_TRANSFORMS)]
        scene = original.scene.before(Background.drawn_by(rng)) if transform == BACKGROUND_SWAP else original.scene
        day, seed = _any_day(rng, days), (*original.seed, number)
        found.append(
            replace(
                original,
                day=day,
                sku=f"{original.sku}-copy{number:04d}",
                number=1,
                scene=scene,
                seed=seed,
                listing=copied_listing(original.listing, np.random.default_rng([*seed, _TOLD]), day),
                transform=transform,
                is_counted=not (transform == "greyscale" and original.sku in twins),
            )
        )
    return found


def _bad(seed: int, rng: np.random.Generator, days: Sequence[date]) -> list[Entry]:
    """One image of each bad class, dealt over the days."""
    found = []
    for number, name in enumerate(BAD_IMAGES):
        product = Product.numbered(seed, 3_000_000 + number)
        scene = draw_scene(product, rng)
        good = _entry(days[number % len(days)], product, scene, (seed, 4, number))
        sku = f"bad-{name.replace('_', '-')}"
        found.append(replace(good, sku=sku, group=None, bad=name, is_counted=False))
    return found
