"""From crops to features, groups and the index on a real Spark Connect server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_contracts.reasons import Reason
from dlcore.interop.artefact import bring, load_artefact, promote, save_artefact
from dlcore.models.deepbit import DeepBitConfig, deepbit_small
from dlcore.models.deepbit_joint import code_head, deepbit_joint, pooled_features
from dlcore.models.efficientnet_lite import efficientnet_lite
from dlcore.rng import RNG
from dlcore.search.index import Index, open_index
from dlcore.search.manifest import publish_manifest
from dlcore.search.verification import INPUTS, Verifier
from dlcore.vision.preprocessing import Preprocessing
from sample_data.catalogue.demo import draw_entry
from sample_data.catalogue.planting import plan_catalogue
from search_service.query import neighbours, query_of_key, sheet_of
from spark_jobs import (
    build_index,
    calibrate_duplicates,
    compare_pictures,
    crop_objects,
    detect_objects,
    draw_days,
    extract_features,
    find_duplicates,
    preprocess_images,
    withdraw,
)
from spark_jobs.pipeline import EXIT_FAILURE, EXIT_OK, STAGES
from spark_jobs.run_reports.reading import newest_report
from spark_jobs.running import publishing, runner
from spark_jobs.running.command_line import NoOptions
from spark_jobs.running.runner import Job
from spark_jobs.settings import Settings
from spark_jobs.stages.calibration import Calibration
from spark_jobs.stages.day_sheet import read_picture, read_rows, read_sheet, store_of
from spark_jobs.stages.detect import NO_DETECTOR
from tests.spark_jobs.lake import Lake

pytestmark = pytest.mark.spark

DAY = "2026-03-01"
COPIES = 3
SKUS = [
    entry for entry in plan_catalogue(22, [date(2026, 3, 1)], 120).entries if not entry.bad and not entry.transform
][:6]


NAMESPACE = "feature_jobs"


@pytest.fixture(scope="module")
def lake(lake: Lake) -> Lake:
    """Tables of these tests' own: groups are of all days, and others publish days with other models."""
    own = {"PIPELINE_NAMESPACE": NAMESPACE, "PIPELINE_INDEX": f"file://{lake.settings.home}/index-of-{NAMESPACE}"}
    environment = {**lake.environment, **own}
    return Lake(Settings.from_environment(environment), environment)


