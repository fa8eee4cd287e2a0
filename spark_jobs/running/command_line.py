"""A job's command line: what every job takes, and the fields of the job's own dataclass as options."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from datetime import date
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from spark_jobs.mistakes import Mistake, day_of, leave
from spark_jobs.pipeline import Stage

Options = TypeVar("Options")


@dataclass(frozen=True)
class NoOptions:
    """Options of a job that has none of its own."""


@dataclass(frozen=True)
class ModelOptions:
    """Options of a job that computes with artefacts."""

    models: str = field(default="", metadata={"help": "URI of the folder of artefacts; empty: the one in the settings"})


@dataclass(frozen=True)
class DetectorOptions(ModelOptions):
    """Options of a job that finds objects."""

    detector: str = field(
        default="detector-small",
        metadata={"help": "name of the detector's artefact, or name@version; 'none': use whole images"},
    )


@dataclass(frozen=True)
class ExtractorOptions(ModelOptions):
    """Options of a job that works with codes."""

    extractor: str = field(
        default="",
        metadata={
            "help": "name of the extractor's artefact, or name@version; empty: that of the codes in use, else the "
            "shipped one"
        },
    )


@dataclass(frozen=True)
class Attempt:
    """Which attempt of which run this process is: the options that every job takes."""

    run: str = field(metadata={"help": "id of the DAG run; a run that has been published is not repeated"})
    day: str | None = field(default=None, metadata={"help": "day as YYYY-MM-DD; leave it out for a job over all days"})
    attempt: int = field(default=1, metadata={"help": "number of this try of the task, from 1"})
    dag: str | None = field(default=None, metadata={"help": "id of the DAG, for the report"})
    remote: str | None = field(default=None, metadata={"help": "sc://host:port of a Spark Connect server"})
    codes: str = field(default="", metadata={"help": "name of another model's set of codes, beside the first set"})
    allow_empty: bool = field(default=False, metadata={"help": "if the day has no rows, empty it"})
    trial: bool = field(
        default=False, metadata={"help": "write the rows to the tables of trials, not to the day; a limit implies this"}
    )
    request: str = field(default="", metadata={"help": "params of the DAG run as JSON; its first job checks them"})
    release: bool = field(
        default=False, metadata={"help": "free the Connect session: this is the last task of the run"}
    )
    as_json: bool = field(
        default=False,
        metadata={"name": "json", "help": "print the run report as a line of JSON, also in a terminal, for programs"},
    )

    def date(self) -> date | None:
        """The day as a date; None for a job over all days."""
        return None if self.day is None else date.fromisoformat(self.day)


def parse(stage: Stage, options: type[Options], arguments: Sequence[str]) -> tuple[Attempt, Options]:
    """The attempt and the job's own options from a command line.

    options: a dataclass; each field becomes `--field-name`, a boolean one `--x / --no-x`. In a field's metadata, `help`
        explains it, `min` and `max` bound it, and `name` is its option's name where that is another.

    Raises:
        SystemExit: after a message, with code 2 if the command line is wrong and with code 64 if its day is; with code
            0 after `--help`.

    >>> from spark_jobs.pipeline import STAGES
    >>> parse(STAGES["read_images"], NoOptions, ["--run", "r", "--day", "2026-11-02"])[0].date()
    datetime.date(2026, 11, 2)
    """
    found: dict[str, Any] = {}
    command = _command(found, (Attempt, options))
    app = typer.Typer(add_completion=False)
    app.command(help=stage.title)(command)
    try:
        app(args=list(arguments), prog_name=stage.name, standalone_mode=True)
    except SystemExit as stop:
        if stop.code or not found:
            raise
    attempt = _pick(Attempt, found)
    try:
        check_day(stage, attempt)
    except Mistake as error:
        leave(stage.name, error)
    return attempt, _pick(options, found)


def check_day(stage: Stage, attempt: Attempt) -> None:
    """Raise Mistake if the day is missing, wrong, or given to a job over all days."""
    if stage.is_daily and attempt.day is None:
        raise Mistake("got no day, expected --day, for example --day 2026-11-02")
    if attempt.day is not None and stage.all_days:
        raise Mistake(f"got --day {attempt.day}, but it works over all days; leave it out")
    if attempt.day is not None:
        day_of(attempt.day, "--day")


def _command(found: dict[str, Any], classes: Sequence[type[Any]]) -> Callable[..., None]:
    """A function with one keyword parameter per field; it puts its arguments into `found`."""

    def command(**values: Any) -> None:
        found.update(values)

    parameters = [_parameter(item, get_type_hints(cls)[item.name]) for cls in classes for item in fields(cls)]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def _parameter(item: Field[Any], kind: Any) -> inspect.Parameter:
    least, most = item.metadata.get("min"), item.metadata.get("max")
    flag = item.metadata.get("name", item.name.replace("_", "-"))
    option = typer.Option(f"--{flag}", help=item.metadata.get("help", ""), min=least, max=most)
    if kind is bool:
        option = typer.Option(f"--{flag}/--no-{flag}", help=item.metadata.get("help", ""))
    default = inspect.Parameter.empty if item.default is MISSING else item.default
    annotation = Annotated[kind, option]
    return inspect.Parameter(item.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _pick(cls: type[Options], found: dict[str, Any]) -> Options:
    names = inspect.signature(cls).parameters
    return cls(**{name: found[name] for name in names})
