"""Turn a detector's outputs into detections: decode, threshold, suppress (Caffe's DetectionOutput)."""

from __future__ import annotations

import numpy as np

from dlcore import kernels
from dlcore.activity import Array
from dlcore.boxes import decode
from dlcore.nn.layers.detection import DetectionRule, Detections, detect

__all__ = ["DetectionRule", "Detections", "check_outputs", "detection_output"]


def check_outputs(locations: Array, logits: Array) -> None:
    """Refuse outputs of a broken network, locations (N, P, 4) and logits (N, P, C): they must not pass for nothing
    found.

    Raises:
        ValueError: a logit of an image is infinite or NaN, or all its locations are.
    """
    is_broken = ~np.isfinite(logits).all(axis=(1, 2)) | ~np.isfinite(locations).any(axis=(1, 2))
    if is_broken.any():
        raise ValueError(
            f"got outputs that are infinite or NaN for image {np.flatnonzero(is_broken).tolist()} of {len(logits)}, "
            "expected finite ones; check the weights and the pixels"
        )


def detection_output(
    locations: Array, logits: Array, priors: Array, rule: DetectionRule | None = None
) -> list[Detections]:
    """Detections of each image from locations (N, P, 4) and logits (N, P, C) on priors (P, 4).

    Raises:
        ValueError: the shapes do not fit together, or the network gave NaN (`check_outputs`).
    """
    if locations.shape[1:] != priors.shape or logits.shape[:2] != locations.shape[:2]:
        raise ValueError(
            f"got locations {locations.shape}, logits {logits.shape}, expected (N, P, 4), (N, P, C) with P = "
            f"{len(priors)}"
        )
    check_outputs(locations, logits)
    boxes, scores = decode(locations, priors), kernels.softmax(logits, 2)
    return [detect(b[:, None], s, rule or DetectionRule()) for b, s in zip(boxes, scores, strict=True)]
