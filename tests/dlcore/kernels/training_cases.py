"""What training does beside convolutions, products and sequences: (name, operation, arguments, gradient of the paired
operation)."""

from __future__ import annotations

import numpy as np

from dlcore import kernels


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def images(*shape: int) -> np.ndarray:
    return kernels.channels_last(random(*shape))


def cases():
    """Rows and planes below, at and above a vector's width, in every memory order."""
    rows = {
        "any": (random(3, 4, 5), 1),
        "one": (random(7, 1), 1),
        "vector": (random(5, 16), -1),
        "wide": (5 * random(33, 301), 1),
        "many": (random(9000, 5), 1),
        "images": (images(2, 21, 5, 3), 1),
        "planes": (random(2, 21, 5, 3), 1),
        "transposed": (random(6, 9).T, 0),
        "empty": (random(0, 4), 1),
    }
    for name, (x, axis) in rows.items():
        for operation in ("softmax", "log_softmax"):
            y = getattr(kernels, operation)(x, axis)
            yield name, operation, (x, axis), None
            yield name, f"{operation}_backward", (random(*x.shape[::-1]).transpose(), y, axis), None
    for shape in ((4, 7), (3, 5, 16), (50, 129), (2, 1), (0, 3)):
        yield (
            f"{shape}",
            "layer_norm",
            (random(*shape), random(shape[-1]), random(shape[-1] + 1)[1:], 1e-6),
            random(*shape),
        )
    for name, x in (("images", images(2, 13, 5, 4)), ("row-major", random(1, 32, 3, 3)), ("sequence", random(3, 6, 5))):
        for size, beta in ((5, 0.75), (3, 0.6), (1, 1.0), (9, 0.75)):
            yield f"{name} {size}", "lrn", (x, size, 0.3, beta, 1.5), random(*x.shape)
    for name, x in (("images", images(2, 3, 4, 5)), ("flat", random(1001)), ("strided", random(8, 9)[::2, 1:])):
        yield name, "relu", (x,), None
        yield name, "relu_backward", (random(*x.shape[::-1]).transpose(), x), None
