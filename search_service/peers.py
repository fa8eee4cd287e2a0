"""Ask several services that each have a part of the segments, and merge what they find.

All merged answers come from one version of the index: a peer that does not have it open yet, or no longer, says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from search_service.options import Options
from search_service.refusal import Refusal

CONFLICT = 409
PASSED_ON = (404, 413, 422, 429)
"""Refusals of a peer that are about the request, or mean that it is busy: its words are the answer."""
Json = dict[str, Any]


class OtherVersion(Exception):
    """A peer cannot search this version."""


class Peers:
    """The peers of `options`; all have the same token."""

    def __init__(self, options: Options) -> None:
        self._addresses = options.peer_addresses()
        self._client = httpx.Client(
            headers={"Authorization": f"Bearer {options.token}"},
            timeout=options.timeout_s,
            follow_redirects=False,
            trust_env=False,
        )
        self._pool = ThreadPoolExecutor(len(self._addresses) * options.at_once)

    def search(self, request: Json) -> list[list[Json]]:
        """The neighbours in all parts for each query of a request for /api/v1/search, nearest first; ties go by
        position.

        Raises:
            OtherVersion: one of them does not have the version that the request names.
            Refusal: 502 if a peer does not answer.
        """
        parts = self._ask_all("POST", "/api/v1/search", json=request)
        answers = zip(*([each["neighbours"] for each in part["answers"]] for part in parts), strict=True)
        order = lambda found: (found["distance"], found["position"])  # noqa: E731
        return [
            sorted((found for part in of_query for found in part), key=order)[: request["k"]] for of_query in answers
        ]

    def items(self, key: str, version: str) -> list[Json]:
        """The items of a key in all parts.

        Raises:
            OtherVersion, Refusal: see `search`.
        """
        parts = self._ask_all("GET", "/api/v1/items", params={"key": key, "index": version})
        return [item for part in parts for item in part["items"]]

    def facets(self) -> tuple[list[str], list[str]]:
        """The days and labels of all parts."""
        parts = self._ask_all("GET", "/api/v1/index")
        days, labels = ({value for part in parts for value in part[name]} for name in ("days", "labels"))
        return sorted(days), sorted(labels)

    def picture(self, query: str) -> httpx.Response | None:
        """A picture from the first peer that has it."""
        for address in self._addresses:
            answer = self._client.get(f"{address}/api/v1/picture?{query}")
            if answer.status_code == httpx.codes.OK:
                return answer
        return None

    def _ask_all(self, method: str, path: str, **content: Any) -> Sequence[Json]:
        return list(self._pool.map(lambda address: self._ask(address, method, path, content), self._addresses))

    def _ask(self, address: str, method: str, path: str, content: Json) -> Json:
        try:
            answer = self._client.request(method, address + path, **content)
            if answer.status_code == CONFLICT:
                raise OtherVersion(address)
            if answer.status_code == httpx.codes.OK:
                found: Json = answer.json()
                return found
            if answer.status_code in PASSED_ON:
                raise _refusal_of(answer)
            problem = f"status {answer.status_code}: {answer.text[:200]}"
        except (httpx.HTTPError, ValueError) as error:
            problem = f"{type(error).__name__} {error}"
        raise Refusal(
            502, f"from {address} {problem}", "an answer from every service that has a part of the index",
            "restart that service, or correct PIPELINE_SEARCH_PEERS", {"Retry-After": "5"},
        )  # fmt: skip


def _refusal_of(answer: httpx.Response) -> Refusal:
    """The refusal that a peer has given.

    Raises:
        ValueError: the answer is not a refusal of this service.
    """
    said = answer.json()
    if not isinstance(said, dict) or not {"error", "expected", "do"} <= set(said):
        raise ValueError(f"status {answer.status_code}: {answer.text[:200]}")
    again = answer.headers.get("retry-after")
    headers = {"Retry-After": again} if again else {}
    return Refusal(answer.status_code, str(said["error"]), str(said["expected"]), str(said["do"]), headers)
