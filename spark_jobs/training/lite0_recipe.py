"""How the detector on EfficientNet-Lite0 is trained: the output of its trunk for each scene is computed once and kept,
then the rest learns.

Forked workers draw a scene, change it and pass it through the trunk; only the trunk's maps as float16 (32 KB at 192
pixels) and the boxes stay. First the heads learn beside the blocks as published, then all of them together.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dlcore.activity import Array
from dlcore.inference import compile
from dlcore.interop.published import Backbone
from dlcore.models.pretrained import LITE0_WEIGHTS
from dlcore.models.ssd_lite0 import (
    BLOCK_LAYERS,
    TRUNK,
    TRUNK_PLANES,
    SsdLite0Config,
    lite0_trunk,
    ssd_lite0,
    ssd_lite0_upper,
    start_from_published,
)
from dlcore.nn.criterion import MultiBoxLoss
from dlcore.nn.graph import Graph
from dlcore.nn.learning import freeze, unfreeze
from dlcore.nn.module import Module
from dlcore.optim.adaptive import Adam
from dlcore.optim.loop import Optimizer
from dlcore.optim.schedule import Cosine, SequentialSchedule, Warmup
from dlcore.optim.source import BatchRequest
from dlcore.optim.trigger import MaxIteration, SeveralIteration
from dlcore.rng import RNG
from dlcore.vision.detection_score import mean_average_precision
from dlcore.vision.preprocessing import Preprocessing
from sample_data.catalogue.views import ViewPool
from spark_jobs.training.detection_training import CLASSES, COPIED, TestSet, training_batch
from spark_jobs.training.detector_recipe import Curve, Recipe, detect

_CHUNK = 32  # scenes that a worker draws at a time
_HEADS_SHARE = 0.3  # of all steps, in which the heads learn alone
_SCENES_A_STEP = 3  # how many scenes are kept for each step: with batches of 16, each is seen about five times
_CURVE_POINTS = 5


@dataclass(frozen=True)
class Lite0Recipe(Recipe):
    """A recipe for `ssd_lite0`: `products` and half as many things of no known category. rates: that of the heads
    alone, and that of all."""

    products: int = 1000
    backgrounds: int = 500
    size: int = 192
    width: int = 96
    rates: tuple[float, ...] = (1.5e-3, 5e-4)

    is_mirrored: ClassVar[bool] = False
    is_averaged: ClassVar[bool] = True
    origin: ClassVar[str] = (
        "from the published weights of EfficientNet-Lite0 (Apache-2.0): "
        "stages 1 to 5 unchanged, two blocks of stage 6 trained further, heads new"
    )

    backbone: ClassVar[Backbone | None] = Backbone(TRUNK, LITE0_WEIGHTS)

    @property
    def config(self) -> SsdLite0Config:
        """The network's definition."""
        return SsdLite0Config(CLASSES, self.size, self.width)

    @property
    def preprocessing(self) -> Preprocessing:
        """The preprocessing that the published weights expect."""
        return self.config.preprocessing

    def pool(self) -> ViewPool:
        """The things and backgrounds to train on."""
        return ViewPool.drawn(
            self.catalogue_seed, self.products, self.backgrounds, workers=self.workers, others=self.products // 2
        )

    def train(self, pool: ViewPool, development: TestSet) -> tuple[Module, Curve]:
        """A detector in evaluation mode, and how it got there."""
        RNG.set_seed(self.seed)
        trunk, upper, curve = lite0_trunk(), start_from_published(ssd_lite0_upper(self.config)), Curve()
        scenes = seen_by_trunk(self, trunk, pool, _SCENES_A_STEP * self.steps)
        whole = ssd_lite0(trunk, upper)
        heads = max(round(_HEADS_SHARE * self.steps), 1)
        freeze(upper, BLOCK_LAYERS)
        self._learn(upper, scenes, heads, self.rates[0], 0)
        unfreeze(upper, BLOCK_LAYERS)
        optimizer = self._optimizer(upper, scenes, max(self.steps - heads, 1), self.rates[1], 1)

        def judge(_: Module) -> dict[str, float]:
            score = mean_average_precision(detect(whole.training(False), self, development), development.truth).map
            upper.training()
            curve.points.append((heads + optimizer.state.iteration, float(optimizer.state.loss or 0.0), score))
            return {"map50": score}

        optimizer.set_evaluation(SeveralIteration(max(self.steps // _CURVE_POINTS, 1)), judge).optimize()
        return whole.training(False), curve

    def steps_in(self, minutes: float, pool: ViewPool) -> int:
        """How many steps this machine does in `minutes`, judged by fifty of them."""
        trial, start = self.lasting(50), time.perf_counter()
        upper = ssd_lite0_upper(self.config)
        scenes = seen_by_trunk(trial, lite0_trunk(), pool, _SCENES_A_STEP * trial.steps)
        trial._learn(upper, scenes, trial.steps, self.rates[0], 0)
        return max(int(minutes * 60 * trial.steps / (time.perf_counter() - start)), 100)

    def _learn(self, upper: Graph, scenes: SeenScenes, steps: int, rate: float, number: int) -> None:
        self._optimizer(upper, scenes, steps, rate, number).optimize()

    def _optimizer(self, upper: Graph, scenes: SeenScenes, steps: int, rate: float, number: int) -> Optimizer:
        """`steps` of Adam that warm up to `rate` and fall in a cosine."""
        warm_up = max(min(200, steps // 10), 1)
        schedule = SequentialSchedule(1).add(Warmup(rate / warm_up), warm_up)
        schedule.add(Cosine(steps - warm_up, rate * 0.01), steps - warm_up)
        method = Adam(rate / warm_up, leaningrate_schedule=schedule, weightdecay=self.weight_decay)
        return Optimizer(
            upper, scenes.batch, MultiBoxLoss(self.config.priors()), MaxIteration(steps), self.batch, method,
            workers=self.workers, seed=1000 * self.seed + number,
        ).set_gradclip_l2norm(10.0)  # fmt: skip


@dataclass(frozen=True)
class SeenScenes:
    """The trunk's output for scenes: maps (N, side, side, planes) float16, and the target (M, 5) of each."""

    maps: NDArray[np.float16]
    targets: list[Array]

    def batch(self, request: BatchRequest) -> tuple[Array, list[Array]]:
        """A random part of the scenes: maps (n, planes, side, side), and their targets."""
        chosen = request.rng.integers(0, len(self.targets), request.size)
        return self.maps[chosen].astype(np.float32).transpose(0, 3, 1, 2), [self.targets[n] for n in chosen]


def seen_by_trunk(recipe: Lite0Recipe, trunk: Graph, pool: ViewPool, count: int) -> SeenScenes:
    """`count` scenes, rounded up to whole chunks, as the trunk sees them (about 10 ms of one core each)."""
    chunks, side = -(-count // _CHUNK), recipe.size // 16
    maps, targets = np.empty((chunks * _CHUNK, side, side, TRUNK_PLANES), np.float16), []
    with get_context("fork").Pool(recipe.workers, _ChunkViewer.sit, (recipe, trunk, pool)) as workers:
        for number, (part, boxes) in enumerate(workers.imap(_ChunkViewer.see, range(chunks))):
            maps[number * _CHUNK : (number + 1) * _CHUNK] = part
            targets += boxes
    return SeenScenes(maps, targets)


class _ChunkViewer:
    """What a forked worker keeps between chunks: its plan of the trunk. A chunk depends only on its number and the
    recipe's seed."""

    seated: ClassVar[Callable[[int], tuple[NDArray[np.float16], list[Array]]]]

    @classmethod
    def sit(cls, recipe: Lite0Recipe, trunk: Graph, pool: ViewPool) -> None:
        """Compile the trunk here, for one thread."""
        plan = compile(trunk, (_CHUNK, 3, recipe.size, recipe.size))

        def see(number: int) -> tuple[NDArray[np.float16], list[Array]]:
            rng = np.random.default_rng((recipe.seed, 77, number))
            inputs, targets = training_batch(pool, rng, _CHUNK, recipe.preprocessing, COPIED)
            return np.asarray(plan(inputs), np.float16).transpose(0, 2, 3, 1), targets

        cls.seated = staticmethod(see)

    @classmethod
    def see(cls, number: int) -> tuple[NDArray[np.float16], list[Array]]:
        """Maps (_CHUNK, side, side, planes) and targets of a chunk."""
        return cls.seated(number)
