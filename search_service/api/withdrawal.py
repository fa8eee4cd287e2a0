"""Take pictures down, for operators, by `spark_jobs.withdraw`: it writes the decision into the lake, and the list
beside the index."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from search_service.access import operator
from search_service.api.schema import service_of
from search_service.refusal import Refusal

router = APIRouter(tags=["operations"], dependencies=[Depends(operator)])
LIMIT_S = 900.0
MOST_KEYS = 1000
_SAID_BYTES = 1000
_WITHOUT_NUL = r"^[^\x00]*$"
"""Text that a command's argument can hold."""
Key = Annotated[str, StringConstraints(min_length=1, max_length=32_700, pattern=_WITHOUT_NUL)]
Why = Annotated[str, StringConstraints(max_length=1000, pattern=_WITHOUT_NUL)]
_one_at_a_time = threading.Lock()


class WithdrawIn(BaseModel):
    """Keys of pictures, of any day, and the reason, for the audit. undo: use the pictures again."""

    model_config = ConfigDict(extra="forbid")
    keys: Annotated[list[Key], Field(min_length=1, max_length=MOST_KEYS)]
    reason: Why = "not said"
    undo: bool = False


class WithdrawOut(BaseModel):
    """The output of the command."""

    said: str


@router.post("/withdraw")
def withdraw(request: Request, asked: WithdrawIn) -> WithdrawOut:
    """Take pictures down, or use them again. Answers show it within a minute, groups and index after the next run of
    `similar_images`.

    The answer takes as long as a small Spark job.
    """
    request.scope["kind"] = "withdraw"
    remote = service_of(request).options.settings.connect_url
    options = [f"--reason={asked.reason}", f"--remote={remote}", *(["--undo"] if asked.undo else [])]
    if not _one_at_a_time.acquire(blocking=False):
        raise Refusal(429, "a withdrawal under way", "one at a time", "ask again in a minute", {"Retry-After": "60"})
    try:
        # In a session of its own: it goes on when this process ends.
        done = subprocess.run(
            [sys.executable, "-m", "spark_jobs.withdraw", *options, "--", *asked.keys],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT_S, start_new_session=True,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise Refusal(
            504,
            f"a withdrawal that did not end within {LIMIT_S:.0f} s",
            "a Spark that has room",
            "check the list again later",
        ) from None
    except OSError as error:
        raise Refusal(
            413, f"keys of {sum(map(len, asked.keys))} characters: {error}", "fewer", "withdraw them in parts"
        ) from None
    finally:
        _one_at_a_time.release()
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:] or [""]
        raise Refusal(
            502, f"exit code {done.returncode}: {said[0][:_SAID_BYTES]}", "a Spark server that takes the job",
            "run python -m spark_jobs.withdraw by hand; nothing is half withdrawn", {"Retry-After": "60"},
        )  # fmt: skip
    return WithdrawOut(said=done.stdout.strip()[-_SAID_BYTES:])
