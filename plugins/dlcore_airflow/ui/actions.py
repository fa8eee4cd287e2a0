"""Actions of the page's users: undo a day's last publish, and ask what a backfill will cost. Both need Airflow's
login and rights.

A form has a proof, signed with Airflow's secret, that a page of ours was shown to this very user: another site can send
a form, but has no proof. The undoing is a run of the DAG `restore_day`, so that it has a log and an alarm, and the same
refusals as on the command line.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from html import escape
from threading import Lock
from typing import Any
from urllib.parse import quote

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.configuration import conf
from fastapi import HTTPException
from itsdangerous import BadData, URLSafeTimedSerializer

from dlcore_airflow.project import PROJECT, python_path
from dlcore_airflow.ui.layout import in_quotes, page
from dlcore_airflow.ui.page import Offers
from spark_jobs.pipeline import EXIT_OK, IMAGE_PIPELINE, UNDOING
from spark_jobs.run_reports.reading import PastRun
from spark_jobs.run_reports.summary import name_of

PROOF_S = 12 * 3600
COST_LIMIT_S = 120.0
COST = "estimate_backfill"

_estimating = Lock()


@dataclass(frozen=True)
class Estimate:
    """The output of the command for estimates. code: its exit code."""

    code: int
    text: str


def offers_to(user: Any) -> Offers:
    """What a user may do, and the proof for the forms."""
    return Offers(undo=may_run(user, UNDOING), cost=may_run(user, IMAGE_PIPELINE), proof=proof_of(user))


def may_run(user: Any, dag: str) -> bool:
    """Whether Airflow lets the user start runs of a DAG."""
    return bool(
        get_auth_manager().is_authorized_dag(
            method="POST", access_entity=DagAccessEntity.RUN, details=DagDetails(id=dag), user=user
        )
    )


def check(user: Any, dag: str, proof: str) -> None:
    """Let a user pass who may start runs of the DAG and was shown the form.

    Raises:
        HTTPException: 403 for others.
    """
    try:
        shown_to = _signer().loads(proof, max_age=PROOF_S)
    except BadData:
        shown_to = None
    if shown_to != _identity(user):
        raise HTTPException(403, "the form is too old, or not from this page; load the page again")
    if not may_run(user, dag):
        raise HTTPException(403, f"you may not start runs of the DAG {dag}; ask for the role op")


def proof_of(user: Any) -> str:
    """The signed proof that a form comes from a page shown to the user."""
    return str(_signer().dumps(_identity(user)))


def start_undoing(user: Any, day: str, run: str, allow_empty: bool) -> str:
    """Start the DAG that undoes a run of a day; return the id of the DAG run.

    allow_empty: whether a day that had no rows before may become empty.

    Raises:
        HTTPException: 409 if Airflow refuses.
    """
    from airflow.api.common.trigger_dag import trigger_dag
    from airflow.exceptions import AirflowException
    from airflow.utils.types import DagRunTriggeredByType

    asked = {"day": day, **({"run": run} if run else {}), **({"allow_empty": True} if allow_empty else {})}
    name = user.get_name()
    try:
        started = trigger_dag(UNDOING, triggered_by=DagRunTriggeredByType.UI, triggering_user_name=name, conf=asked)
    except (AirflowException, ValueError) as error:
        raise HTTPException(409, f"Airflow did not start {UNDOING}: {error}") from error
    if started is None:
        raise HTTPException(409, f"Airflow did not start {UNDOING}")
    return str(started.run_id)


def undo_page(day: str, readers: dict[str, PastRun], proof: str, is_only: bool = False) -> str:
    """The page that asks once more before a day's last publish is undone.

    is_only: whether no other run has published the day, so that it can only become empty.
    """
    if not readers:
        return page(
            f"Undo {escape(day)}",
            "<p>Readers get no rows of this day, so there is nothing to undo.</p><p><a href='.'>All runs</a></p>",
        )
    last = max(readers.values(), key=lambda report: str(report.get("started_at")))
    run = str(last.get("run"))
    datasets = [
        str(report.get("dataset") or report["stage"]) for report in readers.values() if str(report.get("run")) == run
    ]
    ticked = " required" if is_only else ""
    only = "<p>No other run has published this day: it had no rows before.</p>" if is_only else ""
    return page(
        f"Undo {escape(day)}",
        f"<section><p>Run <b>{escape(name_of(run))}</b> was the last to publish {escape(day)}: "
        f"{escape(', '.join(datasets))}.</p>"
        "<p>Readers will get the rows from before that run; other days keep theirs. Groups and index follow by "
        f"themselves. Undoing this day a second time brings back its present state.</p>{only}"
        "<form method=post action=undo>"
        f"<input type=hidden name=day value={in_quotes(day)}><input type=hidden name=run value={in_quotes(run)}>"
        f"<input type=hidden name=proof value={in_quotes(proof)}>"
        f"<label><input type=checkbox name=allow_empty value=yes{ticked}> if the day had no rows before, empty it"
        "</label>"
        f"<button class=main>Undo this run</button><a href='.'>Cancel</a></form>"
        f"</section><p class=quiet>The same on the command line: <code>airflow dags trigger {UNDOING} --conf "
        f"'{{&quot;day&quot;: &quot;{escape(day)}&quot;}}'</code></p>",
    )


def started_page(dag: str, run: str) -> str:
    """The page that says that a DAG run was requested, and where Airflow shows it."""
    place = in_quotes(f"../dags/{quote(dag, safe='')}/runs/{quote(run, safe='')}")
    return page(
        "Started",
        f"<section><p>Run <a href={place} target=_top>{escape(run)}</a> of the DAG {escape(dag)} has been requested. "
        "It takes a minute or two. Until it has succeeded, readers get the same rows as before.</p></section>"
        "<p><a href='.'>All runs</a></p>",
    )


def estimate(first: str, last: str, count: bool) -> Estimate:
    """The output of the command for estimates, within COST_LIMIT_S; one at a time.

    Raises:
        HTTPException: 429 while another is being made, 504 if it takes too long.
    """
    command = [
        sys.executable,
        "-m",
        f"spark_jobs.{COST}",
        "--from",
        first,
        "--to",
        last,
        *([] if count else ["--no-count"]),
    ]
    if not _estimating.acquire(blocking=False):
        raise HTTPException(429, "another estimate is being made; ask again in a moment", {"Retry-After": "10"})
    try:
        environment = {**os.environ, "PYTHONPATH": python_path()}
        done = subprocess.run(
            command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=COST_LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise HTTPException(
            504, f"the estimate takes longer than {COST_LIMIT_S:.0f} s; run: {_typed(first, last, count)}"
        ) from None
    finally:
        _estimating.release()
    if done.returncode == EXIT_OK:
        return Estimate(EXIT_OK, done.stdout.strip())
    return Estimate(done.returncode, (done.stderr.strip() or done.stdout.strip()).rpartition("\n")[2])


def cost_page(first: str, last: str, count: bool, found: Estimate) -> str:
    """The page with an estimate, and how to start that backfill."""
    if found.code != EXIT_OK:
        body = f"<section><p class=failed>{escape(found.text)}</p></section>"
    else:
        start = f"airflow backfill create --dag-id {IMAGE_PIPELINE} --from-date {first} --to-date {last}"
        body = (
            f"<section><pre>{escape(found.text)}</pre><p>Start it in Airflow: DAG {IMAGE_PIPELINE}, <i>Trigger → "
            f"Backfill</i>, or "
            f"<code>{escape(start)}</code></p></section>"
        )
    typed = f"<p class=quiet>The same on the command line: <code>{escape(_typed(first, last, count))}</code></p>"
    return page(f"A backfill from {escape(first)} to {escape(last)}", f"{body}{typed}<p><a href='.'>All runs</a></p>")


def _typed(first: str, last: str, count: bool) -> str:
    return f"python -m spark_jobs.{COST} --from {first} --to {last}{'' if count else ' --no-count'}"


def _identity(user: Any) -> str:
    return str(user.get_id())


def _signer() -> URLSafeTimedSerializer:
    return URLSafeTimedSerializer(conf.get_mandatory_value("api", "secret_key"), salt="image-pipeline-page")
