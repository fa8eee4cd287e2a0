"""Scores of the two reports on a world of seven pictures, counted by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from spark_jobs.scoring.evaluation import read_truth
from spark_jobs.scoring.published_scores import Published
from spark_jobs.scoring.report_scores import Listed, copies_of, score_cases, score_prices, score_published_reports

DAY = "2026-11-01"
NAMES = ("mug", "stolen", "licensed", "again", "pan", "pan-copy", "lone")
MUG, STOLEN, LICENSED, AGAIN, PAN, PAN_COPY, LONE = ((DAY, name) for name in NAMES)
OWN = Listed("mug", "north", "Anna", "Anna", "own", "EUR", "2026-01-01", "Blue mug")
KNOWN = {
    MUG: OWN,
    STOLEN: replace(OWN, shop="outlet", owner="outlet", use="copied", first_seen="2026-03-01", title="Fine pot"),
    LICENSED: replace(OWN, shop="market", use="licensed", first_seen="2026-02-01"),
    AGAIN: replace(OWN, first_seen="2026-02-02"),
    PAN: Listed("pan", "market", "market", "market", "own", "EUR", "2026-01-01", "Red pan"),
    PAN_COPY: Listed("pan", "outlet", "outlet", "market", "copied", "EUR", "2026-03-01", "blue MUG!"),
    LONE: Listed("lone", "north", "north", "north", "own", "GBP", "2026-01-05", "Blue mug"),
}


def test_cases_of_true_groups_are_all_right() -> None:
    groups = {address: listed.group for address, listed in KNOWN.items()}
    pairs = copies_of(KNOWN, groups)
    assert set(pairs) == {(STOLEN, MUG), (LICENSED, MUG), (PAN_COPY, PAN)}
    perfect = {"cases": 3, "true_cases": 3, "precision": 1.0, "recall": 1.0, "false_alarms_per_1000": 0.0}
    assert score_cases(KNOWN, pairs) == perfect
    assert score_cases(KNOWN, pairs[:0], "other_owner") == perfect | {"cases": 0, "true_cases": 2, "recall": 0.0}


@pytest.mark.parametrize(
    ("pair", "why"),
    [
        ((STOLEN, PAN), "another picture"),
        ((MUG, STOLEN), "the true owner's"),
        ((AGAIN, MUG), "the owner's own"),
        ((LICENSED, STOLEN), "not the owner's"),
    ],
)
def test_a_false_alarm_counts_as_one(pair, why) -> None:
    score = score_cases(KNOWN, [(PAN_COPY, PAN), pair])
    assert (score["precision"], score["false_alarms_per_1000"], score["recall"]) == (
        0.5,
        500.0,
        pytest.approx(1 / 3),
    ), why


def test_a_comparison_of_different_things_finds_nothing() -> None:
    assert score_prices(KNOWN, [[MUG, STOLEN], [PAN, PAN_COPY, LICENSED]]) == {
        "cases": 2, "true_cases": 2, "precision": 0.5, "recall": 0.5, "false_alarms_per_1000": 500.0,
    }  # fmt: skip


def row(address, original, kind):
    days = {"day": date.fromisoformat(address[0]), "original_day": date.fromisoformat(original[0])}
    return {**days, "key": address[1], "original_key": original[1], "kind": kind}


def test_published_rows_beside_what_simple_methods_report(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    lines = [
        {"day": day, "key": key, "group": listed.group, "listing": {**vars(listed), "price": "1.00"}}
        for (day, key), listed in KNOWN.items()
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    groups = {MUG: "g", STOLEN: "g", PAN: "p", PAN_COPY: "p", LICENSED: "l", AGAIN: "a", LONE: "o"}
    rng = np.random.default_rng(1)
    mug, pan, lone = (rng.integers(0, 256, (8, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1) for _ in range(3))
    looks = {MUG: mug, STOLEN: mug, LICENSED: mug, AGAIN: mug, PAN: pan, PAN_COPY: lone, LONE: lone}
    published = Published(
        {}, {}, {},
        duplicates={address: {"group": group} for address, group in groups.items()},
        images={address: {"sha256": "a" if address in (MUG, AGAIN) else address[1]} for address in KNOWN},
        price_monitoring=[{"group": "g", "currency": "EUR", "shops": 2}, {"group": "p", "currency": "EUR", "shops": 1}],
        picture_copyright=[row(STOLEN, MUG, "other_owner"), row(PAN_COPY, PAN, "other_owner")],
        whole_pictures=looks,
    )  # fmt: skip
    scores = score_published_reports(published, path, read_truth(path))
    assert json.loads(json.dumps(scores)) == scores
    prices, copies = scores["price_monitoring"], scores["copyright"]
    assert (prices["cases"], prices["precision"], prices["recall"]) == (1, 1.0, 0.5)
    assert (copies["cases"], copies["precision"], copies["recall"]) == (2, 1.0, pytest.approx(2 / 3))
    assert copies["other_owner"]["recall"] == 1.0 and copies["other_shop"]["recall"] == 0.0
    assert copies["others"]["sha256"]["cases"] == 0
    # Alike are the mugs, and the pan's copy and the lone picture, which has another currency.
    assert (copies["others"]["phash"]["cases"], copies["others"]["phash"]["precision"]) == (3, pytest.approx(2 / 3))
    assert (prices["others"]["phash"]["cases"], prices["others"]["phash"]["precision"]) == (1, 1.0)
    # Titles join the pan's copy and the lone picture with the mugs, and miss the stolen one.
    assert copies["others"]["title"]["cases"] == 3 and copies["others"]["title"]["recall"] == pytest.approx(1 / 3)
    assert prices["others"]["title"]["false_alarms_per_1000"] == 1000.0
    path.write_text(json.dumps({"day": DAY, "key": "mug", "group": "mug"}) + "\n")
    assert score_published_reports(published, path, read_truth(path)) == {}
