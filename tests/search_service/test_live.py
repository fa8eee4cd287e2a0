"""Versions that arrive while searches are answered, and keys that are withdrawn."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest

from dlcore.search.manifest import remove_old
from search_service.live import LiveIndex
from search_service.refusal import Refusal
from spark_jobs.stages.withdrawn_keys import FILE, write_keys
from tests.search_service.serving import nearest_by_loop, publish_random, serving
from tests.waiting import wait_for

ITEMS, K = 3000, 7


def test_answers_are_those_of_brute_force_while_versions_come_and_go(tmp_path):
    """Each answer is whole and of the one version that it names; none is lost; old versions' files are removed
    meanwhile."""
    uri = f"file://{tmp_path}/index"
    versions = dict([publish_random(uri, 0, ITEMS)])
    random = np.random.default_rng(9)
    codes = [random.bytes(16) for _ in range(30)] + [versions[next(iter(versions))].codes[0].tobytes()] * 2
    answers: list[tuple[bytes, dict]] = []
    is_over = False

    def ask(number):
        with httpx.Client(base_url=served.url, headers=served.client.headers, timeout=60, trust_env=False) as client:
            while not is_over:
                pair = [codes[(number + len(answers)) % len(codes)], codes[len(answers) % len(codes)]]
                asked = {"queries": [{"code": code.hex()} for code in pair], "k": K}
                answer = client.post("/api/v1/search", json=asked)
                assert answer.status_code == 200, answer.text
                found = answer.json()
                answers.extend(
                    (code, found | {"answer": own}) for code, own in zip(pair, found["answers"], strict=True)
                )

    with serving(uri, tmp_path) as served, ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask, number) for number in range(4)]
        try:
            wait_for(lambda: len(answers))  # one at least is of the first version
            for seed in range(1, 5):
                version, entries = publish_random(uri, seed, ITEMS - 100 * seed)
                versions[version] = entries
                remove_old(uri, 1)
                wait_for(lambda version=version: any(found["index"] == version for _, found in answers[-20:]))
        finally:
            is_over = True
        for each in asking:
            each.result()
    assert {found["index"] for _, found in answers} == set(versions)
    expected: dict[tuple[str, bytes], list] = {}
    for code, found in answers:
        entries = versions[found["index"]]
        own = expected.setdefault((found["index"], code), nearest_by_loop(entries, code, K))
        neighbours = found["answer"]["neighbours"]
        assert found["items"] == len(entries)
        assert [(each["position"], each["distance"]) for each in neighbours] == own
        assert [each["key"].encode() for each in neighbours] == [entries.keys[position] for position, _ in own]


def test_a_withdrawn_picture_is_gone_from_all_answers(tmp_path):
    uri = f"file://{tmp_path}/index"
    publish_random(uri, 3, 200)
    with serving(uri, tmp_path) as served:
        picture = served.search({"key": "sku000007/0"}, k=1)["answers"][0]["item"]["picture"]
        code = served.client.get("/api/v1/items?key=sku000007/0").json()["items"][0]["code"]
        assert served.search({"code": code}, k=1)["answers"][0]["neighbours"][0]["key"] == "sku000007/0"
        write_keys(uri, ["sku000007/0", "sku000008/0"])

        def is_gone():
            keys = {each["key"] for each in served.search({"code": code}, k=198)["answers"][0]["neighbours"]}
            return len(keys) == 98 and not keys & {"sku000007/0", "sku000008/0"}

        wait_for(lambda: all(is_gone() for _ in range(6)), limit_s=60)
        assert served.client.get("/api/v1/search?key=sku000007/0").status_code == 404
        assert served.client.get(picture).status_code == 404
        assert served.client.get("/api/v1/items?key=sku000007/0").json()["items"] == []
        members = served.client.get("/api/v1/groups/group3").json()["members"]
        assert {member["key"] for member in members} == {"sku000006/0"}


def test_nothing_is_shown_while_the_list_of_withdrawn_keys_is_damaged(tmp_path):
    uri = f"file://{tmp_path}/index"
    publish_random(uri, 0, 10)
    live = LiveIndex(uri)
    Path(tmp_path, "index", FILE).write_text('{"keys": 3')
    live.look()
    with pytest.raises(Refusal) as refused:
        live.view()
    assert refused.value.status == 503 and "withdraw" in refused.value.error


def test_a_damaged_version_is_not_taken_and_a_good_one_after_it_is(tmp_path):
    uri = f"file://{tmp_path}/index"
    first, _ = publish_random(uri, 0, 50)
    live = LiveIndex(uri)
    live.look()
    second, _ = publish_random(uri, 1, 60)
    manifest = json.loads(Path(tmp_path, "index", f"{second}.json").read_text())
    codes = Path(tmp_path, "index", manifest["segments"][0]["name"], "codes.bin")
    whole = codes.read_bytes()
    codes.write_bytes(whole[:-16])
    live.look()
    assert live.view().index.version == first and second and "codes.bin" in live.state["problem"]
    third, _ = publish_random(uri, 2, 70)
    live.look()
    assert live.view().index.version == third and not live.state["problem"]
    assert live.view(first).index.version == first and live.open_versions() == [third, first]
    with pytest.raises(Refusal) as refused:
        live.view("000009-aaaaaaaaaaaa")
    assert refused.value.status == 409


def test_a_version_that_comes_back_stays_when_its_time_as_the_older_one_is_over(tmp_path, monkeypatch):
    uri = f"file://{tmp_path}/index"
    first, _ = publish_random(uri, 0, 50)
    live = LiveIndex(uri)
    live.look()
    second, _ = publish_random(uri, 1, 60)
    live.look()
    Path(tmp_path, "index", f"{second}.json").unlink()
    live.look()
    assert live.open_versions() == [first, second]
    monkeypatch.setattr("search_service.live.KEPT_S", -1.0)
    live.look()
    assert live.view().index.version == first and live.open_versions() == [first]


def test_without_an_index_it_says_what_to_do(tmp_path):
    live = LiveIndex(f"file://{tmp_path}/index")
    live.look()
    with pytest.raises(Refusal, match="got no version") as refused:
        live.view()
    assert "similar_images" in refused.value.do
