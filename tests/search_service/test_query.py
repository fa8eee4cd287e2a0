"""The search command: by a file, by a key, and what it says when it cannot."""

from __future__ import annotations

import json

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from dlcore.search.entries import Entries
from dlcore.search.index import open_index, publish
from search_service.query import neighbours, query_of_key
from spark_jobs import search
from spark_jobs.pipeline import EXIT_MISTAKE
from tests.search_service.serving import TOKEN, free_port


def test_what_was_withdrawn_is_not_found_and_others_take_its_place(catalogue):
    index = open_index(f"file://{catalogue}/index")
    query = query_of_key(index, "sku2/0")
    nearest = neighbours(index, query, 4)
    gone = nearest[0].key
    assert neighbours(index, query, 3, withdrawn={gone, "of another index"}) == nearest[1:]
    with pytest.raises(KeyError, match=gone):
        query_of_key(index, gone, withdrawn={gone})


def asked(catalogue, query, *options):
    app = typer.Typer()
    app.command()(search.main)
    given = ["--index", f"file://{catalogue}/index", "--models", f"file://{catalogue}", "--detector", "none"]
    given += ["--extractor", "tiny", "--sheet", str(catalogue / "sheet.png"), "--k", "3"]
    return CliRunner().invoke(app, [str(query), *given, *options])


def test_a_file_finds_itself_first(catalogue):
    result = asked(catalogue, catalogue / "photo.png")
    assert result.exit_code == 0, result.output
    rows = [line for line in result.output.splitlines() if "sku" in line]
    assert "sku2/0" in rows[0]
    assert len(rows) == 3
    assert Image.open(catalogue / "sheet.png").size[0] > 4 * 128


def test_a_key_finds_the_others(catalogue):
    result = asked(catalogue, "sku0/0")
    assert result.exit_code == 0, result.output
    assert "sku0/0" not in result.output
    assert result.output.count("sku") == 3


