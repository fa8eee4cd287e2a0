"""The Python processes of a stack's Spark, told by their command line."""

from __future__ import annotations

from pathlib import Path

from deploy.stack import Stack
from deploy.supervision import processes


def python_workers(stack: Stack, daemon: int | None = None) -> set[int]:
    """The processes in which Spark runs Python: children of its daemons, or of one."""
    parents = _parents(stack)
    return {pid for pid, parent in parents.items() if parent in (parents if daemon is None else (daemon,))}


def python_daemons(stack: Stack) -> set[int]:
    """The processes from which Spark forks Python workers, one for a session that runs Python."""
    parents = _parents(stack)
    return {pid for pid, parent in parents.items() if parent not in parents}


def _parents(stack: Stack) -> dict[int, int]:
    """The parent of each of these processes; 0 for one that has just ended."""
    found = [pid for pid in processes(stack) if b"spark_jobs.running.python_daemon" in _read(pid, "cmdline")]
    return {pid: int((_read(pid, "stat").rpartition(b")")[2].split() or [b"0", b"0"])[1]) for pid in found}


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""
