"""The feature pyramid network (Lin et al. 2017)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from dlcore.activity import Array, Pullback, describe
from dlcore.nn.layers.activation import ReLU
from dlcore.nn.layers.convolution import SpatialConvolution
from dlcore.nn.layers.pooling import SpatialMaxPooling
from dlcore.nn.layers.resize import UpSampling2D
from dlcore.nn.module import Module

__all__ = ["FPN"]

_POOL, _RETINANET = 1, 2


@dataclass(eq=False)
class FPN(Module):
    """Feature maps with the same number of planes, each combined with the smaller ones.

    x: [(N, in_channels_list[i], H, W), ...], each half the size of the one before -> [(N, out_channels, H, W), ...] and
    the maps that top_blocks adds.
    Each map goes through a 1 x 1 convolution; the result of the next smaller map, enlarged, is added; a 3 x 3
    convolution gives the output.
    top_blocks: 0 adds nothing; 1 adds every second pixel of the last map; 2 adds two maps, half and a quarter of its
    size, by convolutions with stride 2 (RetinaNet's P6 and P7). These start from the last output if in_channels_of_p6p7
    equals out_channels_of_p6p7, else from the last input.
    Source: BigDL's FPN; Lin et al. 2017; Lin et al. 2017 (RetinaNet).

    Raises:
        ValueError: another number of maps, sizes that are not halves, or an unknown top_blocks.
    """

    in_channels_list: list[int]
    out_channels: int
    top_blocks: int = 0
    in_channels_of_p6p7: int = 0
    out_channels_of_p6p7: int = 0
    inner: list[SpatialConvolution] = field(init=False, repr=False)
    outer: list[SpatialConvolution] = field(init=False, repr=False)
    top: list[SpatialConvolution] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if self.top_blocks not in (0, _POOL, _RETINANET):
            raise ValueError(f"{self.label()}: got top_blocks {self.top_blocks}, expected 0, 1 or 2")
        width, numbers = self.out_channels, range(1, len(self.in_channels_list) + 1)
        self.inner = [SpatialConvolution(planes, width, 1, 1) for planes in self.in_channels_list]
        self.outer = [SpatialConvolution(width, width, 3, 3, 1, 1, 1, 1) for _ in numbers]
        for number, inner, outer in zip(numbers, self.inner, self.outer, strict=True):
            inner.set_name(f"fpn_inner{number}")
            outer.set_name(f"fpn_layer{number}")
        taken, given = self.in_channels_of_p6p7, self.out_channels_of_p6p7
        sizes = [(taken, given), (given, given)] if self.top_blocks == _RETINANET else []
        self.top = [SpatialConvolution(before, after, 3, 3, 2, 2, 1, 1) for before, after in sizes]

    def apply(self, x: list[Any]) -> tuple[list[Array], Pullback]:
        if not isinstance(x, list) or len(x) != len(self.inner):
            raise ValueError(f"{self.label()}: got {describe(x)}, expected a table of {len(self.inner)} maps")
        merged, pull_merged = self._merged(x)
        outputs = [layer.apply(part) for layer, part in zip(self.outer, merged, strict=True)]
        is_from_input = self.top_blocks == _RETINANET and self.in_channels_of_p6p7 != self.out_channels_of_p6p7
        tops, pull_tops = self._tops(x[-1] if is_from_input else outputs[-1][0])

        def pull(grads: list[Array]) -> list[Array]:
            own, from_tops = list(grads[: len(outputs)]), pull_tops(grads[len(outputs) :])
            if not is_from_input:
                own[-1] = own[-1] + from_tops
            back = pull_merged([pullback(grad) for (_, pullback), grad in zip(outputs, own, strict=True)])
            if is_from_input:
                back[-1] = back[-1] + from_tops
            return back

        return [y for y, _ in outputs] + tops, pull

    def _merged(self, x: list[Array]) -> tuple[list[Array], Callable[[list[Array]], list[Array]]]:
        """Each map's 1 x 1 convolution plus what is above it, enlarged."""
        lateral = [layer.apply(part) for layer, part in zip(self.inner, x, strict=True)]
        merged = [lateral[-1][0]]
        pulls: list[Pullback] = []
        for side, _ in reversed(lateral[:-1]):
            above, enlarge_pull = UpSampling2D([2, 2]).apply(merged[0])
            if above.shape != side.shape:
                raise ValueError(
                    f"{self.label()}: got maps of {side.shape[2:]} and {merged[0].shape[2:]}, expected halves of even "
                    f"sizes"
                )
            merged.insert(0, side + above)
            pulls.insert(0, enlarge_pull)

        def pull(grads: list[Array]) -> list[Array]:
            back, below = [], None
            for grad, (_, lateral_pull), enlarge_pull in zip(grads, lateral, [*pulls, None], strict=True):
                total = grad if below is None else grad + below
                back.append(lateral_pull(total))
                below = None if enlarge_pull is None else enlarge_pull(total)
            return back

        return merged, pull

    def _tops(self, x: Array) -> tuple[list[Array], Callable[[list[Array]], Any]]:
        """The maps above the last one, and from their gradients that of `x`."""
        if self.top_blocks == 0:
            return [], lambda grads: 0
        if self.top_blocks == _POOL:
            pooled, pool_pull = SpatialMaxPooling(1, 1, 2, 2).apply(x)
            return [pooled], lambda grads: pool_pull(grads[0])
        (sixth, sixth_pull), relu = self.top[0].apply(x), ReLU()
        rectified, relu_pull = relu.apply(sixth)
        seventh, seventh_pull = self.top[1].apply(rectified)
        return [sixth, seventh], lambda grads: sixth_pull(grads[0] + relu_pull(seventh_pull(grads[1])))
