"""A small catalogue as the pipeline leaves it, drawn without Spark: an index with a group and its evidence, day sheets,
reports."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from data_contracts.picture_copyright import OTHER_OWNER, PICTURE_COPYRIGHT
from data_contracts.price_monitoring import PRICE_MONITORING
from dlcore.search.byte_strings import ByteStrings
from dlcore.search.group_list import Pair, write_group_list
from dlcore.search.index import open_index, publish
from dlcore.search.manifest import publish_manifest, read_manifest, versions
from dlcore.search.store import Store
from dlcore.vision.detector import load_detector
from dlcore.vision.extractor import load_extractor
from sample_data.catalogue.bad_images import BAD_IMAGES, make_bad_image, sample_picture
from sample_data.catalogue.demo import draw_entry
from sample_data.catalogue.planting import plan_catalogue
from spark_jobs.settings import REPOSITORY
from spark_jobs.stages.crop import CropPolicy, crop_batches
from spark_jobs.stages.csv_file import write_csv
from spark_jobs.stages.day_sheet import drawn_batches, sheet_batches
from spark_jobs.stages.decode import decode_image, read_pixels
from spark_jobs.stages.features import feature_batches
from spark_jobs.stages.index import entries_of, thumbnail_batches

MODELS = f"file://{REPOSITORY}/models"
DAYS = [date(2026, 11, 1), date(2026, 11, 2)]
PRODUCTS = 14
REFUSED = ("blank", "html_page")


@dataclass(frozen=True)
class Catalogue:
    """Where it lies.   files: original pictures by key.   group: name of the group of the keys `first` and `copy`."""

    index: str
    exports: str
    files: dict[str, Path]
    first: str
    copy: str
    group: str


def draw_catalogue(folder: Path) -> Catalogue:
    """Products on the first day, one of them again on the second; and two files that are refused."""
    entries = [entry for entry in plan_catalogue(4004, DAYS, 60).entries if not entry.bad and not entry.transform]
    data = {entry.key: draw_entry(entry).data for entry in entries[:PRODUCTS]}
    first = min(data)
    made = Catalogue(
        f"file://{folder}/index", f"file://{folder}/exports", {key: folder / f"{n}.jpg" for n, key in enumerate(data)},
        first, f"copy-of-{first}", f"{DAYS[0]}/{first}",
    )  # fmt: skip
    for key, path in made.files.items():
        path.write_bytes(data[key])
    rows = [_seen(DAYS[0], key, data[key]) for key in sorted(data)] + [_seen(DAYS[1], made.copy, data[first])]
    crops = list(crop_batches([pa.RecordBatch.from_pylist(rows)], CropPolicy()))
    _write_index(made, crops)
    _write_sheets(made, rows, crops)
    _write_reports(made)
    return made


def _seen(day: date, key: str, data: bytes) -> dict[str, Any]:
    """A picture with what the detector finds in it."""
    row = decode_image(data)
    assert row.image is not None
    objects = load_detector(f"{MODELS}/detector-small").find([read_pixels(row.image)])[0].objects
    size = {name: getattr(row, name) for name in ("width", "height", "blur", "entropy", "source_format")}
    return {
        "day": day,
        "key": key,
        "reason": "ok",
        "image": row.image,
        "objects": [vars(each) for each in objects],
        **size,
    }


def _write_index(made: Catalogue, crops: list[pa.RecordBatch]) -> None:
    features = pa.Table.from_batches(feature_batches(crops, MODELS, "deepbit-small"))
    entries = entries_of(
        features.append_column("thumbnail", pa.Table.from_batches(thumbnail_batches(crops)).column("thumbnail"))
    )
    groups = [made.group.encode() if key.decode() in (made.first, made.copy) else b"" for key in entries.keys]
    shops = ByteStrings.of(b"boreal" if key.decode() == made.copy else b"aurora" for key in entries.keys)
    columns = {"shop": shops, "price": np.arange(len(entries), dtype=float)}
    publish(
        made.index, replace(entries, groups=groups, columns=columns), load_extractor(f"{MODELS}/deepbit-small").version
    )
    store = Store(made.index)
    manifest, (group,) = (
        read_manifest(store, versions(store)[-1]),
        open_index(made.index).group_list.listed("size", 0, 9),
    )
    lists = [write_group_list(store, [replace(group, shops=2, pairs=(Pair(0, 1, 0, 1.0),))])]
    publish_manifest(
        store, manifest.model_version, manifest.code_bytes, manifest.segments, manifest.groups, lists=lists
    )


def _write_sheets(made: Catalogue, rows: list[dict[str, Any]], crops: list[pa.RecordBatch]) -> None:
    of_key = {row["key"]: row for batch in crops for row in batch.to_pylist()}
    drawn = []
    for row in rows:
        crop = {
            name: value
            for name, value in of_key[row["key"]].items()
            if name not in ("day", "key", "image", "whole_hash")
        }
        about = {name: value for name, value in row.items() if name not in ("day", "image")} | {
            "chosen": ["sample", "score", "blur"],
            "score": max((thing["score"] for thing in row["objects"]), default=None),
            "crops": [crop],
            "groups": [made.group] if row["key"] in (made.first, made.copy) else [],
            "is_member": row["key"] == made.copy,
        }
        drawn.append({**row, "about": json.dumps(about), "raw": None})
    picture = sample_picture(np.random.default_rng(7), 300, 300)
    for name in REFUSED:
        data = make_bad_image(name, picture, np.random.default_rng(3))
        key, reason = f"bad-{name}/0", str(BAD_IMAGES[name].reason)
        about = {"key": key, "reason": reason, "chosen": ["refused"]}
        drawn.append(
            {"day": DAYS[1], "key": key, "reason": reason, "about": json.dumps(about), "image": None, "raw": data}
        )
    totals = {
        str(DAYS[0]): {"ok": PRODUCTS},
        str(DAYS[1]): {"ok": 1} | {str(BAD_IMAGES[name].reason): 1 for name in REFUSED},
    }
    batches = [pa.RecordBatch.from_pylist([{name: row[name] for name in drawn[-1]} for row in drawn])]
    assert len(list(sheet_batches(drawn_batches(batches), made.index, {str(day): "" for day in DAYS}, totals))) == len(
        DAYS
    )


def _write_reports(made: Catalogue) -> None:
    """A case each, with columns as their contracts have them."""
    place = {"day": DAYS[0], "key": made.first, "crop": 0, "reason": "ok", "group": made.group}
    price = place | {
        "currency": "EUR", "title": "=Fine lamp", "pictures": 2, "shops": 2, "shop_names": ["aurora", "boreal"],
        "spread": 0.25,
        "lowest": 80.0, "lowest_shop": "aurora", "lowest_key": made.first, "median": 90.0,
        "highest": 100.0, "highest_shop": "boreal", "highest_key": made.copy,
        "first_seen": datetime(2026, 11, 1, tzinfo=UTC), "last_seen": DAYS[1], "same_sha256": 1, "near_phash": 1,
        "same_title": 0,
    }  # fmt: skip
    case = place | {
        "day": DAYS[1], "key": made.copy, "kind": OTHER_OWNER, "owner": "boreal gmbh", "shop": "boreal",
        "title": "Lamp, new",
        "first_seen": datetime(2026, 11, 2, tzinfo=UTC), "last_seen": DAYS[1], "original_day": DAYS[0],
        "original_key": made.first,
        "original_crop": 0, "original_owner": "aurora ag", "original_shop": "aurora", "original_title": "Fine lamp",
        "original_first_seen": datetime(2026, 11, 1, tzinfo=UTC), "days_later": 1, "distance": 0, "similarity": 1.0,
        "found_by": ["sha256"],
    }  # fmt: skip
    for contract, row in ((PRICE_MONITORING, price), (PICTURE_COPYRIGHT, case)):
        schema = contract.arrow_schema()
        columns = [name for name in schema.names if name not in ("reason", "evidence")]
        batch = pa.RecordBatch.from_pylist([row], schema)
        list(write_csv([batch], made.exports, f"{contract.dataset}.csv", columns))
