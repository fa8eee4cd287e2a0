"""Two services that each have a part of the segments, and one that asks both."""

from __future__ import annotations

from contextlib import ExitStack

import numpy as np
import pytest

from dlcore.search.entries import concatenated
from dlcore.search.group_list import listed_groups, write_group_list
from dlcore.search.manifest import publish_manifest
from dlcore.search.segment import groups_of, write_groups, write_segment
from dlcore.search.store import Store
from tests.search_service.serving import nearest_by_loop, random_entries, serving
from tests.waiting import wait_for

K = 9


def publish_parts(uri, seeds):
    """A version of a segment for each seed -> its name, all items in order."""
    store = Store(uri)
    parts = [random_entries(seed, 300) for seed in seeds]
    for number, part in enumerate(parts):
        part.days[:] += 10 * number  # segments in order of their days
    segments = [write_segment(store, part) for part in parts]
    entries = concatenated(parts)
    groups = write_groups(store, *groups_of(parts[0]))
    lists = write_group_list(store, listed_groups(*groups_of(parts[0])))
    return publish_manifest(store, "model", 16, segments, [groups], lists=[lists]), entries


@pytest.fixture(scope="module")
def front(tmp_path_factory):
    """The service that asks two others, the items of its index, and the index."""
    folder = tmp_path_factory.mktemp("peers")
    uri = f"file://{folder}/index"
    _, entries = publish_parts(uri, [1, 2, 3])
    with ExitStack() as stack:
        peers = [stack.enter_context(serving(uri, folder, part=f"{number}/2", workers="1")) for number in (1, 2)]
        addresses = ",".join(peer.url for peer in peers)
        yield stack.enter_context(serving(uri, folder, peers=addresses, workers="1")), peers, entries, uri


def test_what_all_have_found_is_merged(front):
    service, _, entries, _ = front
    codes = [np.random.default_rng(seed).bytes(16) for seed in range(5)] + [entries.codes[0].tobytes()]
    found = service.search(*({"code": code.hex()} for code in codes), k=K)
    assert found["items"] == len(entries)
    for code, answer in zip(codes, found["answers"], strict=True):
        expected = nearest_by_loop(entries, code, K)
        assert [(each["position"], each["distance"]) for each in answer["neighbours"]] == expected
    owners = {each["position"] // 300 % 2 for answer in found["answers"] for each in answer["neighbours"]}
    assert owners == {0, 1}


def test_a_key_is_found_wherever_it_is_and_its_own_picture_left_out(front):
    service, _, entries, _ = front
    for position in (10, 310, 610):
        key, day = entries.keys[position].decode(), str(entries.days[position])
        answer = service.search({"key": key, "day": day}, k=K)["answers"][0]
        own = {n for n in range(900) if entries.keys[n].decode() == key and str(entries.days[n]) == day}
        assert answer["item"]["position"] == min(own)
        expected = [
            pair for pair in nearest_by_loop(entries, entries.codes[min(own)].tobytes(), K + 2) if pair[0] not in own
        ]
        assert [(each["position"], each["distance"]) for each in answer["neighbours"]] == expected[:K]
    assert service.client.get("/api/v1/search?key=none").status_code == 404


def test_filters_facets_and_groups_are_those_of_the_whole_index(front):
    service, _, entries, _ = front
    index = service.client.get("/api/v1/index").json()
    assert index["days"] == sorted({str(day) for day in entries.days}) and index["labels"] == ["mug", "pan"]
    found = service.search(
        {"code": entries.codes[0].tobytes().hex()}, k=900, where={"label": ["pan"]}, since="2026-11-12"
    )
    assert {each["label"] for each in found["answers"][0]["neighbours"]} == {"pan"}
    passes = (entries.days >= np.datetime64("2026-11-12")) & (np.array(list(entries.labels)) == b"pan")
    assert len(found["answers"][0]["neighbours"]) == passes.sum()
    members = service.client.get("/api/v1/groups/group5").json()
    assert [member["position"] for member in members["members"]] == [20, 21, 22]


def test_what_a_part_refuses_for_the_request_is_refused_in_its_words(front):
    service, peers, _, _ = front
    code = bytes(16).hex()
    for asked in ({"queries": [{"code": code}], "where": {"colour": ["red"]}}, {"queries": [{"code": code[:8]}]}):
        own = peers[0].client.post("/api/v1/search", json=asked)
        answer = service.client.post("/api/v1/search", json=asked)
        assert (answer.status_code, answer.json()) == (422, own.json())


def test_answers_are_of_one_version_while_a_new_one_comes(front):
    service, _, _, uri = front
    before = service.version()
    known = {before: 900}
    version, _ = publish_parts(uri, [1, 2, 3, 4])
    known[version] = 1200
    code = bytes(16).hex()

    def is_new():
        answer = service.client.post("/api/v1/search", json={"queries": [{"code": code}], "k": 1000})
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert (
            len(found["answers"][0]["neighbours"]) == min(known[found["index"]], 1000)
            and found["items"] == known[found["index"]]
        )
        return found["index"] == version

    wait_for(is_new)


def test_a_part_that_does_not_answer_is_told(front):
    service, peers, _, _ = front
    peers[1].process.kill()
    peers[1].process.wait()
    answer = wait_for(
        lambda: (found := service.client.get("/api/v1/search?key=sku000001/0")).status_code == 502 and found
    )
    assert peers[1].url in answer.json()["error"]
