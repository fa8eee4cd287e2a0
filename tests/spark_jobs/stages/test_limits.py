"""Limits on time and memory: they end in a reason, and leave the process as it was."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
import pytest

from data_contracts.reasons import Reason
from spark_jobs.stages import decode, jpeg
from spark_jobs.stages.decode import decode_batches, decode_image
from spark_jobs.stages.limits import Limits, TimedOut, time_limit
from tests.spark_jobs.stages.picture_files import PICTURE, encoded

JPEG = encoded(PICTURE, "JPEG")
SCHEMA = pa.schema([("day", pa.date32()), ("key", pa.string()), ("reason", pa.string()), ("image", pa.binary())])


@contextmanager
def outer_timer(seconds: float) -> Iterator[list[int]]:
    """A timer of somebody else, such as a profiler; yields how often it rang."""
    rang: list[int] = []
    handler = signal.signal(signal.SIGPROF, lambda number, frame: rang.append(number))
    before = signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield rang
    finally:
        signal.setitimer(signal.ITIMER_PROF, *before)
        signal.signal(signal.SIGPROF, handler)


def work_for_ever(*arguments: object) -> None:
    """Also in decoders that take every exception for damage."""
    while True:
        try:
            sum(range(1000))
        except Exception:
            continue


def test_time_that_is_over_is_a_reason_and_the_next_picture_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(jpeg, "read_size", work_for_ever)
        row = decode_image(JPEG, Limits(timeout_s=0.05))
    assert (row.reason, row.image, row.source_format) == (Reason.TIMED_OUT, None, "jpeg")
    assert decode_image(JPEG, Limits(timeout_s=30)).reason is Reason.OK


def test_timer_of_somebody_else_goes_on() -> None:
    with outer_timer(100):
        with pytest.raises(TimedOut), time_limit(0.01):
            work_for_ever()
        rest, _ = signal.getitimer(signal.ITIMER_PROF)
        assert 0 < rest < 100 + 0.01  # the kernel rounds a timer up to its next tick
    with outer_timer(0.01) as rang:
        with time_limit(100):
            until = time.process_time() + 0.05
            while time.process_time() < until:
                sum(range(1000))
            assert not rang
        while not rang:  # pytest's own limit ends it
            sum(range(1000))


def test_other_threads_decode_without_a_timer() -> None:
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(decode_image(JPEG, Limits(timeout_s=30)).reason))
    thread.start()
    thread.join()
    assert found == [Reason.OK]


def test_no_memory_is_not_the_picture_s_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def starve(*arguments: object) -> None:
        raise MemoryError

    rows = [{"day": None, "key": "sku/7", "reason": "ok", "image": encoded(PICTURE, "PNG")}]
    monkeypatch.setattr(decode, "to_colours", starve)
    with pytest.raises(MemoryError, match="sku/7"):
        list(decode_batches([pa.RecordBatch.from_pylist(rows, SCHEMA)], Limits()))


PEAK = """
import io, resource, sys
import numpy as np
from PIL import Image
from spark_jobs.stages.decode import decode_image
pixels = np.zeros((2000, 3000), np.float32)
pixels[::7] = 1
buffer = io.BytesIO()
Image.fromarray(pixels).save(buffer, "TIFF", compression="tiff_lzw")
small = io.BytesIO()
Image.fromarray(pixels[:100, :100]).save(small, "TIFF", compression="tiff_lzw")
data = buffer.getvalue()
del pixels, buffer
decode_image(small.getvalue())
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert decode_image(data).image is not None
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 // 6_000_000)
"""


def test_memory_of_a_picture_of_wide_samples() -> None:
    """Bytes a pixel at the peak, beyond what making the file took: three arrays of float64 would be 24."""
    found = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True)
    assert int(found.stdout) < 12
