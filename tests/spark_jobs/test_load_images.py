"""Loading into a real HBase loses nothing, and the first two jobs account for every row."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from data_contracts.reasons import Reason
from deploy.stack import Stack
from sample_data.catalogue.bad_images import BAD_IMAGES, make_bad_image, sample_picture
from spark_jobs import preprocess_images, read_images
from spark_jobs.hbase import table as hbase_table
from spark_jobs.hbase.manifest import Entry, entries_of
from spark_jobs.hbase.scan import Gateways, HBaseError
from spark_jobs.hbase.source import Source, plan_slices, read_slice
from spark_jobs.hbase.table import ensure_table
from spark_jobs.load_images import Loaded, cells_of, kind_of_other, load, what_lacks, what_next
from spark_jobs.pipeline import EXIT_MISTAKE, EXIT_NOTHING_YET, IMAGE_PIPELINE
from spark_jobs.running import runner, sessions
from spark_jobs.running.run_report import RunReport
from spark_jobs.settings import Settings

DAY = date(2026, 11, 2)
NO_PICTURES = {
    name
    for name, bad in BAD_IMAGES.items()
    if bad.reason in (Reason.EMPTY, Reason.HTML_ERROR_PAGE, Reason.NOT_IMAGE, Reason.UNSUPPORTED_FORMAT)
}


@pytest.fixture(scope="module")
def settings(hbase: Stack) -> Settings:
    return replace(
        Settings.from_environment(hbase.environment()), hbase_table="loaded_by_tests", namespace="loaded_by_tests"
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """One file of each bad-image class, by key."""
    picture = sample_picture(np.random.default_rng(5), 300, 240)
    return {f"{name}/0": make_bad_image(name, picture, np.random.default_rng(1)) for name in BAD_IMAGES}


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes]) -> Path:
    folder = tmp_path_factory.mktemp("catalogue")
    for key, data in files.items():
        (folder / key.replace("/", "-")).write_bytes(data)
    lines = [{"day": str(DAY), "key": key, "path": key.replace("/", "-"), "title": f"é {key}"} for key in files]
    lines.append({"day": str(DAY), "key": "lost/0", "path": "was-never-there.jpg"})
    (folder / "manifest.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return folder / "manifest.jsonl"


def test_a_file_too_large_for_hbase_is_not_read_into_memory(tmp_path: Path) -> None:
    huge = tmp_path / "huge.bin"
    with huge.open("wb") as file:
        file.truncate(hbase_table.MESSAGE_BYTES + 1)
    cells = cells_of(Entry(DAY, "huge/0", huge), "now")
    assert cells[hbase_table.IMAGE_COLUMN] is None
    assert b"cannot read huge.bin: more than" in (cells[hbase_table.ERROR_COLUMN] or b"")


@pytest.mark.parametrize("path", ["pipe", "nul\0.jpg", "half\ud83d.jpg", "x" * 300, "folder", "st\udcfchle.jpg"])
def test_what_cannot_be_read_is_a_row_that_says_why(tmp_path: Path, path: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    cells = cells_of(Entry(DAY, "k/0", tmp_path / path), "now")
    error = cells[hbase_table.ERROR_COLUMN] or b""
    assert cells[hbase_table.IMAGE_COLUMN] is None
    assert error.startswith(b"cannot read " + cells[b"m:file"])  # type: ignore[operator]
    assert len(error) > len(b"cannot read : ") + len(path)


def test_metadata_of_any_text_and_of_the_loaders_own_names_are_kept(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"image")
    given = {"file": "mine", "load_error": "none", "half": "\ud83d!", "\udcfc": "x"}
    cells = cells_of(Entry(DAY, "k/0", tmp_path / "a.jpg", given), "now")
    assert (cells[b"m:file"], cells[b"m:given_file"]) == (b"a.jpg", b"mine")
    assert (cells[b"m:load_error"], cells[b"m:given_load_error"]) == (None, b"none")
    assert (cells[b"m:half"], cells[b"m:\xfc"]) == (b"\xed\xa0\xbd!", b"x")


def rows_of(settings: Settings) -> dict[str, tuple[bytes | None, dict[str, str]]]:
    source = Source(settings.gateways(), settings.hbase_table, DAY)
    batches = [batch for part in plan_slices(source) for batch in read_slice(source, part)]
    rows = [row for batch in batches for row in batch.to_pylist()]
    assert len({row["key"] for row in rows}) == len(rows)
    return {row["key"]: (row["image"], dict(row["metadata"])) for row in rows}


@pytest.mark.services
def test_everything_is_loaded_and_again(settings: Settings, manifest: Path, files: dict[str, bytes]) -> None:
    for _ in range(2):
        report = load(settings, entries_of(manifest))
        rows = rows_of(settings)
        assert (report.rows, report.salt_buckets) == (len(files) + 1, 4)
        assert {key: image for key, (image, _) in rows.items() if key != "lost/0"} == files
        assert {key for _, key in report.no_pictures} == {f"{name}/0" for name in NO_PICTURES}
        assert report.without_image == {(DAY, "lost/0"): "cannot read was-never-there.jpg: No such file or directory"}
    image, metadata = rows["lost/0"]
    assert (image, metadata["load_error"]) == (None, report.without_image[DAY, "lost/0"])
    assert rows["cmyk/0"][1]["title"] == "é cmyk/0"
    assert rows["cmyk/0"][1]["size_bytes"] == str(len(files["cmyk/0"]))


@pytest.mark.services
def test_table_is_split_by_salt(settings: Settings) -> None:
    gateways = Gateways(settings.gateways())
    hbase_table.ensure_table(gateways, settings.hbase_table, 9, settings.hbase_command)  # it keeps its 4
    regions = gateways.ask("", lambda client: client.getTableRegions(settings.hbase_table.encode()))
    gateways.close()
    assert sorted(region.startKey for region in regions) == [b"", b"1", b"2", b"3"]


@pytest.mark.services
def test_without_hbase_command_the_table_has_one_region(
    settings: Settings, manifest: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plain = replace(settings, hbase_table="unsplit", hbase_command="no-such-program", salt_buckets=3)
    with caplog.at_level(logging.WARNING):
        load(plain, entries_of(manifest)[:2])
    assert "split 'unsplit', '1'; split 'unsplit', '2'" in caplog.text
    assert len(rows_of(plain)) == 2


@pytest.mark.services
def test_cell_larger_than_hbase_takes_is_reported(settings: Settings, tmp_path: Path) -> None:
    huge, small = tmp_path / "huge.jpg", tmp_path / "small.jpg"
    huge.write_bytes(bytes(65 << 20))  # hbase.client.keyvalue.maxsize of the stack is 64 MB
    small.write_bytes(b"small")
    table = replace(settings, hbase_table="large_cells", salt_buckets=1)
    report = load(table, [Entry(DAY, "small/0", small), Entry(DAY, "huge/0", huge), Entry(DAY, "small/1", small)])
    assert report.rows == 3
    assert "KeyValue size too large" in report.without_image[DAY, "huge/0"]
    rows = rows_of(table)
    assert [rows[key][0] for key in ("small/0", "huge/0", "small/1")] == [b"small", None, b"small"]


@pytest.mark.services
def test_loading_again_leaves_no_metadata_of_before(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"image")
    table = replace(settings, hbase_table="large_cells", salt_buckets=1)
    for metadata in ({"colour": "red", "price": "1"}, {"price": "2", "text": "x" * 100_000}):
        load(table, [Entry(DAY, "again/0", tmp_path / "a.jpg", metadata)])
    _, found = rows_of(table)["again/0"]
    assert set(found) == {"price", "text", "file", "loaded_at", "size_bytes", "sha256"}
    assert (found["price"], len(found["text"])) == ("2", 100_000)


@pytest.mark.services
def test_table_of_another_program_is_left_alone(settings: Settings, manifest: Path) -> None:
    gateways = Gateways(settings.gateways())
    other = replace(settings, hbase_table="not_ours", salt_buckets=1)
    load(other, entries_of(manifest)[:1])
    gateways.ask("", lambda client: client.deleteAllRow(b"not_ours", b"!layout", {}))
    gateways.close()
    with pytest.raises(HBaseError, match="another program made it"):
        load(other, entries_of(manifest))


@pytest.mark.services
@pytest.mark.spark
def test_jobs_account_for_every_row(
    settings: Settings, manifest: Path, connect_server: Stack, capfd: pytest.CaptureFixture[str]
) -> None:
    load(settings, entries_of(manifest))
    remote = f"{settings.connect_url}/;session_id={uuid4()}"
    arguments = ["--run", "r1", "--day", str(DAY), "--remote", remote]
    assert runner.execute("read_images", read_images.plan, read_images.Options, arguments, settings) == 0
    raw = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert raw["reasons"] == {"ok": len(BAD_IMAGES) - 1, "empty": 1, "missing_image": 1}
    assert raw["extra"]["hbase"]["wait_s"] > 0
    assert (
        runner.execute("preprocess_images", preprocess_images.plan, preprocess_images.Options, arguments, settings) == 0
    )
    report = json.loads(capfd.readouterr().out.splitlines()[-1])
    expected = Counter(bad.reason.value for bad in BAD_IMAGES.values()) + Counter([Reason.MISSING_IMAGE.value])
    assert report["reasons"] == expected
    spark = sessions.connected(settings.connect_url, settings)
    rows = spark.table(settings.table("images")).select("key", "reason", "flags").collect()
    spark.stop()
    found = {row.key: (row.reason, frozenset(row.flags or [])) for row in rows}
    assert found.pop("lost/0") == ("missing_image", frozenset())
    assert found == {f"{name}/0": (bad.reason, bad.flags) for name, bad in BAD_IMAGES.items()}


@pytest.mark.services
@pytest.mark.spark
def test_no_image_yet_or_on_a_scheduled_day_is_no_fault_and_none_on_a_day_that_was_named_is(
    settings: Settings, manifest: Path, connect_server: Stack, capfd: pytest.CaptureFixture[str]
) -> None:
    reports = f"{settings.reports}/nothing_yet"  # those of other tests tell of published days
    new = replace(settings, hbase_table="nothing_yet", salt_buckets=2, namespace="nothing_yet", reports=reports)

    def read(run: str, *options: str) -> tuple[int, dict[str, Any]]:
        remote = f"{new.connect_url}/;session_id={uuid4()}"
        arguments = ["--run", run, "--day", "2026-12-24", "--remote", remote, *options]
        code = runner.execute("read_images", read_images.plan, read_images.Options, arguments, new)
        return code, json.loads(capfd.readouterr().out.splitlines()[-1])

    code, report = read("before the table")
    assert (code, report["status"]) == (EXIT_NOTHING_YET, "nothing_yet")
    assert "no table 'nothing_yet' yet" in report["error"] and "spark_jobs.load_images" in report["error"]
    code, report = read("of a table that is named", "--table", "misspelt")
    assert (code, report["status"]) == (EXIT_MISTAKE, "refused")
    gateways = Gateways(new.gateways())
    ensure_table(gateways, new.hbase_table, 2, new.hbase_command)
    gateways.close()
    code, report = read("before")
    assert (code, report["status"]) == (EXIT_NOTHING_YET, "nothing_yet")
    assert "no image of any day yet" in report["error"] and "spark_jobs.load_images" in report["error"]
    load(new, entries_of(manifest)[:1])
    RunReport("read_images", "earlier", 1, "2026-12-23", IMAGE_PIPELINE, status="published").write(new.reports)
    code, report = read("scheduled__2026-12-24")
    assert (code, report["status"]) == (EXIT_NOTHING_YET, "nothing_yet")
    assert "no image of 2026-12-24, so this scheduled run has nothing to do" in report["error"]
    code, report = read("after")
    assert (code, report["status"]) == (EXIT_MISTAKE, "refused")
    assert "no rows for day 2026-12-24" in report["error"]


def test_files_that_are_no_pictures_are_named_whatever_their_names_say_and_counted(files: dict[str, bytes]) -> None:
    assert {key.removesuffix("/0") for key, data in files.items() if kind_of_other(data)} == NO_PICTURES
    of_kind = {(DAY, f"{number}/0"): "a.jpg is empty" for number in range(30)}
    *named, more, count = what_lacks(Loaded("t", 4, rows=40, no_pictures=of_kind))
    assert named[0] == "no picture: 2026-11-02 0/0: a.jpg is empty" and len(named) == 20
    assert (more, count) == ("no picture: 10 more", "30 of the 40 files are no picture; the run will say so too")
    assert list(what_lacks(Loaded("t", 4, rows=40))) == []


def test_what_was_loaded_is_called_by_its_keys_and_the_next_command_is_named(tmp_path: Path) -> None:
    for name in ("mine-0.jpg", "mine-1.PNG", "notes.txt"):
        (tmp_path / name).touch()
    keys, following = what_next(entries_of(tmp_path, DAY))
    assert keys == "keys: mine-0/0, mine-1/0, notes/0"
    assert following == """next: airflow dags trigger image_pipeline --conf '{"day": "2026-11-02"}'"""
    days = [Entry(date(2026, 11, number), f"a/{number}", tmp_path / "a.jpg") for number in (3, 1, 2, 4)]
    keys, following = what_next(days)
    assert keys == "keys: a/3, a/1, a/2, ..."
    assert "--from-date 2026-11-01 --to-date 2026-11-04 --reprocess-behavior completed" in following
    assert what_next([]) == ["nothing to load: the source has no file"]


@pytest.mark.services
def test_command_line(hbase: Stack, manifest: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "spark_jobs.load_images", *arguments]
        return subprocess.run(command, env=hbase.full_environment(), capture_output=True, text=True, check=False)

    done = run(str(manifest), "--table", "by_command")
    assert f"{len(BAD_IMAGES) + 1} images of 1 day," in done.stdout
    assert "without its image: 2026-11-02 lost/0" in done.stdout
    assert "no picture: 2026-11-02 plain_text/0: plain_text-0 is of no known type" in done.stdout
    assert "next: airflow dags trigger image_pipeline" in done.stdout
    refused = run(str(manifest), "--table", "by_command", "--only-new")
    assert (refused.returncode, "'by_command' has images already" in refused.stdout) == (EXIT_MISTAKE, True)
    refused = run(str(manifest.parent / "nowhere"), "--day", "2026-11-02")
    assert (refused.returncode, "expected a folder of images" in " ".join(refused.stdout.split())) == (
        EXIT_MISTAKE,
        True,
    )
    refused = run(str(manifest.parent))
    assert (refused.returncode, "expected --day" in " ".join(refused.stdout.split())) == (EXIT_MISTAKE, True)
    odd = manifest.parent / "[bold]st\udcfchle.jsonl"
    odd.write_text('{"path": "../a.jpg", "day": "2026-11-02"}')
    refused = run(str(odd))
    assert (refused.returncode, "pass --anywhere" in refused.stdout.replace("\n", " ")) == (EXIT_MISTAKE, True)
    assert "[bold]st\\xfchle.jsonl:1" in refused.stdout.replace("\n", "")
