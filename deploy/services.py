"""Start, stop and watch the servers of a stack.

    python -m deploy.services up [--only hbase,connect] [--lake hdfs]     start, wait until all serve, leave running
    python -m deploy.services status | restart NAME | down | remove
    eval "$(python -m deploy.services environment)"                       then `airflow ...` and the jobs see this stack

From Python, `with running(stack, only=("hbase", "thrift")): ...` starts, waits, and stops.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from shlex import quote
from threading import Event
from typing import Annotated, cast

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from deploy import supervision
from deploy.configuration import write_configuration
from deploy.postgres_server import remove_databases
from deploy.programs import PROGRAMS, Program, chosen
from deploy.stack import PORTS, Lake, Stack
from deploy.supervision import ProgramState, StackError, log_path, states

_POLL_S = 0.25
_STARTS_BEFORE_GIVING_UP = 4
_STOP_LIMIT_S = 90.0
_LOG_LINES = 15
_OFFSETS = range(1000, 12000, 100)
"""Offsets that keep every port below the kernel's range of ports for outgoing connections."""

NEXT_STEPS = """
next, in a shell:
  eval "$(.venv/bin/python -m deploy.services environment)"
  airflow dags unpause image_pipeline
  airflow dags unpause similar_images
  python -m spark_jobs.load_images FOLDER --day 2026-11-02     your own pictures, or `make catalogue` for generated ones
  airflow dags trigger image_pipeline --conf '{"day": "2026-11-02"}'
then in the browser: DAG image_pipeline, and Browse > Image pipeline; `make down` stops everything"""
"""What `make up` prints at its end, in README's words."""
_MOVING = ("PIPELINE_HOME", "PIPELINE_PORT_OFFSET")
_interrupted = Event()
"""Set when a signal has asked this process to end."""


def next_steps(given: Mapping[str, str]) -> str:
    """`NEXT_STEPS` for a stack that variables may have moved: another shell finds it only with the same variables."""
    moved = "".join(f"{name}={quote(given[name])} " for name in _MOVING if given.get(name))
    return NEXT_STEPS.replace(".venv/bin/python", f"{moved}.venv/bin/python", 1)


def up(stack: Stack, only: tuple[str, ...] = (), attached: bool = False, console: Console | None = None) -> None:
    """Start the stack's programs, or only some and what they need, and wait until all are ready.

    Programs that run already are left alone; a stack on another lake is stopped first.
    attached: everything stops when this process ends.   console: shows the progress.

    Raises:
        StackError: a program does not become ready; the message has the end of its log, and what did start keeps
            running.
    """
    programs = chosen(stack, only)
    _refuse_earlier_airflow(stack, programs)
    write_configuration(stack)
    if supervision.running_lake(stack) not in (None, stack.lake):
        down(stack)
    if not supervision.is_running(stack):
        supervision.stop_supervisor(stack)  # a stack whose supervisor was killed may have left programs behind
        _check_ports(stack, programs)
        supervision.start_supervisor(stack, chosen(stack), attached)
    _start_in_order(stack, programs, console or Console(quiet=True))


def down(stack: Stack) -> None:
    """Stop every program of the stack, those that need others first; nothing of it is left running.

    Raises:
        StackError: a process cannot be stopped.
    """
    _stop_in_order(stack, set(PROGRAMS))
    supervision.stop_supervisor(stack)


def remove(stack: Stack) -> None:
    """Stop every program of the stack, and remove its home with the databases of the homes in it.

    Raises:
        StackError: a process cannot be stopped.
    """
    down(stack)
    remove_databases(stack.home)
    shutil.rmtree(stack.home, ignore_errors=True)


@contextmanager
def running(stack: Stack, only: tuple[str, ...] = (), console: Console | None = None) -> Iterator[Stack]:
    """The stack, started on entry and stopped on exit, whatever causes the exit.

    Raises:
        StackError: a program does not become ready (everything is stopped again).
    """
    try:
        up(stack, only, attached=True, console=console)
        yield stack
    finally:
        with undisturbed():
            down(stack)


