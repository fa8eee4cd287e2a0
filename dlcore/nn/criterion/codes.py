"""Criterions that teach binary codes: DeepBit's three, decorrelation, and a contrastive loss.

DeepBit (Lin et al., CVPR 2016) learns bits b = (sign(F) + 1) / 2 from real codes F (N, B). Its released program differs
from the paper: the gradients of the first two losses cancel, the third is not weighted in the backward pass, and its
sign tests F > 0.5. `released=True` gives that behaviour, for comparison.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dlcore.activity import Array
from dlcore.nn.criterion.criterion import Criterion, Gradient


def _bits(codes: Array, released: bool) -> Array:
    return (codes > (0.5 if released else 0.0)).astype(np.float32)


@dataclass(eq=False)
class QuantisationCriterion(Criterion):
    """Sum of (level sign(F) - F)^2 / (2N): codes move to -level and level (0.5 in the paper, 1 for tanh codes).

    output: (N, B); the target is not used.
    Source: DeepBit (Lin et al. 2016).
    """

    level: float = 0.5
    released: bool = False

    def apply(self, output: Array, target: object) -> tuple[float, Gradient]:
        if self.released:
            gap = _bits(output, True) - output
            return _half_mean_square(gap), lambda: np.zeros_like(output)
        gap = output - np.float32(self.level) * (2 * _bits(output, False) - 1)
        return _half_mean_square(gap), lambda: gap / np.float32(max(len(output), 1))


def _half_mean_square(gap: Array) -> float:
    return float(np.square(gap).sum() / (2 * max(len(gap), 1)))


@dataclass(eq=False)
class EvenDistributionCriterion(Criterion):
    """Sum over bits of (mean of b - 0.5)^2: each bit is 1 for half of the batch.

    The sign has no gradient; a bit counts as F / (2 level) + 1/2 in the backward pass (straight through).
    output: (N, B); the target is not used.
    Source: DeepBit (Lin et al. 2016).
    """

    level: float = 0.5
    released: bool = False

    def apply(self, output: Array, target: object) -> tuple[float, Gradient]:
        count = max(len(output), 1)
        off = _bits(output, self.released).mean(axis=0) - np.float32(0.5)
        if self.released:
            return float(np.square(off).sum() / (2 * count)), lambda: np.zeros_like(output)
        slope = off / np.float32(self.level * count)
        return float(np.square(off).sum()), lambda: np.broadcast_to(slope, output.shape).copy()


@dataclass(eq=False)
class RotationInvarianceCriterion(Criterion):
    """Sum of w(theta) |F_theta - F|^2 / (2N), w = exp(-theta^2 / (2 sigma^2)): a rotated view keeps its code.

    output: [F (N, B), F_theta (N, B)]; target: (N,) the angles theta, in degrees. In the released program sigma is one
    step of 5 degrees.
    Source: DeepBit (Lin et al. 2016).
    """

    sigma: float = 5.0
    released: bool = False

    def apply(self, output: list[Array], target: Array) -> tuple[float, Gradient]:
        codes, turned = output
        if codes.shape != turned.shape or target.size != len(codes):
            raise ValueError(
                f"{self.label()}: got codes {codes.shape}, {turned.shape} and {target.size} angles, "
                "expected two arrays of one shape and an angle for each row"
            )
        weight = np.exp(-np.square(target.reshape(-1, 1)) / np.float32(2 * self.sigma**2))
        gap, count = turned - codes, np.float32(max(len(codes), 1))
        slope = gap / count if self.released else weight * gap / count
        return float((weight * np.square(gap)).sum() / (2 * count)), lambda: [-slope, slope]


@dataclass(eq=False)
class DeepBitCriterion(Criterion):
    """alpha quantisation + beta even distribution + gamma rotation invariance.

    output: [F (N, B), F_theta (N, B)]; target: (N,) angles in degrees. Defaults are the released weights.
    Source: DeepBit (Lin et al. 2016).
    """

    alpha: float = 1.0
    beta: float = 1.0
    gamma: float = 0.001
    level: float = 0.5
    sigma: float = 5.0
    released: bool = False

    def apply(self, output: list[Array], target: Array) -> tuple[float, Gradient]:
        first, first_grad = QuantisationCriterion(self.level, self.released).apply(output[0], target)
        second, second_grad = EvenDistributionCriterion(self.level, self.released).apply(output[0], target)
        third, third_grad = RotationInvarianceCriterion(self.sigma, self.released).apply(output, target)
        alpha, beta, gamma = np.float32(self.alpha), np.float32(self.beta), np.float32(self.gamma)

        def gradient() -> list[Array]:
            codes, turned = third_grad()
            return [alpha * first_grad() + beta * second_grad() + gamma * codes, gamma * turned]

        return self.alpha * first + self.beta * second + self.gamma * third, gradient


@dataclass(eq=False)
class DecorrelationCriterion(Criterion):
    """Mean over pairs of different bits of their squared correlation in the batch, with F divided by `level`.

    output: (N, B); the target is not used.
    Source: after DeCov (Cogswell et al. 2016).
    """

    level: float = 1.0

    def apply(self, output: Array, target: object) -> tuple[float, Gradient]:
        count, bits = output.shape
        unit = output / np.float32(self.level)
        product = unit.T @ unit / np.float32(max(count, 1))
        np.fill_diagonal(product, 0)
        pairs = np.float32(max(bits * (bits - 1), 1))
        scale = np.float32(4.0 / (max(count, 1) * self.level)) / pairs
        return float(np.square(product).sum() / pairs), lambda: scale * (unit @ product)


@dataclass(eq=False)
class NTXentCriterion(Criterion):
    """Contrastive loss: views of one item attract, all else in the batch repels.

    Mean over ordered pairs (i, j) of one item of -log of softmax over all k != i of cosine(i, k) / temperature, at j. A
    row whose item occurs once only repels: a hard negative.
    output: (N, D); target: (N,) item numbers.
    Source: SimCLR (Chen et al. 2020).

    Raises:
        ValueError: no item has two views, or another number of item numbers.
    """

    temperature: float = 0.1

    def apply(self, output: Array, target: Array) -> tuple[float, Gradient]:
        if output.ndim != 2 or target.size != len(output):
            raise ValueError(
                f"{self.label()}: got {output.shape} and {target.size} item numbers, expected (N, D) and N"
            )
        items = target.reshape(-1)
        alike = (items[:, None] == items[None]).astype(np.float32)
        np.fill_diagonal(alike, 0)
        pairs = alike.sum()
        if pairs == 0:
            raise ValueError(f"{self.label()}: got {len(items)} different items, expected two views of at least one")
        norm = np.sqrt(np.square(output).sum(axis=1, keepdims=True) + np.float32(1e-12))
        unit = output / norm
        scores = unit @ unit.T / np.float32(self.temperature)
        np.fill_diagonal(scores, -np.inf)
        top = scores.max(axis=1, keepdims=True)
        log_sum = top + np.log(np.exp(scores - top).sum(axis=1, keepdims=True))
        np.fill_diagonal(scores, 0)
        loss = (alike * (log_sum - scores)).sum() / pairs

        def gradient() -> Array:
            share = np.exp(scores - log_sum)
            np.fill_diagonal(share, 0)
            slope = (alike.sum(axis=1, keepdims=True) * share - alike) / pairs
            pull = (slope + slope.T) @ unit / np.float32(self.temperature)
            back: Array = (pull - unit * (pull * unit).sum(axis=1, keepdims=True)) / norm
            return back

        return float(loss), gradient
