"""All Keras layers under one name, as `bigdl.nn.keras.layer` has them. Each family file lists its own in `__all__`."""

from __future__ import annotations

from dlcore.keras.advanced import *
from dlcore.keras.convolution import *
from dlcore.keras.core import *
from dlcore.keras.local import *
from dlcore.keras.merging import *
from dlcore.keras.noise import *
from dlcore.keras.pooling import *
from dlcore.keras.recurrent import *
from dlcore.keras.resizing import *
from dlcore.keras.wrapping import *

__all__ = [name for name in dir() if name[0].isupper() or name == "merge"]
