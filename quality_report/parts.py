"""The pieces of a report's page: tables, bars, figures. All text is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from quality_report.pictures import Picture
from spark_jobs.scoring.evaluation import Address

Box = tuple[float, float, float, float]
PHASES = {"connect": "p1", "pin": "p2", "stage": "p3", "audit": "p4", "publish": "p5"}
"""The phases of a stage that are drawn, and their colours' classes."""


def section(anchor: str, title: str, about: str, *content: str) -> str:
    """A card of the page. about: HTML."""
    return f"<section id='{anchor}'><h2>{escape(title)}</h2><p>{about}</p>{''.join(content)}</section>"


def tile(number: str, name: str, about: str) -> str:
    """One large number."""
    return f"<div class='tile'><span>{escape(name)}</span><b>{escape(number)}</b><span>{escape(about)}</span></div>"


def table(
    header: Sequence[str], rows: Iterable[Sequence[str]], classes: Sequence[str] = (), is_even: bool = False
) -> str:
    """A table. header: text. rows: HTML of whole cells (see `cell`). classes: of the headings. is_even: columns of one
    width."""
    names = [*classes, *[""] * (len(header) - len(classes))]
    head = "".join(f"<th class='{name}'>{escape(text)}</th>" for text, name in zip(header, names, strict=True))
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    even = " class='even'" if is_even else ""
    return f"<div class='scroll'><table{even}><tr>{head}</tr>{body}</table></div>"


def cell(html: str, name: str = "") -> str:
    """A cell with HTML inside."""
    return f"<td class='{name}'>{html}</td>" if name else f"<td>{html}</td>"


def number(value: float | None, digits: int = 0) -> str:
    """A cell with a number; empty for None."""
    return cell("" if value is None else f"{value:,.{digits}f}", "n")


def heat(value: float | None) -> str:
    """A cell with a share: the darker, the better."""
    if value is None:
        return cell("", "heat")
    colour = f"color-mix(in srgb, var(--good) {45 * value**2:.0f}%, transparent)"
    return f"<td class='heat' style='background:{colour}'>{value:.2f}</td>"


def bar(share: float, widest: float = 110) -> str:
    """A bar. share: of the widest bar. widest: in pixels."""
    return f"<i class='bar' style='width:{max(0.0, min(share, 1.0)) * widest:.0f}px'></i>"


def phases(seconds: Mapping[str, float], most: float) -> str:
    """Seconds by phase as one bar of several colours. most: seconds of a bar of full width."""
    total = sum(seconds.get(name, 0.0) for name in PHASES)
    parts = "".join(
        f"<i class='{colour}' style='flex:{seconds.get(name, 0.0):.3f}' title='{name} {seconds.get(name, 0.0):.1f} "
        f"s'></i>"
        for name, colour in PHASES.items()
    )
    return f"<div class='phases' style='width:{100 * total / max(most, 1e-9):.1f}%'>{parts}</div>"


def legend(entries: Mapping[str, str]) -> str:
    """A legend: the CSS class of a colour, or its style if there is a colon in it -> name."""
    items = (
        f"<span><i {'style' if ':' in look else 'class'}='{look}'></i>{escape(name)}</span>"
        for name, look in entries.items()
    )
    return f"<div class='legend'>{''.join(items)}</div>"


def figure(picture: str, caption: str, name: str = "") -> str:
    """A picture (HTML) with a caption (HTML); name: CSS class."""
    return f"<figure class='{name}'>{picture}<figcaption>{caption}</figcaption></figure>"


def image(picture: Picture | None, inside: str = "", instead: str = "no picture") -> str:
    """A picture with something drawn over it (HTML); a note in its place if there is none."""
    if picture is None:
        return f"<div class='picture'><div class='none'>{escape(instead)}</div></div>"
    size = f"width='{picture.width}' height='{picture.height}'"
    return f"<div class='picture'><img src='{picture.uri}' {size} loading='lazy' alt=''>{inside}</div>"


def boxes(found: Iterable[tuple[str, Box]], true: Iterable[Box]) -> str:
    """Boxes over a picture, corners as fractions of it: found ones with their text, true ones thin."""
    found = list(found)
    rectangles = "".join(_rectangle(box, "under") + _rectangle(box, "true") for box in true)
    rectangles += "".join(_rectangle(box, "found") for _, box in found)
    tags = "".join(
        f"<span class='tag' style='{_corner(box)};top:{100 * box[1]:.1f}%'>{escape(text)}</span>" for text, box in found
    )
    return f"<svg viewBox='0 0 100 100' preserveAspectRatio='none'>{rectangles}</svg>{tags}"


def _corner(box: Box) -> str:
    """Where a box's text begins or, near the right edge, ends."""
    return f"left:{100 * box[0]:.1f}%" if box[0] < 0.66 else f"right:{100 - 100 * box[2]:.1f}%"


def _rectangle(box: Box, name: str) -> str:
    x, y, width, height = (100 * v for v in (box[0], box[1], box[2] - box[0], box[3] - box[1]))
    return f"<rect class='{name}' x='{x:.2f}' y='{y:.2f}' width='{width:.2f}' height='{height:.2f}'/>"


def place(address: Address) -> str:
    """Day and key of an image, for a caption."""
    return f"{escape(address[1])}<br>{escape(address[0])}"
