"""Answer queries by code and by key, from the segments of this process or merged from the services that have them.

All answers to one request come from one version of the index.
"""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np

from dlcore.search.codes import Codes
from dlcore.search.segment import Where
from search_service.api.schema import (
    AnswerOut,
    Asked,
    ItemOut,
    ItemsOut,
    NeighbourOut,
    QueryIn,
    SearchIn,
    SearchOut,
)
from search_service.live import View
from search_service.peers import OtherVersion, Peers
from search_service.query import Query, neighbours, query_of_item, query_of_key
from search_service.refusal import Refusal
from search_service.scanner import Found
from search_service.service import Service

MARGIN = 16
"""How many more neighbours are searched for than asked: some may be crops of the query's own picture, or withdrawn."""


def answers_of(service: Service, asked: SearchIn) -> SearchOut:
    """The answers to a request.

    Raises:
        Refusal: 404, 409, 422, 502 or 503.
        TimeoutError: it took too long.
    """
    options = service.options
    queries, k = len(asked.queries), asked.k
    if queries > options.most_queries or k > options.most_neighbours or queries * k > options.most_found:
        raise Refusal(
            422, f"{queries} queries for {k} neighbours each",
            f"at most {options.most_queries} queries, for at most {options.most_neighbours} each and "
            f"{options.most_found} in all",
            "ask in several requests",
        )  # fmt: skip
    if service.peers is None:
        return _own_answers(service, service.live.view(asked.index), asked)
    return _merged_answers(service, service.peers, asked)


def items_of(service: Service, key: str, version: str) -> ItemsOut:
    """The items of a key; none if it was withdrawn.

    Raises:
        Refusal: 409, 502 or 503.
    """
    if service.peers is not None:
        for name in _versions(service, version):
            try:
                return ItemsOut(index=name, items=[ItemOut(**item) for item in service.peers.items(key, name)])
            except OtherVersion:
                continue
        raise _no_common_version()
    view = service.live.view(version)
    found = [] if key in view.withdrawn else view.index.find(key).tolist()
    return ItemsOut(index=view.index.version, items=[ItemOut.of(view.index, position) for position in found])


def where_of(view: View, asked: Asked) -> Where:
    """The filters of a request, in the form that the index takes.

    Raises:
        Refusal: 422 if there is no such filter.
    """
    known = view.index.filters()
    if unknown := set(asked.where) - set(known):
        raise Refusal(422, f"filters {sorted(unknown)}", f"some of {', '.join(known)}", "see /api/v1/index")
    where: dict[str, Any] = {name: list(values) for name, values in asked.where.items()}
    if asked.since or asked.until:
        first, last = str(asked.since or date.min), str(asked.until or date.max)
        given = where.get("day", view.opened.days)
        where["day"] = [day for day in given if first <= day <= last]
    return where


def _own_answers(service: Service, view: View, asked: SearchIn) -> SearchOut:
    queries = [query_of(view, given) for given in asked.queries]
    where, at_first = where_of(view, asked), asked.k + MARGIN
    positions, apart = service.scan(view, np.concatenate([query.code for query in queries]), at_first, where)

    def answer(number: int, given: QueryIn, query: Query) -> AnswerOut:
        def search(code: Codes, k: int) -> Found:
            """Search in what the scan of all queries found, or scan more deeply."""
            if k > at_first:
                return service.scan(view, code, k, where)
            return positions[number : number + 1, :k], apart[number : number + 1, :k]

        found = neighbours(view.index, query, asked.k, withdrawn=view.withdrawn, search=search)
        is_item = given.key is not None and query.position is not None
        item = ItemOut.of(view.index, query.position) if is_item and query.position is not None else None
        return AnswerOut(item=item, neighbours=[NeighbourOut.of(each) for each in found])

    answers = [answer(number, *pair) for number, pair in enumerate(zip(asked.queries, queries, strict=True))]
    return SearchOut(index=view.index.version, items=len(view.index), answers=answers)


def query_of(view: View, given: QueryIn) -> Query:
    """The picture that a query of a request stands for.

    Raises:
        Refusal: 404 or 422.
    """
    index = view.index
    if given.code is not None:
        code = np.frombuffer(bytes.fromhex(given.code), np.uint8)[None]
        if code.shape[1] != index.code_bytes:
            raise Refusal(
                422, f"a code of {code.shape[1]} bytes",
                f"{index.code_bytes} bytes, of model {index.model_version[:12]}",
                "send a code of that model, or the picture itself",
            )  # fmt: skip
        return Query(code, _position_of(view, given))
    try:
        if given.day is None and given.crop is None:
            return query_of_key(index, given.key or "", view.withdrawn)
        return query_of_item(index, given.key or "", str(given.day or ""), given.crop, view.withdrawn)
    except KeyError as error:
        said = str(error.args[0]).removeprefix("got ")[:500]
        raise Refusal(404, said, "a key of the index", "search by picture, or by the key that a card shows") from None


def _position_of(view: View, given: QueryIn) -> int | None:
    """The position of a crop of the picture that a code was made from, so that the picture's other crops are left
    out."""
    for position in view.index.find(given.without.key).tolist() if given.without else ():
        if view.index.item(position).day == str(given.without and given.without.day):
            return int(position)
    return None


def _merged_answers(service: Service, peers: Peers, asked: SearchIn) -> SearchOut:
    for version in _versions(service, asked.index):
        try:
            return _answers_by(service, peers, asked, version)
        except OtherVersion:
            continue
    raise _no_common_version()


def _answers_by(service: Service, peers: Peers, asked: SearchIn, version: str) -> SearchOut:
    """The answers by one version.

    Raises:
        OtherVersion: a peer does not have it.
    """
    items = [_item_of(peers, given, version) if given.key is not None else None for given in asked.queries]
    queries = [
        {"code": item.code, "without": {"key": item.key, "day": item.day}} if item else given.model_dump(mode="json")
        for item, given in zip(items, asked.queries, strict=True)
    ]
    found = peers.search(asked.model_dump(mode="json") | {"queries": queries, "index": version})
    answers = [
        AnswerOut(item=item, neighbours=[NeighbourOut(**each) for each in own])
        for item, own in zip(items, found, strict=True)
    ]
    return SearchOut(index=version, items=len(service.live.view(version).index), answers=answers)


def _item_of(peers: Peers, given: QueryIn, version: str) -> ItemOut:
    """The item that a query by key stands for: see `query.query_of_key`."""
    found = [ItemOut(**item) for item in peers.items(given.key or "", version)]
    day = str(given.day) if given.day else max((item.day for item in found), default="")
    fitting = [item for item in found if item.day == day and given.crop in (None, item.crop)]
    if not fitting:
        raise Refusal(
            404, f"{given.key!r}, for which index {version} has no such item", "a key of the index",
            "see /api/v1/items?key=..."
        )  # fmt: skip
    return min(fitting, key=lambda item: (item.crop, item.position))


def _versions(service: Service, version: str) -> list[str]:
    """The versions to try: the requested one, or those open here, newest first."""
    service.live.view()
    return [version] if version else service.live.open_versions()


def _no_common_version() -> Refusal:
    return Refusal(
        503, "peers that have no version of the index in common", "the same index in all of them",
        "ask again in some seconds; if that does not help, check that all read the same PIPELINE_INDEX",
        {"Retry-After": "3"},
    )  # fmt: skip
