"""The promises of the runner, on a real Spark Connect server with Iceberg: see ARCHITECTURE.md, seam "Publish"."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from deploy.stack import spark_home
from spark_jobs.pipeline import EXIT_BROKEN_CONTRACT, EXIT_FAILURE, EXIT_MISTAKE, EXIT_OK
from spark_jobs.running import auditing, publishing, runner
from spark_jobs.settings import REPOSITORY, static_spark_conf
from tests.spark_jobs.lake import Lake
from tests.spark_jobs.small_job import STAGE, Options, plan
from tests.waiting import LIMIT_S, is_running, wait_for

pytestmark = pytest.mark.spark

TABLE = "lake.pipeline.raw_images"
_DAYS = iter(f"2026-01-{day:02}" for day in range(1, 32))


@pytest.fixture
def day() -> str:
    """A day that no other test uses."""
    return next(_DAYS)


@pytest.fixture(scope="module")
def published_day(lake: Lake) -> str:
    """A day that has rows of some run, for tests that leave it with rows of one."""
    day = next(_DAYS)
    assert run(lake, day, "the first")[0] == EXIT_OK
    return day


@pytest.fixture
def reader(lake: Lake) -> Iterator[Any]:
    """A session that reads the tables beside the jobs."""
    spark = lake.connect()
    yield spark
    spark.stop()


def run(lake: Lake, day: str, run_id: str, *arguments: str, session: str | None = None) -> tuple[int, dict[str, Any]]:
    """Run the small job in this process; its exit code and its run report."""
    line = ["--day", day, "--run", run_id, "--remote", lake.remote(session), *arguments]
    return runner.execute(STAGE, plan, Options, line, lake.settings), lake.report(STAGE, day, run_id)


def published(reader: Any, day: str) -> list[str]:
    """Which run each readable row of the day is of."""
    rows = reader.sql(f"SELECT CAST(image AS STRING) AS run FROM {TABLE} WHERE day = DATE '{day}'").collect()
    return [row["run"] for row in rows]


def during(monkeypatch: pytest.MonkeyPatch, action: Callable[[], None]) -> None:
    """Do something once, between staging and publishing."""
    audit, actions = auditing.broken_rules, [action]

    def audit_after_action(*arguments: Any) -> Any:
        if actions:
            actions.pop()()
        return audit(*arguments)

    monkeypatch.setattr(auditing, "broken_rules", audit_after_action)


def test_a_run_publishes_once_and_a_new_run_replaces_the_day(lake: Lake, reader: Any, day: str) -> None:
    code, first = run(lake, day, "first", "--rows", "5")
    assert (code, first["status"], first["rows_out"], first["reasons"]) == (EXIT_OK, "published", 5, {"ok": 5})
    assert first["images_per_second"] > 0
    assert set(first["seconds"]) >= {"connect", "pin", "stage", "audit", "publish", "total"}

    code, again = run(lake, day, "first", "--rows", "9", "--attempt", "2")
    assert (code, again["status"], again["snapshot"]) == (EXIT_OK, "already_published", first["snapshot"])
    assert again["rows_out"] == 5
    assert published(reader, day) == ["first"] * 5

    assert run(lake, day, "second", "--rows", "3")[0] == EXIT_OK
    assert published(reader, day) == ["second"] * 3


def test_staged_rows_are_not_readable(
    lake: Lake, reader: Any, published_day: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    day, before = published_day, published(reader, published_day)
    seen: list[list[str]] = []
    during(monkeypatch, lambda: seen.append(published(reader, day)))
    assert run(lake, day, "after")[0] == EXIT_OK
    assert seen == [before] != [[]]
    assert published(reader, day) == ["after"] * 5


def test_a_broken_contract_publishes_nothing_and_says_why(lake: Lake, reader: Any, published_day: str) -> None:
    day, before, session = published_day, published(reader, published_day), str(uuid4())
    code, report = run(lake, day, "bad", "--rows", "6", "--broken", "4", session=session)
    assert (code, report["status"]) == (EXIT_BROKEN_CONTRACT, "broken_contract")
    assert [(rule["rule"], rule["rows"], len(rule["samples"])) for rule in report["broken"]] == [("known_reason", 4, 3)]
    for said in ("known_reason", "4 rows", f"{day}/key-"):
        assert said in report["error"]
    assert published(reader, day) == before != []
    code, report = run(lake, day, "next", session=session)
    assert (code, published(reader, day)) == (EXIT_OK, ["next"] * 5)


def test_jobs_that_share_a_session_see_what_the_one_before_published(lake: Lake, reader: Any, day: str) -> None:
    session = str(uuid4())
    second_table = "lake.pipeline.images"
    line = ["--day", day, "--run", "shared", "--remote", lake.remote(session)]
    assert runner.execute("preprocess_images", checked_images, Options, line, lake.settings) == EXIT_MISTAKE
    assert run(lake, day, "shared", session=session)[0] == EXIT_OK
    assert runner.execute("preprocess_images", checked_images, Options, line, lake.settings) == EXIT_OK
    rows = reader.sql(f"SELECT key FROM {second_table} WHERE day = DATE '{day}' AND width = 4").collect()
    assert sorted(row["key"] for row in rows) == [f"key-{number}" for number in range(5)]

    lost = [*line[:3], "lost", *line[4:]]
    assert runner.execute("preprocess_images", lose_a_row, Options, lost, lake.settings) == EXIT_BROKEN_CONTRACT
    assert [rule["rule"] for rule in lake.report("preprocess_images", day, "lost")["broken"]] == ["same_keys_as_input"]


def checked_images(job: runner.Job[Options]) -> Any:
    """The stage after the small job's, as SQL."""
    return job.read("raw_images").selectExpr(
        "day",
        "key",
        "reason",
        "image",
        "'jpeg' AS source_format",
        "4 AS width",
        "3 AS height",
        "sha2(image, 256) AS sha256",
        "1.0D AS blur",
        "2.0D AS entropy",
        "array('alpha') AS flags",
    )