def interruptible() -> None:
    """Let SIGINT, SIGTERM and SIGHUP end this process as Ctrl-C does, so that what it started is stopped.

    A process inherits what its shell ignores, and a script's background jobs ignore SIGINT: without this, such a demo
    could only be killed. An ignored SIGHUP stays ignored: that is what `nohup` is for.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _interrupt(number: int, frame: object) -> None:
    """End this process as Ctrl-C does, and remember it: an exception raised in a callback, for example of a parser, may
    be lost."""
    _interrupted.set()
    raise KeyboardInterrupt


@contextmanager
def undisturbed() -> Iterator[None]:
    """Ignore Ctrl-C while things are being stopped, so that a second one does not leave anything running."""
    before = {
        number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def restart(stack: Stack, name: str) -> None:
    """Stop one program and start it again; return when it is ready.

    Raises:
        StackError: the stack does not run or the program does not become ready.
        ValueError: the name is unknown.
    """
    if not supervision.is_running(stack):
        raise StackError("got no running stack, expected one; start it with `make up`")
    programs = [program for program in chosen(stack, (name,)) if name in (program.name, program.group)]
    _stop_in_order(stack, {program.name for program in programs})
    _start_in_order(stack, programs, Console(quiet=True))


def free_offset() -> int:
    """A port offset at which every port of a stack is free at this moment.

    Raises:
        StackError: there is none.
    """
    for offset in random.sample(_OFFSETS, len(_OFFSETS)):
        if all(supervision.port_is_free(port + offset) for port in PORTS.values()):
            return offset
    raise StackError("got no port offset with all ports free, expected one; stop other stacks first")


def _refuse_earlier_airflow(stack: Stack, programs: list[Program]) -> None:
    """Raise StackError if Airflow's data in the home is in the file where an earlier version kept it."""
    earlier = stack.home / "airflow" / "airflow.db"
    if earlier.exists() and "postgres" in {program.name for program in programs}:
        raise StackError(
            f"got {earlier} of an earlier version, expected Airflow's data in PostgreSQL: to start Airflow anew, with "
            f"images, lake "
            f"and reports as they are, `make down`, `rm -r {earlier.parent}`, `make up`"
        )


def _check_ports(stack: Stack, programs: list[Program]) -> None:
    for program in programs:
        for server in program.ports:
            if not supervision.port_is_free(stack.port(server)):
                raise StackError(
                    f"port {stack.port(server)} ({program.title}) is taken by another program; stop that one, or set "
                    f"PIPELINE_PORT_OFFSET, for example to {stack.offset + 100}"
                )


