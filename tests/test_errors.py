"""Errors that a user can meet say what was got, what was expected, or what to do: every `raise` of the packages is read."""

from __future__ import annotations

import ast
import re
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
PACKAGES = (
    "dlcore",
    "spark_jobs",
    "data_contracts",
    "sample_data",
    "quality_report",
    "search_service",
    "deploy",
    "plugins",
)
OF_CALLERS = {"ValueError", "TypeError", "Mistake", "LookupError", "FileNotFoundError", "FileExistsError"}
"""Errors that say that a caller or a file is wrong."""
HELPS = re.compile(r"\bexpected\b|; |: |\brun \w|try again|\bask for\b|\bmust\b|nearest\(|no_rows\(|\{error\}")
"""What follows the thing that was got: what it should have been, or how to get on; some functions say it."""
COMPLETED = {
    "dlcore/inference/calibration.py": "read_ranges says of which file, and what to do",
    "dlcore/interop/plan_file.py": "load_plan says of which file, and what to do",
    "dlcore/interop/torch_files.py": "load_torch_state says of which file, and what to do",
    "dlcore/search/manifest.py": "read_manifest says of which file, and what to do",
    "search_service/cases.py": "the reader says of which file, and what to do",
    "spark_jobs/stages/day_sheet.py": "the reader says of which file, and what to do",
}
"""Files in which an error is the middle of a sentence, and who says the rest."""


def texts_of(tree):
    """Line and text of each error of OF_CALLERS that is raised with one; what is filled in reads {}."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            kind = node.exc.func
            name = kind.attr if isinstance(kind, ast.Attribute) else getattr(kind, "id", "")
            if name in OF_CALLERS and node.exc.args:
                yield node.lineno, ast.unparse(node.exc.args[0])


def test_every_error_says_what_would_be_right():
    found, helpless = 0, []
    for package in PACKAGES:
        for path in sorted((PROJECT / package).rglob("*.py")):
            name = str(path.relative_to(PROJECT))
            for line, text in texts_of(ast.parse(path.read_text("utf-8"))):
                is_text = "'" in text or '"' in text
                found += is_text
                if is_text and not HELPS.search(text) and name not in COMPLETED:
                    helpless.append(f"{name}:{line}: {text}")
    assert found > 500 and helpless == []


def test_the_files_whose_errors_others_complete_are_there():
    assert [name for name in COMPLETED if not (PROJECT / name).exists()] == []
