"""README's lines from `git clone` to the duplicates of a folder of pictures, as a new user types them, on real
servers."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from shlex import quote

import numpy as np
import pytest

from deploy.airflow_rest import FINISHED, Airflow
from deploy.services import free_offset
from deploy.stack import Stack
from sample_data.catalogue.bad_images import sample_picture
from spark_jobs.settings import REPOSITORY, Settings
from tests.end_to_end.chain import Chain
from tests.spark_jobs.lake import Lake
from tests.waiting import wait_for

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(3600)]

NOTEBOOK = """
import json
names = {}
for cell in json.load(open("docs/lake.ipynb"))["cells"]:
    if cell["cell_type"] == "code":
        exec("".join(cell["source"]), names)
reasons = names["reasons"].set_index("reason")["images"].to_dict()
members = sorted(row["key"] for row in names["members"])
print(json.dumps({"reasons": reasons, "members": members, "then": names["then"]}))
"""
"""Runs the cells of the notebook one after another, as Jupyter does, and says what it would show."""

DAGS = ("image_pipeline", "similar_images")
KINDS = ("manual", "asset_triggered")
"""How the runs begin that follow from what is typed."""

SETTINGS = 'eval "$(.venv/bin/python -m deploy.services environment)"'
"""README's line that gives a shell the stack's settings; each line below is typed in a shell that has them."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four pictures, one of them twice, and a file that is none."""
    for number in range(4):
        picture = sample_picture(np.random.default_rng(number), 400, 300)
        picture.save(tmp_path / f"mine-{number}.jpg", quality=90)
        if number == 0:
            picture.resize((300, 225)).save(tmp_path / "copy.jpg", quality=85)
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


@pytest.fixture
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of this checkout, with its changes, and with what is installed beside it: to install anew takes
    minutes."""
    folder = tmp_path_factory.mktemp("readme") / "clone"
    subprocess.run(["git", "clone", "--quiet", REPOSITORY, folder], check=True)
    changed = ["git", "ls-files", "-z", "--modified", "--others", "--exclude-standard"]
    names = subprocess.run(changed, cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout.split("\0")
    for name in filter(None, names):
        (folder / name).unlink(missing_ok=True)
        if (REPOSITORY / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, folder / name)
    for name in (".venv", "build"):
        (folder / name).symlink_to(REPOSITORY / name)
    return folder


@pytest.fixture
def shell(clone: Path) -> Iterator[Shell]:
    """A shell in the clone, of a user who has no setting but that of free ports."""
    own = {"PIPELINE_PORT_OFFSET": str(free_offset())}
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PIPELINE_", "AIRFLOW", "PYTHON", "SPARK_"))
    }
    shell = Shell(clone, kept | own)
    try:
        yield shell
    finally:
        shell.type("make down")


@dataclass(frozen=True)
class Shell:
    """Where and with which variables a user types."""

    folder: Path
    environment: dict[str, str]

    def type(self, *lines: str) -> str:
        """What lines that end well print."""
        command = ["bash", "-ec", "\n".join(lines)]
        done = subprocess.run(
            command, env=self.environment, cwd=self.folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{lines}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    @property
    def stack(self) -> Stack:
        """The stack that `make up` starts there."""
        return Stack.from_environment({**self.environment, "PIPELINE_HOME": str(self.folder / "var")})


def lines_of(title: str) -> list[str]:
    """The indented lines of a section of README."""
    section = re.search(rf"^## {title}\n(.*?)^## ", (REPOSITORY / "README.md").read_text(), re.DOTALL | re.MULTILINE)
    assert section is not None, title
    return [line.strip() for line in section[1].splitlines() if line.startswith("    ")]


def ended(rest: Airflow, dag: str) -> list[str]:
    """The runs of a DAG that follow from what was typed and have ended."""
    return [run.name for run in rest.runs(dag) if run.kind in KINDS and run.state in FINISHED]


def test_a_folder_becomes_duplicates_by_the_lines_of_readme(shell: Shell, folder: Path) -> None:
    first, settings, *lines = lines_of("Your own pictures in five minutes")
    assert (first, settings) == ("make up", SETTINGS)
    assert "airflow dags unpause image_pipeline" in shell.type(first)
    stack, said = shell.stack, {}
    rest = Airflow(stack.airflow_url, stack.secrets["airflow_password"])
    for line in lines:
        typed = line.replace("FOLDER", str(folder)).replace("KEY", "mine-0/0")
        said[line.split(" FOLDER")[0].split(" KEY")[0]] = shell.type(SETTINGS, typed)
        if line.startswith("airflow dags trigger"):
            for dag in DAGS:
                wait_for(partial(ended, rest, dag), pause_s=1.0)
    # The scheduled run is of yesterday, of which there is no picture: nothing is red on the first day.
    states = {(run.dag, run.kind, run.state) for dag in DAGS for run in rest.runs(dag)}
    assert states == {
        ("image_pipeline", "scheduled", "success"),
        ("image_pipeline", "manual", "success"),
        ("similar_images", "asset_triggered", "success"),
    }
    loaded = said["python -m spark_jobs.load_images"]
    assert "mine-0/0" in loaded and "next: airflow dags trigger image_pipeline" in loaded and "notes.txt" in loaded
    assert "copy/0" in said["python -m spark_jobs.search"]
    lake = Lake(Settings.from_environment(stack.environment()), stack.full_environment())
    groups = {row["key"]: row["group"] for row in Chain(lake).rows("duplicates")}
    assert groups["copy/0"] == groups["mine-0/0"]
    assert len({groups[f"mine-{number}/0"] for number in range(4)}) == 4
    assert groups["notes/0"] is None
    shown = json.loads(shell.type(SETTINGS, f"python -c {quote(NOTEBOOK)}").splitlines()[-1])
    assert shown == {"reasons": {"ok": 5, "not_image": 1}, "members": ["copy/0", "mine-0/0"], "then": 6}
