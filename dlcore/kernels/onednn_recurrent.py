"""Long short-term memory and gated recurrent units by oneDNN, over whole sequences, forward and backward.

oneDNN has the gates in another order (i, f, g, o; z, r, n), all in one array, and a memory order of its own; weights
are brought into both at each call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

import numpy as np

from dlcore.activity import Array
from dlcore.kernels import onednn_api as api
from dlcore.kernels import reference_recurrent
from dlcore.kernels.interface import Saved
from dlcore.kernels.memory import contiguous, empty
from dlcore.kernels.onednn_api import KEPT, Description, Layout, Primitive, address
from dlcore.kernels.onednn_reorder import Reorder
from dlcore.kernels.prepared import prepared

_STATES = {"lstm": 2, "gru": 1}
GATES = {"lstm": (0, 2, 1, 3), "gru": (1, 0, 2)}
"""Where oneDNN's gates lie among ours; each is its own inverse."""
_NOTHING = {"lstm": (None, None), "gru": ()}
"""The weights of peepholes and projections, which only an LSTM may have."""
_PARTS = (
    api.SRC,
    api.SRC_ITER,
    api.SRC_ITER_C,
    api.WEIGHTS,
    api.WEIGHTS_ITER,
    api.BIAS,
    api.DST,
    api.DST_ITER,
    api.DST_ITER_C,
)
_GRADIENT = 128  # from an argument to that of its gradient


@dataclass(frozen=True)
class Sizes:
    """kind: "lstm" or "gru"; T steps of N sequences, I values in and H out.

    is_reversed: from the last step to the first. has_rows: x and y lie as (N, T, ...), else as (T, N, ...).
    """

    kind: str
    steps: int
    count: int
    width: int
    hidden: int
    is_reversed: bool = False
    has_rows: bool = False

    def _states(self) -> list[Layout]:
        return [Layout.plain((1, 1, self.count, self.hidden))] * _STATES[self.kind]

    def layouts(self) -> list[Layout | None]:
        """Of the source, its states, weights, bias, the result, its states; in the order of oneDNN's calls."""
        gates = len(GATES[self.kind])
        weights = [Layout.any((1, 1, size, gates, self.hidden)) for size in (self.width, self.hidden)]
        order = (1, 0, 2) if self.has_rows else (0, 1, 2)
        source = Layout.ordered((self.steps, self.count, self.width), order)
        result = Layout.ordered((self.steps, self.count, self.hidden), order)
        bias = Layout.plain((1, 1, gates, self.hidden))
        return [source, *self._states(), *weights, *_NOTHING[self.kind], bias, result, *self._states()]

    def direction(self) -> int:
        """dnnl_rnn_direction_t."""
        return api.RIGHT_TO_LEFT if self.is_reversed else api.LEFT_TO_RIGHT

    def forward(self, propagation: int) -> Description:
        """The descriptor of the forward pass."""
        return Description(
            f"{self.kind}_forward", api.engine(), propagation, self.direction(), *self.layouts(), 0, None
        )

    def arguments(self, description: Description, first: int = 0) -> dict[int, Layout]:
        """Execution argument -> memory order; those of the gradients where `first` is 128."""
        found = self.layouts()
        given = [layout for layout in found if layout is not None]
        kinds = [kind for kind in _PARTS if self.kind == "lstm" or kind not in (api.SRC_ITER_C, api.DST_ITER_C)]
        arguments = {kind + first: layout for kind, layout in zip(kinds, given, strict=True)}
        part = "diff_weights" if first else "weights"
        arguments[api.WEIGHTS + first], arguments[api.WEIGHTS_ITER + first] = (
            description.layout(part, index) for index in (0, 1)
        )
        return arguments

    def plain_weights(self) -> tuple[Layout, Layout]:
        """Of weights as ours lie, (gates, H, I) and (gates, H, H), by oneDNN's dimensions."""
        gates = len(GATES[self.kind])
        return tuple(  # type: ignore[return-value]
            Layout.ordered((1, 1, size, gates, self.hidden), (0, 1, 3, 4, 2)) for size in (self.width, self.hidden)
        )


@dataclass(frozen=True)
class Forward:
    """The primitive of a forward pass, the way into its weights' order, the size of what it keeps, the name of oneDNN's
    code."""

    primitive: Primitive
    reorders: tuple[Reorder, Reorder]
    workspace_bytes: int
    implementation: str

    def packed(self, kind: str, w: Array, recurrent: Sequence[Array]) -> list[Array]:
        """Weights of the input and of the output before, in oneDNN's orders."""
        given = (w, recurrent[0] if len(recurrent) == 1 else np.concatenate(recurrent))
        pairs = zip(self.reorders, given, strict=True)
        return [prepared(way.floats, partial(_in_order, way, kind, each)) for way, each in pairs]


def _in_order(reorder: Reorder, kind: str, x: Array) -> Array:
    return reorder(gates_swapped(kind, x))


def gates_swapped(kind: str, x: Array) -> Array:
    """(gates * H, ...) from our order of gates into oneDNN's, and back."""
    parts = contiguous(x).reshape(len(GATES[kind]), -1, *x.shape[1:])
    swapped: Array = parts[list(GATES[kind])].reshape(x.shape)
    return swapped


def built(sizes: Sizes, is_training: bool) -> Forward:
    """The forward pass; in training it fills a workspace for the backward pass."""
    description = sizes.forward(api.FORWARD_TRAINING if is_training else api.FORWARD_INFERENCE)
    arguments = sizes.arguments(description)
    weights = [arguments[kind] for kind in (api.WEIGHTS, api.WEIGHTS_ITER)]
    size = 0
    if is_training:
        arguments[api.WORKSPACE] = description.layout("workspace")
        size = arguments[api.WORKSPACE].size_bytes
    first, second = (Reorder(plain, packed) for plain, packed in zip(sizes.plain_weights(), weights, strict=True))
    return Forward(Primitive(description, arguments), (first, second), size, description.implementation())