def test_the_file_name_that_was_loaded_leads_to_its_key_and_no_sheet_is_left_unasked(catalogue, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    app = typer.Typer()
    app.command()(search.main)
    given = ["--index", f"file://{catalogue}/index"]
    result = CliRunner().invoke(app, ["sku3.jpg", *given])
    assert result.exit_code == EXIT_MISTAKE and "did you mean sku3/0?" in result.output
    assert CliRunner().invoke(app, ["sku3/0", *given]).exit_code == 0
    assert not list(tmp_path.iterdir())


def test_only_neighbours_that_pass_the_filters_are_shown(catalogue):
    found = json.loads(asked(catalogue, "sku1/0", "--json", "--filter", "shop=north", "--filter", "price=2..3").output)
    assert [item["key"] for item in found["neighbours"]] == ["sku3/0"]
    result = asked(catalogue, "sku1/0", "--filter", "owner=Anna")
    assert result.exit_code == EXIT_MISTAKE and "expected some of day, label, price, shop" in result.output.replace(
        "\n", " "
    )
    assert asked(catalogue, "sku1/0", "--filter", "shop").exit_code == EXIT_MISTAKE


def test_neighbours_as_json_are_those_of_the_table(catalogue):
    found = json.loads(asked(catalogue, "sku0/0", "--json").output)
    assert found["index"] == open_index(f"file://{catalogue}/index").version
    keys = [item["key"] for item in found["neighbours"]]
    assert len(keys) == 3 and all(key in asked(catalogue, "sku0/0").output for key in keys)


def test_all_within_a_distance_are_the_nearest_up_to_it(catalogue):
    every = json.loads(asked(catalogue, "sku0/0", "--json", "--k", "1000").output)["neighbours"]
    for radius in (0, every[len(every) // 2]["distance"]):
        found = json.loads(asked(catalogue, "sku0/0", "--json", "--within", str(radius)).output)["neighbours"]
        assert found == [item for item in every if item["distance"] <= radius]
    both = asked(catalogue, "sku0/0", "--within", "3", "--url", "http://127.0.0.1:1")
    assert both.exit_code == EXIT_MISTAKE and "expected one of them" in both.output


@pytest.mark.parametrize("query", ["photo.png", "sku0/0"])
def test_the_service_answers_as_the_command_does(catalogue, served, monkeypatch, query):
    monkeypatch.setenv("PIPELINE_SEARCH_TOKEN", TOKEN)
    given = catalogue / query if query == "photo.png" else query
    (catalogue / "sheet.png").unlink(missing_ok=True)
    by_service = asked(catalogue, given, "--json", "--url", served.url)
    assert by_service.exit_code == 0, by_service.output
    sheet = Image.open(catalogue / "sheet.png")
    assert json.loads(by_service.output) == json.loads(asked(catalogue, given, "--json").output)
    assert sheet.size == Image.open(catalogue / "sheet.png").size


def test_what_the_service_refuses_is_said_in_one_line(catalogue, served, monkeypatch):
    monkeypatch.setenv("PIPELINE_SEARCH_TOKEN", TOKEN)
    for query, url, said in (
        (catalogue / "page.jpg", served.url, "html_error_page"),
        ("sku3.jpg", served.url, "did you mean sku3/0?"),
        ("sku3/0", f"http://127.0.0.1:{free_port()}", "start it"),
    ):
        result = asked(catalogue, query, "--url", url)
        assert result.exit_code == EXIT_MISTAKE and said in result.output and result.output.count("\n") == 1
    monkeypatch.setenv("PIPELINE_SEARCH_TOKEN", "another")
    assert "PIPELINE_SEARCH_TOKEN" in asked(catalogue, "sku3/0", "--url", served.url).output


def index_of(folder, rows):
    """An opened index of (day, key, crop) with codes one bit further from zero each."""
    codes = np.packbits(np.tri(len(rows), 128, -1, dtype=np.uint8), axis=1)
    days, keys, crops = zip(*rows, strict=True)
    entries = Entries(
        codes, np.array(days, "datetime64[D]"), np.array([key.encode() for key in keys]), np.array(crops, np.int16),
        np.array([b"mug"] * len(rows)), np.array([b""] * len(rows)), np.zeros(len(rows), np.int64),
        np.empty(0, np.uint8),
    )  # fmt: skip
    publish(f"file://{folder}", entries, "model")
    return open_index(f"file://{folder}")


def test_a_key_stands_for_the_first_crop_of_its_newest_day(tmp_path):
    days = ["2026-11-01", "2026-11-01", "2026-11-03", "2026-11-03", "2026-11-03", "2026-11-02"]
    rows = list(zip(days, ["mug/0"] * 6, [0, 1, 2, 0, 1, 0], strict=True))
    assert query_of_key(index_of(tmp_path, rows), "mug/0").position == 3


def test_neighbours_are_other_pictures(tmp_path):
    rows = [("2026-11-02", key, crop) for key in ("mug/0", "pan/0") for crop in range(3)] + [("2026-11-01", "mug/0", 0)]
    index = index_of(tmp_path, rows)
    found = neighbours(index, query_of_key(index, "mug/0"), 4)
    assert [(item.day, item.key, item.distance) for item in found] == [
        ("2026-11-02", "pan/0", 3), ("2026-11-02", "pan/0", 4), ("2026-11-02", "pan/0", 5), ("2026-11-01", "mug/0", 6),
    ]  # fmt: skip


class Long(frozenset):
    """A list of keys too long to go through."""

    def __iter__(self):
        raise AssertionError("each key was looked up")


@pytest.mark.parametrize("k", [1, 2, 5, 20])
def test_of_many_withdrawn_pictures_none_is_looked_up_and_none_is_found(tmp_path, k):
    index = index_of(tmp_path, [("2026-11-02", f"sku{n}/0", 0) for n in range(20)])
    withdrawn = Long(f"sku{n}/0" for n in range(20) if n % 7)
    found = neighbours(index, query_of_key(index, "sku0/0"), k, withdrawn=withdrawn)
    assert [(item.key, item.distance) for item in found] == [("sku7/0", 7), ("sku14/0", 14)][:k]
    assert neighbours(index, query_of_key(index, "sku0/0"), 0, withdrawn=withdrawn) == []


@pytest.mark.parametrize(
    ("query", "options", "message"),
    [
        ("nothing/0", (), "neither a file nor a key"),
        ("nothing", (), "; keys are written like sku"),
        ("page.jpg", (), "an HTML page saved as an image"),
        ("photo.png", ("--extractor", "newer"), "was made by model"),
        ("sku0/0", ("--index", "file:///nowhere"), "run build_index, as the DAG similar_images"),
    ],
)
def test_what_cannot_be_searched_is_said_in_one_line(catalogue, query, options, message):
    path = catalogue / query
    result = asked(catalogue, path if path.is_file() else query, *options)
    assert result.exit_code == EXIT_MISTAKE
    assert message in result.output
    assert "Traceback" not in result.output
