"""The list of withdrawn keys beside an index: a search leaves a picture out even before the index is built again
without it."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable

import fsspec

from dlcore.stored_file import read_whole, write_whole

FILE = "withdrawn.json"
FRESH_S = 30.0
_read: dict[str, tuple[float, frozenset[str]]] = {}

STATE = "SELECT key FROM {rows} GROUP BY key HAVING max_by(reason, at) = 'withdrawn'"
"""Spark SQL for the keys that are withdrawn now, from rows of the dataset."""


def write_keys(index: str, keys: Iterable[str]) -> list[str]:
    """Write the list beside the index at a URI and beside those of the other sets of codes -> the URIs of the
    indexes."""
    files, root = fsspec.core.url_to_fs(index)
    others = [str(path) for path in files.glob(f"{root}-*") if files.isdir(path)]
    uris = [index.rstrip("/") + path.removeprefix(root.rstrip("/")) for path in (root.rstrip("/"), *others)]
    for uri in uris:
        write_whole(f"{uri}/{FILE}", json.dumps({"keys": sorted(keys)}, indent=1))
    return uris


def withdrawn_keys(index: str, fresh_s: float = FRESH_S) -> frozenset[str]:
    """The keys that are withdrawn from the index at a URI, read again after `fresh_s`; none if there is no list.

    Raises:
        ValueError: the list is damaged; the pictures it withdrew must not be shown.
    """
    found = _read.get(index)
    if found is None or time.monotonic() - found[0] > fresh_s:
        found = _read[index] = time.monotonic(), _keys(f"{index.rstrip('/')}/{FILE}")
    return found[1]


def _keys(uri: str) -> frozenset[str]:
    try:
        keys = json.loads(read_whole(uri))["keys"]
        return frozenset(map(str, keys))
    except FileNotFoundError:
        return frozenset()
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{uri}: got no list of withdrawn keys ({error}); run spark_jobs.withdraw to write it again"
        ) from error