def lose_a_row(job: runner.Job[Options]) -> Any:
    return checked_images(job).where("key <> 'key-3'")


def test_an_empty_day_is_refused_unless_allowed(lake: Lake, reader: Any, day: str) -> None:
    run(lake, day, "full")
    code, report = run(lake, day, "empty", "--rows", "0")
    assert code == EXIT_MISTAKE
    assert "no rows for day" in report["error"]
    assert published(reader, day) == ["full"] * 5
    code, report = run(lake, day, "empty", "--rows", "0", "--allow-empty")
    assert (code, report["status"], report["rows_out"]) == (EXIT_OK, "empty", 0)
    assert published(reader, day) == []
    code, report = run(lake, day, "empty", "--rows", "9", "--attempt", "2")
    assert (code, report["status"], report["rows_out"]) == (EXIT_OK, "already_published", 0)


def test_rows_of_another_day_are_refused(lake: Lake, reader: Any, day: str, published_day: str) -> None:
    other, before = published_day, published(reader, published_day)
    code, report = run(lake, day, "wrong", "--other-day", other)
    assert code == EXIT_FAILURE
    assert f"day={other}" in report["error"]
    assert published(reader, other) == before != []


@pytest.mark.parametrize("is_same_day", [True, False], ids=["of the same day", "of another day"])
def test_a_publication_in_between_makes_it_stage_again(
    lake: Lake, reader: Any, day: str, monkeypatch: pytest.MonkeyPatch, is_same_day: bool
) -> None:
    other = day if is_same_day else next(_DAYS)
    between = lake.python(
        "-m", "tests.spark_jobs.small_job", "none", "--day", other, "--run", "fast", "--remote", lake.remote()
    )

    def let_it_publish() -> None:
        assert between.wait(LIMIT_S) == 0

    during(monkeypatch, let_it_publish)
    code, report = run(lake, day, "slow", "--rows", "4")
    assert (code, report["status"]) == (EXIT_OK, "published")
    assert published(reader, day) == ["slow"] * 4
    if not is_same_day:
        assert published(reader, other) == ["fast"] * 5
        assert "stage_again" not in report["seconds"]


