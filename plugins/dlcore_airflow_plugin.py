"""Registers with Airflow what the pipeline adds to it: the page of the pipeline's runs, the link from a task to its run
report, and what the scheduler asks for: timetable, priority, deadline."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin
from dlcore_airflow.alerts import EndOfScheduledDay
from dlcore_airflow.links import RunReportLink
from dlcore_airflow.priority import DailyRunFirst
from dlcore_airflow.timetable import OnRequestTimetable
from dlcore_airflow.ui.app import app


class ImagePipelinePlugin(AirflowPlugin):
    """The image pipeline's page, behind Airflow's login, and its task links."""

    name = "image_pipeline"
    fastapi_apps = [{"app": app, "url_prefix": "/pipeline", "name": "Image pipeline"}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {
            "name": "Image pipeline",
            "href": "/pipeline/",
            "destination": "nav",
            "category": "browse",
            "url_route": "image-pipeline",
        }
    ]
    operator_extra_links = [RunReportLink()]  # noqa: RUF012
    timetables = [OnRequestTimetable]  # noqa: RUF012
    priority_weight_strategies = [DailyRunFirst]  # noqa: RUF012
    deadline_references = [EndOfScheduledDay]  # noqa: RUF012
