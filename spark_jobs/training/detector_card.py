"""What people read about a trained detector: its model card and its curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spark_jobs.training.detector_recipe import Curve, Recipe

_CARD = """# Detector of products (SSD, {size} pixels, width {width})

Finds products of {classes} categories in pictures, and things of no known category (`other`). It was made for the crops
of this pipeline, and trained on generated pictures alone. On photographs, trust the boxes more than the labels, and
measure with `evaluate_models` on labelled pictures of your own.

## Scores on pictures of other seeds and other products
| | {catalogue[pictures]} catalogue pictures | {scenes[pictures]} hard scenes of several things |
|-|-|-|
| mAP at IoU 0.5 (area under the curve) | {catalogue[map50]:.3f} | {scenes[map50]:.3f} |
| mAP at IoU 0.5 (11 points) | {catalogue[map50_eleven_point]:.3f} | {scenes[map50_eleven_point]:.3f} |
| any thing found, at the threshold: precision | {catalogue[any_precision]:.3f} | {scenes[any_precision]:.3f} |
| any thing found, at the threshold: recall | {catalogue[any_recall]:.3f} | {scenes[any_recall]:.3f} |

{looks} A thing is reported when its score is above {threshold:.3f}.
Several thresholds find the things of the development catalogue equally well; this is the one of these at which scenes
and their changed copies are cut most alike (mean overlap {repeatability:.3f}). If no score is above it, the whole
picture is the crop.

Average precision by class, on catalogue pictures: {per_class}.

## Training
{steps} steps of {batch} scenes, composed of {products} products and {backgrounds} backgrounds; Adam, with cosine cycles
of the learning rate that peak at {rates}. The network was trained {origin}.
The training took {wall} s on the clock and {cpu} s of CPU time, summed over all workers.

    {command}

mAP on the development catalogue by step: {curve}
"""

_LOOKS = {
    True: "Each picture is looked at twice, as it is and mirrored.",
    False: "Each picture is looked at once; each box is the mean of those around it, weighted by their scores.",
}


def card(scores: dict[str, Any], recipe: Recipe, curve: Curve, command: str) -> str:
    """The model card, in Markdown."""
    per_class = ", ".join(f"{name} {value:.2f}" for name, value in scores["catalogue"]["per_class"].items())
    return _CARD.format(
        size=recipe.size, width=recipe.width, classes=len(recipe.config.classes) - 2, catalogue=scores["catalogue"],
        scenes=scores["scenes"], threshold=scores["threshold"]["score"], per_class=per_class, steps=recipe.steps,
        batch=recipe.batch, products=recipe.products, backgrounds=recipe.backgrounds,
        rates=" and ".join(map(str, recipe.rates)),
        origin=recipe.origin, looks=_LOOKS[recipe.is_mirrored],
        **scores["seconds"], repeatability=scores["repeatability"],
        command=command, curve=", ".join(f"{step}: {value:.3f}" for step, _, value in curve.points),
    )  # fmt: skip


def plot(curve: Curve, scores: dict[str, Any], names: Sequence[str], path: Path) -> None:
    """Loss and mAP by step, and average precision by class, as a PNG file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    steps = [step for step, _, _ in curve.points]
    left.plot(steps, [loss for _, loss, _ in curve.points], "o-", color="tab:gray")
    left.set(xlabel="step", ylabel="loss")
    above = left.twinx()
    above.plot(steps, [score for _, _, score in curve.points], "o-", color="tab:blue")
    above.set(ylabel="mAP@0.5, development catalogue", ylim=(0, 1))
    per_class = scores["catalogue"]["per_class"]
    shown = [name for name in names if name in per_class]
    right.barh(shown, [per_class[name] for name in shown], color="tab:blue")
    right.set(xlim=(0, 1), xlabel="average precision, held-out catalogue")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
