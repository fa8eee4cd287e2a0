"""The overview: plain HTML without files from elsewhere; a script only sets Airflow's theme and renews what runs
now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from urllib.parse import urlencode

from dlcore_airflow.ui.layout import choice, in_quotes, page
from dlcore_airflow.ui.runs import day_section
from dlcore_airflow.ui.table import NEWEST_FIRST, runs_table
from dlcore_airflow.ui.trends import trends
from dlcore_airflow.ui.under_way import under_way
from spark_jobs.pipeline import ALL_DAYS, STAGES
from spark_jobs.run_reports.reading import PastRun
from spark_jobs.run_reports.summary import RunSummary, runs_of

RESULTS = ("published", "empty", "nothing_yet", "refused", "broken_contract", "failed")
EMPTY = (
    "<p>No stage has run yet. Trigger the DAG <b>image_pipeline</b> or start a backfill: its counts then appear "
    "here.</p>"
)
NOTHING_FOUND = "<p>No run matches these days, this stage and this result. <a href='?'>Show all</a></p>"
TRIALS = "<p class=quiet><code>python -m spark_jobs.remove_trials</code> removes trials.</p>"
VIEWS = {"": "By day", "table": "As a table"}


@dataclass(frozen=True)
class Asked:
    """The parameters of the overview.

    until: the last day, empty for the newest.   stage, result, run: empty for all; of `run`, a part of its name is
    enough.
    view: a section per day, or `table`. sort: a column of the table, descending with `-` before it.
    """

    days: int = 31
    until: str = ""
    stage: str = ""
    result: str = ""
    run: str = ""
    view: str = ""
    sort: str = NEWEST_FIRST

    def takes(self, report: PastRun) -> bool:
        """Whether a report has the stage, the result and the run."""
        is_of_run = self.run in str(report.get("run"))
        return is_of_run and self.stage in ("", report.get("stage")) and self.result in ("", report.get("status"))

    def with_changes(self, **changes: object) -> str:
        """The address of the page with some parameters changed."""
        plain = asdict(Asked())
        fields = {name: value for name, value in {**asdict(self), **changes}.items() if value != plain[name]}
        return f"?{urlencode(fields)}"


@dataclass(frozen=True)
class Offers:
    """What the page's user may do: undo a day, and ask what a backfill costs (with the form's proof)."""

    undo: bool = False
    cost: bool = False
    proof: str = ""


def overview_page(
    reports: Iterable[PastRun],
    readers: Mapping[str, Mapping[str, PastRun]],
    asked: Asked,
    attempts: Iterable[PastRun] = (),
    offers: Offers = Offers(),
) -> str:
    """What runs now, trends, then the runs: those over all days, then a section per day, newest first; or a table.

    reports: all those of the wanted days. readers: day -> stage -> the run whose rows readers get.
    """
    found = list(reports)
    shown = [report for report in found if asked.takes(report)]
    nothing = NOTHING_FOUND if found else EMPTY
    runs = (_table(shown, asked) if asked.view == "table" else _days(shown, readers, offers)) or nothing
    now = f"<section id=now class=under-way>{under_way(attempts)}</section>"
    return page(
        "Image pipeline", f"{_form(asked, found)}{now}{trends(readers)}{_bar(asked)}{runs}{_cost(offers)}{TRIALS}"
    )


def _days(reports: list[PastRun], readers: Mapping[str, Mapping[str, PastRun]], offers: Offers) -> str:
    of_day: dict[str, list[PastRun]] = {}
    for report in sorted(reports, key=lambda report: report.get("day") or ALL_DAYS, reverse=True):
        of_day.setdefault(report.get("day") or ALL_DAYS, []).append(report)
    return "".join(day_section(day, found, readers.get(day, {}), offers.undo) for day, found in of_day.items())


def _table(reports: list[PastRun], asked: Asked) -> str:
    summaries = [RunSummary.of(run) for run in runs_of(reports)]
    kept = {name: value for name, value in asdict(asked).items() if name not in ("view", "sort")}
    return f"<section>{runs_table(summaries, asked.sort, kept)}</section>" if summaries else ""


def _bar(asked: Asked) -> str:
    """Links to the other views of the runs, and the button that compares ticked ones."""
    views = " · ".join(
        f"<b>{title}</b>" if view == asked.view else f"<a href={in_quotes(asked.with_changes(view=view))}>{title}</a>"
        for view, title in VIEWS.items()
    )
    link = in_quotes(f"reports.csv{asked.with_changes(view='', sort=NEWEST_FIRST)}")
    return (
        f"<nav><span>{views} · <a href={link}>as CSV</a></span>"
        "<form id=compare action=compare><button>Compare the two ticked runs</button></form></nav>"
    )


def _form(asked: Asked, reports: list[PastRun]) -> str:
    kept = "".join(
        f"<input type=hidden name={name} value={in_quotes(getattr(asked, name))}>" for name in ("view", "sort")
    )
    return (
        f"<form>{kept}<label>until<input type=date name=until value={in_quotes(asked.until)}></label>"
        f"<label>days<input type=number name=days min=1 max=366 value={asked.days}></label>"
        f"{choice('stage', STAGES, asked.stage)}{choice('result', RESULTS, asked.result)}"
        f"<label>run<input type=search name=run value={in_quotes(asked.run)} placeholder='part of its name'></label>"
        f"<button>Show</button>{_steps(asked, reports)}</form>"
    )


def _steps(asked: Asked, reports: list[PastRun]) -> str:
    """Links to as many earlier and later days."""
    days = sorted(str(report["day"]) for report in reports if report.get("day"))
    if not days:
        return "<a href='?'>all days</a>" if asked.until else ""
    first = date.fromisoformat(days[0])
    earlier = in_quotes(asked.with_changes(until=str(first - timedelta(days=1))))
    links = f"<a href={earlier}>‹ earlier</a>"
    if asked.until:
        later = in_quotes(asked.with_changes(until=str(date.fromisoformat(asked.until) + timedelta(days=asked.days))))
        links += f"<a href={later}>later ›</a><a href={in_quotes(asked.with_changes(until=''))}>newest</a>"
    return links


def _cost(offers: Offers) -> str:
    if not offers.cost:
        return ""
    return (
        "<section><h2>What will a backfill cost?</h2><form method=post action=cost>"
        f"<input type=hidden name=proof value={in_quotes(offers.proof)}>"
        "<label>from<input type=date name=first required></label><label>to<input type=date name=last required></label>"
        "<label><input type=checkbox name=count value=yes> count the images in "
        "HBase</label><button>Estimate</button></form></section>"
    )
