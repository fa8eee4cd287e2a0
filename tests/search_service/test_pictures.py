"""Pictures that are kept in memory, and those that only HBase has."""

from __future__ import annotations

import io
import socket
from contextlib import suppress
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from search_service import pictures
from search_service.main_thread import MainThread
from search_service.options import Options
from search_service.pictures import THUMBNAIL_SIDE, Cache
from spark_jobs.hbase.row_key import row_key
from spark_jobs.hbase.scan import Gateways, NoAnswer
from spark_jobs.hbase.table import IMAGE_COLUMN, RowWriter, ensure_table
from spark_jobs.settings import Settings
from tests.search_service.serving import TOKEN, publish_random, serving


def test_the_cache_holds_what_was_used_last_up_to_its_size():
    cache, read = Cache(100), []

    def get(name, size=40):
        return cache.get(name, lambda: read.append(name) or bytes(size))

    get("a"), get("b"), get("a"), get("c")  # b goes
    assert read == ["a", "b", "c"]
    get("a"), get("b")
    assert read == ["a", "b", "c", "b"]
    assert len(get("huge", 1000)) == 1000 and len(get("huge", 1000)) == 1000 and read[-2:] == ["huge", "huge"]


def test_the_cache_does_not_remember_that_there_was_nothing():
    cache, answers = Cache(100), iter([b"", b"picture"])
    assert [cache.get("a", lambda: next(answers)) for _ in range(3)] == [b"", b"picture", b"picture"]
    for name in range(1000):
        cache.get(name, bytes)
    assert len(cache._kept) == 1


def test_hbase_that_gives_no_answer_is_not_asked_again_at_once(monkeypatch):
    monkeypatch.setattr(pictures, "PATIENCE_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        settings = Settings.from_environment({"PIPELINE_HBASE_GATEWAYS": address})
        of_hbase = pictures.Pictures(Options(TOKEN, settings), MainThread())
        asked = [0, 0]
        for turn in range(2):
            with pytest.raises(NoAnswer):
                of_hbase.whole("2026-11-01", "sku000001/0")
            silent.setblocking(False)
            with suppress(BlockingIOError):
                while silent.accept():
                    asked[turn] += 1
        assert asked[0] and not asked[1]


@pytest.mark.services
def test_an_index_without_thumbnails_shows_what_hbase_has(hbase, tmp_path: Path):
    settings = Settings.from_environment(hbase.environment() | {"PIPELINE_HBASE_TABLE": "pictures_of_the_service"})
    gateways = Gateways(settings.gateways(), settings.hbase_wire)
    salts = ensure_table(gateways, settings.hbase_table, 4, settings.hbase_command)
    picture = np.random.default_rng(1).integers(0, 256, (30, 40, 3), np.uint8).repeat(10, 0).repeat(10, 1)
    writer = RowWriter(gateways, settings.hbase_table)
    for key, data in (("sku000001/0", simplejpeg.encode_jpeg(picture, 95, "RGB", "444")), ("sku000002/0", b"<html>")):
        writer.put(row_key(date(2026, 11, 1), key, salts), {IMAGE_COLUMN: data})
    writer.flush()
    uri = f"file://{tmp_path}/index"
    publish_random(uri, 0, 100)
    own = {"pipeline_hbase_gateways": settings.hbase_gateways, "pipeline_hbase_table": settings.hbase_table}
    with serving(uri, tmp_path, **own) as served:

        def asked(key, size):
            return served.client.get(f"/api/v1/picture?key={key}&day=2026-11-01&size={size}")

        assert Image.open(io.BytesIO(asked("sku000001/0", "thumbnail").content)).size == (
            THUMBNAIL_SIDE,
            THUMBNAIL_SIDE * 3 // 4,
        )
        assert Image.open(io.BytesIO(asked("sku000001/0", "whole").content)).size == (400, 300)
        assert asked("sku000002/0", "whole").status_code == asked("sku000003/0", "whole").status_code == 404
