"""Searching over HTTP: by code, by key, by picture, and what is said of requests that cannot be answered."""

from __future__ import annotations

import json
import re
import socket

import numpy as np
import pytest
import simplejpeg
from PIL import Image

from dlcore.search.index import open_index
from search_service.query import neighbours, query_of_key
from tests.search_service.serving import TOKEN
from tests.waiting import wait_for


@pytest.fixture(scope="module")
def index(catalogue):
    return open_index(f"file://{catalogue}/index")


def refused(answer, status):
    """The error of an answer, which must be one of this status that says all three."""
    assert answer.status_code == status, answer.text
    error = answer.json()
    assert set(error) == {"error", "expected", "do"} and all(error.values())
    return error


def test_neighbours_of_a_key_are_those_of_the_command(served, index):
    expected = neighbours(index, query_of_key(index, "sku0/0"), 3)
    found = served.search({"key": "sku0/0"}, k=3)
    assert found["index"] == index.version and found["items"] == 5
    (answer,) = found["answers"]
    assert answer["item"]["key"] == "sku0/0" and answer["item"]["group"] == "g"
    assert [(each["key"], each["distance"], each["group"]) for each in answer["neighbours"]] == [
        (each.key, each.distance, each.group) for each in expected
    ]


def test_the_same_by_an_address_which_can_be_kept(served):
    by_body = served.search({"key": "sku0/0"}, k=2, where={"label": ["mug"]}, since="2026-11-02")
    address = "/api/v1/search?key=sku0/0&k=2&label=mug&since=2026-11-02"
    assert served.client.get(address).json() == by_body
    assert served.client.get(f"{address}&label=pan&until=2026-11-02").json() == by_body
    assert not served.client.get(f"{address}&until=2026-11-01").json()["answers"][0]["neighbours"]


def test_neighbours_are_filtered_by_what_their_shops_say(served):
    assert served.client.get("/api/v1/index").json()["filters"] == ["day", "label", "price", "shop"]
    found = served.search({"key": "sku1/0"}, k=9, where={"shop": ["north", "market"], "price": ["..2", "3"]})
    assert {each["key"] for each in found["answers"][0]["neighbours"]} == {"sku0/0", "sku3/0"}
    address = "/api/v1/search?key=sku1/0&k=9&shop=north&shop=market&price=..2&price=3"
    assert served.client.get(address).json() == found
    error = refused(served.client.get("/api/v1/search?key=sku1/0&owner=Anna"), 422)
    assert error["expected"] == "some of day, label, price, shop"
    refused(served.client.get("/api/v1/search?key=sku1/0&price=cheap"), 422)


def test_several_queries_at_once_each_have_their_own_answer(served, index):
    codes = [index.code(position).tobytes().hex() for position in range(5)]
    found = served.search({"key": "sku1/0"}, *({"code": code} for code in codes), k=2)
    assert [answer["neighbours"][0]["key"] for answer in found["answers"][1:]] == [f"sku{n}/0" for n in range(5)]
    assert found["answers"][0]["neighbours"] == served.search({"key": "sku1/0"}, k=2)["answers"][0]["neighbours"]
    without = served.search({"code": codes[1], "without": {"key": "sku1/0", "day": "2026-11-02"}}, k=2)
    assert without["answers"][0]["neighbours"] == found["answers"][0]["neighbours"]


def test_a_picture_finds_itself_and_tells_what_was_seen(served, catalogue):
    answer = served.client.post("/api/v1/search/picture?k=2", content=(catalogue / "photo.png").read_bytes()).json()
    assert answer["neighbours"][0]["key"] == "sku2/0"
    assert answer["seen"]["crop"] == {
        "x_min": 0, "y_min": 0, "x_max": 1, "y_max": 1, "label": None, "score": None, "source": "whole_image",
    }  # fmt: skip
    assert (answer["seen"]["width"], answer["seen"]["height"]) == (192, 160)


def test_a_frame_searches_a_part_of_the_picture(served, catalogue):
    pixels = np.full((320, 400, 3), 255, np.uint8)
    pixels[100:260, 150:342] = np.asarray(Image.open(catalogue / "photo.png"))
    data = simplejpeg.encode_jpeg(pixels, 98, "RGB", "444")
    box = f"box={150 / 400},{100 / 320},{342 / 400},{260 / 320}"
    framed = served.client.post(f"/api/v1/search/picture?k=1&{box}", content=data).json()
    whole = served.client.post("/api/v1/search/picture?k=1", content=data).json()
    assert framed["neighbours"][0]["key"] == "sku2/0"
    assert framed["seen"]["crop"]["source"] == "chosen"
    assert framed["neighbours"][0]["distance"] < whole["neighbours"][0]["distance"]
    for wrong in ("0.5,0,0.2,1", "0,0,1", "a,b,c,d", "0,0,2,1", "nan,0,1,1"):
        refused(served.client.post(f"/api/v1/search/picture?box={wrong}", content=data), 422)


