"""What the documents promise is there: commands, options, files, and the example does what it shows."""

from __future__ import annotations

import importlib
import re
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest
import typer

from deploy.services import NEXT_STEPS, next_steps
from spark_jobs.running.command_line import Attempt

PROJECT = Path(__file__).resolve().parents[1]
DOCUMENTS = (
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "deploy/README.md",
    "spark_jobs/README.md",
    "docs/README.md",
    "docs/commands.md",
    "docs/operations.md",
    "docs/tested.md",
    "CHANGELOG.md",
)
WIDTH = 120
FOLDERS = (
    "dlcore",
    "spark_jobs",
    "data_contracts",
    "sample_data",
    "quality_report",
    "search_service",
    "dags",
    "plugins",
    "deploy",
    "models",
    "tests",
    "benchmarks",
)
COMMANDS = re.findall(r"`[^`]*python -m (spark_jobs\.\w+)([^`]*)`", (PROJECT / "docs/commands.md").read_text("utf-8"))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_make_command_exists(document):
    targets = re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text("utf-8"), re.MULTILINE)
    named = re.findall(r"(?:`|^    )make ([a-z-]+)", (PROJECT / document).read_text("utf-8"), re.MULTILINE)
    assert set(named) <= set(targets)


@pytest.mark.parametrize(("module", "arguments"), COMMANDS)
def test_every_option_exists(module, arguments):
    job = importlib.import_module(module)
    if hasattr(job, "main"):
        known = options_of(job.main)
    else:
        known = {item.name.replace("_", "-") for cls in (Attempt, job.Options) for item in fields(cls)}
        assert "--run " in arguments
    assert set(re.findall(r"--([a-z-]+)", arguments)) <= known


def test_what_make_up_says_comes_next_is_what_readme_says():
    section = (PROJECT / "README.md").read_text("utf-8").split("## Your own pictures in five minutes")[1]
    said = [line.strip().split("     ")[0] for line in NEXT_STEPS.splitlines() if line.startswith("  ")]
    assert len(said) == 5 and all(f"    {line}\n" in section for line in said), said


def test_the_next_steps_of_a_moved_stack_lead_to_it():
    assert next_steps({"PIPELINE_HOME": "", "HOME": "/root"}) == NEXT_STEPS
    moved = next_steps({"PIPELINE_HOME": "/srv/my stack", "PIPELINE_PORT_OFFSET": "7000"})
    line = """eval "$(PIPELINE_HOME='/srv/my stack' PIPELINE_PORT_OFFSET=7000 .venv/bin/python -m deploy.services environment)"\n"""
    assert line in moved and moved.count("PIPELINE_HOME") == 1


def options_of(command):
    """The options of a typer command, and its positional arguments."""
    app = typer.Typer(add_completion=False)
    app.command()(command)
    parameters = typer.main.get_command(app).params
    return {flag.removeprefix("--") for item in parameters for flag in (*item.opts, *item.secondary_opts)}


def prose_of(text):
    """The lines of a document that are neither code, nor a table, nor a picture."""
    without_code = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    lines = [line for line in without_code.splitlines() if not line.startswith(("    ", "|", "!["))]
    return [line for line in lines if not re.fullmatch(r" *`[^`]+`\S*", line)]  # a command, whole


@pytest.mark.parametrize("document", DOCUMENTS)
def test_prose_is_as_wide_as_code(document):
    prose = prose_of((PROJECT / document).read_text("utf-8"))
    assert prose and [line for line in prose if len(line) > WIDTH] == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_code_within_a_sentence_stands_on_one_line(document):
    text = "\n".join(prose_of((PROJECT / document).read_text("utf-8")))
    assert [span for span in re.findall(r"`[^`]+`", text) if "\n" in span] == []


def test_every_document_is_in_the_index():
    index = PROJECT / "docs/README.md"
    linked = {index.parent.joinpath(link).resolve() for link in re.findall(r"\]\(([^)#]+)\)", index.read_text("utf-8"))}
    ours = subprocess.run(["git", "ls-files", "*.md"], cwd=PROJECT, check=True, capture_output=True, text=True)
    texts = {PROJECT / line for line in ours.stdout.split() if not line.startswith("tests/")}
    assert texts - linked - {index} == set()


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_linked_file_exists(document):
    links = re.findall(r"\]\(([^)#]+)\)", (PROJECT / document).read_text("utf-8"))
    assert [link for link in links if not (PROJECT / document).parent.joinpath(link).exists()] == []


def test_every_file_of_the_architecture_exists():
    text = (PROJECT / "ARCHITECTURE.md").read_text("utf-8")
    named = re.findall(rf"`((?:{'|'.join(FOLDERS)})/[\w/.]*)`", text)
    assert named
    assert [path for path in named if not (PROJECT / path).exists()] == []
