"""Versions of an index: small manifests that say which parts make a version. They are published whole, and one listing
of one folder finds them.

    <uri>/000003-5d41402abc4b.json                third published version, named by its content
    <uri>/segments/<content>-<random>/*.bin       items, see `segment`
    <uri>/groups/<content>-<random>/*.bin         which of them are copies of one another
    <uri>/lists/<content>-<random>/*.bin          the groups by name, with their pairs, see `group_list`

Parts are written first, wherever and by however many processes; nothing reads them until a manifest that names them is
there.
Versions share the parts that have not changed. Versions of formats 1 and 2 are folders `<version>/`, with an
`index.json` each.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from dlcore.search.part import Part, part_of
from dlcore.search.store import STAGING, Store

FORMAT = 3
KINDS = ("segments", "groups", "lists")
META = "index.json"
"""The file that makes a folder a version of format 1 or 2."""
_VERSION = re.compile(r"^(\d{6})-([0-9a-f]{12})$")
_UNDER_WAY_S = 24 * 3600
_MOST_BYTES = 256 << 20


@dataclass(frozen=True)
class Manifest:
    """The content of a version: the model of its codes, their length, and its parts in the order of their first
    places."""

    version: str
    model_version: str
    code_bytes: int
    segments: tuple[Part, ...]
    groups: tuple[Part, ...]
    lists: tuple[Part, ...] = ()

    def __len__(self) -> int:
        return sum(part.count for part in self.segments)


def publish_manifest(
    store: Store,
    model_version: str,
    code_bytes: int,
    segments: Sequence[Part],
    groups: Sequence[Part],
    afresh: bool = False,
    lists: Sequence[Part] = (),
) -> str:
    """Make these parts the newest version -> its name; if the newest version has the same content, nothing is
    published.

    afresh: publish in any case, since the files of the newest version may be damaged.
    """
    ordered = [sorted(parts, key=lambda part: (part.first, part.content)) for parts in (segments, groups, lists)]
    named = [[part.content, *part.days.items()] for parts in ordered for part in parts]
    content = hashlib.sha256(json.dumps([model_version, code_bytes, *named]).encode()).hexdigest()[:12]
    existing = versions(store)
    if existing and existing[-1].endswith(content) and not afresh:
        return existing[-1]
    number = int(existing[-1].split("-")[0]) + 1 if existing else 1
    manifest = Manifest(f"{number:06d}-{content}", model_version, code_bytes, *map(tuple, ordered))
    text = json.dumps({"format": FORMAT, **asdict(manifest)}, separators=(",", ":"))
    store.publish(f"{manifest.version}.json", text.encode())
    return manifest.version


def check_reached(store: Store, parts: Sequence[Part]) -> None:
    """Check that parts written by others are where this process looks.

    Raises:
        FileNotFoundError: a part is not there.
    """
    there = {f"{kind}/{name}" for kind in KINDS for name in store.names(kind)}
    if missing := [part.name for part in parts if part.name not in there]:
        raise FileNotFoundError(
            f"got no {missing[0]} at {store.uri}, expected what a task has written there; an index must lie where all "
            f"machines "
            "reach it: HDFS, S3 or a shared disk"
        )


def versions(store: Store) -> list[str]:
    """Names of the published versions, oldest first; none if there is nothing."""
    names = store.names()
    whole = {name.removesuffix(".json") for name in names if name.endswith(".json")}
    folders = {name for name in names if _VERSION.match(name) and name not in whole}
    return sorted(
        name for name in whole | folders if _VERSION.match(name) and (name in whole or META in store.names(name))
    )


def read_manifest(store: Store, version: str) -> Manifest:
    """The manifest of a version.

    Raises:
        FileNotFoundError: it has an older format, or there is none.
        ValueError: the file is damaged, or has another format.
    """
    name = f"{version}.json"
    data = store.read(name, 0, _MOST_BYTES + 1)
    try:
        if len(data) > _MOST_BYTES:
            raise ValueError(f"got more than {_MOST_BYTES} bytes")
        return _manifest_of(json.loads(data))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{store.uri}/{name}: {error or type(error).__name__}; run build_index") from error


def _manifest_of(given: dict[str, object]) -> Manifest:
    if not isinstance(given, dict) or given.get("format") != FORMAT:
        form = given.get("format") if isinstance(given, dict) else None
        raise ValueError(f"has format {form}, expected {FORMAT}")
    parts = {}
    for name in KINDS:
        if not isinstance(
            listed := given.get(name, [] if name == "lists" else None), list
        ):  # older versions have no lists
            raise ValueError(f"got {name} {str(listed)[:100]}, expected a list of parts")
        parts[name] = tuple(part_of(part) for part in listed)
    version, model, size = (given[name] for name in ("version", "model_version", "code_bytes"))
    if not (isinstance(version, str) and isinstance(model, str) and isinstance(size, int) and 0 < size < 1 << 20):
        raise ValueError(
            f"got version {version!r}, model {model!r}, codes of {size!r} bytes, expected two names and a number"
        )
    return Manifest(version, model, size, parts["segments"], parts["groups"], parts["lists"])


def remove_old(uri: str, keep: int) -> list[str]:
    """Remove all but the newest `keep` versions (at least 1), and what killed publications have left -> names of what
    was removed.

    A part is removed with the last version that names it. A part that no version has ever named stays while something
    in it is younger than _UNDER_WAY_S, since its publication may be under way.

    Raises:
        ValueError: `keep` is less than 1, or the manifest of a version that stays is damaged, so that the parts it
        needs are not known.
    """
    if keep < 1:
        raise ValueError(f"got keep {keep} versions of the index, expected at least 1: searches read the newest")
    store = Store(uri)
    published = versions(store)
    old, kept = published[:-keep], published[-keep:]
    in_use = {name for version in kept for name in _parts_named(store, version)}
    was_named = {name for version in old for name in _parts_named(store, version, is_needed=False)} - in_use
    for version in old:
        store.remove(f"{version}.json" if f"{version}.json" in store.names() else version)
    parts = [f"{kind}/{name}" for kind in KINDS for name in store.names(kind)]
    left = [name for name in parts if name not in in_use and (name in was_named or store.is_older(name, _UNDER_WAY_S))]
    abandoned = [name for name in _unfinished(store, published) if store.is_older(name, _UNDER_WAY_S)]
    for name in left + abandoned:
        store.remove(name)
    return old + abandoned + [name for name in left if name not in was_named]


def _parts_named(store: Store, version: str, is_needed: bool = True) -> set[str]:
    """The parts that a version names; none for an older format, which has everything in its folder, or for a damaged
    version that is not needed."""
    try:
        manifest = read_manifest(store, version)
    except FileNotFoundError:
        return set()
    except ValueError:
        if is_needed:
            raise
        return set()
    return {part.name for part in (*manifest.segments, *manifest.groups, *manifest.lists)}


def _unfinished(store: Store, published: Sequence[str]) -> list[str]:
    """Manifests and folders of older formats whose publication was never finished."""
    return [
        name for name in store.names() if name.startswith(STAGING) or (_VERSION.match(name) and name not in published)
    ]
