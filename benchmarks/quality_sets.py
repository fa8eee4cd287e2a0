"""Pictures of other makers with a truth: what `bench_quality.py` judges codes, boxes and thresholds on. Nothing is
trained on them.

The things and backdrops come out of Debian packages, which are fetched by apt's client and unpacked beside the
benchmark, never installed: stamps of Tux Paint (photographs and artwork, GPL-2), emoji (Noto, OFL), Fashion-MNIST
(MIT), wallpapers (GNOME, CC-BY-SA).
A set is a few hundred items, their copies by changes stronger and of another code than those the product trains and
calibrates with, and look-alikes: pairs that a person would keep apart. One set has generated things in the place of
those of packages.
"""

from __future__ import annotations

import gzip
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont, ImageOps

from benchmarks.quality_changes import CHANGES, NEW_BACKDROP, STAY, any_colour, moved
from dlcore.vision.pixels import Pixels
from sample_data.catalogue.demo import HELD_OUT_SEED
from sample_data.catalogue.products import products
from sample_data.catalogue.scenes import Placement, compose

PACKAGES = {
    "stamps": "tuxpaint-stamps-default",
    "emoji": "fonts-noto-color-emoji",
    "fashion": "dataset-fashion-mnist",
    "wallpapers": "gnome-backgrounds",
}
SETS = ("stamps", "emoji", "fashion", "generated")
ORIGINALS, COPIES, LOOK_ALIKES = 400, 295, 120
SPARE = 40
"""Things that no original shows, for look-alikes: before another backdrop they would be duplicates of an original."""

_SIDES = (280, 520)
_CUT_OUT_SIDE = 320


@dataclass(frozen=True)
class Item:
    """A picture of a set. pixels (H, W, 3). box: corners of its thing in pixels.
    group: those of one group are duplicates.
    change: what was done to the original, None for an original.   grade: how hard that is: easy, medium or hard.
    matrix: (2, 3), what took the original's points here."""

    pixels: Pixels
    box: tuple[float, float, float, float]
    group: int
    change: str | None = None
    grade: str | None = None
    matrix: NDArray[np.float64] | None = None

    def moved(self, box: Sequence[float]) -> tuple[float, float, float, float]:
        """Where a box (4,) of the original is in this copy, in pixels, cut at its edges."""
        return moved(box, STAY if self.matrix is None else self.matrix, self.pixels.shape[1::-1])


@dataclass(frozen=True)
class QualitySet:
    """Items, and the positions of look-alike pairs among them with their kind."""

    name: str
    items: list[Item]
    look_alikes: list[tuple[int, int, str]]


@dataclass(frozen=True)
class _Scene:
    """A thing before a backdrop: an item that can be drawn again otherwise."""

    thing: int
    cut_out: Image.Image
    placement: Placement
    backdrop: Image.Image
    seed: int

    def draw(self) -> tuple[Image.Image, tuple[float, float, float, float]]:
        image, boxes = compose(self.backdrop, [(self.cut_out, self.placement)], np.random.default_rng(self.seed))
        return image, boxes[0] or (0.0, 0.0, float(image.width), float(image.height))


def quality_set(name: str, folder: Path, seed: int = 0) -> QualitySet:
    """The set `name` of SETS, its packages unpacked under `folder`; about 20 s."""
    rng = np.random.default_rng([seed, SETS.index(name)])
    root = unpacked(name, folder) if name in PACKAGES else folder
    cut_outs, backdrops = _CUT_OUTS[name](root, rng), _wallpapers(unpacked("wallpapers", folder))
    scenes = [_scene(number, cut_outs, backdrops, rng) for number in range(min(ORIGINALS, len(cut_outs) - SPARE))]
    items = [_item(scene, number) for number, scene in enumerate(scenes)]
    look_alikes = _look_alikes(scenes, items, cut_outs, backdrops, rng)
    has_twin = {first for first, _, kind in look_alikes if kind == "recoloured"}
    items += _copies(scenes, has_twin, backdrops, rng)
    return QualitySet(name, items, look_alikes)


