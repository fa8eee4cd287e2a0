"""Methods that adapt the rate of each weight. Formulas are BigDL's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from dlcore import kernels
from dlcore.activity import Array
from dlcore.optim.method import OptimMethod
from dlcore.optim.schedule import Schedule


@dataclass
class Adam(OptimMethod):
    """Kingma and Ba 2015: w -= rate sqrt(1 - beta2^t) / (1 - beta1^t) m / (sqrt(v) + epsilon).

    Beyond BigDL's arguments: a schedule, and weight decay apart from the gradient (Loshchilov and Hutter 2019).
    """

    learningrate: float = 1e-3
    learningrate_decay: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    leaningrate_schedule: Schedule | None = None
    weightdecay: float = 0.0

    def change(self, weights: Array, grads: Array, rate: np.floating[Any]) -> None:
        first, second = self.slot("first", weights), self.slot("second", weights)
        correction = np.sqrt(1 - self.beta2**self.steps) / (1 - self.beta1**self.steps)
        kept = float(1 - rate * weights.dtype.type(self.weightdecay))
        means = kernels.AdamMeans(self.beta1, self.beta2, self.epsilon)
        kernels.adam(weights, grads, first, second, float(rate * weights.dtype.type(correction)), kept, means)


def _means(method: Lamb, weights: Array, grads: Array) -> tuple[Array, Array]:
    """The running means of g and of g^2, this step's counted in."""
    first, second = method.slot("first", weights), method.slot("second", weights)
    beta1, beta2 = weights.dtype.type(method.beta1), weights.dtype.type(method.beta2)
    first *= beta1
    first += (1 - beta1) * grads
    second *= beta2
    second += (1 - beta2) * np.square(grads)
    return first, second


def _unbiased(method: Lamb, weights: Array, grads: Array) -> Array:
    """m / (1 - beta1^t) / (sqrt(v / (1 - beta2^t)) + epsilon)."""
    first, second = _means(method, weights, grads)
    kind = weights.dtype.type
    root = np.sqrt(second / kind(1 - method.beta2**method.steps))
    root += kind(method.epsilon)
    step: Array = first / kind(1 - method.beta1**method.steps) / root
    return step


@dataclass
class AdamW(OptimMethod):
    """Adam with weight decay apart from the gradient (Loshchilov and Hutter 2019).

    w -= rate weightdecay w; w -= rate m' / (sqrt(v') + epsilon), m' and v' being the running means of g and g^2 without
    their bias.
    """

    learningrate: float = 1e-3
    learningrate_decay: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    weightdecay: float = 0.01
    leaningrate_schedule: Schedule | None = None

    def change(self, weights: Array, grads: Array, rate: np.floating[Any]) -> None:
        first, second = self.slot("first", weights), self.slot("second", weights)
        kept = float(1 - rate * weights.dtype.type(self.weightdecay))
        bias = (1 - self.beta1**self.steps, 1 - self.beta2**self.steps)
        means = kernels.AdamMeans(self.beta1, self.beta2, self.epsilon, *bias)
        kernels.adam(weights, grads, first, second, float(rate), kept, means)


@dataclass
class Lamb(OptimMethod):
    """AdamW's step with a rate for each layer (You et al. 2020): for large batches.

    r = m' / (sqrt(v') + epsilon) + weightdecay w; w -= rate |w| / |r| r, with the norms of the layer; of a layer whose
    weights or step are all zero the norms' ratio is 1.
    """

    scope = "layer"
    learningrate: float = 1e-3
    learningrate_decay: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-6
    weightdecay: float = 0.01
    leaningrate_schedule: Schedule | None = None

    def change(self, weights: Array, grads: Array, rate: np.floating[Any]) -> None:
        step = _unbiased(self, weights, grads) + weights.dtype.type(self.weightdecay) * weights
        size, length = float(np.linalg.norm(weights)), float(np.linalg.norm(step))
        weights -= rate * weights.dtype.type(size / length if size and length else 1.0) * step


@dataclass
class ParallelAdam(OptimMethod):
    """Adam; BigDL's variant spreads it over `parallel_num` threads."""

    learningrate: float = 1e-3
    learningrate_decay: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    parallel_num: int = -1

    change = Adam.change
    weightdecay = 0.0


@dataclass
class Adagrad(OptimMethod):
    """Duchi et al. 2011: w -= rate g / (sqrt(sum of g^2) + 1e-10)."""

    learningrate: float = 1e-3
    learningrate_decay: float = 0.0
    weightdecay: float = 0.0

    def change(self, weights: Array, grads: Array, rate: np.floating[Any]) -> None:
        total = self.slot("total", weights)
        kernels.rmsprop(weights, grads, total, float(rate), self.weightdecay, 1.0, 1.0, 1e-10)


