"""The notebooks of the tutorial run from first to last cell and show as many figures as are stored, none of them empty.

Trainings stop after two epochs: no test looks at how good they become.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient
from PIL import Image

FOLDER = Path(__file__).parents[2] / "applications" / "tutorial"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LIMIT_S = 600


def figures(notebook: Mapping[str, Any]) -> list[np.ndarray[Any, Any]]:
    """The pictures that its cells show."""
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", ())]
    encoded = [output["data"]["image/png"] for output in outputs if "image/png" in output.get("data", ())]
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")) for data in encoded]


def shortened(notebook: Any) -> Any:
    """The notebook with trainings of two epochs."""
    for cell in notebook.cells:
        cell.source = re.sub(r"\bMaxEpoch\(\w+\)", "MaxEpoch(2)", cell.source)
    return notebook


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_chapter_runs_and_shows_its_figures(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(FOLDER.parents[1]))
    stored, run = (nbformat.read(path, as_version=4) for _ in range(2))
    resources = {"metadata": {"path": str(FOLDER)}}
    NotebookClient(shortened(run), timeout=LIMIT_S, kernel_name="python3", resources=resources).execute()
    shown = figures(run)
    assert len(shown) == len(figures(stored)) >= 3
    assert all(len(np.unique(picture.reshape(-1, 3), axis=0)) > 50 for picture in shown)


def test_there_are_five_chapters() -> None:
    assert [path.stem[:1] for path in NOTEBOOKS] == ["1", "2", "3", "4", "5"]