def unpacked(name: str, folder: Path) -> Path:
    """The folder in which the package of that name is unpacked, fetched when it is not there yet."""
    target = folder / name
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        before = set(folder.glob("*.deb"))
        subprocess.run(["apt-get", "download", "-q", PACKAGES[name]], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        (package,) = set(folder.glob("*.deb")) - before
        subprocess.run(["dpkg", "-x", str(package), str(target)], check=True)
        package.unlink()
    return target


def _item(scene: _Scene, group: int) -> Item:
    image, box = scene.draw()
    return Item(np.asarray(image), box, group)


def _scene(thing: int, cut_outs: list[Image.Image], backdrops: list[Image.Image], rng: np.random.Generator) -> _Scene:
    placement = Placement(
        float(rng.uniform(0.4, 0.6)),
        float(rng.uniform(0.4, 0.6)),
        float(rng.uniform(0.45, 0.9)),
        float(rng.normal(0, 4)),
    )
    return _Scene(thing, cut_outs[thing], placement, _backdrop(backdrops, rng), int(rng.integers(2**31)))


def _backdrop(backdrops: list[Image.Image], rng: np.random.Generator) -> Image.Image:
    """White, one colour or a slope of two in six of ten pictures, a part of a wallpaper in the others."""
    width, height = (int(v) for v in rng.integers(*_SIDES, 2))
    kind = rng.random()
    if kind < 0.3:
        return Image.new("RGB", (width, height), (255, 255, 255))
    if kind < 0.6:
        first, second = (np.array(any_colour(rng), np.float32) for _ in range(2))
        slope = np.linspace(0, float(kind > 0.45), height)[:, None, None]
        return Image.fromarray(
            np.broadcast_to(first * (1 - slope) + second * slope, (height, width, 3)).astype(np.uint8)
        )
    image = backdrops[int(rng.integers(len(backdrops)))]
    share = rng.uniform(0.3, 0.9) * min(image.width / width, image.height / height)
    x, y = rng.uniform(0, 1, 2) * [image.width - share * width, image.height - share * height]
    return image.resize((width, height), Image.Resampling.BILINEAR, (x, y, x + share * width, y + share * height))


def _copies(
    scenes: list[_Scene], has_twin: set[int], backdrops: list[Image.Image], rng: np.random.Generator
) -> list[Item]:
    """COPIES copies, every change in turn, of about half as many originals; no colourless ones of what exists in
    another colour."""
    popular = rng.permutation(len(scenes))[: COPIES // 2]
    copies = []
    for number in range(COPIES):
        change = list(CHANGES)[number % len(CHANGES)]
        choices = [n for n in popular if int(n) not in has_twin] if change in COLOURLESS else list(popular)
        original = int(choices[number % len(choices)])
        copies.append(_copy(scenes[original], original, change, backdrops, rng))
    return copies


COLOURLESS = ("greyscale", "grey with noise", "sepia")


def _copy(scene: _Scene, group: int, name: str, backdrops: list[Image.Image], rng: np.random.Generator) -> Item:
    if name == NEW_BACKDROP:
        other = _backdrop(backdrops, rng).resize(scene.backdrop.size)
        scene = replace(scene, backdrop=other)
    image, box = scene.draw()
    grade, change = CHANGES[name]
    changed, matrix = change(image, rng)
    return Item(np.asarray(changed.convert("RGB")), moved(box, matrix, changed.size), group, name, grade, matrix)


def _look_alikes(
    scenes: list[_Scene],
    items: list[Item],
    cut_outs: list[Image.Image],
    backdrops: list[Image.Image],
    rng: np.random.Generator,
) -> list[tuple[int, int, str]]:
    """LOOK_ALIKES pairs; the second of each is added to the items. Two of three are recoloured, the others share a
    backdrop."""
    pairs: list[tuple[int, int, str]] = []
    order = [int(n) for n in rng.permutation(len(scenes))]
    for number in order:
        if len(pairs) == LOOK_ALIKES:
            break
        kind = "recoloured" if len(pairs) % 3 else "same backdrop"
        if kind == "recoloured" and not _is_colourful(scenes[number].cut_out):
            continue
        twin = _twin(scenes[number], kind, len(cut_outs) - 1 - len(pairs) // 3, cut_outs, backdrops, rng)
        pairs.append((number, len(items), kind))
        items.append(_item(twin, len(scenes) + len(pairs)))
    return pairs


def _twin(
    scene: _Scene,
    kind: str,
    spare: int,
    cut_outs: list[Image.Image],
    backdrops: list[Image.Image],
    rng: np.random.Generator,
) -> _Scene:
    if kind == "same backdrop":
        return replace(scene, thing=spare, cut_out=cut_outs[spare])
    hue, saturation, value = scene.cut_out.convert("RGB").convert("HSV").split()
    shift = int(rng.integers(50, 206))
    turned = Image.merge("HSV", (hue.point([(v + shift) % 256 for v in range(256)]), saturation, value)).convert("RGB")
    turned.putalpha(scene.cut_out.getchannel("A"))
    backdrop = scene.backdrop if rng.random() < 0.5 else _backdrop(backdrops, rng)
    return replace(scene, cut_out=turned, backdrop=backdrop)


def _is_colourful(cut_out: Image.Image) -> bool:
    """Whether another hue would show: colour on a good part of the thing."""
    small = np.asarray(cut_out.resize((24, 24)), np.float32)
    inside = small[..., 3] > 128
    return bool(inside.any() and np.mean((small[..., :3].max(2) - small[..., :3].min(2))[inside] > 60) > 0.4)


def _stamps(root: Path, rng: np.random.Generator) -> list[Image.Image]:
    """Photographs and artwork cut out, but no letters, signs or flags."""
    paths = [
        path
        for path in sorted(root.rglob("*.png"))
        if not {"symbols", "roadsigns", "flags"} & set(path.parts) and "mirror" not in path.name
    ]
    return list(_usable([Image.open(path).convert("RGBA") for path in paths], rng))


def _emoji(root: Path, rng: np.random.Generator) -> list[Image.Image]:
    """Glyphs that stand for things: food, clothes, tools, animals, vehicles."""
    (path,) = root.rglob("NotoColorEmoji.ttf")
    font = ImageFont.truetype(str(path), 109)
    ranges = ((0x1F32D, 0x1F390), (0x1F3A0, 0x1F3D3), (0x1F400, 0x1F443), (0x1F451, 0x1F463), (0x1F4B0, 0x1F4F8),
              (0x1F680, 0x1F6A5), (0x1F950, 0x1F980), (0x1F980, 0x1F9B0), (0x1FA70, 0x1FAD0))  # fmt: skip
    return list(_usable([_glyph(chr(code), font) for first, end in ranges for code in range(first, end)], rng))


def _glyph(text: str, font: ImageFont.FreeTypeFont) -> Image.Image:
    image = Image.new("RGBA", (136, 128), (0, 0, 0, 0))
    ImageDraw.Draw(image).text((0, 0), text, font=font, embedded_color=True)
    return image


def _fashion(root: Path, rng: np.random.Generator) -> list[Image.Image]:
    """Clothes of Fashion-MNIST, 28 pixels made larger, each in a colour of its own; the dark around them is
    transparent."""
    (path,) = [path for path in root.rglob("t10k-images*ubyte*") if path.is_file()]
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    pictures = np.frombuffer(data, np.uint8, offset=16).reshape(-1, 28, 28)
    return list(_usable([_dyed(pictures[n], rng) for n in rng.permutation(len(pictures))[: 2 * ORIGINALS]], rng))


def _dyed(picture: NDArray[np.uint8], rng: np.random.Generator) -> Image.Image:
    grey = Image.fromarray(picture).resize((280, 280), Image.Resampling.BICUBIC)
    light, dark = any_colour(rng), tuple(int(v * 0.25) for v in any_colour(rng))
    dyed = ImageOps.colorize(grey, dark, light)
    dyed.putalpha(grey.point([min(v * 12, 255) for v in range(256)]).filter(ImageFilter.MedianFilter(5)))
    return dyed


def _usable(images: Sequence[Image.Image], rng: np.random.Generator) -> Iterator[Image.Image]:
    """Cut-outs, cropped to what is seen of them and large enough, each once, in random order."""
    seen: set[bytes] = set()
    for position in rng.permutation(len(images)):
        image = images[int(position)]
        box = image.getchannel("A").getbbox()
        if box is None or min(box[2] - box[0], box[3] - box[1]) < 40:
            continue
        thing = image.crop(box)
        thing.thumbnail((_CUT_OUT_SIDE, _CUT_OUT_SIDE))
        look = thing.resize((8, 8)).tobytes()
        if look not in seen:
            seen.add(look)
            yield thing


def _wallpapers(root: Path) -> list[Image.Image]:
    return [Image.open(path).convert("RGB").resize((1280, 720)) for path in sorted(root.rglob("*.webp"))]


def _generated(root: Path, rng: np.random.Generator) -> list[Image.Image]:
    """Products of the generator that no training has seen, before the backdrops of the other sets."""
    return [product.draw(_CUT_OUT_SIDE) for product in products(HELD_OUT_SEED, ORIGINALS + SPARE)]


_CUT_OUTS = {"stamps": _stamps, "emoji": _emoji, "fashion": _fashion, "generated": _generated}
