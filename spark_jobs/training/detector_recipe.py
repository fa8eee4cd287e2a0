"""How the small detector is trained and judged.

The network has convolutions only. So it first learns on small pictures of large things, where a step costs a third, and
then at its full size on everything. It learns by Adam with warm-up and a cosine, from fresh scenes of pre-drawn things;
no scene is seen twice. The number of steps is fixed before the first one (given, or measured to fill a time), so a run
can be repeated exactly.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

from dlcore.activity import Array
from dlcore.inference import compile
from dlcore.interop.published import Backbone
from dlcore.models.ssd import SsdConfig, ssd, ssd_small
from dlcore.models.ssd_lite0 import SsdLite0Config
from dlcore.nn.criterion import MultiBoxLoss
from dlcore.nn.module import Module
from dlcore.optim.adaptive import Adam
from dlcore.optim.loop import Optimizer
from dlcore.optim.schedule import Cosine, SequentialSchedule, Warmup
from dlcore.optim.source import BatchRequest
from dlcore.optim.trigger import MaxIteration, SeveralIteration
from dlcore.rng import RNG
from dlcore.vision.detection_output import DetectionRule, Detections, detection_output
from dlcore.vision.detection_score import Threshold, all_kept, mean_average_precision
from dlcore.vision.detector import DetectorSettings, Things, any_objects, looked_twice
from dlcore.vision.preprocessing import Preprocessing
from sample_data.catalogue.views import ViewPool
from spark_jobs.training.detection_training import CLASSES, EASY, HARD, SHOP, Difficulty, TestSet, training_batch
from spark_jobs.training.repeatability import CopiedScenes, steadiest_threshold

_WARM_UP = 300
_CURVE_POINTS = 14


@dataclass(frozen=True)
class Phase:
    """A part of the training: `share` of all steps, on pictures of `size` pixels. The learning rate rises and falls
    once in each `cycle`."""

    cycle: int
    size: int
    difficulty: Difficulty
    share: float


@dataclass(frozen=True)
class Recipe:
    """What a training run depends on.

    seed: that of the weights and the order of scenes; things come from catalogue `catalogue_seed`.
    products, backgrounds: numbers of them in the pool.
    size: side of the input in pixels.
    width: planes at stride 4.
    steps of `batch` scenes.
    rates: the highest learning rate of each cycle.
    """

    steps: int
    seed: int = 1
    catalogue_seed: int = 1001
    products: int = 6000
    backgrounds: int = 2000
    size: int = 160
    width: int = 32
    batch: int = 16
    rates: tuple[float, ...] = (1e-3, 8e-4)
    weight_decay: float = 1e-4
    workers: int = 2

    is_mirrored: ClassVar[bool] = True
    """Whether the detector also looks at the mirrored picture."""
    is_averaged: ClassVar[bool] = False
    """Whether each of its boxes is the mean of those around it."""
    origin: ClassVar[str] = "from scratch"
    """Where the weights come from."""
    backbone: ClassVar[Backbone | None] = None
    """The part of the network whose published weights the artefact names but does not store."""

    @property
    def config(self) -> SsdConfig | SsdLite0Config:
        """The network's definition."""
        return self.config_at(self.size)

    def config_at(self, size: int) -> SsdConfig:
        """The same network for pictures of another size."""
        return ssd_small(CLASSES, size, self.width)

    def phases(self) -> tuple[Phase, ...]:
        """The phases: small pictures of large things, everything at full size, and then once more, nearer to the
        pictures of shops."""
        return (
            Phase(0, 96, EASY, 0.3),
            Phase(0, self.size, HARD, 0.2),
            Phase(1, 128, SHOP, 0.36),
            Phase(1, self.size, SHOP, 0.14),
        )

    def steps_of(self, phase: Phase) -> int:
        """How many steps a phase has."""
        return max(round(self.steps * phase.share), 1)

    @property
    def preprocessing(self) -> Preprocessing:
        """How pixels enter the network."""
        return Preprocessing(self.size)

    def lasting(self, steps: int) -> Self:
        """The same with another number of steps."""
        return replace(self, steps=steps)

    def pool(self) -> ViewPool:
        """The things and backgrounds to train on (a minute and a half on one core with the defaults)."""
        return ViewPool.drawn(self.catalogue_seed, self.products, self.backgrounds, workers=self.workers)

    def train(self, pool: ViewPool, development: TestSet) -> tuple[Module, Curve]:
        """A detector trained from scratch, in evaluation mode, and how it got there."""
        RNG.set_seed(self.seed)
        model, curve = ssd(self.config_at(self.size)), Curve()
        for cycle in range(len(self.rates)):
            train_cycle(self, cycle, model, pool, development, curve)
        return model, curve

    def steps_in(self, minutes: float, pool: ViewPool) -> int:
        """How many steps this machine does in `minutes`, judged by fifty of them."""
        trial = self.lasting(50)
        start = time.perf_counter()
        for number, phase in enumerate(trial.phases()):
            _optimizer(trial, number, ssd(trial.config_at(trial.size)), _method(trial, phase.cycle), pool).optimize()
        return max(int(minutes * 60 * trial.steps / (time.perf_counter() - start)), 100)


@dataclass(frozen=True)
class Curve:
    """Points of a training run: step, loss of that step, mAP on the development set."""

    points: list[tuple[int, float, float]] = field(default_factory=list)


