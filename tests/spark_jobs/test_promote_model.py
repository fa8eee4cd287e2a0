"""The command that moves a model's name, on a copy of what the repository ships."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from dlcore.interop.artefact import load_artefact, save_artefact
from spark_jobs.pipeline import EXIT_MISTAKE
from spark_jobs.promote_model import main
from spark_jobs.settings import REPOSITORY

NAME = "detector-small"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A models folder with the shipped detector, and one with another version of it."""
    shutil.copytree(REPOSITORY / "models" / NAME, tmp_path / "models" / NAME)
    shipped = load_artefact(tmp_path / "models" / NAME)
    save_artefact(tmp_path / "trained", shipped.model, {**shipped.metadata, "note": "trained again"})
    return tmp_path / "models"


def _app() -> typer.Typer:
    app = typer.Typer()
    app.command()(main)
    return app


def promote(models: Path, *arguments: str) -> Result:
    return CliRunner().invoke(_app(), [NAME, "--models", f"file://{models}", *arguments])


def test_a_name_moves_to_a_version_that_is_brought_and_back(models: Path) -> None:
    before = load_artefact(models / NAME).version
    after = load_artefact(models.parent / "trained").version
    assert promote(models).output.splitlines() == [f"{before} current"]
    assert promote(models, "--source", f"file://{models.parent}/trained").output.splitlines() == [
        before,
        f"{after} current",
    ]
    assert load_artefact(models / NAME).metadata["note"] == "trained again"
    assert promote(models, "--version", before).output.splitlines() == [f"{before} current", after]
    assert load_artefact(models / NAME).version == before
    wrong = promote(models, "--version", "0" * 64)
    assert wrong.exit_code == EXIT_MISTAKE and f"got no version {'0' * 64}" in wrong.output
    assert promote(models, "--version", before, "--source", "file:///x").exit_code == EXIT_MISTAKE
    unknown = CliRunner().invoke(_app(), ["detector", "--models", f"file://{models}"])
    assert unknown.exit_code == EXIT_MISTAKE and f"did you mean {NAME}?" in unknown.output
