"""The supervisor of a stack: its configuration, its start, its stop, and what it says about each program.

One supervisord per stack home keeps every program running (by `autorestart`; a program that dies takes no other with
it). It listens on a Unix socket that only its owner can use.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from shlex import join
from typing import Any
from xmlrpc.client import Fault, ServerProxy

from supervisor.xmlrpc import SupervisorTransport

from deploy import REPOSITORY
from deploy.programs import Program
from deploy.stack import MARKER, Stack

_START_LIMIT_S = 300.0
_STOP_LIMIT_S = 60.0
_SWEEP_LIMIT_S = 10.0
_POLL_S = 0.1
_SOCKET_PATH_LIMIT = 100
_PR_SET_PDEATHSIG = 1


class StackError(RuntimeError):
    """The stack cannot start or stop; the message says which part, why, and where its log is."""


@dataclass(frozen=True)
class ProgramState:
    """What the supervisor says about a program. state: RUNNING, STARTING, STOPPED, EXITED, BACKOFF or FATAL · pid: 0 if
    none."""

    name: str
    state: str
    pid: int
    exit_status: int
    uptime_s: int


def write_supervisor_configuration(stack: Stack, programs: list[Program]) -> Path:
    """Write `<home>/run/supervisor.conf` for the programs; return its path."""
    head = f"""\
[supervisord]
nodaemon=true
identifier={stack.lake}
directory={REPOSITORY}
logfile={stack.folder("logs")}/supervisor.log
logfile_maxbytes=10MB
pidfile={stack.folder("run")}/supervisor.pid
[unix_http_server]
file={_socket_path(stack)}
chmod=0700
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""
    path = stack.folder("run") / "supervisor.conf"
    path.write_text(head + "".join(_section(stack, program) for program in programs))
    return path


def _section(stack: Stack, program: Program) -> str:
    once = program.is_ready is None
    command = join(program.command(stack)).replace("%", "%%")
    return f"""\
[program:{program.name}]
command={command}
autostart=false
autorestart={"false" if once else "true"}
startsecs={0 if once else 1}
startretries=3
stopsignal={program.stop_signal}
stopwaitsecs={program.stop_s}
stopasgroup=true
killasgroup=true
redirect_stderr=true
stdout_logfile={log_path(stack, program.name)}
stdout_logfile_maxbytes=20MB
stdout_logfile_backups=1
"""


def log_path(stack: Stack, program: str) -> Path:
    """Where a program's output goes."""
    return stack.folder("logs") / f"{program}.log"


def start_supervisor(stack: Stack, programs: list[Program], attached: bool) -> None:
    """Start the stack's supervisor, with every program stopped, and wait until it answers.

    attached: it and all programs stop when this process ends in any way; otherwise they stay.

    Raises:
        StackError: it does not answer.
    """
    configuration = write_supervisor_configuration(stack, programs)
    stack.folder("scratch")  # the Java services' temporary folder
    command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(configuration)]
    with open(stack.folder("logs") / "supervisor.out", "ab") as output:
        process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=stack.full_environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            # Of a session of its own, so that Ctrl-C reaches this process only, which then stops it in good order.
            start_new_session=True,
            preexec_fn=die_with(os.getpid()) if attached else None,  # noqa: PLW1509 (it calls C functions only)
        )
    deadline = time.monotonic() + _START_LIMIT_S
    while not is_running(stack):
        if process.poll() is not None or time.monotonic() > deadline:
            raise StackError(f"the supervisor does not start; see {output.name}")
        time.sleep(_POLL_S)


def die_with(parent: int) -> Callable[[], None]:
    """For `Popen(preexec_fn=...)`: the kernel sends SIGTERM to the new process when its parent ends, even by kill -9.

    parent: this process. To the kernel, the parent is the thread that starts the new process, so that thread must last.
    """
    prctl = ctypes.CDLL(None).prctl

    def in_child() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it has ended before the kernel was told
            os._exit(1)

    return in_child


def is_running(stack: Stack) -> bool:
    """Whether the stack's supervisor answers."""
    return running_lake(stack) is not None


def running_lake(stack: Stack) -> str | None:
    """The lake of the stack that runs now at this home; None if none runs."""
    try:
        return str(_rpc(stack).getIdentification())
    except (OSError, HTTPException):
        return None


def states(stack: Stack) -> dict[str, ProgramState]:
    """The state of every program that the running supervisor knows; empty if none runs."""
    try:
        entries = _rpc(stack).getAllProcessInfo()
    except (OSError, HTTPException):
        return {}
    return {
        entry["name"]: ProgramState(
            name=entry["name"],
            state=entry["statename"],
            pid=entry["pid"],
            exit_status=entry["exitstatus"],
            uptime_s=entry["now"] - entry["start"] if entry["pid"] else 0,
        )
        for entry in entries
    }


def start_program(stack: Stack, name: str) -> None:
    """Start a program unless it runs already; return at once."""
    with suppress(Fault):
        _rpc(stack).startProcess(name, False)


def ask_to_stop(stack: Stack, name: str) -> None:
    """Ask for a program to be stopped; return at once."""
    with suppress(OSError, HTTPException, Fault):
        _rpc(stack).stopProcess(name, False)


def stop_supervisor(stack: Stack) -> None:
    """Stop the supervisor and whatever still runs of the stack, so that nothing it started is left.

    Raises:
        StackError: a process survives even SIGKILL.
    """
    with suppress(OSError, HTTPException, Fault):
        _rpc(stack).shutdown()
    deadline = time.monotonic() + _STOP_LIMIT_S
    while is_running(stack) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        if not _end_processes(stack, signal_number):
            return
    raise StackError(f"processes {sorted(processes(stack))} do not end; stop them by hand")


def processes(stack: Stack) -> list[int]:
    """The ids of all processes that descend from the stack's supervisor, known by the marker that they inherit."""
    mark = f"{MARKER}={stack.home}".encode()
    return [pid for pid, variables in _environments() if mark in variables.split(b"\0")]


def _environments() -> Iterator[tuple[int, bytes]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            with suppress(OSError):
                yield int(entry.name), (entry / "environ").read_bytes()


def _end_processes(stack: Stack, signal_number: signal.Signals) -> bool:
    """Send the signal to every process of the stack, and wait; return whether any is left."""
    deadline = time.monotonic() + _SWEEP_LIMIT_S
    left = processes(stack)
    for pid in left:
        with suppress(ProcessLookupError):
            os.kill(pid, signal_number)
    while left and time.monotonic() < deadline:
        time.sleep(_POLL_S)
        left = processes(stack)
    return bool(left)


def _rpc(stack: Stack) -> Any:
    transport = SupervisorTransport(None, None, f"unix://{_socket_path(stack)}")
    return ServerProxy("http://127.0.0.1", transport=transport).supervisor


def _socket_path(stack: Stack) -> Path:
    """The supervisor's socket: in the home, or in the temporary folder if the home's path is too long for a socket."""
    path = stack.home / "run" / "supervisor.sock"
    if len(str(path)) < _SOCKET_PATH_LIMIT:
        return path
    name = hashlib.sha256(str(stack.home).encode()).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"pipeline-{os.getuid()}-{name}.sock"


def port_is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
