"""Contact sheets: rows of small pictures with a line of text under each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

_CELL, _GAP, _TEXT = 128, 8, 30
_PAPER, _INK, _MARK = (255, 255, 255), (40, 40, 40), (200, 40, 40)


@dataclass(frozen=True)
class Tile:
    """One picture of a sheet, up to two lines of text, and whether a frame marks it."""

    picture: Image.Image
    caption: str = ""
    is_marked: bool = False


def contact_sheet(rows: Sequence[Sequence[Tile]]) -> Image.Image:
    """The tiles of each row side by side, rows one under the other, on white."""
    columns = max((len(row) for row in rows), default=0)
    size = _GAP + columns * (_CELL + _GAP), _GAP + len(rows) * (_CELL + _TEXT + _GAP)
    sheet = Image.new("RGB", (max(size[0], 1), max(size[1], 1)), _PAPER)
    for row, tiles in enumerate(rows):
        for column, tile in enumerate(tiles):
            _paint(sheet, tile, _GAP + column * (_CELL + _GAP), _GAP + row * (_CELL + _TEXT + _GAP))
    return sheet


def _paint(sheet: Image.Image, tile: Tile, x: int, y: int) -> None:
    picture = tile.picture.convert("RGB")
    picture.thumbnail((_CELL, _CELL), Image.Resampling.BILINEAR)
    left, top = x + (_CELL - picture.width) // 2, y + (_CELL - picture.height) // 2
    sheet.paste(picture, (left, top))
    draw = ImageDraw.Draw(sheet)
    if tile.is_marked:
        draw.rectangle((x - 3, y - 3, x + _CELL + 2, y + _CELL + 2), outline=_MARK, width=2)
    font = ImageFont.load_default(10)
    for number, line in enumerate(tile.caption.split("\n")[:2]):
        draw.text((x, y + _CELL + 2 + 13 * number), line[:24], fill=_INK, font=font)