def test_a_compaction_in_between_makes_it_stage_again(
    lake: Lake, reader: Any, day: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(lake, day, "small files", "--rows", "40", "--files", "4")

    def compact() -> None:
        call = f"CALL lake.system.rewrite_data_files(table => '{TABLE}', where => 'day = DATE \"{day}\"', "
        done = reader.sql(call + "options => map('rewrite-all', 'true'))").collect()[0]
        assert done["rewritten_data_files_count"] > 1

    during(monkeypatch, compact)
    code, report = run(lake, day, "after compaction", "--rows", "4")
    assert (code, report["status"]) == (EXIT_OK, "published")
    assert "stage_again" in report["seconds"]
    assert published(reader, day) == ["after compaction"] * 4


def test_a_day_that_is_emptied_in_between_is_staged_again(
    lake: Lake, reader: Any, day: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(lake, day, "before")
    during(monkeypatch, lambda: reader.sql(f"DELETE FROM {TABLE} WHERE day = DATE '{day}'"))
    code, report = run(lake, day, "after", "--rows", "3")
    assert (code, report["status"], published(reader, day)) == (EXIT_OK, "published", ["after"] * 3)
    assert "stage_again" in report["seconds"]


def test_a_column_that_was_added_since_is_null_in_a_pinned_input(lake: Lake, reader: Any, day: str) -> None:
    run(lake, day, "old")
    seen: list[Any] = []

    def noted_images(job: runner.Job[Options]) -> Any:
        seen.extend(job.read("raw_images", ("key", "note")).collect())
        return checked_images(job)

    line = ["--day", day, "--run", "noted", "--remote", lake.remote()]
    reader.sql(f"ALTER TABLE {TABLE} ADD COLUMN note MAP<STRING, BIGINT>")
    try:
        code = runner.execute("preprocess_images", noted_images, Options, line, lake.settings)
    finally:
        reader.sql(f"ALTER TABLE {TABLE} DROP COLUMN note")
    assert code == EXIT_OK
    assert [row["note"] for row in seen] == [None] * 5


def test_two_days_at_once_in_two_processes(lake: Lake, reader: Any, day: str) -> None:
    days = (day, next(_DAYS))
    jobs = [
        lake.python("-m", "tests.spark_jobs.small_job", "none", "--day", each, "--run", each, "--remote", lake.remote())
        for each in days
    ]
    outputs = [job.communicate(timeout=LIMIT_S)[0] for job in jobs]
    assert [job.returncode for job in jobs] == [0, 0], outputs
    assert [published(reader, each) for each in days] == [[each] * 5 for each in days]


BOUNDARIES = (
    "before:publishing.ensure_table",
    "before:publishing.stage_rows",
    "after:publishing.stage_rows",
    "before:publishing.publish",
    "after:publishing.publish",
)


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_an_attempt_killed_anywhere_can_be_tried_again(
    lake: Lake, reader: Any, published_day: str, boundary: str
) -> None:
    day, new = published_day, f"killed {boundary}"
    before, session = published(reader, day), str(uuid4())
    line = ("--day", day, "--run", new, "--remote", lake.remote(session), "--rows", "7")
    job = lake.python("-m", "tests.spark_jobs.small_job", boundary, *line)
    _wait_for_line(job, "paused")
    os.killpg(job.pid, signal.SIGKILL)
    job.wait()
    is_published = boundary == "after:publishing.publish"
    assert published(reader, day) == ([new] * 7 if is_published else before)

    code, report = run(lake, day, new, "--rows", "7", "--attempt", "2", session=session)
    assert (code, report["status"]) == (EXIT_OK, "already_published" if is_published else "published")
    assert published(reader, day) == [new] * 7


def test_a_job_that_is_told_to_stop_stops_the_server_too(lake: Lake, reader: Any, day: str, tmp_path: Path) -> None:
    session, worker = str(uuid4()), tmp_path / "worker"
    line = ("--day", day, "--run", "stuck", "--remote", lake.remote(session), "--rows", "1", "--stuck", str(worker))
    job = lake.python("-m", "tests.spark_jobs.small_job", "none", *line)
    pid = int(wait_for(lambda: worker.exists() and worker.read_text()))
    assert is_running(pid)
    job.send_signal(signal.SIGTERM)
    output = job.communicate(timeout=LIMIT_S)[0]
    assert job.returncode == runner.EXIT_TERMINATED, output
    assert json.loads(output.strip().splitlines()[-1])["error"] == "the job was told to stop"
    wait_for(lambda: not is_running(pid))
    code, report = run(lake, day, "stuck", "--attempt", "2", session=session)
    assert (code, report["status"]) == (EXIT_OK, "published")


def test_a_session_that_was_released_is_replaced(lake: Lake, reader: Any, day: str) -> None:
    session = str(uuid4())
    assert run(lake, day, "first", "--release", session=session)[0] == EXIT_OK
    code, report = run(lake, day, "second", "--rows", "3", session=session)
    assert (code, report["status"], published(reader, day)) == (EXIT_OK, "published", ["second"] * 3)


def test_the_same_script_runs_by_spark_submit(lake: Lake, reader: Any, day: str) -> None:
    submit = [str(spark_home() / "bin" / "spark-submit"), "--master", "local[1]", "--driver-memory", "1g"]
    conf = [f"--conf={name}={value}" for name, value in static_spark_conf(lake.settings).items()]
    job = [str(REPOSITORY / "tests" / "spark_jobs" / "small_job.py"), "none", "--day", day, "--run", "classic"]
    environment = {**lake.environment, "SPARK_CONNECT_MODE_ENABLED": "1"}  # as a process leaves it that has connected
    done = subprocess.run(
        [*submit, *conf, *job], env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    assert json.loads(done.stdout.strip().splitlines()[-1])["status"] == "published"
    assert published(reader, day) == ["classic"] * 5


def test_a_session_that_stages_for_another_run_is_refused(lake: Lake, day: str) -> None:
    spark = lake.connect()
    spark.conf.set(publishing.WAP_ID, "another run/1/some-id")
    code, report = run(lake, day, "mine", session=spark.session_id)
    spark.stop()
    assert code == EXIT_FAILURE
    assert "stages for 'another run/1/some-id'" in report["error"]


def test_rows_are_staged_whatever_the_table_and_the_session_say(
    lake: Lake, reader: Any, published_day: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    day, before = published_day, published(reader, published_day)
    seen: list[list[str]] = []
    during(monkeypatch, lambda: seen.append(published(reader, day)))
    reader.sql(f"ALTER TABLE {TABLE} SET TBLPROPERTIES ('write.wap.enabled'='false')")
    try:
        code, report = run(lake, day, "second", "--broken", "1")
    finally:
        reader.sql(f"ALTER TABLE {TABLE} SET TBLPROPERTIES ('write.wap.enabled'='true')")
    assert (code, report["status"]) == (EXIT_BROKEN_CONTRACT, "broken_contract")
    assert seen == [published(reader, day)] == [before] != [[]]


def test_what_an_attempt_of_an_earlier_version_left_in_the_session_is_no_hindrance(
    lake: Lake, reader: Any, day: str
) -> None:
    spark = lake.connect()
    spark.conf.set(publishing.WAP_ID, "mine/1/some-id")
    code, report = run(lake, day, "mine", "--attempt", "2", session=spark.session_id)
    spark.stop()
    assert (code, report["status"], published(reader, day)) == (EXIT_OK, "published", ["mine"] * 5)
    assert run(lake, day, "mine", "--attempt", "3")[1]["status"] == "already_published"


def test_what_an_earlier_version_published_by_a_setting_of_the_session_counts(
    lake: Lake, reader: Any, day: str
) -> None:
    run(lake, day, "rows")
    reader.conf.set(publishing.WAP_ID, "old/1/some-id")
    reader.table(TABLE).where(f"day = DATE '{day}'").writeTo(TABLE).overwritePartitions()
    reader.conf.unset(publishing.WAP_ID)
    old = f"SELECT snapshot_id FROM {TABLE}.snapshots WHERE summary['wap.id'] = 'old/1/some-id'"
    snapshot = publishing.publish(reader, TABLE, reader.sql(old).collect()[0]["snapshot_id"])
    code, report = run(lake, day, "old", "--attempt", "2", "--rows", "9")
    assert (code, report["status"], report["snapshot"]) == (EXIT_OK, "already_published", snapshot)
    assert published(reader, day) == ["rows"] * 5
    assert run(lake, day, "new", "--rows", "2")[1]["status"] == "published"
    assert published(reader, day) == ["new"] * 2


def test_an_attempt_that_wakes_late_is_audited_like_any(
    lake: Lake, reader: Any, day: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, stage_rows = str(uuid4()), publishing.stage_rows
    line = ("--day", day, "--run", "mine", "--attempt", "2", "--rows", "7", "--remote", lake.remote(session))
    states: list[list[str]] = []
    refs = {row["name"] for row in reader.sql(f"SELECT name FROM {TABLE}.refs").collect()}

    def wake_after_the_next_attempt(*arguments: Any) -> Any:
        next_one = lake.python("-m", "tests.spark_jobs.small_job", "none", *line)
        assert next_one.wait(LIMIT_S) == 0
        staged = stage_rows(*arguments)
        states.append(published(reader, day))
        return staged

    monkeypatch.setattr(publishing, "stage_rows", wake_after_the_next_attempt)
    code, report = run(lake, day, "mine", "--rows", "6", "--broken", "2", session=session)
    assert (code, report["status"]) == (EXIT_BROKEN_CONTRACT, "broken_contract")
    assert states == [published(reader, day)] == [["mine"] * 7]
    assert {row["name"] for row in reader.sql(f"SELECT name FROM {TABLE}.refs").collect()} == refs


def test_a_wrong_port_is_a_clear_error_at_once(lake: Lake, day: str) -> None:
    line = ["--day", day, "--run", "lost", "--remote", "sc://127.0.0.1:1"]
    assert runner.execute(STAGE, plan, Options, line, lake.settings) == EXIT_FAILURE
    report = lake.report(STAGE, day, "lost")
    assert "no Spark Connect server at 127.0.0.1:1" in report["error"]


def _wait_for_line(job: subprocess.Popen[str], wanted: str) -> None:
    """Read the job's output until the line comes; its end without it is a failure."""
    seen = []
    assert job.stdout is not None
    for line in job.stdout:
        seen.append(line)
        if line.strip() == wanted:
            return
    raise AssertionError(f"the job ended without {wanted!r}: {''.join(seen)}")