def _start_in_order(stack: Stack, programs: list[Program], console: Console) -> None:
    """Start each program as soon as what it needs is ready, and wait until all are."""
    waiting = {program.name: program for program in programs}
    started: dict[str, _Start] = {}
    columns = (SpinnerColumn(finished_text="✓"), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        while waiting:
            for program in _startable(waiting):
                if program.name not in started:
                    supervision.start_program(stack, program.name)
                    started[program.name] = _Start(program, progress.add_task(program.title, total=1))
                if started[program.name].is_ready(stack):
                    progress.update(started[program.name].task, completed=1)
                    del waiting[program.name]
            time.sleep(_POLL_S)
            if _interrupted.is_set():
                raise KeyboardInterrupt


def _startable(waiting: Mapping[str, Program]) -> list[Program]:
    """The programs among these, not ready yet, that need none of the others."""
    return [program for program in waiting.values() if not any(need in waiting for need in program.needs)]


def _stop_in_order(stack: Stack, names: set[str]) -> None:
    """Stop programs, each as soon as none that needs it still runs, and wait until all have ended."""
    deadline = time.monotonic() + _STOP_LIMIT_S
    asked: set[str] = set()
    while alive := {name for name, state in states(stack).items() if state.pid and name in names}:
        needed = {need for name in alive for need in PROGRAMS[name].needs}
        for name in alive - needed - asked:
            supervision.ask_to_stop(stack, name)
            asked.add(name)
        if time.monotonic() > deadline:
            return  # stopping the supervisor kills what is left
        time.sleep(_POLL_S)


class _Start:
    """A program that is becoming ready."""

    def __init__(self, program: Program, task: TaskID) -> None:
        self.program = program
        self.task = task
        self._deadline = time.monotonic() + program.limit_s
        self._pids: set[int] = set()

    def is_ready(self, stack: Stack) -> bool:
        """Whether the program is ready now.

        Raises:
            StackError: it never will be, since it ends again and again or its time is over.
        """
        state = states(stack).get(self.program.name)
        if state is None:
            raise StackError("the supervisor is gone; see supervisor.log in the logs folder")
        self._pids.add(state.pid)
        if self.program.is_ready is None:
            if state.state == "EXITED" and state.exit_status == 0:
                return True
            ended = state.state in ("EXITED", "FATAL")
        else:
            if state.state == "RUNNING" and self.program.is_ready(stack):
                return True
            ended = state.state == "FATAL" or len(self._pids - {0}) >= _STARTS_BEFORE_GIVING_UP
        if ended or time.monotonic() > self._deadline:
            raise StackError(self._explain(stack, ended))
        return False

    def _explain(self, stack: Stack, ended: bool) -> str:
        path = log_path(stack, self.program.name)
        tail = path.read_text(errors="replace").splitlines()[-_LOG_LINES:] if path.exists() else []
        reason = "ends again and again" if ended else f"is not ready after {self.program.limit_s:.0f} s"
        return "\n".join([f"{self.program.title} {reason}; the end of {path}:", *tail])


app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
_Only = Annotated[str, typer.Option(help="Programs or groups, separated by commas; what they need is added.")]
_LakeOption = Annotated[str, typer.Option(help="Where HBase and the lake keep their files: local or hdfs.")]


@app.command("up")
def _up(only: _Only = "", lake: _LakeOption = "") -> None:
    """Start the servers, wait until all serve, leave them running."""
    stack = Stack.from_environment(lake=cast(Lake, lake) if lake else None)
    try:
        up(stack, tuple(name for name in only.split(",") if name), console=Console())
    except KeyboardInterrupt:
        with undisturbed():
            down(stack)
        raise SystemExit("interrupted; everything is stopped") from None
    # One fact a line, never broken: they are copied from here.
    print(
        f"Airflow   {stack.airflow_url}\nuser      admin\npassword  {stack.secrets['airflow_password']}\n"
        f"search    {stack.search_url}\ntoken     {stack.secrets['search_token']}\nlogs      {stack.home}/logs"
    )
    if not only:
        print(next_steps(os.environ))


@app.command("down")
def _down() -> None:
    """Stop everything."""
    down(Stack.from_environment())


@app.command("remove")
def _remove() -> None:
    """Stop everything, and remove all its data."""
    remove(Stack.from_environment())


@app.command("restart")
def _restart(name: str) -> None:
    """Restart one program or group."""
    restart(_running_stack(), name)


@app.command("status")
def _status() -> None:
    """Print what runs and whether it serves; the exit code is 1 unless everything that was started serves."""
    stack = _running_stack()
    table = Table("program", "state", "pid", "up for", "serves")
    found = [state for state in states(stack).values() if state.state != "STOPPED"]
    serving = {state.name: _serves(stack, state) for state in found}
    for state in found:
        table.add_row(
            state.name, state.state, str(state.pid), f"{state.uptime_s} s", "yes" if serving[state.name] else "no"
        )
    Console().print(table if found else "nothing runs; start it with `make up`")
    raise typer.Exit(0 if found and all(serving.values()) else 1)


@app.command("environment")
def _environment() -> None:
    """Print the variables of the stack as shell commands."""
    for name, value in _running_stack().environment().items():
        typer.echo(f"export {name}={quote(value)}")


def _serves(stack: Stack, state: ProgramState) -> bool:
    probe = PROGRAMS[state.name].is_ready
    return state.exit_status == 0 if probe is None else probe(stack)


def _running_stack() -> Stack:
    """The stack at this home, with the lake it runs on."""
    lake = supervision.running_lake(Stack.from_environment())
    return Stack.from_environment(lake=cast(Lake, lake) if lake else None)


def main() -> None:
    """Run the command line; an error of the stack is one message, not a traceback."""
    interruptible()
    try:
        app()
    except StackError as error:
        Console(stderr=True).print(str(error), style="red", markup=False, soft_wrap=True)
        raise SystemExit(1) from None


if __name__ == "__main__":
    main()