@pytest.fixture
def reader(lake: Lake) -> Iterator[Any]:
    """A session that reads the tables beside the jobs."""
    spark = lake.connect()
    yield spark
    spark.stop()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three random extractors whose verifier goes by the whole image's hash and by turned hues; `other` codes whole
    images as well."""
    folder: Path = tmp_path_factory.mktemp("models")
    RNG.set_seed(3)
    weights = [0.0] * len(INPUTS)
    weights[INPUTS.index("whole")], weights[INPUTS.index("turn")] = -60.0, -40.0
    metadata = {
        "kind": "deepbit",
        "preprocessing": Preprocessing(32).metadata(),
        "threshold": 0.0,
        "verifier": asdict(Verifier(tuple(weights), 12.0)),
    }
    config = DeepBitConfig(size=32, planes=(8, 16), blocks=(1, 1))
    for name in ("tiny", "trained_again"):
        save_artefact(folder / name, deepbit_small(config), metadata)
    joint = deepbit_joint(deepbit_small(config), pooled_features(efficientnet_lite(0)), code_head())
    save_artefact(folder / "other", joint, metadata | {"whole": Preprocessing(64).metadata(), "bits": 256})
    return folder


def load(job: Job[Any]) -> Any:
    """Each product several times under different keys, and a broken image."""
    rows: list[tuple[Any, ...]] = [(date.fromisoformat(DAY), "broken/0", "ok", bytearray(b"<html>"), 6, {})]
    for entry in SKUS:
        data = bytearray(draw_entry(entry).data)
        rows += [
            (
                date.fromisoformat(DAY),
                f"{entry.sku}/{n}",
                "ok",
                data,
                len(data),
                {"shop": f"shop{n}", "price": f"{n + 1}.00"},
            )
            for n in range(COPIES)
        ]
    return job.spark.createDataFrame(rows, job.schema)


def run(lake: Lake, name: str, plan: Any, options: type[Any], *arguments: str, attempt: str = "features") -> int:
    day = () if STAGES[name].all_days else ("--day", DAY)
    line = [*day, "--run", attempt, "--remote", lake.remote(), *arguments]
    return runner.execute(name, plan, options, line, lake.settings)


@contextmanager
def promoted_while_staging(monkeypatch: pytest.MonkeyPatch, models: Path) -> Iterator[None]:
    """Another version of the extractor is promoted when the plan is made and no worker has loaded any."""
    stage_rows = publishing.stage_rows

    def promote_first(*arguments: Any) -> Any:
        promote(models / "tiny", bring(models / "trained_again", models / "tiny"))
        return stage_rows(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(publishing, "stage_rows", promote_first)
        yield


def test_features_groups_and_index_of_a_day(
    lake: Lake, reader: Any, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    none, tiny = ("--detector", NO_DETECTOR), ("--models", f"file://{models}", "--extractor", "tiny")
    assert run(lake, "read_images", load, NoOptions) == EXIT_OK
    assert run(lake, "preprocess_images", preprocess_images.plan, preprocess_images.Options) == EXIT_OK
    assert run(lake, "detect_objects", detect_objects.plan, detect_objects.Options, *none) == EXIT_OK
    assert run(lake, "crop_objects", crop_objects.plan, crop_objects.Options) == EXIT_OK
    assert run(lake, "extract_features", extract_features.plan, extract_features.Options, *tiny) == EXIT_OK
    first = _rows(reader, "features")
    with promoted_while_staging(monkeypatch, models):
        assert (
            run(lake, "extract_features", extract_features.plan, extract_features.Options, *tiny, attempt="again")
            == EXIT_OK
        )
    assert _rows(reader, "features") == first
    assert load_artefact(models / "tiny").version not in {row.model_version for row in first}
    assert len(first) == len(SKUS) * COPIES + 1
    assert_bits_are_counted(lake, [row.code for row in first if row.code is not None])

    other = ("--codes", "next", "--models", f"file://{models}", "--extractor", "other")
    assert run(lake, "extract_features", extract_features.plan, extract_features.Options, *other) == EXIT_OK
    assert _rows(reader, "features") == first
    beside = _rows(reader, "features_next")
    reports = [lake.report(stage, DAY, "features") for stage in ("crop_objects", "extract_features")]
    assert [report["codes"] for report in reports] == [None, "next"]
    assert [(row.key, row.reason) for row in beside] == [(row.key, row.reason) for row in first]
    assert not {row.model_version for row in beside if row.reason == "ok"} & {row.model_version for row in first}
    of_whole_images = {row.key.partition("/")[0]: bytes(row.code)[16:] for row in beside if row.reason == "ok"}
    assert {len(row.code) for row in beside if row.reason == "ok"} == {32}
    assert len(set(of_whole_images.values())) == len(SKUS)
    assert len(lake.report("extract_features", DAY, "features")["extra"]["code_bits"]["ones"]) == 256

    few = ("--pictures", "12", "--copies", "3")
    assert (
        run(lake, "calibrate_duplicates", calibrate_duplicates.plan, calibrate_duplicates.Options, *tiny, *few)
        == EXIT_OK
    )
    made_by = {row.model_version for row in first if row.reason == "ok"}
    assert made_by == {Calibration.read(lake.settings.index).model_version}
    assert lake.report("calibrate_duplicates", None, "features")["warnings"] == []
    gone = f"{SKUS[-1].sku}/0"
    decision = withdraw.Decision((gone,), Reason.WITHDRAWN, "asked by the owner", datetime.now(UTC))
    assert run(lake, "withdraw", partial(withdraw.plan, decision=decision), NoOptions) == EXIT_OK
    assert run(lake, "compare_pictures", compare_pictures.plan, NoOptions) == EXIT_OK
    assert run(lake, "find_duplicates", find_duplicates.plan, NoOptions) == EXIT_OK
    groups = {row.key: row for row in _rows(reader, "duplicates")}
    assert groups["broken/0"].group is None
    for entry in SKUS[:-1]:
        names = {groups[f"{entry.sku}/{n}"].group for n in range(COPIES)}
        assert names == {f"{DAY}/{entry.sku}/0"}
    assert (groups[gone].reason, groups[gone].group) == ("withdrawn", None)
    assert {groups[f"{SKUS[-1].sku}/{n}"].group for n in range(1, COPIES)} == {f"{DAY}/{SKUS[-1].sku}/1"}

    assert run(lake, "build_index", build_index.plan, build_index.Options) == EXIT_OK
    index = open_index(lake.settings.index)
    assert_unchanged_days_are_not_written_again(lake, index, monkeypatch)
    assert [len(index.find(f"{SKUS[-1].sku}/{n}")) for n in range(COPIES)] == [0, 1, 1]
    query = query_of_key(index, f"{SKUS[0].sku}/0")
    found = neighbours(index, query, COPIES - 1)
    assert {item.key for item in found} == {f"{SKUS[0].sku}/{n}" for n in range(1, COPIES)}
    assert all(item.distance == 0 for item in found)
    assert sheet_of(index, query, found).size[0] > 128 * COPIES
    of_shop = neighbours(index, query, len(SKUS), {"shop": ["shop1"], "price": ["1.5..2"]})
    assert {item.key for item in of_shop} == {f"{entry.sku}/1" for entry in SKUS}
    assert index.told(int(index.find(of_shop[0].key)[0])) == {"shop": "shop1", "price": 2.0}

    assert_groups_are_listed(index, _rows(reader, "duplicates"))
    assert_the_day_is_drawn(lake, gone)

    certain = (*tiny, *few, "--precision", "1")
    assert (
        run(lake, "calibrate_duplicates", calibrate_duplicates.plan, calibrate_duplicates.Options, *certain) == EXIT_OK
    )
    (warning,) = lake.report("calibrate_duplicates", None, "features")["warnings"]
    assert "no threshold reaches its target" in warning and "asked for are 1.0" in warning


def assert_unchanged_days_are_not_written_again(lake: Lake, index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    assert lake.report("build_index", None, "features")["extra"]["days_written"] == 1
    assert run(lake, "build_index", build_index.plan, build_index.Options, attempt="index") == EXIT_OK
    again = lake.report("build_index", None, "index")["extra"]
    assert again == {"version": index.version, "codes": len(index), "days_written": 0, "segments": 1}
    named = Lake(replace(lake.settings, index_filters="shop"), lake.environment)
    assert run(named, "build_index", build_index.plan, build_index.Options, attempt="filters") == EXIT_OK
    assert lake.report("build_index", None, "filters")["extra"]["days_written"] == 1
    assert open_index(lake.settings.index).filters() == ("day", "label", "shop")
    assert index.item(0).group == f"{DAY}/{index.item(0).key.rpartition('/')[0]}/0"
    with monkeypatch.context() as patch:
        another = partial(publish_manifest, model_version="m", code_bytes=16, groups=[], afresh=True)
        patch.setattr(build_index, "check_reached", lambda store, parts: another(store, segments=parts))
        assert run(lake, "build_index", build_index.plan, build_index.Options, attempt="overtaken") == EXIT_FAILURE
    assert "another run has published version" in lake.report("build_index", None, "overtaken")["error"]
    without = ("--no-thumbnails", "--afresh")
    assert run(lake, "build_index", build_index.plan, build_index.Options, *without, attempt="small") == EXIT_OK
    small = open_index(lake.settings.index)
    assert (len(small), small.thumbnail(0)) == (len(index), b"")
    assert [small.item(n).key for n in range(len(small))] == [index.item(n).key for n in range(len(index))]


def assert_groups_are_listed(index: Index, rows: list[Any]) -> None:
    """The list has the groups of `duplicates`, with each pair of their evidence once."""
    sizes = Counter(row.group for row in rows if row.group)
    listed = index.group_list.listed("size", 0, 100)
    assert {group.name: len(group.members) for group in listed} == {name: n for name, n in sizes.items() if n > 1}
    name = f"{DAY}/{SKUS[0].sku}/0"
    found = index.group_list.find(name)
    assert found is not None and found.newest == DAY
    assert found.members == tuple(f"{DAY}/{SKUS[0].sku}/{n}#0" for n in range(COPIES))
    pairs = {
        frozenset([f"{row.key}", pair.key]): (pair.distance, pytest.approx(pair.similarity, abs=1e-6))
        for row in rows
        if row.group == name
        for pair in row.evidence
    }
    keys = [place.removeprefix(f"{DAY}/").removesuffix("#0") for place in found.members]
    assert {
        frozenset([keys[pair.one], keys[pair.other]]): (pair.distance, pair.similarity) for pair in found.pairs
    } == pairs


def assert_the_day_is_drawn(lake: Lake, gone: str) -> None:
    """The day's sheet shows used and refused pictures but not the withdrawn one, and is drawn once."""
    assert run(lake, "draw_days", draw_days.plan, draw_days.Options) == EXIT_OK
    assert lake.report("draw_days", None, "features")["extra"]["days_drawn"] == 1
    store = store_of(lake.settings.index)
    sheet = read_sheet(store, DAY)
    assert sheet.totals == {"ok": len(SKUS) * COPIES - 1, "html_error_page": 1, "withdrawn": 1}
    of_key = {row["key"]: row for row in read_rows(store, sheet)}
    assert len(of_key) == len(SKUS) * COPIES + 1
    assert (
        of_key["broken/0"] | {"chosen": ["refused"], "reason": "html_error_page", "place": None} == of_key["broken/0"]
    )
    assert of_key[gone]["place"] is None and of_key[gone]["reason"] == "withdrawn"
    row = of_key[f"{SKUS[0].sku}/1"]
    assert (row["is_member"], row["groups"], row["objects"]) == (True, [f"{DAY}/{SKUS[0].sku}/0"], [])
    assert row["crops"][0]["source"] == "whole_image" and row["crops"][0]["x_max"] == row["width"]
    assert read_picture(store, sheet, row).startswith(b"\xff\xd8")
    assert run(lake, "draw_days", draw_days.plan, draw_days.Options, attempt="again") == EXIT_OK
    assert lake.report("draw_days", None, "again")["extra"]["days_drawn"] == 0
    few = ("--most", "2")
    assert run(lake, "draw_days", draw_days.plan, draw_days.Options, *few, attempt="few") == EXIT_OK
    counted = Counter(name for row in read_rows(store, read_sheet(store, DAY)) for name in row["chosen"])
    assert counted == {"sample": 2, "missed": 2, "blur": 2, "members": 2, "refused": 2}


def assert_bits_are_counted(lake: Lake, codes: list[bytes]) -> None:
    """The run report has how often each bit is one."""
    bits = np.unpackbits(np.frombuffer(b"".join(codes), np.uint8).reshape(len(codes), -1), axis=1, bitorder="little")
    report = newest_report(lake.settings, "extract_features", DAY)
    assert report is not None
    found = report["extra"]["code_bits"]
    assert (found["count"], found["ones"]) == (len(codes), bits.sum(axis=0).tolist())
    assert found["lowest_share"] == pytest.approx(bits.mean(axis=0).min(), abs=1e-4)


def _rows(reader: Any, dataset: str) -> list[Any]:
    table = f"lake.{NAMESPACE}.{dataset}"
    found: list[Any] = reader.sql(f"SELECT * FROM {table} WHERE day = DATE '{DAY}' ORDER BY key, crop").collect()
    return found
