"""List the commands of the pipeline and what their exit codes mean, or run one of them.

python -m spark_jobs
python -m spark_jobs --json
python -m spark_jobs search --help          is python -m spark_jobs.search --help
"""

from __future__ import annotations

import ast
import json
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from spark_jobs.mistakes import nearest
from spark_jobs.pipeline import EXIT_CODES, EXIT_WRONG_LINE, STAGES

_RUNS = 'if __name__ == "__main__":'


def commands() -> dict[str, str]:
    """Every script of this folder, name -> what it does: the stages in their order, then the others by name."""
    texts = {path.stem: path.read_text() for path in sorted(Path(__file__).parent.glob("*.py"))}
    others = {name: _first_line(text) for name, text in texts.items() if _RUNS in text and name not in STAGES}
    return {name: stage.title for name, stage in STAGES.items()} | {
        name: line for name, line in others.items() if name != "__main__"
    }


def _first_line(text: str) -> str:
    """The first paragraph of a module's docstring, read without importing the module."""
    return (ast.get_docstring(ast.parse(text)) or "").split("\n\n")[0].replace("\n", " ").rstrip(".:")


def main(as_json: Annotated[bool, typer.Option("--json", help="print JSON, for programs")] = False) -> None:
    """List the commands of the pipeline."""
    if as_json:
        print(json.dumps({"commands": commands(), "exit_codes": dict(EXIT_CODES)}))
        return
    listed, codes = Table("python -m spark_jobs.", "what it does"), Table("exit code", "what it means")
    for name, line in commands().items():
        listed.add_row(name, line)
    for code, meaning in EXIT_CODES.items():
        codes.add_row(str(code), meaning)
    Console().print(listed, codes, "Each takes --help.")


def run(name: str, arguments: Sequence[str]) -> None:
    """Run a command in this process, as if it were the program.

    Raises:
        SystemExit: the command ended; the code is 2 if there is no command of that name.
    """
    if name not in (known := commands()):
        print(f"spark_jobs: got command {name!r}, {nearest(name, known)}", file=sys.stderr)
        raise SystemExit(EXIT_WRONG_LINE)
    sys.argv[1:] = arguments
    runpy.run_module(f"spark_jobs.{name}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    if sys.argv[1:] and not sys.argv[1].startswith("-"):
        run(sys.argv[1], sys.argv[2:])
    else:
        typer.run(main)
