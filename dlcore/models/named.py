"""Networks for pictures by name, with what each takes and gives: for programs that are told by a file what to train."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dlcore.models.alexnet import alexnet, alexnet_owt
from dlcore.models.autoencoder import autoencoder
from dlcore.models.efficientnet_lite import efficientnet_lite
from dlcore.models.inception import inception_v1_no_aux_classifier, inception_v2_no_aux_classifier
from dlcore.models.lenet import build_model
from dlcore.models.mobilenet import mobilenet_v1, mobilenet_v2
from dlcore.models.resnet import resnet, resnet_cifar
from dlcore.models.vgg import vgg16, vgg19, vgg_cifar
from dlcore.nn.module import Module
from dlcore.surface import suggestion

Gives = Literal["log-probabilities", "logits", "pictures"]
_OF_CALLER = {"class_num", "input_size"}
"""Arguments that follow from the pictures."""


@dataclass(frozen=True)
class PictureModel:
    """A network for pictures (N, planes, side, side).

    build: makes it.   side, planes: of its usual pictures.   gives: a row per class, or the picture again.
    """

    build: Callable[..., Module]
    side: int = 224
    planes: int = 3
    gives: Gives = "logits"

    def made(self, class_num: int, side: int, arguments: Mapping[str, Any]) -> Module:
        """The network for so many classes and pictures of so many pixels a side.

        Raises:
            ValueError: it takes no such argument, not this value, or pictures of another side.
        """
        known = set(inspect.signature(self.build).parameters) - _OF_CALLER
        for name in arguments:
            if name not in known:
                raise ValueError(f"got argument {name!r}, expected one of {sorted(known)}{suggestion(name, known)}")
        own = {"input_size": self.planes * side * side} if self.gives == "pictures" else {"class_num": class_num}
        try:
            model = self.build(**own, **arguments)
        except TypeError as error:
            raise ValueError(f"got arguments {dict(arguments)}, expected others: {error}") from error
        model.output_shape((1, self.planes, side, side))
        return model


PICTURE_MODELS: Mapping[str, PictureModel] = {
    "lenet5": PictureModel(build_model, 28, 1, "log-probabilities"),
    "alexnet": PictureModel(alexnet, 227, 3, "log-probabilities"),
    "alexnet_owt": PictureModel(alexnet_owt, 224, 3, "log-probabilities"),
    "vgg16": PictureModel(vgg16),
    "vgg19": PictureModel(vgg19),
    "vgg_cifar": PictureModel(vgg_cifar, 32, 3, "log-probabilities"),
    "inception_v1": PictureModel(inception_v1_no_aux_classifier, 224, 3, "log-probabilities"),
    "inception_v2": PictureModel(inception_v2_no_aux_classifier, 224, 3, "log-probabilities"),
    "resnet": PictureModel(resnet),
    "resnet_cifar": PictureModel(resnet_cifar, 32),
    "mobilenet_v1": PictureModel(mobilenet_v1),
    "mobilenet_v2": PictureModel(mobilenet_v2),
    "efficientnet_lite": PictureModel(efficientnet_lite),
    "autoencoder": PictureModel(autoencoder, 28, 1, "pictures"),
}
"""Each network that has one output and learns from pictures alone; Inception without the classifiers beside."""
