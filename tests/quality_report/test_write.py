"""The report: its numbers from hand-made rows whose answers are known, and a page that needs no other file."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from datetime import date
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from quality_report.choice import (
    Known,
    choose_groups,
    choose_neighbours,
    false_merges,
    missed_pairs,
    seen,
    worst_detections,
)
from quality_report.figures import elapsed_seconds, figures
from quality_report.page import Content, page
from quality_report.pictures import beginning, picture, pictures
from quality_report.report_choice import addresses, choose_copies, choose_prices
from quality_report.sheets import Bad, Sheets
from spark_jobs.run_reports.reading import newest_reports
from spark_jobs.scoring.evaluation import Truth
from spark_jobs.scoring.published_scores import Published, by_address, score_detector, score_published
from spark_jobs.settings import Settings

DAY = "2026-11-01"
A, COPY, B, LONE = (DAY, "a/0"), (DAY, "a-copy/1"), (DAY, "b/0"), ("2026-11-02", "c/0")
BOX = (0.1, 0.1, 0.6, 0.6)


def thing(label="mug", score=0.9, box=BOX):
    return dict(zip(("label", "score", "x_min", "y_min", "x_max", "y_max"), (label, score, *box), strict=True))


def truth(address, group, transform=None, labels=("mug",)):
    return Truth(address, np.array([BOX] * len(labels), np.float32), labels, group, transform, is_counted=True)


TRUTH = [truth(A, "a"), truth(COPY, "a", "mirror"), truth(B, "b"), truth(LONE, "c")]


@pytest.fixture
def published():
    """a and b share a group and should not; the copy of a is alone and should not be."""
    codes = {A: 0b00000000, COPY: 0b00000001, B: 0b00000111, LONE: 0b11111111}
    groups = {A: f"{DAY}/a/0", B: f"{DAY}/a/0", COPY: f"{DAY}/a-copy/1", LONE: "2026-11-02/c/0"}
    evidence = [{"day": date(2026, 11, 1), "key": "b/0", "crop": 0, "distance": 3, "similarity": 0.8}]
    found = {
        A: [thing()],
        COPY: [thing(label="bag")],
        B: [],
        LONE: [thing(), thing(box=(0.7, 0.7, 0.9, 0.9), score=0.5)],
    }
    return Published(
        detections={a: {"reason": "ok", "objects": objects, "guesses": objects} for a, objects in found.items()},
        crops={a: {"reason": "ok", "label": "mug", "source": "detection"} for a in codes},
        features={a: {"reason": "ok", "code": bytes([code])} for a, code in codes.items()},
        duplicates={
            a: {"group": g, "is_representative": a != B, "evidence": evidence if a == A else []} for a,
            g in groups.items()
        },
    )  # fmt: skip


def report(stage, day, rows=10, started="2026-11-21T10:00:00+00:00", total=8.0, status="published"):
    return {
        "stage": stage, "day": day, "run": "r", "status": status, "rows_out": rows, "reasons": {"ok": rows},
        "images_per_second": rows / 4.0, "seconds": {"connect": 1.0, "stage": 4.0, "total": total},
        "started_at": started,
        "versions": {"code": "abc"},
    }  # fmt: skip


def test_scores_are_those_of_the_published_rows(published):
    scores = score_published(published, TRUTH, [(A, B, "recoloured")], extractor=None)
    # Average precision of mug: scores 0.9 (right), 0.9 (right), 0.5 (wrong) of four mugs: 2 of 4 found before the first
    # error.
    assert scores["detector"]["map50"] == pytest.approx(0.5)
    assert scores["duplicates"]["precision"] == 0.0 and scores["duplicates"]["false_merges"] == 1
    assert scores["duplicates"]["by_transform"] == {"mirror": 0.0}
    assert scores["duplicates"]["look_alikes_grouped"] == 1.0
    assert json.loads(json.dumps(scores)) == scores
    assert scores["features"]["bits"] == 8 and scores["features"]["map"] == 1.0


def test_the_bits_of_crop_and_whole_image_are_also_scored_by_themselves(published):
    # The crop's bits say that a's copy is nearest to it, those of the whole image say that it is the farthest.
    codes = {A: (0, 0), COPY: (1, 255), B: (255, 1), LONE: (254, 254)}
    rows = {at: {"reason": "ok", "code": bytes([crop] * 16 + [whole] * 16)} for at, (crop, whole) in codes.items()}
    scores = score_published(replace(published, features=rows), TRUTH, [], None)
    assert scores["features"]["bits"] == 256
    assert {name: (row["bits"], row["map"]) for name, row in scores["baselines"].items()} == {
        "crop_bits": (128, 1.0),
        "whole_bits": (128, pytest.approx(1 / 3)),
    }


def test_things_are_found_whatever_their_labels(published):
    renamed = [replace(row, labels=("thing",) * len(row.labels)) for row in TRUTH]
    scores = score_detector(published.detections, renamed)
    assert scores["map50"] == 0.0
    # Three of four are found, the bag too, at 0.9; then comes one where there is nothing.
    assert [scores[name] for name in ("any_map50", "any_precision", "any_recall")] == pytest.approx([0.75] * 3)


def test_images_without_truth_are_not_judged(published):
    assert score_detector(published.detections, [])["images"] == 0
    lost = Published(published.detections, published.crops, {}, {})
    assert score_published(lost, TRUTH, [], None)["duplicates"]["recall"] == 0.0


def test_first_crop_stands_for_its_image():
    rows = pa.Table.from_pylist([{"day": date(2026, 11, 1), "key": "a/0", "crop": n} for n in (1, 0)])
    assert by_address(rows) == {A: {"day": date(2026, 11, 1), "key": "a/0", "crop": 0}}


def test_mistakes_are_found_and_named(published):
    known = Known.of(published, TRUTH)
    (merged,), (missed,) = false_merges(known, [(B, A, "recoloured")], 5), missed_pairs(known, 5)
    assert ({merged.first, merged.second}, merged.kind, merged.distance) == ({A, B}, "recoloured", 3)
    assert (missed.first, missed.second, missed.change, missed.distance) == (A, COPY, "mirror", 1)
    assert [(look.address, look.missed, look.wrong) for look in worst_detections(known, 9)] == [
        (COPY, 1, 1), (B, 1, 0), (LONE, 0, 1)
    ]  # fmt: skip
    assert (seen(known, A).missed, seen(known, A).wrong) == (0, 0)


def test_groups_and_neighbours_carry_distances(published):
    known = Known.of(published, TRUTH)
    ((first, second),) = choose_groups(known, 5, 9)
    assert (first.address, first.is_representative, second.address) == (A, True, B)
    assert (second.distance, second.similarity, second.is_right) == (3, pytest.approx(0.8), False)
    (asked,) = choose_neighbours(known, 3, 2)
    assert (asked.query, asked.found) == (A, [(COPY, 1, True), (B, 3, False)])


def test_newest_successful_run_counts(tmp_path: Path):
    settings = Settings.from_environment({"PIPELINE_HOME": str(tmp_path)})
    early, late, broken = "2026-11-21T10:00:00+00:00", "2026-11-21T11:00:00+00:00", "2026-11-21T12:00:00+00:00"
    runs = [
        report("read_images", DAY, 7, early), report("read_images", DAY, 9, late),
        report("read_images", DAY, 1, broken, status="broken_contract"), report("find_duplicates", None, 9, late),
    ]  # fmt: skip
    for number, run in enumerate(runs):
        path = tmp_path / "reports" / (run["day"] or "all_days") / run["stage"] / f"{number}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(run))
    (tmp_path / "reports" / DAY / "read_images" / "killed.json").touch()
    found = newest_reports(settings)
    assert [(run["stage"], run["rows_out"]) for run in found] == [("read_images", 9), ("find_duplicates", 9)]


def test_figures_add_up_over_days():
    runs = [report("read_images", DAY, 10), report("read_images", "2026-11-02", 30, "2026-11-21T10:01:00+00:00")]
    found = figures(runs, {DAY: 10, "2026-11-02": 30})
    assert found["rows"] == {"hbase": {DAY: 10, "2026-11-02": 30}, "read_images": {DAY: 10, "2026-11-02": 30}}
    assert found["reasons"] == {"read_images": {"ok": 40}}
    assert found["seconds"] == {"read_images": 16.0} and found["images_per_second"] == {"read_images": 5.0}
    assert elapsed_seconds(runs, "image_pipeline") == 68.0


def test_what_the_calibration_promised_stands_beside_what_was_seen(published):
    run = report("calibrate_duplicates", None) | {"extra": {"expected": {"precision": 0.9514, "recall": 0.87}}}
    promised = figures([run], {})["promised"]
    assert promised == {"precision": 0.9514, "recall": 0.87}
    whole = content(published)
    assert "promised it" not in page(whole)
    whole.figures["promised"] = promised
    assert "<td class='n'>0.951</td>" in page(whole)


def test_how_alike_copies_are_cut_is_shown_if_the_calibration_has_seen_it(published):
    runs = [report("calibrate_duplicates", None) | {"extra": extra} for extra in ({"repeatability": 0.8769}, {})]
    assert figures(runs[1:], {})["repeatability"] is None
    whole = content(published)
    assert "Overlap (IoU)" not in page(whole)
    whole.figures["repeatability"] = figures(runs, {})["repeatability"]
    assert "<td class='n'>0.877</td>" in page(whole)


def test_warnings_of_the_runs_are_shown(published):
    run = report("calibrate_duplicates", None) | {"warnings": ["0.5 < 0.99"]}
    assert figures([run], {})["warnings"] == ["calibrate_duplicates, all_days: 0.5 < 0.99"]
    whole = content(published)
    whole.figures["warnings"].append("0.5 < 0.99")
    assert "class='warning'>0.5 &lt; 0.99<" in page(whole)


def jpeg(size=(300, 200)):
    buffer = io.BytesIO()
    Image.new("RGB", size, "teal").save(buffer, "JPEG")
    return buffer.getvalue()


def test_pictures_are_small_and_bad_files_are_told_apart():
    small = picture(jpeg(), 150)
    assert small is not None and (small.width, small.height) == (150, 100)
    assert pictures({"good": jpeg(), "bad": b"<html>"}, ["good", "bad", "missing"], 50).keys() == {"good"}
    assert beginning(b"\xff\xd8<!") == "4 bytes: ··<!"


class Page(HTMLParser):
    """What a page refers to, and whether every element is closed where it should be."""

    def __init__(self):
        super().__init__()
        self.links, self.anchors, self.open, self.stray = [], set(), [], []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.links += [values[name] for name in ("href", "src") if name in values]
        self.anchors.add(values.get("id"))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        if self.open and self.open[-1] == tag:
            self.open.pop()
        else:
            self.stray.append(tag)


def content(published):
    known = Known.of(published, TRUTH)
    small = picture(jpeg(), 50)
    assert small is not None
    shown = dict.fromkeys([A, COPY, B], small)
    runs = [report(stage, DAY, 4) for stage in ("read_images", "preprocess_images")]
    scores = score_published(published, TRUTH, [], None)
    sheets = Sheets(
        worst=worst_detections(known, 5), groups=choose_groups(known, 5, 9), neighbours=choose_neighbours(known, 3, 2),
        merged=false_merges(known, [], 5), missed=missed_pairs(known, 5), large=shown, small=shown, cut=shown,
        bad=[Bad("zero_bytes", LONE, "empty", "empty", [], "<script>")],
    )  # fmt: skip
    return Content(figures(runs, {DAY: 4}) | scores, runs, sheets, {"code": "abc"})


def test_page_is_whole_and_needs_no_other_file(published):
    text = page(content(published))
    read = Page()
    read.feed(text)
    assert not read.open and not read.stray
    outside = [link for link in read.links if not link.startswith(("data:image/jpeg;base64,", "#"))]
    assert not outside and {link[1:] for link in read.links if link.startswith("#")} <= read.anchors
    assert "<script" not in text and "&lt;script&gt;" in text
    assert not re.search(r"url\(|@import|https?:", text)


def test_page_tells_a_lost_row(published):
    whole = content(published)
    assert "other rows than in HBase" not in page(whole)
    whole.figures["rows"]["monitor_prices"] = {"all_days": 2}
    assert "other rows than in HBase" not in page(whole), "a report has as many rows as it has cases"
    whole.figures["rows"]["read_images"][DAY] = 3
    assert "other rows than in HBase" in page(whole)


@pytest.fixture
def reported(published):
    """The same with a price of two shops, one of one shop, and two pictures under another name."""
    price = {
        "group": f"{DAY}/a/0", "currency": "EUR", "title": "<Mug>", "key": "a/0", "pictures": 2, "shops": 2,
        "lowest": 10.0, "highest": 12.5,
        "lowest_key": "a/0", "highest_key": "b/0", "lowest_shop": "north", "highest_shop": None, "spread": 0.25,
    }  # fmt: skip
    copy = {
        "day": date(2026, 11, 1), "key": "b/0", "owner": "Ben", "shop": "market", "first_seen": 2, "found_by": [],
        "days_later": 3,
        "original_day": date(2026, 11, 1), "original_key": "a/0", "original_owner": "Anna", "original_shop": None,
        "distance": 3,
    }  # fmt: skip
    known = copy | {"key": "a-copy/1", "first_seen": 1, "found_by": ["phash", "title"]}
    return replace(
        published, price_monitoring=[price | {"shops": 1, "spread": 9.0}, price], picture_copyright=[known, copy]
    )


def test_cases_of_the_reports_are_shown_with_their_pictures(reported):
    known = Known.of(reported, TRUTH)
    (price,), (hidden, plain) = choose_prices(known, 5), choose_copies(known, 5)
    assert price.pictures == ((A, "10.00 EUR, north"), (B, "12.50 EUR, no shop")) and price.is_right is False
    assert price.about == "<Mug>: 2 pictures of 2 shops, 25 % apart"
    assert hidden.pictures == ((A, "Anna, in no shop"), (B, "Ben, in market")) and hidden.is_right is False
    assert "none of sha256, pHash, title" in hidden.about and plain.about.endswith("found by phash, title")
    assert plain.is_right is True
    assert addresses([price, plain]) == [A, B, A, COPY]
    assert choose_copies(known, 1) == [hidden]


def test_page_has_the_reports_and_what_they_are_worth(reported):
    whole, known = content(reported), Known.of(reported, TRUTH)
    score = {"cases": 57, "true_cases": 59, "precision": 0.984, "recall": 0.966, "false_alarms_per_1000": 16.1}
    whole.figures["copyright"] = score | {"others": {"title": score | {"cases": 47}}}
    sheets = replace(whole.sheets, prices=choose_prices(known, 5), copies=choose_copies(known, 5))
    text = page(replace(whole, sheets=sheets))
    read = Page()
    read.feed(text)
    assert not read.open and not read.stray and "<script" not in text
    assert "&lt;Mug&gt;: 2 pictures of 2 shops" in text and "Ben, in market" in text
    assert "<td class='n'>16.1</td>" in text and "<td>this pipeline</td>" in text
    assert "says nothing about shops and owners" in page(content(reported))
