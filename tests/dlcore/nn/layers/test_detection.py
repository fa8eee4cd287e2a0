"""Layers of the family detection: a row per layer and variant, against slow loops."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from dlcore.nn.layer import DetectionOutputFrcnn, DetectionOutputSSD, PriorBox, Proposal
from dlcore.nn.layers.detection import anchors
from dlcore.testing import LayerCase, check_layer
from tests.dlcore.nn.layers.arrays import normal


def overlap(a, b, added):
    """Intersection over union of two boxes; sides are `added` longer than their corners are apart."""
    width = min(a[2], b[2]) - max(a[0], b[0]) + added
    height = min(a[3], b[3]) - max(a[1], b[1]) + added
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box[2] - box[0] + added) * (box[3] - box[1] + added) for box in (a, b)]
    return width * height / (sum(areas) - width * height)


def suppressed(boxes, scores, limit, added):
    """Indices of the boxes that no better kept one overlaps, best first."""
    kept = []
    for i in np.argsort(-scores, kind="stable"):
        if all(overlap(boxes[i], boxes[k], added) <= limit for k in kept):
            kept.append(i)
    return kept


def moved(box, offsets, added):
    width, height = box[2] - box[0] + added, box[3] - box[1] + added
    x, y = box[0] + width / 2 + offsets[0] * width, box[1] + height / 2 + offsets[1] * height
    half_width, half_height = width * np.exp(offsets[2]) / 2, height * np.exp(offsets[3]) / 2
    return np.array([x - half_width, y - half_height, x + half_width, y + half_height])


def clipped(box, height, width):
    return np.clip(box, 0, [width - 1, height - 1, width - 1, height - 1])


def as_row(rows):
    return np.array([[len(rows), *[number for row in rows for number in row]]])


def slow_priors(_, x):
    """The third variant: 2 x 3 cells on 40 x 60 pixels, sizes 10 to 20 and 15 to 30, ratios 2 and 1/2."""
    boxes = []
    for row in range(x.shape[2]):
        for column in range(x.shape[3]):
            y0, x0 = (row + 0.5) * 20, (column + 0.5) * 20
            for low, high in ((10, 20), (15, 30)):
                root = np.sqrt(low * high)
                sides = [(low, low), (root, root)]
                sides += [(low * np.sqrt(r), low / np.sqrt(r)) for r in (2, 0.5)]
                boxes += [[x0 - w / 2, y0 - h / 2, x0 + w / 2, y0 + h / 2] for w, h in sides]
    boxes = np.clip(np.array(boxes) / [60, 40, 60, 40], 0, 1)
    return np.stack([boxes, np.tile([0.1, 0.1, 0.2, 0.2], (len(boxes), 1))]).reshape(1, 2, -1)


def slow_proposals(pre, post):
    def formula(module, x):
        scores, offsets, image = x
        height, width, scale_height, scale_width = image[0]
        boxes, likely = [], []
        near = anchors(module.ratios, module.scales, scores.shape[2:]).reshape(*scores.shape[2:], -1, 4)
        for row, column, kind in np.ndindex(near.shape[:3]):
            box = clipped(
                moved(near[row, column, kind], offsets[0, 4 * kind : 4 * kind + 4, row, column], 1), height, width
            )
            if box[2] - box[0] + 1 >= 16 * scale_width and box[3] - box[1] + 1 >= 16 * scale_height:
                boxes.append(box)
                likely.append(scores[0, near.shape[2] + kind, row, column])
        best = np.argsort(-np.array(likely), kind="stable")[:pre]
        boxes, likely = np.array(boxes)[best], np.array(likely)[best]
        return np.array([[0, *boxes[i]] for i in suppressed(boxes, likely, 0.7, 1)[:post]])

    return formula


def slow_ssd(module, x):
    """Of probabilities as they are, boxes by class, background 1, three detections, plain offsets."""
    if module.is_training():
        return x
    locations, confidences, priors = x[0].reshape(2, 6, 3, 4), x[1].reshape(2, 6, 3), x[2].reshape(2, 6, 4)
    images = []
    for image in range(2):
        found = []
        for label in (0, 2):
            boxes = np.array([moved(priors[0, p], locations[image, p, label], 0) for p in range(6)])
            scores = confidences[image, :, label]
            kept = [i for i in suppressed(boxes, scores, 0.45, 0) if scores[i] > 0.2]
            found += [(label, scores[i], *boxes[i]) for i in kept]
        found = sorted(found, key=lambda row: -row[1])[:3]
        images.append(as_row(sorted(found, key=lambda row: (row[0], -row[1])))[0])
    longest = max(len(row) for row in images)
    return np.array([np.pad(row, (0, longest - len(row))) for row in images])


def slow_frcnn(module, x):
    if module.is_training():
        return x
    image, proposals, offsets, scores = x
    height, width, scale_height, scale_width = image[0]
    rows = []
    for label in range(1, module.n_classes):
        boxes = []
        for proposal, offset in zip(proposals, offsets, strict=True):
            plain = proposal[1:] / [scale_width, scale_height, scale_width, scale_height]
            box = moved(plain, offset[4 * label : 4 * label + 4], 1)
            boxes.append(clipped(box, height / scale_height, width / scale_width))
        chosen = [i for i in range(len(boxes)) if scores[i, label] > module.thresh]
        boxes, own = np.array([boxes[i] for i in chosen]), scores[chosen, label]
        for i in suppressed(boxes, own, module.nms_thresh, 1):
            voters = [k for k in range(len(boxes)) if overlap(boxes[i], boxes[k], 1) >= 0.5]
            box = np.average(boxes[voters], axis=0, weights=own[voters]) if module.bbox_vote else boxes[i]
            rows.append((label, own[i], *box))
    rows = sorted(rows, key=lambda row: -row[1])[: module.max_per_image]
    return as_row(sorted(rows, key=lambda row: (row[0], -row[1])))


ratios, scales = [0.5, 1.0, 2.0], [1.0, 2.0]
region_scores = special.expit(normal(1, 12, 4, 5))
region_input = [region_scores, 0.4 * normal(1, 24, 4, 5, seed=6), np.array([[60.0, 75.0, 1.0, 1.1]])]
corners = np.random.default_rng(3).uniform(0, 0.6, (6, 2))
priors = np.concatenate([corners, corners + np.random.default_rng(4).uniform(0.2, 0.4, (6, 2))], axis=1)
priors = np.stack([priors, np.full((6, 4), 0.3)]).reshape(1, 2, -1)
ssd_input = [0.3 * normal(2, 72), special.expit(normal(2, 18)), priors]
starts = np.random.default_rng(5).uniform(0, 40, (8, 2))
proposals = np.concatenate(
    [np.zeros((8, 1)), starts, starts + np.random.default_rng(6).uniform(10, 50, (8, 2))], axis=1
)
shares = special.softmax(normal(8, 3), axis=1)
frcnn_input = [np.array([[80.0, 90.0, 2.0, 1.5]]), proposals, 0.2 * normal(8, 12), shares]


def loose(make, x, formula=None):
    return LayerCase(make, x, formula, has_batch=False, is_differentiable=False)


CASES = {
    "PriorBox": LayerCase(lambda: PriorBox([10.0], img_size=30), normal(1, 2, 3, 3), has_batch=False),
    "PriorBox-table": LayerCase(
        lambda: PriorBox([10.0], None, [1.0, 3.0], False, img_h=30, img_w=20), [normal(2, 2, 3, 2)], has_batch=False
    ),
    "PriorBox-all": LayerCase(
        lambda: PriorBox(
            [10.9, 15.0], [20.0, 30.5], [2.0, 1.0], True, True, [0.1, 0.1, 0.2, 0.2], 0.5, 40, 60, 0, 20.0, 20.0
        ),
        normal(1, 3, 2, 3),
        slow_priors,
        has_batch=False,
    ),
    "Proposal": loose(lambda: Proposal(40, 12, ratios, scales, 40, 12), region_input, slow_proposals(40, 12)),
    "DetectionOutputSSD": loose(
        lambda: DetectionOutputSSD(
            3, False, 1, keep_top_k=3, conf_thresh=0.2, variance_encoded_in_target=True, conf_post_process=False
        ),
        ssd_input,
        slow_ssd,
    ),
    "DetectionOutputFrcnn": loose(lambda: DetectionOutputFrcnn(3, False, 0.3, 5, 0.2), frcnn_input, slow_frcnn),
    "DetectionOutputFrcnn-vote": loose(lambda: DetectionOutputFrcnn(3, True), frcnn_input, slow_frcnn),
}


@pytest.mark.parametrize("name", CASES)
def test_layer(name):
    check_layer(CASES[name])


@pytest.mark.parametrize("name", CASES)
def test_doubles_stay_doubles(name):
    kind = type(CASES[name].make())
    layer = kind(**CASES[name].make().config(), bigdl_type="double").evaluate()
    y, single = (each.forward(CASES[name].x) for each in (layer, CASES[name].make().evaluate()))
    assert y.dtype == np.float64
    np.testing.assert_allclose(y, single, rtol=1e-4, atol=1e-4)


def test_in_training_a_proposal_layer_takes_its_other_numbers():
    layer = Proposal(40, 12, ratios, scales, 7, 3)
    expected = {True: slow_proposals(7, 3), False: slow_proposals(40, 12)}
    for is_training, formula in expected.items():
        np.testing.assert_allclose(
            layer.training(is_training).forward(region_input), formula(layer, region_input), atol=1e-4
        )


def test_anchors_are_those_of_the_published_program():
    """The nine of py-faster-rcnn's generate_anchors, for the first cell."""
    expected = [
        *([-84, -40, 99, 55], [-176, -88, 191, 103], [-360, -184, 375, 199]),
        *([-56, -56, 71, 71], [-120, -120, 135, 135], [-248, -248, 263, 263]),
        *([-36, -80, 51, 95], [-80, -168, 95, 183], [-168, -344, 183, 359]),
    ]
    found = anchors([0.5, 1, 2], [8, 16, 32], (2, 3))
    np.testing.assert_array_equal(found[:9], expected)
    np.testing.assert_array_equal(found[9:18], np.add(expected, [16, 0, 16, 0]))
    np.testing.assert_array_equal(found[27:36], np.add(expected, [0, 16, 0, 16]))


