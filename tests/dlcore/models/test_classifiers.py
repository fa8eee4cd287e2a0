"""Classifiers of pictures, clips and volumes: published numbers of parameters, shapes, and plans that compute what the
layers compute."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dlcore.activity import leaves
from dlcore.inference import compile
from dlcore.interop.native import load_module
from dlcore.models.alexnet import alexnet, alexnet_owt
from dlcore.models.cnn3d import c3d, cnn3d
from dlcore.models.efficientnet_lite import LITE, efficientnet_lite
from dlcore.models.inception import (
    inception_v1,
    inception_v1_no_aux_classifier,
    inception_v2,
    inception_v2_no_aux_classifier,
)
from dlcore.models.lenet import build_model
from dlcore.models.mobilenet import mobilenet_v1, mobilenet_v2
from dlcore.models.resnet import resnet, resnet_cifar
from dlcore.models.vgg import vgg16, vgg19, vgg_cifar
from dlcore.nn.init import skipped
from dlcore.nn.module import Module

Builder = Callable[[], Module]

# Learned numbers: Caffe's AlexNet and GoogLeNet, torchvision's and timm's models, Keras' MobileNet without moving
# statistics, the CIFAR networks of akamaster, PyTorch's C3D. VGG on CIFAR: the 14,714,688 of VGG16's convolutions, 2
# for each of its 4,224 planes, 262,656 + 1,024 + 5,130 of the classifier.
PUBLISHED: dict[str, tuple[Builder, tuple[int, ...], int, int]] = {
    "lenet": (lambda: build_model(10), (28, 28), 10, 22_278),
    "alexnet": (alexnet, (3, 227, 227), 1000, 60_965_224),
    "alexnet, one column": (alexnet_owt, (3, 224, 224), 1000, 61_100_840),
    "vgg 16": (vgg16, (3, 224, 224), 1000, 138_357_544),
    "vgg 19": (vgg19, (3, 224, 224), 1000, 143_667_240),
    "vgg, CIFAR": (vgg_cifar, (3, 32, 32), 10, 14_991_946),
    "inception 1": (lambda: inception_v1_no_aux_classifier(1000), (3, 224, 224), 1000, 6_998_552),
    "c3d": (lambda: c3d(101), (3, 16, 112, 112), 101, 78_409_573),
    "resnet 18": (lambda: resnet(18), (3, 224, 224), 1000, 11_689_512),
    "resnet 34": (lambda: resnet(34), (3, 224, 224), 1000, 21_797_672),
    "resnet 50": (lambda: resnet(50), (3, 224, 224), 1000, 25_557_032),
    "resnet 101": (lambda: resnet(101), (3, 224, 224), 1000, 44_549_160),
    "resnet 152": (lambda: resnet(152), (3, 224, 224), 1000, 60_192_808),
    "resnet 20, CIFAR": (lambda: resnet_cifar(20), (3, 32, 32), 10, 269_722),
    "resnet 32, CIFAR": (lambda: resnet_cifar(32), (3, 32, 32), 10, 464_154),
    "resnet 44, CIFAR": (lambda: resnet_cifar(44), (3, 32, 32), 10, 658_586),
    "resnet 56, CIFAR": (lambda: resnet_cifar(56), (3, 32, 32), 10, 853_018),
    "resnet 110, CIFAR": (lambda: resnet_cifar(110), (3, 32, 32), 10, 1_727_962),
    "mobilenet 1": (mobilenet_v1, (3, 224, 224), 1000, 4_231_976),
    "mobilenet 1, a quarter": (lambda: mobilenet_v1(width=0.25), (3, 224, 224), 1000, 470_072),
    "mobilenet 2": (mobilenet_v2, (3, 224, 224), 1000, 3_504_872),
    "lite 0": (lambda: efficientnet_lite(0), (3, 224, 224), 1000, 4_652_008),
    "lite 1": (lambda: efficientnet_lite(1), (3, 240, 240), 1000, 5_416_680),
    "lite 2": (lambda: efficientnet_lite(2), (3, 260, 260), 1000, 6_092_072),
    "lite 3": (lambda: efficientnet_lite(3), (3, 280, 280), 1000, 8_197_096),
    "lite 4": (lambda: efficientnet_lite(4), (3, 300, 300), 1000, 13_006_568),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_networks_have_their_published_size(name: str) -> None:
    build, row, classes, count = PUBLISHED[name]
    with skipped():
        model = build()
    assert sum(parameter.value.size for parameter in model.named_parameters().values()) == count
    assert model.output_shape((None, *row)) == (None, classes)


# Inception v2: the port of the Caffe model has 11,295,240 with 32 planes more behind the poolings of 4c and 4d, where
# the paper's 576 planes want 96: 18,528 less in 4c; 3,072 + 4,096 + 5,120 + 22,624 in 4d; 10,240 in 4e; 26,624 in 5a.
@pytest.mark.parametrize(
    ("build", "sizes"),
    [
        (inception_v1, {"": 13_378_280, "loss1": 512 * 128 + 128 + 2048 * 1024 + 1024 + 1_025_000}),
        (inception_v2, {"loss2": 1024 * 128 + 3 * 128 + 512 * 1024 + 1024 + 1_025_000}),
        (inception_v2_no_aux_classifier, {"": 11_295_240 - 18_528 - 34_912 - 10_240 - 26_624}),
    ],
)
def test_inception_has_its_published_size(build: Callable[[int], Module], sizes: dict[str, int]) -> None:
    with skipped():
        model = build(1000)
    for prefix, count in sizes.items():
        found = {name: parameter.value.size for name, parameter in model.named_parameters().items()}
        assert sum(size for name, size in found.items() if name.startswith(prefix)) == count
    one = (None, 1000)
    assert model.output_shape((None, 3, 224, 224)) == (one if build is inception_v2_no_aux_classifier else [one] * 3)
    assert model.node("pool4/3x3_s2" if build is inception_v1 else "inception_4e/pool")


def randomised(build: Builder) -> Module:
    """Weights, statistics and scales as after training, so that folding them matters."""
    rng = np.random.default_rng(0)
    with skipped():
        model = build()
    for parameter in model.named_parameters().values():
        shape = parameter.value.shape
        fan_in = np.prod(shape[1:]) if len(shape) > 1 else 2
        parameter.value[...] = np.sqrt(2 / fan_in, dtype=np.float32) * rng.standard_normal(shape, dtype=np.float32)
    for name, buffer in model.buffers().items():
        low = 0.5 if name.endswith("var") else -0.5
        buffer.value[...] = rng.uniform(low, low + 1, buffer.value.shape)
    return model.evaluate()


SMALL: dict[str, tuple[Builder, tuple[int, ...]]] = {
    "lenet": (lambda: build_model(5), (28, 28)),
    "vgg, CIFAR": (lambda: vgg_cifar(5), (3, 32, 32)),
    "inception 1": (lambda: inception_v1(5), (3, 224, 224)),
    "inception 2": (lambda: inception_v2_no_aux_classifier(5), (3, 64, 96)),
    "cnn3d": (lambda: cnn3d(5, 2, (4, 6)), (2, 9, 7, 8)),
    "resnet 50": (lambda: resnet(50, 7), (3, 33, 40)),
    "resnet 8, CIFAR": (lambda: resnet_cifar(8), (3, 16, 16)),
    "resnet 8 B, CIFAR": (lambda: resnet_cifar(8, shortcut="B"), (3, 16, 16)),
    "mobilenet 1": (lambda: mobilenet_v1(7, 0.25), (3, 40, 33)),
    "mobilenet 2": (lambda: mobilenet_v2(7, 0.35), (3, 40, 33)),
    "lite 0": (lambda: efficientnet_lite(0, 7), (3, 40, 33)),
}


@pytest.mark.parametrize("name", SMALL)
def test_a_plan_computes_the_network(name: str) -> None:
    build, row = SMALL[name]
    model = randomised(build)
    x = np.random.default_rng(1).standard_normal((1, *row), dtype=np.float32)
    expected = list(leaves(model.forward(x)))
    found = list(leaves(compile(model, x.shape)(x)))
    for wanted, got in zip(expected, found, strict=True):
        assert np.isfinite(wanted).all()
        assert wanted.std() > 1e-3
        np.testing.assert_allclose(got, wanted, atol=1e-4 * np.abs(wanted).max())


def test_normalisation_and_activation_leave_no_step() -> None:
    with skipped():
        for name in ("resnet 50", "mobilenet 1", "mobilenet 2", "lite 0"):
            build, row = SMALL[name]
            steps = compile(build(), (1, *row)).steps
            assert set(steps) <= {"Convolution", "Inverted", "Product", "SpatialMaxPooling", "SpatialAveragePooling"}


def test_pictures_of_even_size_are_padded_after_as_by_tensorflow() -> None:
    with skipped():
        model = efficientnet_lite(0, 2).evaluate()
    stem = model.find("_conv_stem")
    stem.weight.value[0, 0] = np.arange(9).reshape(3, 3)
    y = stem.forward(np.ones((1, 3, 4, 4), np.float32))
    # The window at the upper left lies wholly inside; the last column and row of the others lie outside.
    assert y[0, 0].tolist() == [[36, 0 + 1 + 3 + 4 + 6 + 7], [0 + 1 + 2 + 3 + 4 + 5, 0 + 1 + 3 + 4]]


@pytest.mark.parametrize(
    ("build", "cut", "shape"),
    [
        (lambda: inception_v1_no_aux_classifier(1000), "pool5/drop_7x7_s1", (None, 1024, 1, 1)),
        (lambda: inception_v1_no_aux_classifier(1000), "inception_4e/output", (None, 832, 14, 14)),
        (lambda: resnet(50), "layer3.5.relu", (None, 1024, 14, 14)),
        (lambda: efficientnet_lite(0), "_blocks.10.sum", (None, 112, 14, 14)),
        (mobilenet_v1, "relu5_6/sep", (None, 1024, 7, 7)),
    ],
)
def test_transfer_learning_cuts_by_the_published_names(build: Builder, cut: str, shape: tuple[int | None, ...]) -> None:
    with skipped():
        assert build().new_graph([cut]).output_shape((None, 3, 224, 224)) == shape


def test_sizes_of_efficientnet_lite() -> None:
    assert [scaling.size for scaling in LITE] == [224, 240, 260, 280, 300]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: resnet(20), "resnet: got depth 20, expected one of"),
        (lambda: resnet_cifar(18), "resnet_cifar: got depth 18, expected 6 n"),
        (lambda: resnet_cifar(20, shortcut="C"), "resnet_cifar: got shortcut 'C', expected one of"),
        (lambda: efficientnet_lite(5), "efficientnet_lite: got variant 5, expected 0 to 4"),
    ],
)
def test_what_there_is_not_is_refused(build: Builder, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


def test_networks_are_saved_under_their_names(tmp_path: Path) -> None:
    model = randomised(lambda: mobilenet_v1(3, 0.25))
    loaded = load_module(model.save(str(tmp_path / "model")))
    assert "conv2_1/dw/bn.weight" in loaded.named_parameters()
    for mine, its in zip(model.named_parameters().items(), loaded.named_parameters().items(), strict=True):
        assert mine[0] == its[0]
        assert np.array_equal(mine[1].value, its[1].value)