def train_cycle(recipe: Recipe, cycle: int, model: Module, pool: ViewPool, development: TestSet, curve: Curve) -> None:
    """Train `model` for one cycle of the learning rate."""
    method = _method(recipe, cycle)
    before = 0
    for number, phase in enumerate(recipe.phases()):
        if phase.cycle == cycle:
            optimizer = _optimizer(recipe, number, model, method, pool)
            judge = _judge(replace(recipe, size=phase.size), development.at(phase.size), optimizer, curve, before)
            optimizer.set_evaluation(SeveralIteration(max(recipe.steps // _CURVE_POINTS, 1)), judge).optimize()
        before += recipe.steps_of(phase)


def _method(recipe: Recipe, cycle: int) -> Adam:
    rate, steps = recipe.rates[cycle], sum(recipe.steps_of(phase) for phase in recipe.phases() if phase.cycle == cycle)
    warm_up = max(min(_WARM_UP, steps // 10), 1)
    schedule = SequentialSchedule(1).add(Warmup(rate / warm_up), warm_up)
    schedule.add(Cosine(steps - warm_up, rate * 0.01), steps - warm_up)
    return Adam(rate / warm_up, leaningrate_schedule=schedule, weightdecay=recipe.weight_decay)


def _optimizer(recipe: Recipe, number: int, model: Module, method: Adam, pool: ViewPool) -> Optimizer:
    """Phase `number` of the recipe."""
    phase = recipe.phases()[number]
    preprocessing = Preprocessing(phase.size)

    def batches(request: BatchRequest) -> tuple[Array, list[Array]]:
        return training_batch(pool, request.rng, request.size, preprocessing, phase.difficulty)

    return Optimizer(
        model, batches, MultiBoxLoss(recipe.config_at(phase.size).priors()), MaxIteration(recipe.steps_of(phase)),
        recipe.batch, method, workers=recipe.workers, seed=1000 * recipe.seed + number,
    ).set_gradclip_l2norm(10.0)  # fmt: skip


def _judge(
    recipe: Recipe, development: TestSet, optimizer: Optimizer, curve: Curve, before: int
) -> Callable[[Module], dict[str, float]]:
    """Scores the model on the development set and adds a point to the curve; `before`: steps of earlier phases."""

    def judge(model: Module) -> dict[str, float]:
        score = mean_average_precision(detect(model, recipe, development), development.truth).map
        curve.points.append((before + optimizer.state.iteration, float(optimizer.state.loss or 0.0), score))
        return {"map50": score}

    return judge


def detect(model: Module, recipe: Recipe, test_set: TestSet, rule: DetectionRule | None = None) -> list[Detections]:
    """Detections of each picture, class by class, as VOC's score wants them."""
    priors = recipe.config.priors()
    found: list[Detections] = []
    for locations, logits in outputs(model, recipe, test_set):
        found += detection_output(locations, logits, priors, rule or DetectionRule())
    return found


def outputs(model: Module, recipe: Recipe, test_set: TestSet) -> Iterator[tuple[Array, Array]]:
    """Locations and logits for the pictures as the shipped detector makes them, batch by batch."""
    levels = [source.priors for source in recipe.config.sources]
    run: Callable[[Array], Any] = compile(model, (recipe.batch, 3, recipe.size, recipe.size)).predict
    for pixels in test_set.batches(recipe.batch):
        x = recipe.preprocessing.normalise(pixels)
        locations, logits = looked_twice(run, x, levels) if recipe.is_mirrored else run(x)
        yield locations, logits


def find_any(model: Module, recipe: Recipe, test_set: TestSet, threshold: float) -> list[Things]:
    """Detections of each picture as the pipeline makes them, each thing once."""
    priors = recipe.config.priors()
    return [
        any_objects(location, logit, priors, threshold, recipe.is_averaged)
        for locations, logits in outputs(model, recipe, test_set)
        for location, logit in zip(locations, logits, strict=True)
    ]


def choose_threshold(
    model: Module, recipe: Recipe, development: TestSet, scenes: CopiedScenes
) -> tuple[Threshold, float]:
    """The threshold at which things of the development set are found well and copies are cut like their originals, and
    how alike these cuts are."""
    found, originals, copies = (
        find_any(model, recipe, pictures, 0.05)
        for pictures in (development, TestSet(scenes.originals, []), TestSet(scenes.copies, []))
    )
    return steadiest_threshold(found, development.truth, originals, copies, scenes)


def settings_of(recipe: Recipe, threshold: float) -> DetectorSettings:
    """What the artefact says besides the network."""
    config = recipe.config
    levels = tuple(source.priors for source in config.sources)
    return DetectorSettings(
        config.classes, levels, recipe.preprocessing, threshold, recipe.is_mirrored, recipe.is_averaged
    )


def detector_scores(model: Module, recipe: Recipe, test_set: TestSet, threshold: float) -> dict[str, Any]:
    """The model's scores on a test set: map50 (area and 11 points), per_class by name, and the precision and recall of
    finding things at `threshold`, whatever their labels."""
    found = detect(model, recipe, test_set)
    score = mean_average_precision(found, test_set.truth)
    things = find_any(model, recipe, test_set, threshold)
    at_threshold = all_kept([Detections(t.labels, t.sureness, t.boxes) for t in things], test_set.truth)
    return {
        "pictures": len(test_set.truth),
        "map50": round(score.map, 4),
        "map50_eleven_point": round(mean_average_precision(found, test_set.truth, eleven_point=True).map, 4),
        "per_class": {CLASSES[label]: round(value, 4) for label, value in score.per_class.items()},
        "any_precision": round(at_threshold.precision, 4),
        "any_recall": round(at_threshold.recall, 4),
    }
