"""The catalogue's categories: name -> drawing function of a random generator; and rarer kinds of them, to train on."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from spark_jobs.catalogue.categories import clothes, devices, home, kitchen, other
from spark_jobs.catalogue.part import Drawing

_DRAWN = (
    kitchen.bottle, kitchen.mug, kitchen.teapot, kitchen.pan, kitchen.jar,
    clothes.shirt, clothes.trousers, clothes.shoe, clothes.hat, clothes.bag,
    home.chair, home.lamp, home.book, home.box,
    devices.phone, devices.watch, devices.glasses, devices.camera, devices.headphones,
    other.other,
)  # fmt: skip

CATEGORIES: dict[str, Callable[[np.random.Generator], Drawing]] = {draw.__name__: draw for draw in _DRAWN}

RARE_KINDS: dict[str, tuple[Callable[[np.random.Generator], Drawing], ...]] = {
    "bottle": (kitchen.dispenser,), "mug": (kitchen.cup_on_saucer,), "pan": (kitchen.filled_pan,),
    "shirt": (clothes.tank_top,), "shoe": (clothes.boot, clothes.boot, clothes.pump, clothes.flip_flop),
    "hat": (clothes.top_hat, clothes.cone_hat, clothes.visor_cap, clothes.wide_hat), "bag": (clothes.backpack, clothes.clutch),
    "book": (home.lying_book, home.open_book), "box": (home.carton,), "phone": (devices.folding_phone,),
    "other": (other.other, other.other, other.animal, other.plant, other.vehicle, other.tool, other.figure, other.food),
}  # fmt: skip
"""Kinds that the catalogues leave out and the training pool has, so that a detector does not fit the catalogues' drawings alone."""
