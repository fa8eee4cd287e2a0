"""Which extractor makes codes, or made them, if nobody names one."""

from __future__ import annotations

from dlcore.interop.artefact import missing_weights, name_of, names, with_version
from dlcore.interop.published import Published
from spark_jobs.run_reports.reading import PastRun, newest_published
from spark_jobs.settings import Settings, artefact_uri

SHIPPED = "deepbit-lite0"
"""The extractor for a set that has no codes yet."""
SPARE = "deepbit-small"
"""The extractor to use if the package with the shipped one's published weights is not installed."""
_EXTRACTION = "extract_features"


def usual_extractor(models: str) -> tuple[str, Published | None]:
    """The name of the extractor for a new set of codes, and the missing published weights if it is the spare one."""
    if SHIPPED not in names(models):
        return SPARE, None
    missing = missing_weights(artefact_uri(models, SHIPPED))
    return (SPARE if missing else SHIPPED), missing


def extractor_in_use(settings: Settings, models: str) -> str:
    """The name of the extractor of the newest day with codes in the settings' set; empty if there is no such day, or if
    the extractor is not in `models`.

    A day that was published empty names none, nor does one whose job was killed before it could report.
    """
    newest = newest_published(settings.reports, _EXTRACTION, settings.codes, lambda report: bool(_artefacts(report)))
    name = next(iter(_artefacts(newest or {})), "").partition("@")[0]
    return name if name and name in names(models) else ""


def _artefacts(report: PastRun) -> dict[str, str]:
    """What a run has computed with: names, with their versions."""
    found: dict[str, str] = report.get("extra", {}).get("artefacts", {})
    return found


def extractor_of_version(models: str, version: str, asked: str = "") -> str:
    """An extractor by the version that made codes, whatever its name: name@version.

    asked: the name to use if no artefact in `models` has the version.
    """
    return with_version(name_of(models, version) or asked or usual_extractor(models)[0], version)