@dataclass
class Adadelta(OptimMethod):
    """Zeiler 2012: w -= sqrt(d + epsilon) / sqrt(v + epsilon) g, with running means of g^2 and of the squared steps."""

    decayrate: float = 0.9
    epsilon: float = 1e-10

    def change(self, weights: Array, grads: Array, rate: np.floating[Any]) -> None:
        kind = weights.dtype.type
        squares, steps = self.slot("squares", weights), self.slot("steps", weights)
        decay, epsilon = kind(self.decayrate), kind(self.epsilon)
        squares *= decay
        squares += (1 - decay) * np.square(grads)
        step = np.sqrt(steps + epsilon) / np.sqrt(squares + epsilon) * grads
        steps *= decay
        steps += (1 - decay) * np.square(step)
        weights -= step


@dataclass
class Adamax(OptimMethod):
    """Kingma and Ba 2015, with the running maximum u of |g|: w -= rate / (1 - beta1^t) m / u."""

    learningrate: float = 2e-3
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-38

    def change(self, weights: Array, grads: Array, rate: np.floating[Any]) -> None:
        kind = weights.dtype.type
        first, largest = self.slot("first", weights), self.slot("largest", weights)
        first *= kind(self.beta1)
        first += kind(1 - self.beta1) * grads
        np.maximum(largest * kind(self.beta2), np.abs(grads) + kind(self.epsilon), out=largest)
        weights -= rate / kind(1 - self.beta1**self.steps) * first / largest


@dataclass
class RMSprop(OptimMethod):
    """Tieleman and Hinton 2012: w -= rate g / (sqrt(v) + epsilon), v the running mean of g^2."""

    learningrate: float = 1e-2
    learningrate_decay: float = 0.0
    decayrate: float = 0.99
    epsilon: float = 1e-8

    def change(self, weights: Array, grads: Array, rate: np.floating[Any]) -> None:
        squares, share = self.slot("squares", weights), 1 - self.decayrate
        kernels.rmsprop(weights, grads, squares, float(rate), 0.0, self.decayrate, share, self.epsilon)


@dataclass
class Ftrl(OptimMethod):
    """Follow the regularised leader (McMahan et al. 2013), with the shrinkage of TensorFlow's variant."""

    learningrate: float = 1e-3
    learningrate_power: float = -0.5
    initial_accumulator_value: float = 0.1
    l1_regularization_strength: float = 0.0
    l2_regularization_strength: float = 0.0
    l2_shrinkage_regularization_strength: float = 0.0

    def change(self, weights: Array, grads: Array, rate: np.floating[Any]) -> None:
        kind = weights.dtype.type
        squares = self.slot("squares", weights, self.initial_accumulator_value)
        linear = self.slot("linear", weights)
        power, l1 = kind(-self.learningrate_power), kind(self.l1_regularization_strength)
        grown = squares + np.square(grads)
        sigma = (grown**power - squares**power) / rate
        linear += grads + 2 * kind(self.l2_shrinkage_regularization_strength) * weights - sigma * weights
        quadratic = grown**power / rate + 2 * kind(self.l2_regularization_strength)
        weights[...] = np.where(np.abs(linear) > l1, (np.sign(linear) * l1 - linear) / quadratic, 0)
        squares[...] = grown


@dataclass
class LarsSGD(OptimMethod):
    """Momentum with a rate for each layer (You, Gitman and Ginsburg 2017, LARS).

    v = momentum v + rate trust |w| / (|g| + weightdecay |w|) (g + weightdecay w); w -= v, with the norms of the layer.
    A layer whose weights or gradients are all zero takes `rate` itself. BigDL has it in Scala only.
    """

    scope = "layer"
    trust: float = 1.0
    learningrate: float = 1e-3
    learningrate_decay: float = 0.0
    weightdecay: float = 0.005
    momentum: float = 0.5
    leaningrate_schedule: Schedule | None = None

    def change(self, weights: Array, grads: Array, rate: np.floating[Any]) -> None:
        kind = weights.dtype.type
        size, slope = float(np.linalg.norm(weights)), float(np.linalg.norm(grads))
        scale = self.trust * size / (slope + self.weightdecay * size) if size and slope else 1.0
        velocity = self.slot("velocity", weights)
        velocity *= kind(self.momentum)
        velocity += kind(rate * scale) * (grads + kind(self.weightdecay) * weights)
        weights -= velocity
