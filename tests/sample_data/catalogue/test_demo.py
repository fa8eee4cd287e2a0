"""Catalogues on disk: everything that is planted is there, is true, and is the same each time."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sample_data.catalogue.bad_images import BAD_IMAGES
from sample_data.catalogue.categories import CATEGORIES
from sample_data.catalogue.demo import DEMO_SEED, HELD_OUT_SEED, draw_entry, write_catalogue
from sample_data.catalogue.planting import Plan, plan_catalogue
from sample_data.catalogue.transforms import ALL_TRANSFORMS

DAYS = [date(2026, 11, 1) + timedelta(n) for n in range(3)]


@pytest.fixture(scope="module")
def plan() -> Plan:
    return plan_catalogue(DEMO_SEED, DAYS, 200)


def test_plan_of_the_demo_holds_everything(plan: Plan) -> None:
    assert len(plan.entries) == 600
    assert len({(entry.day, entry.key) for entry in plan.entries}) == 600
    per_day = Counter(entry.day for entry in plan.entries)
    assert all(150 < per_day[day] < 250 for day in DAYS)
    transforms = Counter(entry.transform for entry in plan.entries if entry.transform)
    assert set(transforms) == set(ALL_TRANSFORMS) and min(transforms.values()) >= 10
    assert Counter(entry.bad for entry in plan.entries if entry.bad) == dict.fromkeys(BAD_IMAGES, 1)
    assert {entry.scene.things[0][0].category for entry in plan.entries if entry.group} == set(CATEGORIES)
    kinds = Counter(pair.kind for pair in plan.look_alikes)
    assert kinds["recoloured"] >= 20 and kinds["same_background"] >= 20


def test_copies_are_of_originals_and_some_cross_days(plan: Plan) -> None:
    originals = {str(entry.group): entry for entry in plan.entries if entry.group and not entry.transform}
    copies = [entry for entry in plan.entries if entry.transform]
    assert all(str(copy.group) in originals for copy in copies)
    assert sum(copy.day != originals[str(copy.group)].day for copy in copies) > len(copies) / 3
    twins = {pair.first.sku for pair in plan.look_alikes if pair.kind == "recoloured"}
    assert all(copy.is_counted != (copy.transform == "greyscale" and copy.group in twins) for copy in copies)
    assert all(pair.first.group != pair.second.group for pair in plan.look_alikes)


def test_recoloured_look_alikes_are_at_least_60_degrees_apart(plan: Plan) -> None:
    pairs = [pair for pair in plan.look_alikes if pair.kind == "recoloured"]
    for pair in pairs:
        shift = pair.second.scene.things[0][1].hue_shift % 360
        assert 60 <= shift <= 300
        assert pair.first.scene.things[0][0] == pair.second.scene.things[0][0]


def test_catalogues_of_other_seeds_share_no_product() -> None:
    skus = [
        {e.scene.things[0][0].seed for e in plan_catalogue(s, DAYS, 60).entries} for s in (DEMO_SEED, HELD_OUT_SEED)
    ]
    assert not skus[0] & skus[1]


def test_too_small_a_catalogue_says_how_large_it_must_be() -> None:
    with pytest.raises(ValueError, match=r"expected at least \d+ a day"):
        plan_catalogue(1, DAYS[:1], 40)


def test_written_catalogue_matches_its_truth_and_repeats(tmp_path: Path) -> None:
    for name in ("first", "again"):
        write_catalogue(tmp_path / name, DAYS[:1], seed=12, per_day=90, workers=2)
    digests = [
        {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in (tmp_path / name).rglob("*") if p.is_file()}
        for name in ("first", "again")
    ]
    assert digests[0] == digests[1]
    lines = [json.loads(line) for line in (tmp_path / "first" / "manifest.jsonl").read_text().splitlines()]
    truth = {row["key"]: row for row in map(json.loads, (tmp_path / "first" / "truth.jsonl").read_text().splitlines())}
    assert len(lines) == len(truth) == 90
    for line in lines:
        known = truth[line["key"]]
        data = (tmp_path / "first" / line["path"]).read_bytes()
        if known["bad"]:
            continue
        image = Image.open(io.BytesIO(data))
        image.load()
        assert min(image.size) >= 140 and max(image.size) <= 1500
        boxes = np.array(known["boxes"])
        assert len(boxes) == len(known["labels"]) >= 1
        assert (boxes >= 0).all() and (boxes <= 1).all() and (boxes[:, 2:] > boxes[:, :2]).all()
        assert set(known["labels"]) <= set(CATEGORIES)


def test_saved_formats_are_what_the_transform_says() -> None:
    plan = plan_catalogue(13, DAYS[:1], 90)
    by_transform = {entry.transform: entry for entry in plan.entries}
    for transform, name in (("to_png", "PNG"), ("to_webp", "WEBP"), ("crop", "JPEG")):
        assert Image.open(io.BytesIO(draw_entry(by_transform[transform]).data)).format == name


@pytest.mark.parametrize("wrong", [("--per-day", "5"), ("--first-day", "x"), ("--first-day", "2026-11-31")])
def test_what_cannot_be_drawn_is_said_without_a_trace(tmp_path: Path, wrong: tuple[str, str]) -> None:
    command = [sys.executable, "-m", "sample_data.catalogue.demo", str(tmp_path / "drawn"), *wrong]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "expected at least" in done.stderr or "out of range" in done.stderr or "does not match" in done.stderr
