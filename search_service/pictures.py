"""Pictures of items, from the index's own files by range, or from HBase by key if the index was built without them.

What was read last stays in memory, up to a number of bytes.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import closing
from datetime import date
from io import BytesIO
from typing import Any

from PIL import Image

from dlcore.search.index import Item
from search_service.live import View
from search_service.main_thread import MainThread
from search_service.options import Options
from search_service.query import DECODING
from spark_jobs.hbase.row_key import LAYOUT_COLUMN, LAYOUT_ROW, key_bytes, row_key
from spark_jobs.hbase.scan import Gateways, NoAnswer
from spark_jobs.stages.decode import decode_image

PATIENCE_S = 5.0
SILENCE_S = 10.0
"""Seconds for which HBase is not asked after it gave no answer: waiting for it keeps a thread from searches."""
THUMBNAIL_SIDE = 192


class Cache:
    """Bytes by name, as many of those used last as fit; several threads may use it at once."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes, self._bytes = most_bytes, 0
        self._kept: OrderedDict[Any, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: Any, read: Callable[[], bytes]) -> bytes:
        """The bytes kept under a name, or else those that `read` gives.

        Empty bytes are not kept: they take room that is not counted, and the picture may still come.
        """
        with self._lock:
            if name in self._kept:
                self._kept.move_to_end(name)
                return self._kept[name]
        data = read()
        if not data:
            return data
        with self._lock:
            self._bytes += len(data) - len(self._kept.pop(name, b""))
            self._kept[name] = data
            while self._bytes > self._most_bytes:
                self._bytes -= len(self._kept.popitem(last=False)[1])
        return data


class Pictures:
    """One worker's pictures."""

    def __init__(self, options: Options, main_thread: MainThread) -> None:
        self._options, self._main_thread = options, main_thread
        self._cache = Cache(options.cache_bytes)
        self._silent_until = 0.0

    def thumbnail(self, view: View, item: Item) -> bytes:
        """A small JPEG of an item; if the index has none, of its whole picture; empty if nobody has one.

        Raises:
            ValueError: the index's file is damaged.
            HBaseError, TimeoutError: HBase does not answer.
        """
        place = item.day, item.key, item.crop
        name = view.index.version, *place
        data = self._cache.get(name, lambda: view.index.thumbnail(item.position))
        return data or self._cache.get((*name, "hbase"), lambda: self._of_hbase(item.day, item.key, THUMBNAIL_SIDE))

    def whole(self, day: str, key: str) -> bytes:
        """The whole picture as the pipeline sees it (JPEG), from HBase; empty if HBase has none that can be used.

        Raises:
            HBaseError, TimeoutError: HBase does not answer.
        """
        return self._cache.get((day, key), lambda: self._of_hbase(day, key, 0))

    def _of_hbase(self, day: str, key: str, side: int) -> bytes:
        data = self._bytes_of(date.fromisoformat(day), key)
        return self._main_thread.call(lambda: _as_jpeg(data, side), self._options.timeout_s) if data else b""

    def _bytes_of(self, day: date, key: str) -> bytes:
        settings = self._options.settings
        table, column = settings.hbase_table.encode(), self._options.image_column.encode()

        def cell(client: Any) -> Any:
            """The image cell of a key's row in our layout; in another table, of the row whose whole row key this is."""
            salts = client.get(table, LAYOUT_ROW, LAYOUT_COLUMN, {})
            row = row_key(day, key, int(salts[0].value)) if salts else key_bytes(key)
            return client.get(table, row, column, {})

        if time.monotonic() < self._silent_until:
            raise NoAnswer(f"HBase gave no answer in the last {SILENCE_S:.0f} s")
        try:
            with closing(Gateways(settings.gateways(), settings.hbase_wire, PATIENCE_S)) as gateways:
                found = gateways.ask(settings.hbase_table, cell, PATIENCE_S)
        except NoAnswer:
            self._silent_until = time.monotonic() + SILENCE_S
            raise
        return bytes(found[0].value) if found else b""


def _as_jpeg(data: bytes, side: int) -> bytes:
    """The canonical picture of a file's bytes, at most `side` wide and high; empty if it cannot be used."""
    image = decode_image(data, DECODING).image
    if image is None or not side:
        return image or b""
    picture, target = Image.open(BytesIO(image)), BytesIO()
    picture.thumbnail((side, side))
    picture.save(target, "JPEG", quality=85)
    return target.getvalue()
