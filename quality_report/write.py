"""The report of a run: `report.html` to look at, `report.json` with the same numbers.

    python -m quality_report.write --truth var/demo/catalogue/truth.jsonl --folder build/demo

It reads what is published through the Spark Connect server, counts the rows of HBase, and takes the figures of the
stages from their run reports. The scores are those of `evaluate_models` for a published run. The servers must be up.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from dlcore.vision.extractor import load_extractor
from quality_report.choice import (
    Known,
    choose_crops,
    choose_detections,
    choose_groups,
    choose_neighbours,
    false_merges,
    missed_pairs,
    worst_detections,
)
from quality_report.figures import days_of, figures, hbase_rows
from quality_report.page import Content, page
from quality_report.pictures import LARGE, SMALL, beginning, pictures
from quality_report.report_choice import addresses, choose_copies, choose_prices
from quality_report.sheets import Bad, Sheets
from sample_data.catalogue.bad_images import BAD_IMAGES
from spark_jobs.run_reports.reading import PastRun, newest_reports
from spark_jobs.scoring.evaluation import Address, read_look_alikes, read_truth
from spark_jobs.scoring.published import lake, read_images, read_published
from spark_jobs.scoring.published_scores import Pair, Published, score_published
from spark_jobs.scoring.report_scores import score_published_reports
from spark_jobs.settings import Settings

_DETECTIONS, _CROPS, _GROUPS, _MEMBERS, _QUERIES, _NEIGHBOURS, _MISTAKES, _CASES = 20, 27, 18, 8, 10, 10, 8, 12


def write_report(settings: Settings, truth: Path, folder: Path, more: Mapping[str, Any] | None = None) -> None:
    """Write `report.html` and `report.json` about everything that is published.

    settings: those of the running stack. truth: the catalogue's `truth.jsonl`; look-alikes may lie beside it. folder:
        where the report goes. more: figures that others have measured.

    Raises:
        ConnectionError, HBaseError: a server does not answer.
    """
    rows, look_alikes = read_truth(truth), read_look_alikes(truth.with_name("look_alikes.jsonl"))
    reports = newest_reports(settings)
    with lake(settings) as spark:
        published = read_published(spark, settings)
        sheets = _sheets(spark, settings, Known.of(published, rows), look_alikes, _bad_classes(truth))
    extractor = load_extractor(published.made_by(settings.models))
    content = figures(reports, hbase_rows(settings, days_of(reports)))
    content |= score_published(published, rows, look_alikes, extractor)
    content |= score_published_reports(published, truth, rows)
    content |= {"fingerprints": fingerprints(published), **(more or {})}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(content, indent=1), "utf-8")
    (folder / "report.html").write_text(page(Content(content, reports, sheets, _versions(reports))), "utf-8")


def fingerprints(published: Published) -> dict[str, str]:
    """SHA-256 of all codes, and of which images share a group: two runs with equal fingerprints published the same."""
    codes = sorted((*address, (row["code"] or b"").hex()) for address, row in published.features.items())
    members: dict[str, list[Address]] = {}
    for address, group in sorted(published.groups().items()):
        members.setdefault(group, []).append(address)
    content = {"codes": codes, "groups": sorted(members.values())}
    return {name: hashlib.sha256(json.dumps(part).encode()).hexdigest() for name, part in content.items()}


def _bad_classes(truth: Path) -> dict[Address, str]:
    """The class of each image that was made bad on purpose."""
    lines = (json.loads(line) for line in truth.read_text("utf-8").split("\n") if line.strip())
    return {(line["day"], line["key"]): line["bad"] for line in lines if line.get("bad") in BAD_IMAGES}


def _sheets(
    spark: Any, settings: Settings, known: Known, look_alikes: Sequence[Pair], bad: dict[Address, str]
) -> Sheets:
    """What to show and its pictures: first the choice, then one read of the images of each dataset."""
    detections, worst = choose_detections(known, _DETECTIONS), worst_detections(known, _MISTAKES)
    groups, neighbours = choose_groups(known, _GROUPS, _MEMBERS), choose_neighbours(known, _QUERIES, _NEIGHBOURS)
    merged, missed = false_merges(known, look_alikes, _MISTAKES), missed_pairs(known, _MISTAKES)
    crops, prices, copies = choose_crops(known, _CROPS), choose_prices(known, _CASES), choose_copies(known, _CASES)
    large = [look.address for look in (*detections, *worst)]
    small = [member.address for group in groups for member in group] + list(bad)
    small += addresses([*prices, *copies])
    small += [address for mistake in (*merged, *missed) for address in (mistake.first, mistake.second)]
    cut = crops + [address for asked in neighbours for address in (asked.query, *(a for a, _, _ in asked.found))]
    whole = read_images(spark, settings, "images", [*large, *small])
    stored = read_images(spark, settings, "raw_images", list(bad))
    return Sheets(
        detections, worst, [(address, known.published.crops[address]) for address in crops], groups, neighbours, merged,
        missed,
        _bad(spark, settings, bad, stored), prices, copies,
        pictures(whole, large, LARGE), pictures(whole, small, SMALL),
        pictures(read_images(spark, settings, "crops", cut), cut, SMALL), pictures(stored, bad, SMALL),
    )  # fmt: skip


def _bad(spark: Any, settings: Settings, classes: dict[Address, str], stored: dict[Address, bytes]) -> list[Bad]:
    images = spark.table(settings.table("images")).select("day", "key", "reason", "flags")
    rows = {
        (row["day"].isoformat(), row["key"]): row for row in images.where(images.key.isin(_keys(classes))).collect()
    }
    return [
        Bad(
            name, address, BAD_IMAGES[name].reason, rows[address]["reason"], list(rows[address]["flags"] or []),
            beginning(stored.get(address)),
        )
        for address, name in sorted(classes.items(), key=lambda item: list(BAD_IMAGES).index(item[1]))
        if address in rows
    ]  # fmt: skip


def _keys(addresses: Iterable[Address]) -> list[str]:
    return sorted({key for _, key in addresses})


def _versions(reports: Sequence[PastRun]) -> dict[str, str]:
    """The versions of the code and of what it ran on, from the newest run report."""
    newest = max(reports, key=lambda report: str(report["started_at"]), default=None)
    return {name: version for name, version in newest["versions"].items() if version} if newest else {}


def main(
    truth: Annotated[Path, typer.Option(help="truth.jsonl of the catalogue", exists=True, dir_okay=False)],
    folder: Annotated[Path, typer.Option(help="folder for report.html and report.json")] = Path("build/demo"),
) -> None:
    """Write the report of what the running stack has published."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    write_report(Settings.from_environment(), truth, folder)
    typer.echo(str(folder / "report.html"))


if __name__ == "__main__":
    typer.run(main)
