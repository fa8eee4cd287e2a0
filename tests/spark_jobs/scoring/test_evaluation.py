"""Scores against a truth file."""

from __future__ import annotations

import json

import numpy as np
import pytest

from spark_jobs.evaluate_models import check_match
from spark_jobs.mistakes import Mistake
from spark_jobs.scoring.evaluation import read_look_alikes, read_truth, score_baseline, score_duplicates

LINES = [
    ("a/0", "a", None, True),
    ("a-copy/1", "a", "crop", True),
    ("a-copy/2", "a", "mirror", True),
    ("b/0", "b", None, True),
    ("b-copy/1", "b", "greyscale", False),
    ("c/0", "c", None, True),
]


def test_a_truth_that_matches_nothing_has_no_scores_and_a_half_match_is_said(truth):
    said = []
    published = {("2026-11-01", key) for key, *_ in LINES}
    check_match(truth, published, said.append)
    assert said == []
    check_match(truth, published - {("2026-11-01", "b/0")}, said.append)
    assert said == ["1 of 6 images of the truth file have not been published, the first 2026-11-01 b/0"]
    for others, instead in (({("2026-11-02", "a/0")}, "2026-11-02 a/0"), (set(), "nothing has been published")):
        with pytest.raises(Mistake, match=f"none of the 6 images .*{instead}"):
            check_match(truth, others, said.append)
    with pytest.raises(Mistake, match="it has no line"):
        check_match([], published, said.append)


@pytest.fixture
def truth(tmp_path):
    lines = [
        {
            "day": "2026-11-01",
            "key": k,
            "boxes": [[0, 0, 1, 1]],
            "labels": ["x"],
            "group": g,
            "transform": t,
            "is_counted": c,
        }
        for k, g, t, c in LINES
    ]
    (tmp_path / "truth.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    return read_truth(tmp_path / "truth.jsonl")


def groups(**names):
    return {("2026-11-01", key.replace("__", "/").replace("_", "-")): name for key, name in names.items()}


def test_scores_of_a_worked_example(truth):
    found = groups(a__0="g", a_copy__1="g", a_copy__2="h", b__0="h", b_copy__1="x", c__0="i")
    look_alikes = [(("2026-11-01", "a-copy/2"), ("2026-11-01", "b/0"), "recoloured")]
    scores = score_duplicates(truth, found, look_alikes)
    assert scores["precision"] == 0.5  # a-a right, a-b wrong
    assert scores["recall"] == pytest.approx(1 / 3)
    assert scores["false_merges"] == 1
    assert scores["by_transform"] == {"crop": 1.0, "mirror": 0.0}
    assert scores["look_alikes_grouped"] == 1.0


def test_an_image_without_a_group_is_missed(truth):
    scores = score_duplicates(truth, groups(a__0="g", a_copy__1="g"))
    assert (scores["precision"], scores["recall"]) == (1.0, pytest.approx(1 / 3))


def test_a_baseline_is_given_its_best_distance(truth):
    codes = np.array([[0], [1], [3], [240], [241], [255]], np.uint8)
    counted = [row for row in truth if row.is_counted]
    scores = score_baseline(codes[[0, 1, 2, 3, 5]], counted)
    assert (scores["precision"], scores["recall"]) == (1.0, 1.0)
    assert scores["bits"] == 8


def test_no_look_alikes_file_means_none(tmp_path):
    assert read_look_alikes(tmp_path / "look_alikes.jsonl") == []


def test_a_line_of_truth_ends_at_a_line_feed_only(tmp_path):
    keys = ["mug\u2028red/0", "mug\x85red/0", "mug\x0cred/0"]
    lines = [json.dumps({"day": "2026-11-01", "key": key}, ensure_ascii=False) for key in keys]
    (tmp_path / "truth.jsonl").write_text("\n".join(lines), encoding="utf-8")
    assert [row.address[1] for row in read_truth(tmp_path / "truth.jsonl")] == keys


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([[120, 80, 310, 240]], "line 2: got boxes"),
        ([[0.6, 0.6, 0.2, 0.2]], "min below max"),
        ([[0.1, 0.1, float("nan"), 0.2]], "line 2: got boxes"),
        ([[0.1, 0.1, 0.2, 0.2]] * 2, "line 2: got 2 boxes and labels"),
    ],
)
def test_a_wrong_line_of_truth_is_named(tmp_path, boxes, message):
    line = {"day": "2026-11-01", "key": "a/0", "labels": ["mug"]}
    lines = [json.dumps(line | {"boxes": part}) for part in ([[0, 0, 1, 1]], boxes)]
    (tmp_path / "truth.jsonl").write_text("\n".join(lines))
    with pytest.raises(ValueError, match=message):
        read_truth(tmp_path / "truth.jsonl")
