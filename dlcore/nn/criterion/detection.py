"""SSD's loss (Liu et al. 2016; details as in the released Caffe code)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlcore.activity import Array
from dlcore.boxes import VARIANCES, Variances, encode, iou
from dlcore.nn.criterion.criterion import Criterion, Gradient
from dlcore.nn.criterion.regression import smooth_l1

_BACKGROUND = 0

_WRONG_TARGETS: tuple[tuple[Callable[[Array, int], Any], str], ...] = (
    (lambda truth, _: ~np.isfinite(truth).all(axis=1), "finite numbers"),
    (
        lambda truth, classes: (truth[:, 0] < 1) | (truth[:, 0] >= classes) | (truth[:, 0] % 1 != 0),
        "labels 1 to {last} as whole numbers; 0 is the background",
    ),
    (
        lambda truth, _: (truth[:, 3:5] <= truth[:, 1:3]).any(axis=1),
        "min below max; a box without area shows nothing",
    ),
    (
        lambda truth, _: (np.abs(truth[:, 1:] - 0.5) > 1.5).any(axis=1),
        "fractions of the image, 0 to 1; divide pixels by its width and height",
    ),
)
"""Which rows of a target (M, 5) are wrong, and what is expected. A box may hang over the edge by the size of the
image."""


@dataclass(eq=False)
class MultiBoxLoss(Criterion):
    """Smooth L1 on the matched priors' offsets plus softmax loss on classes with hard negatives, over the matches.

    output: [locations (N, P, 4), logits (N, P, C)], or flat (N, P * 4) and (N, P * C); class 0 is the background.
    target: a table of one array (M, 5) per image: label 1..C-1, x_min, y_min, x_max, y_max as fractions; M may be 0.

    Matching: each true box takes its best free prior, the best pairs first; then each other prior takes its best box
    where IoU >= overlap. Negatives are unmatched priors whose best IoU is < neg_overlap; those with the largest loss
    are used, per image neg_pos_ratio times as many as there are matched priors. Both sums are divided by the number of
    matches in the batch, and are 0 without any.
    Source: SSD (Liu et al. 2016).

    Raises:
        ValueError: shapes that do not fit the priors, an invalid label, or a box that is not finite, has no area, or
            lies far outside the image, as boxes in pixels do.
    """

    priors: Array
    variances: Variances = VARIANCES
    overlap: float = 0.5
    neg_overlap: float = 0.5
    neg_pos_ratio: float = 3.0
    loc_weight: float = 1.0
    parts: tuple[float, float] = field(default=(0.0, 0.0), init=False)

    def __post_init__(self) -> None:
        self.priors = np.ascontiguousarray(self.priors, np.float32)
        if self.priors.ndim != 2 or self.priors.shape[1] != 4:
            raise ValueError(f"{self.label()}: got priors {self.priors.shape}, expected (P, 4) corners")

    def apply(self, output: list[Array], target: list[Array]) -> tuple[float, Gradient]:
        count, size = len(output[0]), len(self.priors)
        locations, logits = output[0].reshape(count, -1, 4), output[1].reshape(count, size, -1)
        if locations.shape[1] != size or len(target) != count:
            raise ValueError(
                f"{self.label()}: got {locations.shape[1]} locations and {len(target)} targets for {count} images, "
                f"expected {size} locations each and one target per image"
            )
        matches = [match(self.priors, boxes, self.overlap) for boxes in self._checked(target, logits.shape[2])]
        log_sum = _log_sum_exp(logits)
        rows, labels, images = self._chosen(matches, target, log_sum - logits[..., _BACKGROUND])
        positive = labels != _BACKGROUND
        total = np.float32(positive.sum())
        if total == 0:
            self.parts = (0.0, 0.0)
            return 0.0, lambda: [np.zeros_like(output[0]), np.zeros_like(output[1])]
        confidence = (log_sum[images, rows] - logits[images, rows, labels]).sum() / total
        where = images[positive], rows[positive]
        gap = locations[where] - self._encoded(matches, target, *where)
        location = smooth_l1(gap).sum() / total
        self.parts = float(location), float(confidence)

        def gradient() -> list[Array]:
            grad_locations, grad_logits = (
                np.zeros(locations.shape, locations.dtype),
                np.zeros(logits.shape, logits.dtype),
            )
            grad_locations[where] = np.clip(gap, -1, 1) * np.float32(self.loc_weight) / total
            share = np.exp(logits[images, rows] - log_sum[images, rows][:, None])
            share[np.arange(len(rows)), labels] -= 1
            grad_logits[images, rows] = share / total
            return [grad_locations.reshape(output[0].shape), grad_logits.reshape(output[1].shape)]

        return float(self.loc_weight * location + confidence), gradient

    def _checked(self, target: list[Array], classes: int) -> list[Array]:
        for index, truth in enumerate(target):
            if truth.size == 0:
                continue
            if truth.ndim != 2 or truth.shape[1] != 5:
                raise ValueError(f"{self.label()}: got target {truth.shape} for image {index}, expected (M, 5)")
            for wrong, expected in _WRONG_TARGETS:
                bad = wrong(truth, classes)
                if bad.any():
                    raise ValueError(
                        f"{self.label()}: got {truth[bad][0].tolist()} for image {index} of {len(target)}, "
                        f"expected {expected.format(last=classes - 1)}"
                    )
        return [truth.reshape(-1, 5)[:, 1:] for truth in target]

    def _chosen(
        self, matches: list[tuple[NDArray[np.intp], Array]], target: list[Array], background_loss: Array
    ) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
        """(prior, label, image) of all priors that count: the matched, and the hardest unmatched."""
        rows, labels, images = [], [], []
        for image, ((assigned, best), truth) in enumerate(zip(matches, target, strict=True)):
            positive = np.flatnonzero(assigned >= 0)
            eligible = np.flatnonzero((assigned < 0) & (best < self.neg_overlap))
            wanted = min(int(self.neg_pos_ratio * len(positive)), len(eligible))
            order = np.argpartition(-background_loss[image, eligible], max(wanted - 1, 0)) if wanted else eligible[:0]
            negative = eligible[order[:wanted]]
            rows.append(np.concatenate([positive, negative]))
            known = truth[assigned[positive], 0].astype(np.intp) if len(positive) else positive
            labels.append(np.concatenate([known, np.full(len(negative), _BACKGROUND, np.intp)]))
            images.append(np.full(len(rows[-1]), image, np.intp))
        return np.concatenate(rows), np.concatenate(labels), np.concatenate(images)

    def _encoded(
        self,
        matches: list[tuple[NDArray[np.intp], Array]],
        target: list[Array],
        images: NDArray[np.intp],
        rows: NDArray[np.intp],
    ) -> Array:
        """(K, 4) the offsets of the matched boxes from their priors, in centre-size form, divided by the variances."""
        boxes = np.stack([target[i][matches[i][0][row], 1:] for i, row in zip(images, rows, strict=True)])
        return encode(boxes, self.priors[rows], self.variances)


def _log_sum_exp(logits: Array) -> Array:
    """(N, P) log of the sum over classes of exp(logits); classes come first, since numpy reduces short rows slowly."""
    columns = np.moveaxis(logits, 2, 0).copy()
    top = columns.max(axis=0)
    columns -= top
    np.exp(columns, out=columns)
    result: Array = top + np.log(columns.sum(axis=0))
    return result


def match(priors: Array, boxes: Array, overlap: float) -> tuple[NDArray[np.intp], Array]:
    """(P,) the index of the box of each prior or -1, and (P,) its best IoU.

    A box without any overlap stays unmatched.
    """
    if len(boxes) == 0:
        return np.full(len(priors), -1, np.intp), np.zeros(len(priors), np.float32)
    left = iou(boxes, priors)
    best = left.max(axis=0)
    assigned = np.where(best >= overlap, left.argmax(axis=0), -1)
    for _ in range(len(boxes)):
        box, prior = np.unravel_index(left.argmax(), left.shape)
        if left[box, prior] <= 1e-6:
            break
        assigned[prior] = box
        left[:, prior], left[box] = -1, -1
    return assigned, best
