"""PyTorch's contender of `bench_training.py`, in an environment of its own: `training_torch.py MODEL BATCH`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import torch
from torch import nn
from training_contests import (
    CONTESTS,
    EMBEDDED,
    HIDDEN,
    INCEPTION,
    ITEMS,
    LAYERS,
    MOMENTUM,
    PERCEPTRON,
    RATE,
    THREADS,
    USERS,
    serve,
)


def lenet() -> nn.Module:
    features = [nn.Conv2d(1, 6, 5), nn.Tanh(), nn.MaxPool2d(2), nn.Conv2d(6, 12, 5), nn.Tanh(), nn.MaxPool2d(2)]
    return nn.Sequential(*features, nn.Flatten(), nn.Linear(192, 100), nn.Tanh(), nn.Linear(100, 10))


def vgg16() -> nn.Module:
    layers: list[nn.Module] = []
    planes = 3
    for count, size in ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)):
        for _ in range(count):
            layers += [nn.Conv2d(planes, size, 3, padding=1), nn.ReLU(True)]
            planes = size
        layers.append(nn.MaxPool2d(2))
    layers.append(nn.Flatten())
    for width in (512 * 49, 4096):
        layers += [nn.Linear(width, 4096), nn.ReLU(True), nn.Dropout(0.5)]
    return nn.Sequential(*layers, nn.Linear(4096, 1000))


def normed(planes: int, size: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(planes, size, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(size)]


class Bottleneck(nn.Module):
    def __init__(self, planes: int, size: int, stride: int) -> None:
        super().__init__()
        first = [*normed(planes, size, 1), nn.ReLU(True), *normed(size, size, 3, stride), nn.ReLU(True)]
        self.body = nn.Sequential(*first, *normed(size, 4 * size, 1))
        is_same = stride == 1 and planes == 4 * size
        self.way = nn.Identity() if is_same else nn.Sequential(*normed(planes, 4 * size, 1, stride))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.body(x) + self.way(x))


def resnet50() -> nn.Module:
    layers: list[nn.Module] = [*normed(3, 64, 7, 2), nn.ReLU(True), nn.MaxPool2d(3, 2, 1)]
    planes = 64
    for stage, (count, size) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512))):
        for i in range(count):
            layers.append(Bottleneck(planes, size, 2 if stage and not i else 1))
            planes = 4 * size
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000))


def rectified(planes: int, size: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    return [nn.Conv2d(planes, size, kernel, stride, kernel // 2), nn.ReLU(True)]


class Inception(nn.Module):
    def __init__(self, planes: int, one: int, to3: int, three: int, to5: int, five: int, pooled: int) -> None:
        super().__init__()
        pool = [nn.MaxPool2d(3, 1, 1), *rectified(planes, pooled, 1)]
        ways = (rectified(planes, one, 1), [*rectified(planes, to3, 1), *rectified(to3, three, 3)])
        more = ([*rectified(planes, to5, 1), *rectified(to5, five, 5)], pool)
        self.ways = nn.ModuleList(nn.Sequential(*way) for way in (*ways, *more))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([way(x) for way in self.ways], 1)


def inception_v1() -> nn.Module:
    norm = nn.LocalResponseNorm(5, 1e-4, 0.75, 1.0)
    layers = [*rectified(3, 64, 7, 2), nn.MaxPool2d(3, 2, ceil_mode=True), norm, *rectified(64, 64, 1)]
    layers += [*rectified(64, 192, 3), norm, nn.MaxPool2d(3, 2, ceil_mode=True)]
    for name, sizes in INCEPTION.items():
        layers.append(Inception(*sizes))
        if name in ("3b", "4e"):
            layers.append(nn.MaxPool2d(3, 2, ceil_mode=True))
    return nn.Sequential(*layers, nn.AvgPool2d(7), nn.Dropout(0.4), nn.Flatten(), nn.Linear(1024, 1000))


class LanguageModel(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.lstm = nn.Embedding(10000, HIDDEN), nn.LSTM(HIDDEN, HIDDEN, LAYERS, batch_first=True)
        self.score = nn.Linear(HIDDEN, 10000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.score(self.lstm(self.words(x))[0]).flatten(0, 1)


class NeuralCF(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(count, EMBEDDED) for count in (USERS, ITEMS) * 2)
        layers: list[nn.Module] = []
        width = 2 * EMBEDDED
        for size in PERCEPTRON:
            layers += [nn.Linear(width, size), nn.ReLU(True)]
            width = size
        self.body, self.score = nn.Sequential(*layers), nn.Linear(width + EMBEDDED, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a, b, c, d = (table(x[:, i % 2]) for i, table in enumerate(self.tables))
        return self.score(torch.cat([c * d, self.body(torch.cat([a, b], 1))], 1))


MODELS = {
    "lenet": lenet,
    "vgg16": vgg16,
    "resnet50": resnet50,
    "inception_v1": inception_v1,
    "lstm_lm": LanguageModel,
    "ncf": NeuralCF,
}


def main(name: str, batch: int) -> None:
    """Pictures in channels-last memory, which is the faster one."""
    torch.set_num_threads(THREADS)
    torch.manual_seed(1)
    contest, model = CONTESTS[name], MODELS[name]().train()
    shape = (batch, *contest.row)
    x = torch.randint(0, contest.words, shape) if contest.words else torch.randn(shape)
    target = torch.randint(0, contest.classes, (batch * contest.row[0],) if contest.is_sequence else (batch,))
    if x.dim() == 4:
        model, x = model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    parameters, loss_of = model.parameters(), nn.CrossEntropyLoss()
    method = torch.optim.Adam(parameters) if contest.adam else torch.optim.SGD(parameters, RATE, MOMENTUM)

    def step() -> float:
        method.zero_grad()
        loss = loss_of(model(x), target)
        loss.backward()
        method.step()
        return loss.item()

    serve(step)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
