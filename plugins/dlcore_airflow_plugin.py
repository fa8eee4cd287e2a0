"""Registers with Airflow what the pipeline adds to it: the page of the pipeline's runs, the link from a task to its run
report, and for the scheduler timetables, priority and deadline."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin
from dlcore_airflow import day_note
from dlcore_airflow.alerts import EndOfScheduledDay
from dlcore_airflow.links import RunReportLink
from dlcore_airflow.priority import DailyRunFirst
from dlcore_airflow.timetable import DailyTimetable, OnRequestTimetable
from dlcore_airflow.ui.app import app
from dlcore_airflow.ui.visitors import PageWithoutSlash


class ImagePipelinePlugin(AirflowPlugin):
    """The image pipeline's page, behind Airflow's login, and its task links."""

    name = "image_pipeline"
    fastapi_apps = [{"app": app, "url_prefix": "/pipeline", "name": "Image pipeline"}]  # noqa: RUF012
    fastapi_root_middlewares = [{"middleware": PageWithoutSlash, "name": "Image pipeline"}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {
            "name": "Image pipeline",
            "href": "/pipeline/",
            "destination": "nav",
            "category": "browse",
            "url_route": "image-pipeline",
        },
        {
            "name": "Run reports",
            "href": "/pipeline/run?dag={DAG_ID}&run={RUN_ID}",
            "destination": "dag_run",
            "url_route": "run-reports",
        },
    ]
    listeners = [day_note]  # noqa: RUF012
    operator_extra_links = [RunReportLink()]  # noqa: RUF012
    timetables = [DailyTimetable, OnRequestTimetable]  # noqa: RUF012
    priority_weight_strategies = [DailyRunFirst]  # noqa: RUF012
    deadline_references = [EndOfScheduledDay]  # noqa: RUF012
