"""The contact sheets of a report: detections, crops, groups of duplicates, neighbours, mistakes, bad images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from data_contracts.reasons import Reason
from quality_report import parts
from quality_report.choice import Member, Mistake, Neighbours, Seen
from quality_report.pictures import Picture
from quality_report.report_choice import Case
from spark_jobs.scoring.evaluation import Address
from spark_jobs.scoring.published_scores import Row

_VERDICTS = {True: "right", False: "wrong", None: ""}


@dataclass(frozen=True)
class Bad:
    """An image that was made bad on purpose: its class, the expected reason, and what became of it."""

    name: str
    address: Address
    expected: str
    reason: str
    flags: Sequence[str]
    beginning: str


@dataclass(frozen=True)
class Sheets:
    """What the sheets show, and its pictures: whole images large and small, crops, files as they were stored."""

    detections: Sequence[Seen] = ()
    worst: Sequence[Seen] = ()
    crops: Sequence[tuple[Address, Row]] = ()
    groups: Sequence[Sequence[Member]] = ()
    neighbours: Sequence[Neighbours] = ()
    merged: Sequence[Mistake] = ()
    missed: Sequence[Mistake] = ()
    bad: Sequence[Bad] = ()
    prices: Sequence[Case] = ()
    copies: Sequence[Case] = ()
    large: Mapping[Address, Picture] = field(default_factory=dict)
    small: Mapping[Address, Picture] = field(default_factory=dict)
    cut: Mapping[Address, Picture] = field(default_factory=dict)
    stored: Mapping[Address, Picture] = field(default_factory=dict)


def _sheet(figures: Sequence[str], name: str) -> str:
    return f"<div class='{name}'>{''.join(figures)}</div>" if figures else "<p>None.</p>"


def _seen(sheets: Sheets, looks: Sequence[Seen]) -> str:
    figures = []
    for look in looks:
        found = [(f"{label} {score:.2f}", box) for label, score, box in look.found]
        drawn = parts.image(sheets.large.get(look.address), parts.boxes(found, [box for _, box in look.true]))
        faults = [f"{n} {what}" for n, what in ((look.missed, "missed"), (look.wrong, "wrong")) if n]
        truth = ", ".join(label for label, _ in look.true)
        note = f"<br><span class='bad'>{', '.join(faults)}</span> of {escape(truth)}" if faults else ""
        figures.append(parts.figure(drawn, parts.place(look.address) + note))
    return _sheet(figures, "large")


def _detections(sheets: Sheets) -> str:
    colours = {
        "found, with label and score": "background:var(--box)",
        "true box": "background:#fff;border:1px solid #0009",
    }
    return parts.legend(colours) + _seen(sheets, sheets.detections)


def _crops(sheets: Sheets) -> str:
    figures = [
        parts.figure(parts.image(sheets.cut.get(address)), _crop_caption(row), "" if row["label"] else "first")
        for address, row in sheets.crops
    ]
    return _sheet(figures, "sheet small")


def _crop_caption(row: Row) -> str:
    size = f"{row['x_max'] - row['x_min']} x {row['y_max'] - row['y_min']}"
    return f"<b>{escape(row['label'] or 'whole image')}</b><br>{size}"


def _groups(sheets: Sheets) -> str:
    return _sheet(
        [f"<div class='group'>{''.join(_member(sheets, member) for member in group)}</div>" for group in sheets.groups],
        "groups",
    )


def _member(sheets: Sheets, member: Member) -> str:
    similarity = "" if member.similarity is None else f", cosine {member.similarity:.2f}"
    apart = "stands for the group" if member.is_representative else f"{member.distance} bits{similarity}"
    caption = f"<b>{escape(member.change)}</b><br>{apart}<br>{escape(member.address[0])}"
    name = "first" if member.is_representative else _VERDICTS[member.is_right]
    return parts.figure(parts.image(sheets.small.get(member.address)), caption, name)


def _neighbours(sheets: Sheets) -> str:
    rows = []
    for asked in sheets.neighbours:
        query = parts.figure(
            parts.image(sheets.cut.get(asked.query)), f"<b>query</b><br>{escape(asked.query[1])}", "first"
        )
        found = [
            parts.figure(parts.image(sheets.cut.get(address)), f"<b>{bits}</b> bits", "right" if same else "")
            for address, bits, same in asked.found
        ]
        rows.append(f"<div class='row'>{query}{''.join(found)}</div>")
    return _sheet(rows, "rows")


def _mistakes(sheets: Sheets) -> str:
    return (
        "<h3>In one group, but not the same</h3>"
        + _pairs(sheets, sheets.merged)
        + "<h3>The same, but not in one group: the nearest copies that were missed</h3>"
        + _pairs(sheets, sheets.missed)
        + "<h3>Objects missed or wrong</h3>"
        + _seen(sheets, sheets.worst)
    )


def _pairs(sheets: Sheets, mistakes: Sequence[Mistake]) -> str:
    figures = [
        parts.figure(
            "<div>" + "".join(parts.image(sheets.small.get(a)) for a in (mistake.first, mistake.second)) + "</div>",
            f"<b>{escape(mistake.change or mistake.kind)}</b>, {mistake.distance} bits<br>"
            f"{escape(mistake.first[1])} · {escape(mistake.second[1])}",
            "pair",
        )
        for mistake in mistakes
    ]
    return _sheet(figures, "pairs")


def _cases(sheets: Sheets, cases: Sequence[Case]) -> str:
    figures = [
        parts.figure(
            f"<div>{''.join(parts.image(sheets.small.get(address)) for address, _ in case.pictures)}</div>",
            f"<b>{escape(case.pictures[0][1])}</b> · <b>{escape(case.pictures[1][1])}</b><br>{escape(case.about)}",
            f"pair {_VERDICTS[case.is_right]}",
        )
        for case in cases
    ]
    return _sheet(figures, "pairs")


def _bad(sheets: Sheets) -> str:
    return _sheet([_bad_figure(sheets, bad) for bad in sheets.bad], "sheet small")


def _bad_figure(sheets: Sheets, bad: Bad) -> str:
    shown = sheets.small.get(bad.address) or sheets.stored.get(bad.address)
    is_used = bad.reason == Reason.OK
    verdict = "good" if bad.reason == bad.expected else "bad"
    result = ", ".join(["used", *bad.flags]) if is_used else bad.reason
    expected = "" if bad.reason == bad.expected else f"<br>expected {escape(bad.expected)}"
    caption = (
        f"<b>{escape(bad.name.replace('_', ' '))}</b><br><span class='{verdict}'>{escape(result)}</span>{expected}"
    )
    return parts.figure(parts.image(shown, instead=bad.beginning), caption)


SHEETS: tuple[tuple[str, str, str, Callable[[Sheets], str]], ...] = (
    ("detections", "Detections", "What the detector found, over what is really there.", _detections),
    (
        "crops",
        "Crops",
        "What the codes are made from: the best object with a margin, or the whole image (framed) if nothing was "
        "found.",
        _crops,
    ),
    (
        "groups",
        "Groups of duplicates",
        "The largest groups, each led by the image that stands for it. Bits: how far the codes are apart. Green: the "
        "truth agrees.",
        _groups,
    ),
    (
        "search",
        "Neighbours",
        "The ten nearest codes of a query, over all days. Green: a copy of the query.",
        _neighbours,
    ),
    (
        "prices",
        "Prices",
        "The largest differences between shops for one product picture, the cheapest on the left. Green: the truth "
        "agrees that it is one.",
        lambda sheets: _cases(sheets, sheets.prices),
    ),
    (
        "copyright",
        "Pictures under another name",
        "On the left is the earliest picture of a group, on the right one that came later under another owner or in "
        "another shop. Those that no simple method finds come first.",
        lambda sheets: _cases(sheets, sheets.copies),
    ),
    ("mistakes", "Worst mistakes", "What to look at first when the numbers above are not good enough.", _mistakes),
    (
        "bad",
        "Bad images",
        "One of each kind in the catalogue, with what the pipeline said. A file that is not a picture is shown by its "
        "first bytes.",
        _bad,
    ),
)
"""Anchor, title, a line about the sheet, and the function that draws it."""