HOSTILE = {
    "nothing": b"",
    "text named .jpg": b"<html>not found</html>",
    "half a JPEG": simplejpeg.encode_jpeg(np.zeros((64, 64, 3), np.uint8), 90, "RGB", "444")[:200],
    "a PNG of 10^9 pixels": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + (100_000).to_bytes(4) * 2 + b"\x08\x02\x00\x00\x00" + bytes(4),
    "a huge length": b"\xff\xd8\xff\xe1\xff\xff" + bytes(100),
    "zeros": bytes(100_000),
    "a GIF without frames": b"GIF89a\xff\xff\xff\xff\x00\x00\x00;",
    "an AVIF of nothing": b"\x00\x00\x00\x1cftypavif" + bytes(64),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_picture_is_refused_with_its_reason(served, name):
    assert "bytes: " in refused(served.client.post("/api/v1/search/picture", content=HOSTILE[name]), 422)["error"]


def test_fuzzed_pictures_are_answered_or_refused_and_the_workers_live_on(served, catalogue):
    before, random = served.workers(), np.random.default_rng(5)
    jpeg = simplejpeg.encode_jpeg(np.asarray(Image.open(catalogue / "photo.png")), 90, "RGB", "444")
    for data in ((catalogue / "photo.png").read_bytes(), jpeg):
        for _ in range(40):
            changed = np.frombuffer(data, np.uint8)[: random.integers(1, len(data) + 1)].copy()
            changed[random.integers(0, len(changed), 8)] = random.integers(0, 256, 8)
            answer = served.client.post("/api/v1/search/picture", content=changed.tobytes())
            assert answer.status_code in (200, 422), answer.text
    assert served.workers() == before


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"null", b"[]", b"[" * 60_000, b'{"queries":' + b"[" * 30_000, b'{"queries":[]}',
        b'{"queries":[{}]}',
        b'{"queries":[{"code":"zz"}]}', b'{"queries":[{"code":"abc"}]}', b'{"queries":[{"code":"ff"}]}',
        b'{"queries":[{"key":""}]}',
        b'{"queries":[{"key":"a","code":"ff"}]}', b'{"queries":[{"key":"sku0/0"}],"k":0}',
        b'{"queries":[{"key":"sku0/0"}],"k":1e9}',
        b'{"queries":[{"key":"sku0/0"}],"k":1000000}', b'{"queries":[{"key":"sku0/0"}],"K":1}',
        b'{"queries":[{"key":"sku0/0"}],"where":{"colour":["red"]}}',
        b'{"queries":[{"key":"sku0/0"}],"where":{"day":["never"]}}',
        b'{"queries":[{"key":"sku0/0"}],"since":"2026-13-01"}',
        b'{"queries":[{"key":"\\ud800"}]}', b'\xff\xfe', json.dumps({"queries": [{"key": "a"}] * 10_000}).encode(),
    ],
)  # fmt: skip
def test_a_body_that_is_no_request_is_refused(served, body):
    headers = {"Content-Type": "application/json"}
    answer = served.client.post("/api/v1/search", content=body, headers=headers)
    assert 400 <= answer.status_code < 500
    refused(answer, answer.status_code)


def test_a_key_that_is_not_there_is_told_and_a_near_one_named(served):
    assert "did you mean sku3/0" in refused(served.client.get("/api/v1/search?key=sku3.jpg"), 404)["error"]
    refused(served.client.get("/api/v1/search?key=sku3/0&of_day=2026-11-01"), 404)


def test_an_unknown_version_is_refused(served):
    refused(served.client.get("/api/v1/search?key=sku3/0&index=000099-aaaaaaaaaaaa"), 409)


def test_items_of_a_key_have_their_codes(served, index):
    (item,) = served.client.get("/api/v1/items?key=sku3/0").json()["items"]
    assert bytes.fromhex(item["code"]) == index.code(3).tobytes()
    assert served.client.get("/api/v1/items?key=none").json()["items"] == []


def test_the_description_names_every_address_and_the_page_needs_no_other_file(served):
    described = served.client.get("/openapi.json").json()["paths"]
    page = served.client.get("/api").text
    assert {"/api/v1/search", "/api/v1/search/picture", "/api/v1/groups/{group}", "/api/v1/withdraw"} <= set(described)
    assert all(path in page for path in described)
    assert "//" not in page.replace("https://", "//", 1) or "http" not in page
    assert TOKEN not in page


def test_filters_of_an_address_have_the_limits_of_a_body(served):
    for name, value in (("f" * 101, "x"), ("shop", "x" * 1001)):
        assert (
            "where" in refused(served.client.get("/api/v1/search", params={"key": "sku1/0", name: value}), 422)["error"]
        )


@pytest.mark.parametrize("path", ["search", "search/picture"])
def test_a_client_that_goes_in_the_middle_of_a_body_is_no_fault_of_the_service(served, path):
    head = f"POST /api/v1/{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 100\r\n\r\n{{"
    before, faults = counted(served, "4xx"), counted(served, "5xx")
    with socket.create_connection(("127.0.0.1", int(served.url.rsplit(":", 1)[1])), 60) as connection:
        connection.sendall(head.encode())
        wait_for(lambda: "search_requests_under_way 1" in metrics_of(served))
    wait_for(lambda: counted(served, "4xx") > before)
    assert counted(served, "5xx") == faults and "ClientDisconnect" not in served.log.read_text()


def metrics_of(served):
    return served.client.get("/metrics").text


def counted(served, status):
    """Requests of no kind that ended so."""
    found = re.search(rf'requests_total{{kind="other",status="{status}"}} (\d+)', metrics_of(served))
    return int(found[1]) if found else 0


def test_no_request_finds_more_than_a_worker_can_answer_at_once(served):
    asked = {"queries": [{"key": "sku0/0"}] * 200, "k": 101}
    assert "20000 in all" in refused(served.client.post("/api/v1/search", json=asked), 422)["expected"]
    assert len(served.search(*asked["queries"], k=100)["answers"]) == 200
