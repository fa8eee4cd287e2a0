"""A picture of a DAG's stages, drawn from the table of stages: for its documentation, in Airflow's light and dark theme
alike."""

from __future__ import annotations

import textwrap
from html import escape

from spark_jobs.pipeline import Stage, stages_of

WIDE, BOX, TALL, STEP, TOP = 440, 160, 34, 66, 32
MOST_IN_LINE = 40
QUIET = "#8a94a6"


def picture_of(dag: str) -> str:
    """The stages of a DAG below each other as SVG: each arrow has its dataset, and each stage what it does.

    Raises:
        ValueError: no stage belongs to the DAG.
    """
    stages = stages_of(dag)
    first = stages[0].reads[0] if stages[0].reads else "HBase" if stages[0].reads_hbase else ""
    parts = [_arrow(first, 0)] if first else []
    for place, stage in enumerate(stages):
        top = TOP + place * STEP
        parts.append(_box(stage, top))
        is_last = place == len(stages) - 1
        parts += [_arrow(stage.writes or "", top + TALL)] if stage.writes or not is_last else []
    tall = TOP + len(stages) * STEP
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDE} {tall}' width='{WIDE}' height='{tall}' "
        f"font-family='system-ui, sans-serif'>{''.join(parts)}</svg>"
    )


def _box(stage: Stage, top: int) -> str:
    others = (*stage.reads[1:], *stage.lists)
    lines = textwrap.wrap(stage.title, MOST_IN_LINE) + ([f"also reads {', '.join(others)}"] if others else [])
    first = top + TALL / 2 + 4 - 8 * (len(lines) - 1)
    said = "".join(
        f"<text x='{BOX + 14}' y='{first + 16 * place}' font-size='12.5' fill='{QUIET}'>{escape(line)}</text>"
        for place, line in enumerate(lines)
    )
    return (
        f"<rect x='1' y='{top}' width='{BOX}' height='{TALL}' rx='7' fill='#2f6fb8'/>"
        f"<text x='{BOX / 2}' y='{top + TALL / 2 + 4.5}' font-size='13' fill='#ffffff' "
        f"text-anchor='middle'>{escape(stage.name)}</text>"
        f"{said}"
    )


def _arrow(dataset: str, top: int) -> str:
    middle, end = BOX / 2, top + STEP - TALL - 3
    return (
        f"<path d='M{middle} {top + 3}V{end}M{middle - 5} {end - 6}L{middle} {end}L{middle + 5} {end - 6}' "
        f"stroke='{QUIET}' stroke-width='1.6' fill='none'/>"
        f"<text x='{middle + 12}' y='{top + 20}' font-size='12' fill='{QUIET}'>{escape(dataset)}</text>"
    )
