"""A client of the search service, for commands."""

from __future__ import annotations

import io
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
from PIL import Image

from dlcore.search.segment import Where
from search_service.query import Neighbour, sheet_with

Json = dict[str, Any]
_FIELDS = ("position", "distance", "day", "key", "crop", "label", "group")


class Client:
    """Asks the search service at an address.

    token: that of readers.   timeout_s: limit for one answer.
    """

    def __init__(self, url: str, token: str, timeout_s: float = 60.0) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        self.url = url.rstrip("/")
        self._http = httpx.Client(base_url=self.url, headers=headers, timeout=timeout_s)

    def __enter__(self) -> Self:
        """Open the connection, and keep it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self._http.close()

    def index(self) -> Json:
        """The index version in use: see /api/v1/index.

        Raises:
            ConnectionError: nobody answers. ValueError: the service refuses; the message has its words.
        """
        return self._json("GET", "/api/v1/index")

    def by_key(self, key: str, k: int, where: Where | None = None) -> Json:
        """The answer of /api/v1/search for one key: `index`, `items`, `item`, `neighbours`.

        Raises:
            ConnectionError, ValueError: see `index`.
        """
        found = self._json("POST", "/api/v1/search", json={"queries": [{"key": key}], "k": k, "where": where or {}})
        return {"index": found["index"], "items": found["items"], **found["answers"][0]}

    def by_file(self, path: Path, k: int, where: Where | None = None) -> Json:
        """The answer of /api/v1/search/picture for a file.

        Raises:
            ConnectionError, ValueError: see `index`.
        """
        asked = {**{name: list(values) for name, values in (where or {}).items()}, "k": k}
        return self._json("POST", "/api/v1/search/picture", params=asked, content=path.read_bytes())

    def sheet(self, answer: Json, path: Path | None) -> Image.Image:
        """The contact sheet of an answer: see `query.sheet_of`. path: that of the file that was searched for, if
        any."""
        item: Json = answer.get("item") or {"group": "", "picture": ""}
        query = Image.open(path).convert("RGB") if path else self._picture(item["picture"])
        found = [(neighbour_of(each), self._picture(each["picture"])) for each in answer["neighbours"]]
        return sheet_with(query, item["group"], found)

    def _picture(self, address: str) -> Image.Image | None:
        answer = self._http.get(address)
        return Image.open(io.BytesIO(answer.content)) if answer.status_code == httpx.codes.OK else None

    def _json(self, method: str, path: str, **content: Any) -> Json:
        try:
            answer = self._http.request(method, path, **content)
            found: Json = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise ConnectionError(
                f"{self.url}: got no answer from the search service ({type(error).__name__} {error}); start it (make "
                f"up), or correct --url"
            ) from None
        if answer.status_code != httpx.codes.OK:
            got, expected, do = (found.get(name, answer.status_code) for name in ("error", "expected", "do"))
            raise ValueError(f"{self.url}: got {got}, expected {expected}; {do}")
        return found


def neighbour_of(found: Json) -> Neighbour:
    """A neighbour in the form that `query` uses."""
    return Neighbour(**{name: found[name] for name in _FIELDS})
