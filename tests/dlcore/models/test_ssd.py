"""SSD: published sizes, priors by a slow loop, the box code, matching, and detections by a slow loop."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dlcore.boxes import decode, encode, iou
from dlcore.models.ssd import SsdConfig, ssd, ssd300_vgg16, ssd512_vgg16, ssd_small
from dlcore.nn.criterion.detection import match
from dlcore.nn.init import skipped
from dlcore.vision.detection_output import DetectionRule, detection_output
from dlcore.vision.priors import PriorLevel, prior_boxes


def slow_priors(config: SsdConfig) -> list[list[float]]:
    """As Caffe's PriorBox layer writes them."""
    boxes = []
    for source in config.sources:
        level = source.priors
        for row in range(level.side):
            for column in range(level.side):
                x, y = (column + 0.5) * level.step, (row + 0.5) * level.step
                sizes = [(level.min_size, level.min_size)]
                sizes.append((math.sqrt(level.min_size * level.max_size),) * 2)
                for ratio in level.aspect_ratios:
                    for r in (ratio, 1 / ratio):
                        sizes.append((level.min_size * math.sqrt(r), level.min_size / math.sqrt(r)))
                for w, h in sizes:
                    boxes.append([(x - w / 2) / config.size, (y - h / 2) / config.size])
                    boxes[-1] += [(x + w / 2) / config.size, (y + h / 2) / config.size]
    return boxes


@pytest.mark.parametrize(
    ("config", "count"), [(ssd300_vgg16(), 8732), (ssd512_vgg16(), 24564), (ssd_small(("background", "bag"), 96), 870)]
)
def test_priors(config: SsdConfig, count: int) -> None:
    priors = config.priors()
    assert priors.shape == (count, 4)
    np.testing.assert_allclose(priors, slow_priors(config), atol=1e-6)


# Multiply-adds of the published networks, from the layer tables of the paper's Caffe models (heads for 21 classes
# included).
@pytest.mark.parametrize(("config", "gmac"), [(ssd300_vgg16(), 31.37), (ssd512_vgg16(), 90.2)])
def test_published_networks_have_their_size(config: SsdConfig, gmac: float) -> None:
    with skipped():
        model = ssd(config)
    shapes = {name: parameter.value.shape for name, parameter in model.named_parameters().items()}
    assert shapes["conv4_3_norm.weight"] == (1, 512, 1, 1)
    assert shapes["fc6.weight"] == (1024, 512, 3, 3)
    assert shapes["conv4_3_norm_mbox_conf.weight"] == (84, 512, 3, 3)
    assert shapes["fc7_mbox_loc.weight"] == (24, 1024, 3, 3)
    assert multiply_adds(config, shapes) / 1e9 == pytest.approx(gmac, rel=2e-3)


def multiply_adds(config: SsdConfig, shapes: dict[str, tuple[int, ...]]) -> int:
    """Sum over the convolutions of outputs times weights, sizes followed row by row."""
    side, total, sides = config.size, 0, {}
    for row in config.body:
        dilation = getattr(row, "dilation", 1)
        room = side + 2 * row.pad - dilation * (row.kernel - 1) - 1
        is_pool = f"{row.name}.weight" not in shapes
        side = (math.ceil(room / row.stride) if is_pool else room // row.stride) + 1
        sides[row.name] = side
        if not is_pool:
            total += side * side * math.prod(shapes[f"{row.name}.weight"])
    for source in config.sources:
        assert sides[source.row] == source.priors.side
        name = f"{source.row}_norm" if source.normalised else source.row
        heads = [shapes[f"{name}_mbox_{suffix}.weight"] for suffix in ("loc", "conf")]
        total += sides[source.row] ** 2 * sum(math.prod(shape) for shape in heads)
    return total


def test_the_small_network_gives_a_row_per_prior() -> None:
    config = ssd_small(("background", "bag", "shoe"), size=64)
    locations, logits = ssd(config).evaluate().forward(np.zeros((2, 3, 64, 64), np.float32))
    assert locations.shape == (2, len(config.priors()), 4)
    assert logits.shape == (2, len(config.priors()), 3)


def test_an_unknown_source_is_refused() -> None:
    config = ssd_small(("background", "bag"))
    with pytest.raises(ValueError, match="got sources \\['block8'"):
        ssd(SsdConfig(64, config.classes, config.body[:2], config.sources[:1]))


def test_decode_inverts_encode() -> None:
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 0.6, (2, 50, 2))
    boxes, priors = np.concatenate([corner, corner + rng.uniform(0.05, 0.4, (2, 50, 2))], axis=-1).astype(np.float32)
    np.testing.assert_allclose(decode(encode(boxes, priors), priors), boxes, atol=1e-6)
    # A box shifted by a tenth of the prior's width is one variance of 0.1 away: code 1; twice as wide: log(2) / 0.2.
    prior = np.array([[0.2, 0.2, 0.4, 0.4]], np.float32)
    np.testing.assert_allclose(encode(prior + np.float32([0.02, 0, 0.02, 0]), prior), [[1, 0, 0, 0]], atol=1e-5)
    wide = np.array([[0.1, 0.2, 0.5, 0.4]], np.float32)
    np.testing.assert_allclose(encode(wide, prior), [[0, 0, math.log(2) / 0.2, 0]], atol=1e-5)


