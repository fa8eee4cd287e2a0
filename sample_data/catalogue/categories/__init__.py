"""The catalogue's categories: name -> drawing function of a random generator."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sample_data.catalogue.categories import clothes, devices, home, kitchen
from sample_data.catalogue.categories.other import other
from sample_data.catalogue.part import Drawing

_DRAWN = (
    kitchen.bottle, kitchen.mug, kitchen.teapot, kitchen.pan, kitchen.jar,
    clothes.shirt, clothes.trousers, clothes.shoe, clothes.hat, clothes.bag,
    home.chair, home.lamp, home.book, home.box,
    devices.phone, devices.watch, devices.glasses, devices.camera, devices.headphones,
    other,
)  # fmt: skip

CATEGORIES: dict[str, Callable[[np.random.Generator], Drawing]] = {draw.__name__: draw for draw in _DRAWN}
