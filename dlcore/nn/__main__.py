"""List the layers and criterions with their shapes, or show all about one.

python -m dlcore.nn                       every name, by family
python -m dlcore.nn LSTM                  its arguments and all that its docstring says
python -m dlcore.nn --markdown            the page docs/layers.md
"""

from __future__ import annotations

import difflib
import inspect
import re
import sys
from collections.abc import Iterator, Sequence

from dlcore.nn import criterion, layer

_TAKES = re.compile(r"(?:^|[.;] |\n)((?:x|output): .*?)(?=\.(?:\s|$)|\n\n|$|; defaults)", re.DOTALL)
"""In a docstring: what a layer takes and gives, or what a criterion compares."""
_PAGE = """# Layers and criterions

`python -m dlcore.nn NAME` shows all about one: its arguments, its weights, its source, its errors.
`x` is a layer's input, and its output stands behind `->`; N counts samples, C channels, T steps.
This page is made from the docstrings: `python -m dlcore.nn --markdown > docs/layers.md`.
"""

Family = tuple[str, list[type]]


def families() -> Iterator[Family]:
    """The first sentence of each family's file, and its classes; layers first, then criterions."""
    for package in (layer, criterion):
        found: dict[str, list[type]] = {}
        for name in sorted(package.__all__):
            kind = getattr(package, name)
            if (
                "Source:" in (kind.__doc__ or "") and kind.__name__ == name
            ):  # a second name for a layer is not another one
                found.setdefault(kind.__module__, []).append(kind)
        for module in sorted(found):
            yield _sentence(sys.modules[module].__doc__ or ""), found[module]


def _sentence(text: str) -> str:
    """The first one, without its full stop."""
    first = inspect.cleandoc(text).split("\n\n")[0].replace("\n", " ")
    return re.split(r"(?<!\bal)\.(?:\s|$)", first)[0]


def shapes(kind: type) -> str:
    """What a docstring says of the arrays; empty where it says nothing."""
    found = _TAKES.search(inspect.getdoc(kind) or "")
    return " ".join(found[1].split()) if found else ""


def page() -> str:
    """All families as Markdown."""
    lines = [_PAGE]
    for title, kinds in families():
        lines += [f"## {title}", "| name | what it does | shapes |", "|-|-|-|"]
        lines += [
            f"| `{kind.__name__}` | {_cell(_sentence(kind.__doc__ or ''))} | {_cell(shapes(kind))} |" for kind in kinds
        ]
        lines.append("")
    return "\n".join(lines)


def _cell(text: str) -> str:
    """Text as Markdown shows it in a table: no bar divides it, no letters are emphasised outside code."""
    code = re.split(r"(`[^`]*`)", text.replace("|", "\\|"))
    return "".join(part if part.startswith("`") else re.sub(r"([*_<])", r"\\\1", part) for part in code)


def shown(name: str) -> str:
    """Arguments and docstring of a layer or criterion.

    Raises:
        ValueError: there is none of that name.
    """
    known = {kind.__name__: kind for _, kinds in families() for kind in kinds}
    if name not in known:
        near = difflib.get_close_matches(name, known, 3, 0.5)
        raise ValueError(f"got {name!r}, expected a layer or criterion{', such as ' if near else ''}{', '.join(near)}")
    kind = known[name]
    return f"{name}{inspect.signature(kind)}\n\n{inspect.getdoc(kind)}\n\nfrom dlcore.nn import {name}"


def main(arguments: Sequence[str]) -> None:
    """Print what was asked for."""
    if arguments == ["--markdown"]:
        print(page(), end="")
    elif len(arguments) == 1 and not arguments[0].startswith("-"):
        try:
            print(shown(arguments[0]))
        except ValueError as error:
            raise SystemExit(f"dlcore.nn: {error}") from None
    elif arguments:
        raise SystemExit((__doc__ or "").strip())
    else:
        for title, kinds in families():
            print(f"{title}: {', '.join(kind.__name__ for kind in kinds)}")


if __name__ == "__main__":
    main(sys.argv[1:])
