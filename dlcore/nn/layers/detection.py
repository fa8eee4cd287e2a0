"""Layers around detectors: priors, proposals, and detections from a network's outputs.

Boxes are x_min, y_min, x_max, y_max: fractions of the image for SSD; pixels that count as wide as high for Faster
R-CNN, whose box from 3 to 5 is 3 pixels wide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlcore import kernels
from dlcore.activity import Array, Pullback, describe, float_type, zeros_like
from dlcore.boxes import decode, iou, prior_extents, priors_of_cells
from dlcore.nn.layers.table import entries
from dlcore.nn.module import Module
from dlcore.nn.shapes import ActivityShape

__all__ = ["DetectionOutputFrcnn", "DetectionOutputSSD", "PriorBox", "Proposal"]

_LAST_PIXEL = np.array([0, 0, 1, 1], np.float32)
"""What makes a box of pixels as wide as its pixels are many."""
_PLAIN = (1.0, 1.0, 1.0, 1.0)
_SIDE = 16
"""Pixels of the image to a cell of the feature map, and the least side of a proposal."""
_PROPOSALS_APART = 0.7


@dataclass(frozen=True)
class DetectionRule:
    """What is kept: scores strictly above `min_score`; of each class the `top_k` best before and those that overlap no
    better one by more than `nms_threshold`; of an image the `keep_top_k` best, all unless it is positive."""

    min_score: float = 0.01
    nms_threshold: float = 0.45
    top_k: int = 400
    keep_top_k: int = 200


@dataclass(frozen=True)
class Detections:
    """The detections in one image, best first: labels (D,) int (index of the class; 0, the background, does not occur),
    scores (D,), boxes (D, 4) as fractions of the image, not clipped."""

    labels: NDArray[np.int64]
    scores: Array
    boxes: Array


def detect(boxes: Array, scores: Array, rule: DetectionRule, background: int = 0) -> Detections:
    """The detections in one image. boxes: (P, 1, 4), or (P, C, 4) if each class has its own. scores: (P, C). A box that
    is not finite is left out."""
    found: list[tuple[NDArray[np.int64], NDArray[np.int64], Array]] = []
    is_finite = np.asarray(np.isfinite(boxes).all(axis=2))
    for label in range(scores.shape[1]):
        kind = min(label, boxes.shape[1] - 1)
        candidates = np.flatnonzero((scores[:, label] > rule.min_score) & is_finite[:, kind])
        if label != background and len(candidates):
            own = boxes[:, kind]
            kept = kernels.nms(own[candidates], scores[candidates, label], rule.nms_threshold, rule.top_k)
            found.append((np.full(len(kept), label), candidates[kept], own[candidates[kept]]))
    if not found:
        return Detections(np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros((0, 4), np.float32))
    labels, priors, kept_boxes = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.argsort(-scores[priors, labels], kind="stable")
    order = order[: rule.keep_top_k] if rule.keep_top_k > 0 else order
    return Detections(labels[order], scores[priors, labels][order], kept_boxes[order])


def _as_rows(images: list[Detections]) -> Array:
    """(N, 1 + 6 D): how many there are, then label, score and box of each, by label, best first; zeros behind them."""
    rows = np.zeros((len(images), 1 + 6 * max((len(found.labels) for found in images), default=0)), np.float32)
    for row, found in zip(rows, images, strict=True):
        columns = np.column_stack([found.labels, found.scores, found.boxes])
        row[0], row[1 : 1 + columns.size] = len(columns), columns[np.argsort(found.labels, kind="stable")].reshape(-1)
    return rows


def _without_gradient(x: Any, y: Array) -> tuple[Array, Pullback]:
    """`y` in the floating-point type of `x`. Boxes themselves are float32, whose steps at 1,000 pixels are below
    1e-4."""
    return y.astype(float_type(x), copy=False), lambda grad: zeros_like(x)


@dataclass(eq=False)
class PriorBox(Module):
    """SSD's priors of one feature map, as fractions of the image.

    x: (N, C, H, W), or a table that begins with it -> (1, 2, H W K 4): boxes, then their variances.
    There are K priors per cell. Each of min_sizes (in pixels, rounded down) gives a square, a square of side
    sqrt(min max) if there are max_sizes, and rectangles of the aspect_ratios and, with is_flip, of their inverses.
    Steps are the distances between cells in pixels, image / map unless given. With is_clip boxes end at the image's
    edge. variances: one, or four; 0.1 unless given.
    Source: BigDL's PriorBox; Liu et al. 2016 (SSD).

    Raises:
        ValueError: no image size, sizes that do not fit one another, or neither one nor four variances.
    """

    min_sizes: list[float]
    max_sizes: list[float] | None = None
    aspect_ratios: list[float] | None = None
    is_flip: bool = True
    is_clip: bool = False
    variances: list[float] | None = None
    offset: float = 0.5
    img_h: int = 0
    img_w: int = 0
    img_size: int = 0
    step_h: float = 0.0
    step_w: float = 0.0
    step: float = 0.0

    def __post_init__(self) -> None:
        self._image = np.array([self.img_h or self.img_size, self.img_w or self.img_size], np.float32)
        if self._image.min() <= 0:
            raise ValueError(f"{self.label()}: got no size of the image, expected img_size, or img_h and img_w")
        if len(self.variances or [0.1]) not in (1, 4):
            raise ValueError(f"{self.label()}: got variances {self.variances}, expected one or four")
        highest: Sequence[float | None] = self.max_sizes or [None] * len(self.min_sizes)
        sizes = list(zip(self.min_sizes, highest, strict=False))
        if len(highest) != len(self.min_sizes) or any(high is not None and high <= low for low, high in sizes):
            raise ValueError(
                f"{self.label()}: got min_sizes {self.min_sizes} and max_sizes {self.max_sizes}, expected a larger "
                f"one for each"
            )
        self._extents = np.concatenate(
            [prior_extents(int(low), None if high is None else int(high), self._ratios()) for low, high in sizes]
        )

    def _ratios(self) -> list[float]:
        found: list[float] = []
        for ratio in self.aspect_ratios or []:
            if all(abs(ratio - known) >= 1e-6 for known in [1.0, *found]):
                found += [ratio, 1 / ratio] if self.is_flip else [ratio]
        return found

    def apply(self, x: Any) -> tuple[Array, Pullback]:
        cells = (x[0] if isinstance(x, list) else x).shape[2:]
        height, width = (float(size) / count for size, count in zip(self._image, cells, strict=True))
        step = (self.step_h or self.step or height, self.step_w or self.step or width)
        boxes = priors_of_cells(self._extents, cells, step, self.offset) / np.tile(self._image[::-1], 2)
        if self.is_clip:
            boxes = np.clip(boxes, 0.0, 1.0)
        variances = np.broadcast_to(np.array(self.variances or [0.1], np.float32), boxes.shape)
        return _without_gradient(x, np.stack([boxes, variances]).reshape(1, 2, -1))


@dataclass(eq=False)
class DetectionOutputSSD(Module):
    """SSD's detections in evaluation; in training its input unchanged, for the loss.

    x: [locations (N, P 4), or (N, P C 4) without share_location, confidences (N, P C), priors (1, 2, P 4)] -> (N, 1 + 6
    D): how many detections, then label, score, x_min, y_min, x_max, y_max of each, by label, best first; zeros behind
    them.
    Confidences are scores, or probabilities if conf_post_process is False. With variance_encoded_in_target the priors'
    variances are not used. There is no gradient in evaluation. `DetectionRule` says which boxes are kept.
    Source: BigDL's DetectionOutputSSD; Liu et al. 2016.

    Raises:
        ValueError: inputs that do not fit one another.
    """

    is_dynamic = True
    n_classes: int = 21
    share_location: bool = True
    bg_label: int = 0
    nms_thresh: float = 0.45
    nms_topk: int = 400
    keep_top_k: int = 200
    conf_thresh: float = 0.01
    variance_encoded_in_target: bool = False
    conf_post_process: bool = True

    def apply(self, x: list[Any]) -> tuple[Any, Pullback]:
        if self._training:
            return x, lambda grad: grad
        locations, confidences, priors = self._parts(x)
        variances = _PLAIN if self.variance_encoded_in_target else priors[1, :, None]
        boxes = decode(locations, priors[0, :, None], variances)
        scores = kernels.softmax(confidences, 2) if self.conf_post_process else confidences
        rule = DetectionRule(self.conf_thresh, self.nms_thresh, self.nms_topk, self.keep_top_k)
        images = [detect(b, s, rule, self.bg_label) for b, s in zip(boxes, scores, strict=True)]
        return _without_gradient(x, _as_rows(images))

    def _parts(self, x: list[Any]) -> tuple[Array, Array, Array]:
        """Locations (N, P, 1 or C, 4), confidences (N, P, C), priors (2, P, 4)."""
        kinds, classes = 1 if self.share_location else self.n_classes, self.n_classes
        locations, confidences, priors = entries(x, self, 3)
        count, size = len(locations), priors.shape[-1] // 4
        if locations.shape != (count, size * kinds * 4) or confidences.shape != (count, size * classes):
            raise ValueError(
                f"{self.label()}: got {describe(x)}, expected locations (N, {size * kinds * 4}) and confidences "
                f"(N, {size * classes}) for {size} priors and {classes} classes"
            )
        return (
            locations.reshape(count, size, kinds, 4),
            confidences.reshape(count, size, classes),
            priors.reshape(2, -1, 4),
        )

    def output_shape(self, input_shape: ActivityShape) -> ActivityShape:
        return input_shape if self._training else (input_shape[0][0], None)  # type: ignore[index,return-value]


def anchors(ratios: list[float], scales: list[float], cells: tuple[int, int]) -> Array:
    """(rows columns A, 4) the boxes of Faster R-CNN around each cell of 16 pixels, A by ratio, then scale.

    A square of 16 pixels is given each ratio of height to width, in whole pixels, then each scale (Ren et al. 2015's
    program).
    """
    width = np.round(_SIDE / np.sqrt(np.array(ratios)))
    height = np.round(width * np.array(ratios))
    sides = np.stack([width, height], axis=-1)[:, None] * np.array(scales)[None, :, None]
    half, middle = (sides.reshape(-1, 2) - 1) / 2, (_SIDE - 1) / 2
    single = np.concatenate([middle - half, middle + half], axis=-1)
    y, x = (np.arange(count) * _SIDE for count in cells)
    shift = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 1, 2)
    return (single[None] + np.tile(shift, 2)).reshape(-1, 4).astype(np.float32)


def _within(boxes: Array, height: float, width: float) -> Array:
    """`boxes` (..., 4) cut at the edge of an image of this many pixels."""
    return np.clip(boxes, 0, np.array([width - 1, height - 1] * 2, np.float32))


@dataclass(eq=False)
class Proposal(Module):
    """Faster R-CNN's proposals: the best boxes of the region proposal network that do not overlap better ones too much.

    x: [scores (1, 2 A, H, W), offsets (1, 4 A, H, W), image (1, 4)] -> (R, 5): 0, the number of the image, then a box
    in pixels.
    Scores are A for "no object", then A for "object"; image is its height, its width and their scales. A =
    len(ratios) len(scales); the ratios are of height to width.
    Boxes are cut at the image's edge. Those smaller than 16 scale pixels are left out; then all but the best
    pre_nms_topn, those that overlap a better one by more than 0.7, and all but the best post_nms_topn. In training the
    rpn_... numbers are used instead. There is no gradient.
    Source: BigDL's Proposal; Ren et al. 2015 (Faster R-CNN).

    Raises:
        ValueError: several images, or inputs that do not fit one another.
    """

    is_dynamic = True
    pre_nms_topn: int
    post_nms_topn: int
    ratios: list[float]
    scales: list[float]
    rpn_pre_nms_topn_train: int = 12000
    rpn_post_nms_topn_train: int = 2000

    def apply(self, x: list[Any]) -> tuple[Array, Pullback]:
        scores, offsets, image = entries(x, self, 3)
        kinds = len(self.ratios) * len(self.scales)
        cells = scores.shape[2:]
        if scores.shape != (1, 2 * kinds, *cells) or offsets.shape != (1, 4 * kinds, *cells) or image.shape != (1, 4):
            raise ValueError(
                f"{self.label()}: got {describe(x)}, expected (1, {2 * kinds}, H, W), (1, {4 * kinds}, H, W) and (1, "
                f"4): "
                f"one image and {kinds} anchors"
            )
        height, width, scale_height, scale_width = image[0]
        before, after = (
            (self.rpn_pre_nms_topn_train, self.rpn_post_nms_topn_train)
            if self._training
            else (self.pre_nms_topn, self.post_nms_topn)
        )
        likely = scores[0, kinds:].transpose(1, 2, 0).reshape(-1)
        moves = offsets[0].transpose(1, 2, 0).reshape(-1, 4)
        near = anchors(self.ratios, self.scales, cells) + _LAST_PIXEL
        boxes = _within(decode(moves, near, _PLAIN), height, width)
        sides = boxes[:, 2:] - boxes[:, :2] + 1
        kept = np.flatnonzero((sides >= _SIDE * np.array([scale_width, scale_height])).all(axis=1))
        best = kernels.nms(boxes[kept] + _LAST_PIXEL, likely[kept], _PROPOSALS_APART, before)
        chosen = boxes[kept[best[:after] if after > 0 else best]]
        return _without_gradient(x, np.pad(chosen, [(0, 0), (1, 0)]))

    def output_shape(self, input_shape: ActivityShape) -> ActivityShape:
        return None, 5


@dataclass(eq=False)
class DetectionOutputFrcnn(Module):
    """Faster R-CNN's detections in evaluation; in training its input unchanged.

    x: [image (1, 4), proposals (R, 5), offsets (R, C 4), scores (R, C)] -> (1, 1 + 6 D): how many detections, then
    label, score and box of each, by label, best first. image is its height, its width and their scales. proposals may
    be a table that begins with them. Boxes are in pixels of the image before it was scaled; label 0 is the background.
    Detections with a score above `thresh` are kept, without those that overlap a better one of their class by more than
    nms_thresh, and then only the best max_per_image. With bbox_vote a box becomes the mean, weighted by score, of those
    of its class that overlap it by half or more. There is no gradient in evaluation.
    Source: BigDL's DetectionOutputFrcnn; Ren et al. 2015; Gidaris and Komodakis 2015 (voting).

    Raises:
        ValueError: inputs that do not fit one another.
    """

    is_dynamic = True
    n_classes: int
    bbox_vote: bool
    nms_thresh: float = 0.3
    max_per_image: int = 100
    thresh: float = 0.05

    def apply(self, x: list[Any]) -> tuple[Any, Pullback]:
        if self._training:
            return x, lambda grad: grad
        image, found, offsets, scores = entries(x, self, 4)
        proposals = found[0] if isinstance(found, list) else found
        count = len(proposals)
        if (offsets.shape, scores.shape) != ((count, 4 * self.n_classes), (count, self.n_classes)):
            raise ValueError(
                f"{self.label()}: got {describe(x)}, expected offsets ({count}, {4 * self.n_classes}) and scores "
                f"({count}, {self.n_classes}) for {count} proposals"
            )
        height, width, scale_height, scale_width = image[0]
        scales = np.array([scale_width, scale_height] * 2, np.float32)
        near = (proposals[:, 1:] / scales + _LAST_PIXEL)[:, None]
        moved = decode(offsets.reshape(count, self.n_classes, 4), near, _PLAIN)
        boxes = _within(moved, height / scale_height, width / scale_width) + _LAST_PIXEL
        found = detect(boxes, scores, DetectionRule(self.thresh, self.nms_thresh, 0, self.max_per_image))
        kept = self._voted(found, boxes, scores) if self.bbox_vote else found.boxes
        return _without_gradient(x, _as_rows([Detections(found.labels, found.scores, kept - _LAST_PIXEL)]))

    def _voted(self, found: Detections, boxes: Array, scores: Array) -> Array:
        voted = found.boxes.copy()
        for label in np.unique(found.labels):
            own, voters = found.labels == label, scores[:, label] > self.thresh
            weight = scores[voters, label] * (iou(found.boxes[own], boxes[voters, label]) >= 0.5)
            voted[own] = weight @ boxes[voters, label] / weight.sum(axis=1, keepdims=True)
        return voted

    def output_shape(self, input_shape: ActivityShape) -> ActivityShape:
        return input_shape if self._training else (1, None)
