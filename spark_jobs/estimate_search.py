"""Estimate what search and duplicates of a large catalogue need: memory, hours and machines.

    python -m spark_jobs.estimate_search --pictures 380e6 --day 1e6 --bits 256 --cores 1200

The constants below are for one core of an AMD EPYC with AVX-512; `--rate` scales them to another CPU. The rates of
comparing, scanning and verifying were measured, on a busy machine; the seconds per picture include what Spark adds.
Both jobs from nothing, forecast and measured on an EPYC without AVX-512 whose two CPUs share a core: a million pictures
332 and 248 core seconds; ten million 4,960, of which the comparing job took 4,740 (the grouping was not measured). The
cost of comparing grows with the square of the catalogue, all else with its size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from spark_jobs.mistakes import Mistake, leave

COMPARISONS_S = {64: 370e9, 128: 130e9, 256: 41e9, 512: 12e9}
"""Pairs of codes that a join (dlcore.search.join) gets through in a second of one core; it does not look at most of
them. Measured on a million codes with a million, within the distance that leaves 20 candidates by chance among ten
million. Smaller sets take longer per pair."""
HASHED_S = 35e9
"""The same for the hashes of whole images, 256 bits, within a distance of 51."""
SCANNED_S = {64: 3.7e9, 128: 2.1e9, 256: 1.1e9, 512: 0.6e9}
"""Codes that a core scans in a second for the 100 nearest of one query (dlcore.search.codes.nearest)."""
VERIFIED_S = 350_000
"""Chance candidates that a core verifies in a second (spark_jobs.stages.pairs.verified_pairs)."""
PICTURE_S = 2e-4
"""Core seconds that a new picture takes besides, in both jobs: it is read, named and written to a block, and its row is
written and audited. Measured on a million."""
KNOWN_PICTURE_S = 1e-5
"""Estimated core seconds of a picture that is known already: its rows are passed over. Looking a day's names up among
them, 4e-7 of it, was measured."""
NEW_PICTURE_S = 5e-5
"""Core seconds to write a picture to the index, without its thumbnail; measured on 300,000, and includes the job's
fixed cost."""
KEY_BYTES = 48
"""Bytes of a picture in the index besides the code: a key of 14 letters, where it ends and its place by name, day,
crop, label, where its picture ends."""
SERVICE_BYTES = 0.39e9
"""Memory of the search service besides the index: two workers with both models. benchmarks/bench_service.py measured
0.33e9 with deepbit-small, whose two plans take 0.06e9 less than those of deepbit-lite0."""
TASK_BYTES = 0.9e9
"""Memory of a task that compares a million pictures with a million; their signatures are mapped besides."""
SIGNATURE_BYTES = {"descriptor": 2, "fixed": 32 + 32 + 128}
"""Bytes of a descriptor for each bit of the code; of the two hashes and the grid of colours together."""


@dataclass(frozen=True)
class Catalogue:
    """pictures: distinct ones in all.
    day: new ones per day.
    bits: of a code.
    candidates: most other pictures that a picture is verified with by chance, for each of the two joins."""

    pictures: float
    day: float
    bits: int
    candidates: float = 20.0


@dataclass(frozen=True)
class Cost:
    """core_s: seconds of one core.   memory_bytes: to hold at once.   disk_bytes: to keep."""

    core_s: float
    memory_bytes: float = 0.0
    disk_bytes: float = 0.0


def comparing(catalogue: Catalogue, new: float, every: float) -> Cost:
    """Pairs and groups of `new` pictures among `every`, the new ones themselves included."""
    pairs = new * (every - new) + new * new / 2
    scan = pairs / COMPARISONS_S[catalogue.bits] + pairs / HASHED_S
    verified = 2 * catalogue.candidates * new / VERIFIED_S
    signatures = catalogue.bits / 8 + catalogue.bits * SIGNATURE_BYTES["descriptor"] + SIGNATURE_BYTES["fixed"]
    rows = new * PICTURE_S + (every - new) * KNOWN_PICTURE_S
    return Cost(scan + verified + rows, memory_bytes=TASK_BYTES, disk_bytes=every * signatures)


def costs(catalogue: Catalogue) -> dict[str, Cost]:
    """What each piece of work costs, by name."""
    index = catalogue.pictures * (catalogue.bits / 8 + KEY_BYTES)
    return {
        "duplicates, from nothing": comparing(catalogue, catalogue.pictures, catalogue.pictures),
        "duplicates, a day": comparing(catalogue, catalogue.day, catalogue.pictures + catalogue.day),
        "index, from nothing": Cost(catalogue.pictures * NEW_PICTURE_S, memory_bytes=index, disk_bytes=index),
        "index, a day": Cost(catalogue.day * NEW_PICTURE_S),
        "the search service": Cost(0.0, memory_bytes=index + SERVICE_BYTES),
    }


def queries_s(catalogue: Catalogue) -> float:
    """Exact queries per second of one core; each scans every code."""
    return SCANNED_S[catalogue.bits] / catalogue.pictures


def main(
    pictures: Annotated[float, typer.Option(help="number of distinct pictures in all, for example 380e6")],
    day: Annotated[float, typer.Option(help="number of new pictures per day")] = 1e6,
    bits: Annotated[int, typer.Option(help="bits of a code: 64, 128, 256 or 512")] = 256,
    cores: Annotated[int, typer.Option(help="number of cores of the cluster")] = 2,
    cores_each: Annotated[int, typer.Option(help="number of cores of each machine")] = 32,
    rate: Annotated[float, typer.Option(help="speed of one core of the cluster, relative to the measured core")] = 1.0,
    candidates: Annotated[float, typer.Option(help="--candidates of calibrate_duplicates")] = 20.0,
) -> None:
    """Print what search and duplicates of a large catalogue need."""
    if bits not in COMPARISONS_S or not (pictures > 0 and day >= 0 and cores > 0 and cores_each > 0 and rate > 0):
        got, expected = f"{bits} bits, {pictures} pictures, {cores} cores", f"bits of {list(COMPARISONS_S)}"
        leave("estimate_search", Mistake(f"got {got}; expected {expected} and numbers above 0"))
    catalogue = Catalogue(pictures, day, bits, candidates)
    table = Table(
        "work",
        "core hours",
        f"hours on {cores} cores",
        f"machines of {cores_each} cores for an hour",
        "memory GB",
        "disk GB",
    )
    for name, cost in costs(catalogue).items():
        core_hours = cost.core_s / rate / 3600
        sizes = [f"{size / 1e9:,.2f}" if size else "" for size in (cost.memory_bytes, cost.disk_bytes)]
        table.add_row(
            name, f"{core_hours:,.2f}", f"{core_hours / cores:,.3f}", f"{core_hours / cores_each:,.1f}", *sizes
        )
    Console(width=140).print(table)
    typer.echo(
        f"exact queries/s of one core, one at a time: {queries_s(catalogue) * rate:,.2f}; "
        "the memory of an index is mapped, that of duplicates is one task's"
    )


if __name__ == "__main__":
    typer.run(main)
