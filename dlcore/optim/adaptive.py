"""Methods that adapt the rate of each weight. Formulas are BigDL's."""

from dataclasses import dataclass

import numpy as np

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

    def change(self, weights: Array, grads: Array, rate: np.float32) -> None:
        first, second = self.slot("first", weights), self.slot("second", weights)
        beta1, beta2 = np.float32(self.beta1), np.float32(self.beta2)
        first *= beta1
        first += (1 - beta1) * grads
        second *= beta2
        second += (1 - beta2) * np.square(grads)
        correction = np.sqrt(1 - self.beta2**self.steps) / (1 - self.beta1**self.steps)
        if self.weightdecay:
            weights *= 1 - rate * np.float32(self.weightdecay)
        root = np.sqrt(second)
        root += np.float32(self.epsilon)
        weights -= (rate * np.float32(correction)) * first / root


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

    def change(self, weights: Array, grads: Array, rate: np.float32) -> None:
        if self.weightdecay:
            grads += np.float32(self.weightdecay) * weights
        total = self.slot("total", weights)
        total += np.square(grads)
        weights -= rate * grads / (np.sqrt(total) + np.float32(1e-10))


@dataclass
class Adadelta(OptimMethod):
    """Zeiler 2012: w -= sqrt(d + epsilon) / sqrt(v + epsilon) g, with running means of g^2 and of the squared steps."""

    decayrate: float = 0.9
    epsilon: float = 1e-10

    def change(self, weights: Array, grads: Array, rate: np.float32) -> None:
        squares, steps = self.slot("squares", weights), self.slot("steps", weights)
        decay, epsilon = np.float32(self.decayrate), np.float32(self.epsilon)
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

    def change(self, weights: Array, grads: Array, rate: np.float32) -> None:
        first, largest = self.slot("first", weights), self.slot("largest", weights)
        first *= np.float32(self.beta1)
        first += np.float32(1 - self.beta1) * grads
        np.maximum(largest * np.float32(self.beta2), np.abs(grads) + np.float32(self.epsilon), out=largest)
        weights -= rate / np.float32(1 - self.beta1**self.steps) * first / largest


@dataclass
class RMSprop(OptimMethod):
    """Tieleman and Hinton 2012: w -= rate g / (sqrt(v) + epsilon), v the running mean of g^2."""

    learningrate: float = 1e-2
    learningrate_decay: float = 0.0
    decayrate: float = 0.99
    epsilon: float = 1e-8

    def change(self, weights: Array, grads: Array, rate: np.float32) -> None:
        squares = self.slot("squares", weights)
        squares *= np.float32(self.decayrate)
        squares += np.float32(1 - self.decayrate) * np.square(grads)
        weights -= rate * grads / (np.sqrt(squares) + np.float32(self.epsilon))


@dataclass
class Ftrl(OptimMethod):
    """Follow the regularised leader (McMahan et al. 2013), with the shrinkage of TensorFlow's variant."""

    learningrate: float = 1e-3
    learningrate_power: float = -0.5
    initial_accumulator_value: float = 0.1
    l1_regularization_strength: float = 0.0
    l2_regularization_strength: float = 0.0
    l2_shrinkage_regularization_strength: float = 0.0

    def change(self, weights: Array, grads: Array, rate: np.float32) -> None:
        squares = self.slot("squares", weights, self.initial_accumulator_value)
        linear = self.slot("linear", weights)
        power, l1 = np.float32(-self.learningrate_power), np.float32(self.l1_regularization_strength)
        grown = squares + np.square(grads)
        sigma = (grown**power - squares**power) / rate
        linear += grads + 2 * np.float32(self.l2_shrinkage_regularization_strength) * weights - sigma * weights
        quadratic = grown**power / rate + 2 * np.float32(self.l2_regularization_strength)
        weights[...] = np.where(np.abs(linear) > l1, (np.sign(linear) * l1 - linear) / quadratic, 0)
        squares[...] = grown
