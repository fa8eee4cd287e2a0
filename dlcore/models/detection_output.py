"""From a detector's outputs to detections: decode, threshold, suppress (Caffe's DetectionOutput)."""

from dataclasses import dataclass

import numpy as np

from dlcore import kernels
from dlcore.activity import Array
from dlcore.boxes import decode


@dataclass(frozen=True)
class DetectionRule:
    """What is kept: scores strictly above `min_score`; of each class the `top_k` best before and those that overlap no
    better one by more than `nms_threshold`; of an image the `keep_top_k` best."""

    min_score: float = 0.01
    nms_threshold: float = 0.45
    top_k: int = 400
    keep_top_k: int = 200


@dataclass(frozen=True)
class Detections:
    """Of one image, best first: labels (D,) int (index of the class; 0, the background, does not occur), scores (D,),
    boxes (D, 4) as fractions of the image, not clipped."""

    labels: np.ndarray
    scores: Array
    boxes: Array


def _one_image(boxes: Array, scores: Array, rule: DetectionRule) -> Detections:
    """boxes (P, 4), scores (P, C)."""
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for label in range(1, scores.shape[1]):
        candidates = np.flatnonzero(scores[:, label] > rule.min_score)
        if not len(candidates):
            continue
        kept = kernels.nms(boxes[candidates], scores[candidates, label], rule.nms_threshold, rule.top_k)
        found.append((np.full(len(kept), label), candidates[kept]))
    if not found:
        return Detections(np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros((0, 4), np.float32))
    labels, priors = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.argsort(-scores[priors, labels], kind="stable")[: rule.keep_top_k]
    labels, priors = labels[order], priors[order]
    return Detections(labels, scores[priors, labels], boxes[priors])


def detection_output(
    locations: Array, logits: Array, priors: Array, rule: DetectionRule | None = None
) -> list[Detections]:
    """Detections of each image from locations (N, P, 4) and logits (N, P, C) on priors (P, 4).

    Raises:
        ValueError: the shapes do not belong together.
    """
    if locations.shape[1:] != priors.shape or logits.shape[:2] != locations.shape[:2]:
        raise ValueError(
            f"got locations {locations.shape}, logits {logits.shape}, expected (N, P, 4), (N, P, C) with P = {len(priors)}"
        )
    boxes, scores = decode(locations, priors), kernels.softmax(logits, 2)
    return [_one_image(b, s, rule or DetectionRule()) for b, s in zip(boxes, scores, strict=True)]
