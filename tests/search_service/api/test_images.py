"""Pictures of items over HTTP."""

from __future__ import annotations

import io

from PIL import Image

from dlcore.search.index import open_index


def test_a_picture_is_the_indexs_own_and_is_not_sent_twice(served, catalogue):
    address = served.search({"key": "sku2/0"}, k=1)["answers"][0]["item"]["picture"]
    answer = served.client.get(address)
    assert answer.content == open_index(f"file://{catalogue}/index").thumbnail(2)
    assert Image.open(io.BytesIO(answer.content)).format == "JPEG"
    again = served.client.get(address, headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304 and not again.content


def test_a_picture_that_is_not_there_is_told(served):
    for address in ("key=none&day=2026-11-02", "key=sku2/0&day=2026-11-03", "key=sku2/0&day=2026-11-02&crop=1"):
        answer = served.client.get(f"/api/v1/picture?{address}")
        assert answer.status_code == 404 and answer.json()["do"]
    assert served.client.get("/api/v1/picture?key=sku2/0&day=../../etc").status_code == 422
