"""Groups of copies: a list of them, the members of one, and pair by pair why they are taken for the same."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, islice
from typing import Annotated, Literal

import numpy as np
from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel

from dlcore.search.codes import distances
from dlcore.search.entries import place, split_place
from dlcore.search.group_list import Group
from search_service.api.finding import items_of
from search_service.api.schema import ItemOut, Text, picture_address, service_of
from search_service.live import View
from search_service.query import query_of_item
from search_service.refusal import Refusal
from search_service.service import Service

router = APIRouter(tags=["groups"])
MOST_LISTED, MOST_MEMBERS, MOST_COMPARED, MOST_PAIRS = 100_000, 1000, 50, 2000
FACES = 4
"""How many pictures of a group a list shows."""


class GroupOut(BaseModel):
    """A group in a list. shops: how many different shops show it, 0 if unknown. pictures: addresses of some
    thumbnails."""

    group: str
    size: int
    newest: str
    shops: int
    pictures: list[str]


class GroupsOut(BaseModel):
    """A page of the list, which has `listed` of all `groups`."""

    index: str
    groups: int
    listed: int
    page: list[GroupOut]


class PairOut(BaseModel):
    """Two members, by their numbers in the list: how many bits they are apart, and how similar their descriptors are (1
    is equal).

    similarity: null for a pair that was not verified by it.
    """

    first: int
    second: int
    distance: int
    similarity: float | None


class MembersOut(BaseModel):
    """The members of a group, oldest first, and the verified pairs among them, nearest first. If no pairs are kept, all
    pairs of the first members are given."""

    index: str
    group: str
    size: int
    newest: str
    shops: int
    members: list[ItemOut]
    pairs: list[PairOut]


@router.get("/groups")
def groups(
    request: Request,
    order: Literal["size", "newest", "shops"] = "size",
    start: Annotated[int, Query(ge=0, le=MOST_LISTED)] = 0,
    count: Annotated[int, Query(ge=1, le=200)] = 50,
) -> GroupsOut:
    """The largest groups, the newest, or those of the most shops."""
    request.scope["kind"] = "group"
    view = service_of(request).live.view()
    listed = view.index.group_list
    page = [_listed(group, view) for group in listed.listed(order, start, count)]
    return GroupsOut(
        index=view.index.version, groups=len(listed), listed=min(len(listed), MOST_LISTED + count), page=page
    )


def _listed(group: Group, view: View) -> GroupOut:
    places = (split_place(member.encode()) for member in group.members)
    faces = (picture_address(key, day, crop) for day, key, crop in places if key not in view.withdrawn)
    return GroupOut(
        group=group.name, size=len(group.members), newest=group.newest, shops=group.shops,
        pictures=list(islice(faces, FACES))
    )  # fmt: skip


@router.get("/groups/{group:path}")
def members(request: Request, group: Annotated[Text, Path()]) -> MembersOut:
    """The members of a group, and how far apart they are."""
    request.scope["kind"] = "group"
    service = service_of(request)
    view = service.live.view()
    found = view.index.group_list.find(group)
    if found is None:
        raise Refusal(
            404,
            f"group {group!r}",
            f"a group of index {view.index.version}",
            "see /api/v1/groups, since groups change with the index",
        )
    places = [split_place(member.encode()) for member in found.members]
    items = _items_of_parts(service, group, places) if service.peers else _items(view, places[:MOST_MEMBERS])
    pairs = _verified(found, items) if found.pairs else _pairs(items)
    return MembersOut(
        index=view.index.version, group=group, size=len(places), newest=found.newest, shops=found.shops, members=items,
        pairs=pairs
    )  # fmt: skip


def _verified(group: Group, items: Sequence[ItemOut]) -> list[PairOut]:
    """The evidence of a group for the members that are shown."""
    number = {place(item.day, item.key.encode(), item.crop).decode(): n for n, item in enumerate(items)}
    found = []
    for pair in group.pairs:
        first, second = number.get(group.members[pair.one]), number.get(group.members[pair.other])
        if first is not None and second is not None:
            found.append(PairOut(first=first, second=second, distance=pair.distance, similarity=pair.similarity))
    return found[:MOST_PAIRS]


def _items(view: View, places: list[tuple[str, str, int]]) -> list[ItemOut]:
    """The items that the index has for a group. Groups are made anew with the index; what was withdrawn since is left
    out."""
    found = []
    for day, key, crop in places:
        try:
            position = query_of_item(view.index, key, day, crop, view.withdrawn).position
        except KeyError:
            continue
        found.append(ItemOut.of(view.index, position or 0))
    return found


def _items_of_parts(service: Service, group: str, places: list[tuple[str, str, int]]) -> list[ItemOut]:
    """The first members of a group, from the services that have them."""
    keys = dict.fromkeys(key for _, key, _ in places[:MOST_COMPARED])
    found = [item for key in keys for item in items_of(service, key, "").items if item.group == group]
    return sorted(found, key=lambda item: item.position)


def _pairs(items: list[ItemOut]) -> list[PairOut]:
    compared = items[:MOST_COMPARED]
    if not compared:
        return []
    codes = np.stack([np.frombuffer(bytes.fromhex(item.code), np.uint8) for item in compared])
    apart = distances(codes, codes)
    pairs = [
        PairOut(first=i, second=j, distance=int(apart[i, j]), similarity=None)
        for i, j in combinations(range(len(compared)), 2)
    ]
    return sorted(pairs, key=lambda pair: pair.distance)
