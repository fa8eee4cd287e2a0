"""The two reports and their CSV files on a real Spark Connect server, beside slow loops over the same rows."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from data_contracts.contract import Contract
from data_contracts.duplicates import DUPLICATES
from data_contracts.features import FEATURES
from data_contracts.images import IMAGES
from data_contracts.raw_images import RAW_IMAGES
from data_contracts.withdrawn import WITHDRAWN
from spark_jobs import check_copyright, export_reports, monitor_prices
from spark_jobs.pipeline import EXIT_OK, PUBLISHED
from spark_jobs.running import publishing, runner
from spark_jobs.running.command_line import NoOptions
from spark_jobs.settings import Settings
from tests.spark_jobs.catalogues import feature_row
from tests.spark_jobs.lake import Lake

pytestmark = pytest.mark.spark

NAMESPACE = "report_jobs"
JOBS = {
    "monitor_prices": (monitor_prices.plan, NoOptions),
    "check_copyright": (check_copyright.plan, NoOptions),
    "export_reports": (export_reports.plan, export_reports.Options),
}
DAYS = [date(2026, 11, day) for day in (1, 2, 3)]
PRICES = {
    "12.50": 12.5,
    "1,234.50": 1234.5,
    "1.234,50 EUR": 1234.5,
    "€ 9": 9.0,
    "0": None,
    "on request": None,
    "1.2.3": None,
}
Row = dict[str, Any]


@pytest.fixture(scope="module")
def lake(lake: Lake) -> Lake:
    """Tables of these tests' own, of a shop that calls a price `unit_price`."""
    home = lake.settings.home
    own = {
        "PIPELINE_NAMESPACE": NAMESPACE,
        "PIPELINE_METADATA_COLUMNS": "price=unit_price",
        "PIPELINE_EXPORTS": f"file://{home}/exports of {NAMESPACE}",
    }
    environment = {**lake.environment, **own}
    return Lake(Settings.from_environment(environment), environment)


@pytest.fixture(scope="module")
def spark(lake: Lake) -> Iterator[Any]:
    session = lake.connect()
    yield session
    session.stop()


def catalogue(rng: np.random.Generator) -> list[Row]:
    """Pictures of some groups over three days: keys that come again, several crops, shops that say much or nothing."""
    rows = []
    for number in range(60):
        group = int(rng.integers(9))
        told = {
            "unit_price": rng.choice(list(PRICES)),
            "shop": rng.choice(["north", "market", "=cmd()", ""]),
            "currency": rng.choice(["eur", "GBP"]),
            "owner": rng.choice(["Anna", "Ben", " "]),
            "title": rng.choice(["Blue mug!", "blue  Mug", "Red pan"]),
            "first_seen": rng.choice(["2026-10-30T10:00:00+00:00", "2026-10-29 08:00", "2026-11-01", "yesterday"]),
        }
        metadata = {name: str(text) for name, text in told.items() if rng.random() < 0.8}
        key, day = f"sku{group}/{number // 2}", DAYS[int(rng.integers(3))]
        if any(row["key"] == key and row["day"] == day for row in rows):
            continue
        crops, sha256 = 2 if number % 7 == 0 else 1, f"{int(rng.integers(2)):064x}"
        for crop in range(crops):
            flips = rng.choice(128, int(rng.integers(0, 9)), replace=False)
            row = feature_row(day, key, group, flips, crop)
            whole = np.unpackbits(np.frombuffer(row["whole_hash"], np.uint8))
            whole[rng.choice(256, int(rng.integers(0, 70)), replace=False)] ^= 1
            row |= {"whole_hash": np.packbits(whole).tobytes(), "group": f"group {group}" if group else None}
            row |= {"metadata": metadata, "sha256": sha256, "withdrawn": not group}
            rows.append(row)
    return sorted(rows, key=lambda row: (row["day"], row["key"], row["crop"]))


def write(spark: Any, lake: Lake, contract: Contract, rows: list[Row]) -> None:
    table = lake.settings.table(contract.dataset)
    publishing.ensure_table(spark, table, contract)
    known = [{name: row.get(name) for name in contract.arrow_schema().names} for row in rows]
    spark.createDataFrame(pa.Table.from_pylist(known, contract.arrow_schema())).writeTo(table).overwritePartitions()


