"""`python -m dlcore.bigdl script.py [arguments]`, or `-m module [arguments]`: run a program written for BigDL."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import dlcore.bigdl  # noqa: F401  (sets the hook)

_USAGE = """usage: python -m dlcore.bigdl SCRIPT [ARGUMENT ...]
       python -m dlcore.bigdl -m MODULE [ARGUMENT ...]
Run a Python program whose imports are of bigdl (or dl, or zoo.pipeline.api) on dlcore.
`python -m dlcore.bigdl -m pytest FOLDER` runs
tests; in a notebook, `import dlcore.bigdl` before the program's own imports does the same."""


def run(arguments: list[str]) -> int:
    """Run what `arguments` say, as `python` itself would; gives an exit code if the program does not."""
    if arguments[:1] == ["-m"] and len(arguments) > 1:
        sys.argv = arguments[1:]
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
        return 0
    if not arguments or arguments[0].startswith("-"):
        print(_USAGE, file=sys.stderr)
        return 0 if arguments[:1] in (["-h"], ["--help"]) else 2
    script = Path(arguments[0])
    if not script.is_file():
        print(f"dlcore.bigdl: got {arguments[0]!r}, expected a Python file; there is none", file=sys.stderr)
        return 2
    sys.argv = arguments
    sys.path[0] = str(script.resolve().parent)
    runpy.run_path(str(script), run_name="__main__")
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
