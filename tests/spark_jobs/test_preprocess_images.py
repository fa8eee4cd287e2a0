"""Options of `preprocess_images` reach the Python workers of a real Spark Connect server."""

from __future__ import annotations

import hashlib
from datetime import date
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from data_contracts.reasons import Reason
from sample_data.catalogue.bad_images import sample_picture
from spark_jobs import preprocess_images
from spark_jobs.pipeline import EXIT_OK
from spark_jobs.running import runner
from spark_jobs.running.command_line import NoOptions
from tests.spark_jobs.lake import Lake
from tests.spark_jobs.stages.picture_files import encoded

pytestmark = pytest.mark.spark

DAY = date(2026, 2, 11)


def test_placeholders_and_time_limit(lake: Lake, tmp_path: Path) -> None:
    """The time is over at once: workers decode in their main thread, where it is watched."""
    listed, large = (encoded(sample_picture(np.random.default_rng(side), side, side), "PNG") for side in (64, 1800))
    (tmp_path / "list").write_text(f"{hashlib.sha256(listed).hexdigest()}  no picture.png\n")

    def load(job: runner.Job[Any]) -> Any:
        images = {"listed/0": listed, "large/0": large}
        rows = [(DAY, key, Reason.OK.value, bytearray(data), len(data), {}) for key, data in images.items()]
        return job.spark.createDataFrame(rows, job.schema)

    run = f"options-{uuid4()}"
    line = ["--day", str(DAY), "--run", run, "--remote", lake.remote()]
    own = ["--placeholders", (tmp_path / "list").as_uri(), "--timeout-s", "0.001"]
    assert runner.execute("read_images", load, NoOptions, line, lake.settings) == EXIT_OK
    done = runner.execute(
        "preprocess_images", preprocess_images.plan, preprocess_images.Options, [*line, *own], lake.settings
    )
    assert done == EXIT_OK
    report = lake.report("preprocess_images", str(DAY), run)
    assert report["extra"]["placeholders"] == 1
    assert report["reasons"] == {"placeholder": 1, "timed_out": 1}