def test_nothing_found_is_a_row_that_says_so():
    nothing = DetectionOutputSSD(3, conf_thresh=1.0).evaluate()
    x = [ssd_input[0][:, :24], ssd_input[1], priors]
    np.testing.assert_array_equal(nothing.forward(x), [[0], [0]])
    assert nothing.output_shape([(None, 24), (None, 18), (1, 2, 24)]) == (None, None)
    none = DetectionOutputFrcnn(3, True, thresh=1.0).evaluate()
    np.testing.assert_array_equal(none.forward(frcnn_input), [[0]])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PriorBox([10.0]), "got no size of the image, expected img_size, or img_h and img_w"),
        (lambda: PriorBox([10.0], [5.0], img_size=30), r"got min_sizes \[10.0\] and max_sizes \[5.0\]"),
        (lambda: PriorBox([10.0], [15.0, 20.0], img_size=30), "expected a larger one for each"),
        (lambda: PriorBox([10.0], variances=[0.1, 0.2], img_size=30), "expected one or four"),
        (lambda: Proposal(5, 5, [1.0], [1.0]).forward(region_input), "one image and 1 anchors"),
        (lambda: Proposal(5, 5, [1.0], [1.0]).forward(region_input[0]), "expected a table of arrays"),
        (lambda: DetectionOutputSSD(4).evaluate().forward(ssd_input[:2]), "expected a table of three entries"),
        (
            lambda: DetectionOutputFrcnn(4, False).evaluate().forward(frcnn_input[:3]),
            "expected a table of four entries",
        ),
        (lambda: DetectionOutputSSD(4).evaluate().forward(ssd_input), "for 6 priors and 4 classes"),
        (lambda: DetectionOutputFrcnn(4, False).evaluate().forward(frcnn_input), "for 8 proposals"),
    ],
)
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
