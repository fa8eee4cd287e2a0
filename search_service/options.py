"""What the search service is told when it starts: addresses, tokens, limits. They are read once, from environment
variables.

Index, models and HBase are those of `spark_jobs.settings`; the others have a variable of their name in capitals with
the prefix `PIPELINE_SEARCH_`: `PIPELINE_SEARCH_TOKEN`, `PIPELINE_SEARCH_WORKERS` ...
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from spark_jobs.settings import Settings

PREFIX = "PIPELINE_SEARCH_"
PORT = 18090
_SHORTEST_TOKEN = 16


@dataclass(frozen=True)
class Options:
    """Options of one service; all its worker processes share them.

    token: opens pages and API.   operator_token: opens withdrawal as well; without one nobody can withdraw here.
    metrics_token: opens only /metrics, for Prometheus.
    host, port: where it listens; other hosts reach it through a proxy that ends TLS.   workers: processes that answer.
    detector, extractor: artefacts in the folder of models; an empty extractor means the one that made the index.
    image_column: column of the images in HBase's table.
    part: `2/3` if this service searches the second of three parts of the segments; empty: all of them.
    peers: addresses of services that have the parts, separated by commas: this one asks them all and merges what they
    find.
    at_once: most requests that a worker has under way; more are refused (429). timeout_s: limit for one request.
    most_bytes: largest body of a request. most_neighbours: largest k. most_queries: most queries of one request.
    most_found: largest k times queries of one request.
    cache_bytes: bytes of pictures that a worker keeps in memory.
    watch_s: seconds between looks for a new version of the index.
    """

    token: str = field(repr=False)
    settings: Settings = field(repr=False)
    operator_token: str = field(default="", repr=False)
    metrics_token: str = field(default="", repr=False)
    host: str = "127.0.0.1"
    port: int = PORT
    workers: int = field(default_factory=lambda: max(os.cpu_count() or 1, 2))
    detector: str = "detector-small"
    extractor: str = ""
    image_column: str = "i:image"
    part: str = ""
    peers: str = ""
    at_once: int = 64
    timeout_s: float = 30.0
    most_bytes: int = 32 << 20
    most_neighbours: int = 1000
    most_queries: int = 256
    most_found: int = 20_000
    cache_bytes: int = 64 << 20
    watch_s: float = 2.0

    def __post_init__(self) -> None:
        for name in ("token", "operator_token"):
            value = getattr(self, name)
            if len(value) < _SHORTEST_TOKEN and (value or name == "token"):
                raise ValueError(
                    f"{PREFIX}{name.upper()}: got {len(value)} characters, expected at least {_SHORTEST_TOKEN} that "
                    f"nobody guesses; "
                    "draw one: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
                )
        for name in ("token", "operator_token", "metrics_token"):
            if any(not "!" <= sign <= "~" for sign in getattr(self, name)):
                raise ValueError(
                    f"{PREFIX}{name.upper()}: got a space or a character that is not ASCII, expected visible ASCII "
                    "characters"
                )
        if self.operator_token == self.token:
            raise ValueError(
                f"{PREFIX}OPERATOR_TOKEN: got the same token as PIPELINE_SEARCH_TOKEN, expected another one"
            )
        self.numbered_part()

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Options:
        """The options that `PIPELINE_SEARCH_` variables give; an empty one counts as unset.

        Raises:
            ValueError: a value is missing or wrong; the message names the variable.
        """
        variables = os.environ if environment is None else environment
        settings = Settings.from_environment(variables)
        defaults = {"port": PORT + settings.port_offset, "metrics_token": variables.get("PIPELINE_METRICS_TOKEN", "")}
        own = {each.name: str(each.type) for each in fields(cls) if each.name != "settings"}
        given = {name: variables[PREFIX + name.upper()] for name in own if variables.get(PREFIX + name.upper())}
        parsed = {name: _parsed(name, text, own[name]) for name, text in given.items()}
        values: dict[str, Any] = {"token": "", **defaults, **parsed}
        return cls(**values, settings=settings)

    def numbered_part(self) -> tuple[int, int]:
        """Which part of the segments this service has, from 0, and how many parts there are.

        Raises:
            ValueError: `part` has not the form 2/3.
        """
        number, slash, count = (self.part or "1/1").partition("/")
        if not (slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count) <= 1000):
            raise ValueError(f"{PREFIX}PART: got {self.part!r}, expected for example 2/3, the second of three parts")
        return int(number) - 1, int(count)

    def peer_addresses(self) -> tuple[str, ...]:
        """The services that have the parts.

        Raises:
            ValueError: an address has not the form http://host:port.
        """
        found = tuple(peer.strip().rstrip("/") for peer in self.peers.split(",") if peer.strip())
        if wrong := [peer for peer in found if not peer.startswith(("http://", "https://"))]:
            raise ValueError(f"{PREFIX}PEERS: got {wrong[0]!r}, expected http://host:port entries separated by commas")
        return found


def _parsed(name: str, text: str, kind: str) -> str | int | float:
    if kind == "str":
        return text
    try:
        value = int(text) if kind == "int" else float(text)
    except ValueError:
        value = -1
    if value <= 0:
        raise ValueError(f"{PREFIX}{name.upper()}: got {text!r}, expected a number above 0")
    return value