def publish(spark: Any, lake: Lake, rows: list[Row]) -> str:
    """What the stages before the reports would have published; the key that was taken down since."""
    sizes: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row["group"]:
            sizes[row["group"]].append(row)
    for members in sizes.values():
        for row in members:
            row |= {"size": len(members), "is_representative": row is members[len(members) // 2], "evidence": []}
        for first, second in pairwise(members):
            told = {"distance": apart(first["code"], second["code"]), "similarity": 0.5}
            for one, other in ((first, second), (second, first)):
                one["evidence"].append({name: other[name] for name in ("day", "key", "crop")} | told)
    pictures = list({(row["day"], row["key"]): row for row in rows}.values())
    write(spark, lake, FEATURES, rows)
    write(spark, lake, IMAGES, pictures)
    raw = [row | {"size_bytes": 1, "metadata": list(row["metadata"].items())} for row in pictures]
    write(spark, lake, RAW_IMAGES, raw)
    standing = {row["key"] for row in rows if row.get("is_representative")}
    gone = next(row for row in rows if row["group"] and row["size"] > 3 and row["key"] not in standing)
    told = {"reason": "withdrawn", "why": "asked", "at": datetime(2026, 11, 4, tzinfo=UTC), "run": "take down"}
    write(spark, lake, WITHDRAWN, [{"day": date(2026, 11, 4), "key": gone["key"], **told}])
    write(spark, lake, DUPLICATES, [row | {"reason": "withdrawn" if row["withdrawn"] else "ok"} for row in rows])
    return str(gone["key"])


def apart(first: bytes, second: bytes) -> int:
    return (int.from_bytes(first) ^ int.from_bytes(second)).bit_count()


def said(row: Row) -> Row:
    """What a slow reader makes of the metadata."""
    told = {name: text.strip() or None for name, text in row["metadata"].items()}
    since: datetime | None = None
    with suppress(ValueError):
        since = datetime.fromisoformat(told.get("first_seen") or "")
    since = since or datetime(row["day"].year, row["day"].month, row["day"].day)
    title = "".join(letter if letter.isalnum() else " " for letter in (told.get("title") or "").lower()).split()
    return {
        **{name: told.get(name) for name in ("shop", "owner", "title")},
        "currency": told["currency"].upper() if told.get("currency") else None,
        "price": PRICES.get(told.get("unit_price") or ""),
        "since": since.astimezone(UTC) if since.tzinfo else since.replace(tzinfo=UTC),
        "words": title,
    }


def place(row: Row) -> tuple[Any, ...]:
    return row["day"], row["key"], row["crop"]


def groups_of(rows: list[Row]) -> dict[str, list[Row]]:
    """The pictures of each group, one row a picture: that which stands for the group, else the first crop."""
    found: dict[str, dict[Any, Row]] = defaultdict(dict)
    for row in rows:
        if row["group"]:
            known = found[row["group"]].get(place(row)[:2])
            if known is None or row["is_representative"]:
                found[row["group"]][place(row)[:2]] = row | said(row)
    return {name: list(members.values()) for name, members in found.items() if members}


def slow_prices(rows: list[Row]) -> list[Row]:
    found = []
    for name, members in groups_of(rows).items():
        (shown,) = [row for row in members if row["is_representative"]]
        for currency in {row["currency"] for row in members}:
            priced = [row for row in members if row["currency"] == currency and row["price"]]
            if len(priced) < 2:
                continue
            newest = [
                row["price"] for row in priced if row["day"] == max(r["day"] for r in priced if r["key"] == row["key"])
            ]
            others = [row for row in priced if place(row) != place(shown)]
            found.append(
                {
                    "group": name,
                    "currency": currency,
                    "key": shown["key"],
                    "pictures": len(priced),
                    "shops": len({row["shop"] for row in priced} - {None}),
                    "lowest": min(newest),
                    "median": round(median(newest), 6),
                    "highest": max(newest),
                    "first_seen": min(row["since"] for row in priced),
                    "last_seen": max(row["day"] for row in priced),
                    "same_sha256": sum(row["sha256"] == shown["sha256"] for row in others),
                    "near_phash": sum(apart(row["whole_hash"], shown["whole_hash"]) <= 40 for row in others),
                    "same_title": sum(row["words"] == shown["words"] != [] for row in others),
                }
            )
    return found


def slow_cases(rows: list[Row]) -> list[Row]:
    found = []
    for members in groups_of(rows).values():
        named = [row for row in members if row["owner"] or row["shop"]]
        keys = {row["key"]: row for row in sorted(named, key=place, reverse=True)}  # the earliest day of each
        original = min(keys.values(), key=lambda row: (row["since"], *place(row)), default=None)
        for row in keys.values():
            both = {name: (row[name], original[name]) for name in ("owner", "shop")}  # type: ignore[index]
            kinds = [name for name, (one, other) in both.items() if one and other and one != other]
            if kinds:
                methods = {
                    "sha256": row["sha256"] == original["sha256"],
                    "phash": apart(row["whole_hash"], original["whole_hash"]) <= 40,
                    "title": row["words"] == original["words"] != [],
                }
                found.append(
                    {
                        "day": row["day"], "key": row["key"], "kind": f"other_{kinds[0]}",
                        "original_key": original["key"],
                        "distance": apart(row["code"], original["code"]), "first_seen": row["since"],
                        "days_later": (row["since"].date() - original["since"].date()).days,
                        "found_by": [name for name, does in methods.items() if does],
                    }
                )  # fmt: skip
    return found


def run(lake: Lake, name: str, attempt: str, *options: str) -> Row:
    plan, kind = JOBS[name]
    line = ["--run", attempt, "--remote", lake.remote(), *options]
    assert runner.execute(name, plan, kind, line, lake.settings) == EXIT_OK
    return lake.report(name, None, attempt)


def published(spark: Any, lake: Lake, dataset: str) -> list[Row]:
    return list(spark.table(lake.settings.table(dataset)).toArrow().to_pylist())


def alike(found: list[Row], expected: list[Row], *key: str) -> None:
    """The same rows in the columns that are expected."""

    def order(row: Row) -> list[str]:
        return [str(row[name]) for name in key]

    kept = [{name: row[name] for name in expected[0]} for row in sorted(found, key=order)]
    wanted = sorted(expected, key=order)
    assert [order(row) for row in kept] == [order(row) for row in wanted]
    for one, other in zip(kept, wanted, strict=True):
        assert one == other


def test_reports_are_those_of_slow_loops(lake: Lake, spark: Any) -> None:
    for seed in (1, 2):
        rows = catalogue(np.random.default_rng(seed))
        gone = publish(spark, lake, rows)
        rows = [row for row in rows if row["key"] != gone]
        report = run(lake, "monitor_prices", f"run-{seed}")
        prices = published(spark, lake, "price_monitoring")
        alike(prices, slow_prices(rows), "group", "currency")
        assert report["extra"]["prices"]["cases"] == len(prices) > 3
        assert report["extra"]["unreadable"]["price"] > 0
        cases = slow_cases(rows)
        report = run(lake, "check_copyright", f"run-{seed}")
        found = published(spark, lake, "picture_copyright")
        alike(found, cases, "day", "key")
        assert report["extra"]["cases"]["cases"] == len(found) > 3
        assert {row["kind"] for row in found} == {"other_owner", "other_shop"}
        assert {method for row in found for method in row["found_by"]} == {"sha256", "phash", "title"}
    report = run(lake, "export_reports", "all")
    folder = Path(lake.settings.exports.removeprefix("file://"))
    for dataset, rows in (("price_monitoring", prices), ("picture_copyright", found)):
        with (folder / f"{dataset}.csv").open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.DictReader(file))
        assert len(lines) == len(rows) == report["extra"]["written"][dataset]["rows"]
        assert {line["key"] for line in lines} == {row["key"] for row in rows}
        assert not [text for line in lines for text in line.values() if text.startswith("=")]
        if dataset == "price_monitoring":
            spreads = [float(line["spread"]) for line in lines]
            assert spreads == sorted(spreads, reverse=True) and spreads[0] == max(row["spread"] for row in rows)
            assert any("'=cmd()" in line["shop_names"] for line in lines)
        else:
            assert [line["first_seen"] for line in lines] == sorted(line["first_seen"] for line in lines)
    first = run(lake, "export_reports", "some", "--rows", "2")
    assert len((folder / "price_monitoring.csv").read_text().splitlines()) == 3
    assert any("first 2 of" in said for said in first["warnings"])


def test_a_catalogue_without_metadata_has_empty_reports(lake: Lake, spark: Any) -> None:
    lake = Lake(replace(lake.settings, namespace="bare_reports"), lake.environment)
    rows = [row | {"metadata": {}} for row in catalogue(np.random.default_rng(5))]
    publish(spark, lake, rows)
    for name, dataset in (("monitor_prices", "price_monitoring"), ("check_copyright", "picture_copyright")):
        assert run(lake, name, "bare")["status"] in PUBLISHED
        assert published(spark, lake, dataset) == []
    run(lake, "export_reports", "bare")
    folder = Path(lake.settings.exports.removeprefix("file://"))
    assert len((folder / "picture_copyright.csv").read_text().splitlines()) == 1
