"""What the comparison keeps between runs: for every day, what its rows were and the blocks of its pictures.

A list of days is a small JSON file beside the blocks, written once and never changed. The snapshot of a table that was
made from it names it, so that the next run knows exactly what was compared. Lists and blocks are a cache: without them,
everything is computed anew.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime
from uuid import uuid4

from dlcore.search.store import Store
from spark_jobs.stages.pairs import Limits
from spark_jobs.stages.picture_blocks import KEPT, OF_RUN, Block

logger = logging.getLogger(__name__)

PICTURE_DAYS = "picture_days"
"""The name under which the snapshot of a table names the list of days that it was made from."""
_UNDER_WAY_S = 7 * 24 * 3600
"""How long a comparison of a whole catalogue may take: days, in which its blocks do not change."""
_NEWEST = 8
_LIST = ".json"
_FORMAT = 1
"""The format of the lists written here; lists without a number have the first."""


@dataclass(frozen=True)
class Kind:
    """Used rows of a day that are of one kind: their model, the bytes of a descriptor, whether the other signatures
    have their lengths, and how many rows there are."""

    model_version: str | None
    descriptor_bytes: int | None
    is_whole: bool
    rows: int


@dataclass(frozen=True)
class PictureDay:
    """A day of `features`.

    files: hash of the names of its files and of the keys withdrawn from it; equal files mean equal rows.
    content: hash of the rows themselves, which a compaction leaves.
    rows: number of rows of all kinds.
    blocks: (name, rows) of its pictures.
    not_finite: number of used rows that are in no block because their descriptors are not finite.
    """

    files: str
    content: str
    rows: int
    kinds: tuple[Kind, ...] = ()
    blocks: tuple[tuple[str, int], ...] = ()
    not_finite: int = 0


@dataclass(frozen=True)
class PictureDays:
    """All days, by name. descriptor_bytes: those of the pictures in blocks. limits: those within which they were
    compared with one another."""

    descriptor_bytes: int
    limits: Limits | None = None
    days: Mapping[str, PictureDay] = field(default_factory=dict)

    def blocks(self, days: Sequence[str] | None = None) -> list[Block]:
        """The blocks of some days, by default of all, marked as known."""
        names = sorted(self.days) if days is None else days
        return [Block(date.fromisoformat(d), name, rows, False) for d in names for name, rows in self.days[d].blocks]

    def model_versions(self) -> list[str | None]:
        """The model versions of the used rows."""
        return sorted({kind.model_version for day in self.days.values() for kind in day.kinds}, key=str)

    def left_out(self) -> int:
        """The number of used rows that cannot be compared."""
        kinds = (kind for day in self.days.values() for kind in day.kinds)
        unlike = sum(kind.rows for kind in kinds if not kind.is_whole or kind.descriptor_bytes != self.descriptor_bytes)
        return unlike + sum(day.not_finite for day in self.days.values())

    def added_to(self, before: PictureDays) -> list[str] | None:
        """The added days, if all are later than the earlier days and these are unchanged; None otherwise."""
        if (before.descriptor_bytes, before.limits) != (self.descriptor_bytes, self.limits):
            return None
        last = max(before.days, default="")
        added = sorted(set(self.days) - set(before.days))
        same = all(name in self.days and self.days[name].content == day.content for name, day in before.days.items())
        return added if same and all(name > last for name in added) else None

    def write(self, index: str) -> str:
        """Write the list beside the blocks of an index -> its name. A reader takes a half-written list for damaged."""
        name = f"{KEPT}/{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid4().hex}{_LIST}"
        Store(index).write(name, json.dumps({"format": _FORMAT, **asdict(self)}).encode())
        return name

    def are_kept(self, index: str) -> bool:
        """Whether all blocks of the list exist."""
        return _kept(index).issuperset(block.name for block in self.blocks())

    @classmethod
    def told(cls, index: str, words: Mapping[str, str]) -> PictureDays | None:
        """The list that the snapshot of a table names; None if it names none, or none that can be read."""
        return cls.read(index, words[PICTURE_DAYS]) if PICTURE_DAYS in words else None

    @classmethod
    def read(cls, index: str, name: str) -> PictureDays | None:
        """A list by its name; None if it is gone, damaged, or of another format."""
        try:
            told = json.loads(Store(index).read(name))
            if (found := told.get("format", 1)) != _FORMAT:
                raise ValueError(f"got format {found}, expected {_FORMAT}")
            days = {day: _day(values) for day, values in told["days"].items()}
            return cls(told["descriptor_bytes"], Limits(**told["limits"]) if told["limits"] else None, days)
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError) as error:
            logger.warning("%s/%s: cannot be read (%s); all days are looked at anew", index, name, error)
            return None


def _day(values: Mapping[str, object]) -> PictureDay:
    kinds = tuple(Kind(**kind) for kind in values["kinds"])  # type: ignore[attr-defined]
    blocks = tuple((name, rows) for name, rows in values["blocks"])  # type: ignore[attr-defined]
    of_rows = values["files"], values["content"], values["rows"]
    return PictureDay(*of_rows, kinds, blocks, values.get("not_finite", 0))  # type: ignore[arg-type]


def lists(index: str) -> list[str]:
    """Names of the lists beside an index, the newest last."""
    return [f"{KEPT}/{name}" for name in Store(index).names(KEPT) if name.endswith(_LIST)]


def _kept(index: str) -> set[str]:
    """Names of the lists and blocks beside an index."""
    return {f"{KEPT}/{name}" for name in Store(index).names(KEPT)}


def newest(index: str) -> PictureDays:
    """The newest list that can be read, with those of its days whose blocks all exist; a list without days if there is
    none."""
    there = _kept(index)
    for name in reversed(lists(index)):
        found = PictureDays.read(index, name)
        if found is not None:
            kept = {
                day: known for day, known in found.days.items() if there.issuperset(block for block, _ in known.blocks)
            }
            return replace(found, days=kept)
    return PictureDays(0)


def usual_size(kinds: Sequence[Kind]) -> int:
    """The size of most descriptors, in bytes; 0 if there is no used row.

    Raises:
        ValueError: no used row has a descriptor.
    """
    counts: Counter[int] = Counter()
    for kind in kinds:
        counts[kind.descriptor_bytes or 0] += kind.rows
    if set(counts) == {0}:
        raise ValueError("got features without descriptors, expected some; run extract_features with descriptors kept")
    del counts[0]
    return max(counts, key=lambda size: (counts[size], size), default=0)


def remove_left_behind(index: str) -> list[str]:
    """Remove lists and blocks beside an index that nothing names any more, and what killed runs have left -> their
    names.

    The newest lists stay with all their blocks, and so does whatever is younger than a comparison may take.
    """
    store = Store(index)
    old = [name for name in lists(index)[:-_NEWEST] if store.is_older(name, _UNDER_WAY_S)]
    kept = [PictureDays.read(index, name) for name in lists(index) if name not in old]
    named = {block.name for days in kept if days for block in days.blocks()}
    files = [f"{KEPT}/{name}" for name in store.names(KEPT) if not name.endswith(_LIST)]
    unnamed = [name for name in files if name not in named and store.is_older(name, _UNDER_WAY_S)]
    folders = [name for name in store.names() if name.startswith(OF_RUN) and store.is_older(name, _UNDER_WAY_S)]
    for name in (*old, *unnamed, *folders):
        store.remove(name)
    return [*old, *unnamed, *folders]
