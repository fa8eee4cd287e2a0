"""What the demo needs of Airflow, by its REST interface: log in, unpause, backfill, the state of runs and tasks."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from typing import Any
from urllib.parse import quote

_TIMEOUT_S = 120.0
_PATIENCE_S = 600.0
_PAUSE_S = 1.0
_NOT_FOUND = 404
_SERVER_ERRORS = 500
_PAGE = 1000
FINISHED = ("success", "failed")


@dataclass(frozen=True)
class Run:
    """A DAG run. kind: backfill, manual, scheduled or asset_triggered · state: queued, running, success or failed."""

    dag: str
    name: str
    kind: str
    state: str
    day: str


@dataclass(frozen=True)
class Task:
    """A task of a run, its last attempt. state: None before it is scheduled · seconds: None until it has ended."""

    run: str
    name: str
    state: str | None
    attempt: int
    seconds: float | None


class AirflowError(RuntimeError):
    """Airflow refused a request; the message says which and why."""


class Airflow:
    """A running Airflow, as its administrator.

    url: of its pages, such as `http://127.0.0.1:18080`.   password: of the user `admin`.
    """

    def __init__(self, url: str, password: str) -> None:
        self.url = url
        self._password = password

    def knows(self, dag: str) -> bool:
        """Whether the DAG processor has read the DAG yet."""
        return self._found(f"/api/v2/dags/{dag}") is not None

    def import_errors(self) -> list[str]:
        """Why DAG files cannot be read."""
        errors = self._request("GET", "/api/v2/importErrors")["import_errors"]
        return [f"{error['filename']}: {error['stack_trace']}" for error in errors]

    def unpause(self, dag: str) -> None:
        """Let a DAG's runs start."""
        self._request("PATCH", f"/api/v2/dags/{dag}", {"is_paused": False})

    def is_paused(self, dag: str) -> bool:
        """Whether no run of a DAG may start: neither its own schedule nor an asset starts one."""
        return bool(self._request("GET", f"/api/v2/dags/{dag}")["is_paused"])

    def announce(self, asset: str) -> None:
        """Say that an asset is new, as a task that writes it does.

        Raises:
            AirflowError: no DAG knows the asset.
        """
        found = self._request("GET", f"/api/v2/assets?name_pattern={quote(asset)}")["assets"]
        numbers = [each["id"] for each in found if each["name"] == asset]
        if not numbers:
            raise AirflowError(f"got no asset {asset!r}, expected one that a DAG writes or waits for")
        self._request("POST", "/api/v2/assets/events", {"asset_id": numbers[0], "extra": {}})

    def backfill(
        self,
        dag: str,
        first: date,
        last: date,
        at_once: int,
        repeated: str = "completed",
        conf: Mapping[str, Any] | None = None,
    ) -> int:
        """Create a backfill of every day from first to last; return its id.

        at_once: how many of its runs run at a time.
        repeated: which days that have a run get another: none, failed, or completed (all of them).
        conf: that of its runs.

        Raises:
            AirflowError: Airflow refuses it, for example because another backfill of the DAG is active.
        """
        body = {
            "dag_id": dag,
            "from_date": _midnight(first),
            "to_date": _midnight(last),
            "max_active_runs": at_once,
            "reprocess_behavior": repeated,
            "dag_run_conf": dict(conf or {}),
        }
        return int(self._request("POST", "/api/v2/backfills", body)["id"])

    def is_completed(self, backfill: int) -> bool:
        """Whether every run of a backfill has ended, well or not."""
        return self._request("GET", f"/api/v2/backfills/{backfill}")["completed_at"] is not None

    def runs(self, dag: str) -> list[Run]:
        """Every run of a DAG, oldest first."""
        found = self._request("GET", f"/api/v2/dags/{dag}/dagRuns?limit={_PAGE}&order_by=id")["dag_runs"]
        return [
            Run(dag, run["dag_run_id"], run["run_type"], run["state"], (run["logical_date"] or run["run_after"])[:10])
            for run in found
        ]

    def tasks(self, dag: str) -> list[Task]:
        """Every task of every run of a DAG."""
        found = self._request("GET", f"/api/v2/dags/{dag}/dagRuns/~/taskInstances?limit={_PAGE}")["task_instances"]
        return [
            Task(task["dag_run_id"], task["task_id"], task["state"], task["try_number"], task["duration"])
            for task in found
        ]

    def awaits_assets(self, dag: str) -> bool:
        """Whether asset events wait to start a run of the DAG."""
        queued = self._found(f"/api/v2/dags/{dag}/assets/queuedEvents")
        return queued is not None and queued["total_entries"] > 0

    def log(self, dag: str, task: Task) -> list[str]:
        """The messages of a task's last attempt, with their errors."""
        instance = f"/api/v2/dags/{dag}/dagRuns/{quote(task.run)}/taskInstances/{task.name}"
        path = f"{instance}/logs/{task.attempt}?full_content=true"
        content = (self._found(path) or {}).get("content", [])
        return [str(entry.get("event", "")) if isinstance(entry, dict) else str(entry) for entry in content]

    @cached_property
    def _token(self) -> str:
        answer = _send(self.url, "POST", "/auth/token", {"username": "admin", "password": self._password}, {})
        return str(answer["access_token"])

    def _request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        try:
            return self._send(method, path, body)
        except urllib.error.HTTPError as error:
            raise AirflowError(
                f"{method} {path}: {error.code} {error.read().decode(errors='replace')[:1000]}"
            ) from error

    def _found(self, path: str) -> Any:
        """The answer; None if there is no such thing."""
        try:
            return self._send("GET", path)
        except urllib.error.HTTPError as error:
            if error.code == _NOT_FOUND:
                return None
            raise

    def _send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Send one request; a request that only reads is repeated while the server is busy or away for a moment."""
        deadline = time.monotonic() + (_PATIENCE_S if method == "GET" else 0.0)
        while True:
            try:
                return _send(self.url, method, path, body, {"Authorization": f"Bearer {self._token}"})
            except OSError as error:
                is_answer = isinstance(error, urllib.error.HTTPError) and error.code < _SERVER_ERRORS
                if is_answer or time.monotonic() > deadline:
                    raise
                time.sleep(_PAUSE_S)


def _send(url: str, method: str, path: str, body: Mapping[str, Any] | None, headers: Mapping[str, str]) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, {"Content-Type": "application/json", **headers}, method=method)
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
        return json.load(answer)


def _midnight(day: date) -> str:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).isoformat()