def test_matching_gives_every_true_box_a_prior() -> None:
    priors = prior_boxes([PriorLevel(4, 16, 16, 32)], 64)
    truth = np.array([[0.02, 0.02, 0.27, 0.27], [0.30, 0.30, 0.31, 0.31], [0.5, 0.5, 1.0, 1.0]], np.float32)
    assigned, best = match(priors, truth, 0.5)
    assert {0, 1, 2} <= set(assigned.tolist())
    overlaps = iou(truth, priors)
    np.testing.assert_allclose(best, overlaps.max(axis=0), rtol=1e-6)
    others = assigned[best >= 0.5]
    assert (others >= 0).all()
    assert match(priors, np.zeros((0, 4), np.float32), 0.5)[0].tolist() == [-1] * len(priors)


def slow_detections(boxes: np.ndarray, scores: np.ndarray, rule: DetectionRule) -> list[tuple[int, float]]:
    found = []
    for label in range(1, scores.shape[1]):
        order = [i for i in np.argsort(-scores[:, label], kind="stable") if scores[i, label] > rule.min_score][
            : rule.top_k
        ]
        kept: list[int] = []
        for i in order:
            if all(iou(boxes[i : i + 1], boxes[j : j + 1])[0, 0] <= rule.nms_threshold for j in kept):
                kept.append(i)
        found += [(label, float(scores[i, label])) for i in kept]
    return sorted(found, key=lambda pair: -pair[1])[: rule.keep_top_k]


def test_detection_output_is_the_slow_loop() -> None:
    rng = np.random.default_rng(5)
    priors = prior_boxes([PriorLevel(8, 8, 20, 30)], 64)
    locations = rng.standard_normal((2, len(priors), 4), dtype=np.float32)
    logits = 2 * rng.standard_normal((2, len(priors), 4), dtype=np.float32)
    rule = DetectionRule(min_score=0.1, top_k=60, keep_top_k=25)
    results = detection_output(locations, logits, priors, rule)
    exps = np.exp(logits.astype(np.float64))
    scores = (exps / exps.sum(axis=2, keepdims=True)).astype(np.float32)
    for image, result in enumerate(results):
        expected = slow_detections(decode(locations[image], priors), scores[image], rule)
        assert result.labels.tolist() == [label for label, _ in expected]
        np.testing.assert_allclose(result.scores, [score for _, score in expected], atol=1e-6)
        assert result.boxes.shape == (len(expected), 4)
    nothing = detection_output(locations[:1], np.float32([[[9, 0, 0, 0]]]).repeat(len(priors), 1), priors)
    assert len(nothing[0].scores) == 0


@pytest.mark.parametrize("broken", ["logits", "locations"])
def test_outputs_that_are_not_numbers_are_refused_by_the_number_of_their_image(broken: str) -> None:
    priors = np.float32([[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]])
    outputs = {"locations": np.zeros((3, 2, 4), np.float32), "logits": np.tile(np.float32([0, 5, 0]), (3, 2, 1))}
    outputs[broken][1] = np.nan
    with pytest.raises(ValueError, match=r"for image \[1\] of 3"):
        detection_output(outputs["locations"], outputs["logits"], priors)


def test_a_box_that_is_no_box_does_not_take_the_others_along() -> None:
    priors = np.float32([[0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]])
    locations, logits = np.zeros((1, 2, 4), np.float32), np.tile(np.float32([0, 5, 0]), (1, 2, 1))
    locations[0, 0, 3] = np.inf
    assert detection_output(locations, logits, priors)[0].boxes.tolist() == [[0.5, 0.5, 1, 1]]
