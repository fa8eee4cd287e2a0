"""Training scenes are true and repeat; the recipe learns eight pictures by heart in seconds; things are found once."""

from __future__ import annotations

import numpy as np
import pytest

from dlcore.boxes import encode, iou
from dlcore.models.ssd import ssd, ssd_small
from dlcore.nn.criterion import MultiBoxLoss
from dlcore.optim.adaptive import Adam
from dlcore.optim.loop import Optimizer
from dlcore.optim.source import BatchRequest
from dlcore.optim.trigger import MaxIteration
from dlcore.rng import RNG
from dlcore.vision.detection_output import Detections, detection_output
from dlcore.vision.detection_score import TrueObjects, mean_average_precision
from dlcore.vision.detector import any_objects
from dlcore.vision.preprocessing import Preprocessing
from sample_data.catalogue.categories import CATEGORIES
from sample_data.catalogue.views import ViewPool
from spark_jobs.training.detection_training import CLASSES, catalogue_test_set, draw_sample, training_batch


@pytest.fixture(scope="module")
def pool() -> ViewPool:
    return ViewPool.drawn(seed=31, products=2 * len(CATEGORIES), backgrounds=8, size=72, workers=1)


def test_samples_have_true_boxes_inside_and_repeat(pool: ViewPool) -> None:
    for seed in range(40):
        sample, again = (draw_sample(pool, np.random.default_rng(seed), 96) for _ in range(2))
        assert sample.pixels.shape == (96, 96, 3) and sample.pixels.dtype == np.uint8
        assert np.array_equal(sample.pixels, again.pixels) and np.array_equal(sample.target, again.target)
        labels, boxes = sample.target[:, 0], sample.target[:, 1:]
        assert ((labels >= 1) & (labels < len(CLASSES))).all()
        assert (boxes >= 0).all() and (boxes <= 1).all() and (boxes[:, 2:] > boxes[:, :2]).all()


def test_sometimes_nothing_is_there_and_every_class_occurs(pool: ViewPool) -> None:
    _, targets = training_batch(pool, np.random.default_rng(0), 160, Preprocessing(64))
    counts = [len(target) for target in targets]
    assert min(counts) == 0 and max(counts) >= 4
    assert {int(label) for target in targets for label in target[:, 0]} == set(range(1, len(CLASSES)))


def test_test_set_is_of_other_products_than_asked_for_in_training() -> None:
    judged = catalogue_test_set(seed=77, count=95, side=48)
    assert judged.pixels.shape[1:] == (48, 48, 3) and len(judged.pixels) == len(judged.truth)
    assert all(len(true.labels) >= 1 for true in judged.truth)


def test_eight_pictures_are_learnt_by_heart(pool: ViewPool) -> None:
    """Loss, matching, optimiser and decoding work together: mAP over 0.9 on what was trained on."""
    rng = np.random.default_rng(2)
    inputs, targets = training_batch(pool, rng, 8, Preprocessing(96))
    config = ssd_small(CLASSES, 96, 16)
    RNG.set_seed(3)
    model = ssd(config)

    def batches(request: BatchRequest) -> tuple[np.ndarray, list[np.ndarray]]:
        return inputs, targets

    trainer = Optimizer(model, batches, MultiBoxLoss(config.priors()), MaxIteration(110), 8, Adam(4e-3), is_quiet=True)
    trainer.optimize()
    model.training()  # eight pictures are too few for running means: judge with the batch's own
    locations, logits = model.forward(inputs)
    truth = [TrueObjects(target[:, 0].astype(np.int64), target[:, 1:]) for target in targets]
    assert mean_average_precision(detection_output(locations, logits, config.priors()), truth).map > 0.9


def test_each_thing_is_found_once_whatever_its_label() -> None:
    """Two priors on one box, torn between two labels: one thing, sure to be one though neither label is sure."""
    truth = np.array([[0.2, 0.2, 0.6, 0.6], [0.7, 0.7, 0.95, 0.95]], np.float32)
    priors = np.array(
        [[0.2, 0.2, 0.6, 0.6], [0.22, 0.2, 0.62, 0.6], [0.7, 0.7, 0.95, 0.95], [0, 0, 0.2, 0.2]], np.float32
    )
    locations = encode(truth[[0, 0, 1, 1]], priors)
    locations[3] = 0
    chances = np.array([[0.1, 0.5, 0.4], [0.2, 0.35, 0.45], [0.3, 0.1, 0.6], [0.9, 0.05, 0.05]], np.float32)
    things = any_objects(locations, np.log(chances), priors, 0.5)
    assert things.labels.tolist() == [2, 1]
    assert things.scores == pytest.approx([0.6, 0.5], abs=1e-5)
    assert things.sureness == pytest.approx([0.7, 0.9], abs=1e-5)
    assert np.diag(iou(things.boxes, truth[::-1])) == pytest.approx([1, 1], abs=1e-4)


def test_an_averaged_box_is_the_mean_of_those_that_nearly_cover_it() -> None:
    """Weights are squares of sureness; a box beside and one that is hardly sure have no part in it."""
    boxes = np.array(
        [[0.2, 0.2, 0.6, 0.6], [0.2, 0.2, 0.7, 0.6], [0.7, 0.7, 0.9, 0.9], [0.2, 0.2, 0.6, 0.65]], np.float32
    )
    sureness = np.array([0.8, 0.4, 0.6, 0.05], np.float32)
    logits = np.log(np.stack([1 - sureness, sureness], axis=1))
    things = any_objects(np.zeros((4, 4), np.float32), logits, boxes, 0.5, is_averaged=True)
    expected = [(0.64 * boxes[0] + 0.16 * boxes[1]) / 0.8, boxes[2]]
    assert np.allclose(things.boxes, expected, atol=1e-5)


def test_nothing_above_the_threshold_is_nothing() -> None:
    things = any_objects(
        np.zeros((3, 4), np.float32), np.array([[9.0, 0, 0]] * 3, np.float32), np.eye(3, 4, dtype=np.float32), 0.5
    )
    assert len(things.labels) == len(things.boxes) == 0
    assert isinstance(Detections(things.labels, things.scores, things.boxes), Detections)
