"""Recurrent layers over whole sequences in plain numpy: the specification of `lstm` and `gru`. See `interface` for
shapes."""

from __future__ import annotations

import numpy as np

from dlcore.activity import Array
from dlcore.kernels.interface import Saved


def _sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), safe for large values."""
    y: Array = np.tanh(x * np.float32(0.5))
    return y * np.float32(0.5) + np.float32(0.5)


def _require(operation: str, given: dict[str, Array], expected: dict[str, tuple[int, ...]]) -> None:
    for name, shape in expected.items():
        if given[name].shape != shape:
            raise ValueError(f"{operation}: got {name} {given[name].shape}, expected {shape} for x {given['x'].shape}")


def require_lstm(x: Array, w: Array, u: Array, b: Array, h: Array, c: Array) -> None:
    """Raise ValueError unless the arguments of `lstm` fit together: libraries would read beyond them."""
    size, given = h.shape[-1], {"x": x, "w": w, "u": u, "b": b, "h": h, "c": c}
    states = dict.fromkeys(("h", "c"), (x.shape[1], size))
    _require("lstm", given, {"w": (4 * size, x.shape[2]), "u": (4 * size, size), "b": (4 * size,), **states})


def require_gru(x: Array, w: Array, u: Array, v: Array, b: Array, h: Array) -> None:
    """Raise ValueError unless the arguments of `gru` fit together."""
    size, given = h.shape[-1], {"x": x, "w": w, "u": u, "v": v, "b": b, "h": h}
    weights = {"w": (3 * size, x.shape[2]), "u": (2 * size, size), "v": (size, size), "b": (3 * size,)}
    _require("gru", given, {**weights, "h": (x.shape[1], size)})


def require_gradients(operation: str, x: Array, hidden: int, grad_y: Array, *grad_states: Array) -> None:
    """Raise ValueError unless gradients have the shapes of what `operation` gave for `x` (T, N, I)."""
    shapes = [(*x.shape[:2], hidden), *[(x.shape[1], hidden)] * len(grad_states)]
    found = [grad.shape for grad in (grad_y, *grad_states)]
    if found != shapes:
        raise ValueError(f"{operation}: got gradients {found}, expected {shapes}")


def lstm(x: Array, w: Array, u: Array, b: Array, h: Array, c: Array) -> tuple[Array, Array, Array, Saved]:
    """See `interface.Kernels.lstm`."""
    require_lstm(x, w, u, b, h, c)
    y, steps, first = np.empty((len(x), *h.shape), h.dtype), [], h
    for t, share in enumerate(x @ w.T + b):
        values, i_end = share + h @ u.T, h.shape[1]
        i, f, o = (_sigmoid(values[:, k * i_end : (k + 1) * i_end]) for k in (0, 2, 3))
        g = np.tanh(values[:, i_end : 2 * i_end])
        before, c = c, f * c + i * g
        shown = np.tanh(c)
        h = y[t] = o * shown
        steps.append((i, g, f, o, before, shown))
    return y, h.copy(), c.copy(), (x, w, u, first, y, steps)


def lstm_backward(grad_y: Array, grad_h: Array, grad_c: Array, saved: Saved) -> tuple[Array, ...]:
    """See `interface.Kernels.lstm_backward`."""
    x, w, u, first, y, steps = saved
    require_gradients("lstm_backward", x, first.shape[1], grad_y, grad_h, grad_c)
    grad_values = np.empty((len(y), y.shape[1], len(u)), y.dtype)
    for t in reversed(range(len(steps))):
        i, g, f, o, before, shown = steps[t]
        grad_h = grad_h + grad_y[t]
        grad_c = grad_c + grad_h * o * (1 - shown * shown)
        parts = (
            grad_c * g * i * (1 - i),
            grad_c * i * (1 - g * g),
            grad_c * before * f * (1 - f),
            grad_h * shown * o * (1 - o),
        )
        grad_values[t] = np.concatenate(parts, axis=1)
        grad_h, grad_c = grad_values[t] @ u, grad_c * f
    rows = grad_values.reshape(-1, len(u))
    outputs = np.concatenate([first[None], y])[:-1].reshape(-1, first.shape[1])
    return grad_values @ w, rows.T @ x.reshape(-1, x.shape[2]), rows.T @ outputs, rows.sum(axis=0), grad_h, grad_c


def gru(x: Array, w: Array, u: Array, v: Array, b: Array, h: Array) -> tuple[Array, Array, Saved]:
    """See `interface.Kernels.gru`."""
    require_gru(x, w, u, v, b, h)
    y, steps, size = np.empty((len(x), *h.shape), h.dtype), [], h.shape[1]
    for t, share in enumerate(x @ w.T + b):
        opening = _sigmoid(share[:, : 2 * size] + h @ u.T)
        r, z = opening[:, :size], opening[:, size:]
        n = np.tanh(share[:, 2 * size :] + (r * h) @ v.T)
        steps.append((r, z, n, h))
        h = y[t] = n + z * (h - n)
    return y, h.copy(), (x, w, u, v, steps)


def gru_backward(grad_y: Array, grad_h: Array, saved: Saved) -> tuple[Array, ...]:
    """See `interface.Kernels.gru_backward`."""
    x, w, u, v, steps = saved
    size = v.shape[0]
    require_gradients("gru_backward", x, size, grad_y, grad_h)
    grad_values = np.empty((*grad_y.shape[:2], 3 * size), grad_y.dtype)
    for t in reversed(range(len(steps))):
        r, z, n, before = steps[t]
        grad_h = grad_h + grad_y[t]
        grad_n = grad_h * (1 - z) * (1 - n * n)
        grad_reset = grad_n @ v
        opening = np.concatenate([grad_reset * before * r * (1 - r), grad_h * (before - n) * z * (1 - z)], axis=1)
        grad_values[t] = np.concatenate([opening, grad_n], axis=1)
        grad_h = grad_h * z + grad_reset * r + opening @ u
    rows = grad_values.reshape(-1, 3 * size)
    befores = np.reshape([step[3] for step in steps], (-1, size)).astype(rows.dtype)
    resets = np.reshape([step[0] * step[3] for step in steps], (-1, size)).astype(rows.dtype)
    grad_u, grad_v = rows[:, : 2 * size].T @ befores, rows[:, 2 * size :].T @ resets
    return grad_values @ w, rows.T @ x.reshape(-1, x.shape[2]), grad_u, grad_v, rows.sum(axis=0), grad_h