_forward = lru_cache(KEPT)(built)


@dataclass(frozen=True)
class _Backward:
    primitive: Primitive
    reorders: tuple[Reorder, Reorder]
    ways_back: tuple[Reorder, Reorder]
    weights_floats: tuple[int, int]


@lru_cache(KEPT)
def _backward(sizes: Sizes) -> _Backward:
    hint = sizes.forward(api.FORWARD_TRAINING)
    given = sizes.layouts()
    description = Description(
        f"{sizes.kind}_backward", api.engine(), api.BACKWARD, sizes.direction(), *given, *sizes.layouts(), 0, hint, None
    )
    before, gradients = sizes.arguments(description), sizes.arguments(description, _GRADIENT)
    workspace = {api.WORKSPACE: description.layout("workspace")}
    pairs = list(zip(sizes.plain_weights(), (api.WEIGHTS, api.WEIGHTS_ITER), strict=True))
    into = tuple(Reorder(plain, before[kind]) for plain, kind in pairs)
    back = tuple(Reorder(gradients[kind + _GRADIENT], plain) for plain, kind in pairs)
    floats = tuple(gradients[kind + _GRADIENT].size_bytes // 4 for _, kind in pairs)
    return _Backward(Primitive(description, {**before, **gradients, **workspace}), into, back, floats)  # type: ignore[arg-type]


def _run(
    kind: str, x: Array, w: Array, recurrent: Sequence[Array], b: Array, states: Sequence[Array]
) -> tuple[Array, list[Array], Saved]:
    """(y, the last states, saved)."""
    steps, count, width = x.shape
    sizes = Sizes(kind, steps, count, width, states[0].shape[1])
    run = _forward(sizes, True)
    x, states = contiguous(x), [contiguous(state) for state in states]
    weights, bias = run.packed(kind, w, recurrent), gates_swapped(kind, b)
    y, last = empty((*x.shape[:2], sizes.hidden)), [empty(state.shape) for state in states]
    workspace = np.empty(run.workspace_bytes, np.uint8)
    run.primitive(*(address(each) for each in (x, *states, *weights, bias, y, *last)), address(workspace))
    return y, last, (sizes, x, states, w, recurrent, bias, y, last, workspace)


def _run_back(grad_y: Array, grad_states: Sequence[Array], saved: Saved) -> tuple[Array, ...]:
    """Gradients of x, w, all recurrent weights in one, b, the states."""
    sizes, x, states, w, recurrent, bias, y, last, workspace = saved
    back, kind = _backward(sizes), sizes.kind
    reference_recurrent.require_gradients(f"{kind}_backward", x, sizes.hidden, grad_y, *grad_states)
    given = (w, recurrent[0] if len(recurrent) == 1 else np.concatenate(recurrent))
    weights = [reorder(gates_swapped(kind, each)) for reorder, each in zip(back.reorders, given, strict=True)]
    packed = [np.zeros(floats, np.float32) for floats in back.weights_floats]  # oneDNN adds to what is there
    grad_x, grad_b, grads = empty(x.shape), np.zeros(bias.shape, np.float32), [empty(state.shape) for state in states]
    after = (contiguous(grad_y), *map(contiguous, grad_states))
    before = (x, *states, *weights, bias, y, *last)
    back.primitive(*map(address, (*before, grad_x, *grads, *packed, grad_b, *after, workspace)))
    shapes = (w.shape, (len(w), sizes.hidden))
    plain = [way(each).reshape(shape) for way, each, shape in zip(back.ways_back, packed, shapes, strict=True)]
    return grad_x, *(gates_swapped(kind, each) for each in (*plain, grad_b)), *grads


def lstm(x: Array, w: Array, u: Array, b: Array, h: Array, c: Array) -> tuple[Array, Array, Array, Saved]:
    """See `interface.Kernels.lstm`."""
    reference_recurrent.require_lstm(x, w, u, b, h, c)
    if not x.size:
        y, h, c, saved = reference_recurrent.lstm(x, w, u, b, h, c)
        return y, h, c, (None, saved)
    y, (h, c), saved = _run("lstm", x, w, (u,), b, (h, c))
    return y, h, c, saved


def lstm_backward(grad_y: Array, grad_h: Array, grad_c: Array, saved: Saved) -> tuple[Array, ...]:
    """See `interface.Kernels.lstm_backward`."""
    if saved[0] is None:
        return reference_recurrent.lstm_backward(grad_y, grad_h, grad_c, saved[1])
    return _run_back(grad_y, (grad_h, grad_c), saved)


def gru(x: Array, w: Array, u: Array, v: Array, b: Array, h: Array) -> tuple[Array, Array, Saved]:
    """See `interface.Kernels.gru`."""
    reference_recurrent.require_gru(x, w, u, v, b, h)
    if not x.size:
        y, h, saved = reference_recurrent.gru(x, w, u, v, b, h)
        return y, h, (None, saved)
    y, (h,), saved = _run("gru", x, w, (u, v), b, (h,))
    return y, h, saved


def gru_backward(grad_y: Array, grad_h: Array, saved: Saved) -> tuple[Array, ...]:
    """See `interface.Kernels.gru_backward`."""
    if saved[0] is None:
        return reference_recurrent.gru_backward(grad_y, grad_h, saved[1])
    grad_x, grad_w, recurrent, grad_b, grad_first = _run_back(grad_y, (grad_h,), saved)
    size = grad_first.shape[1]
    return grad_x, grad_w, recurrent[: 2 * size], recurrent[2 * size :], grad_b, grad_first
