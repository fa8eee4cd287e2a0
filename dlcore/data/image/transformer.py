"""The parent class of all transformers of pictures, and transformers made of others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from dlcore.data.image.feature import ImageFeature
from dlcore.number_type import Typed
from dlcore.rng import RNG


def drawn(low: float, high: float) -> float:
    """A number from [low, high), drawn from the engine's generator."""
    return low + (high - low) * float(RNG.draws(1)[0])


def drawn_integer(low: int, high: int) -> int:
    """A whole number from low to high, both included, from the engine's generator."""
    return low + int(float(RNG.draws(1)[0]) * (high - low + 1))


@dataclass(eq=False)
class FeatureTransformer(Typed):
    """Changes a picture. An invalid one stays as it is.

    A transformer is a dataclass of BigDL's arguments that writes `change(feature)`. Random choices are drawn from the
    engine's generator, so that they repeat after `set_seed`. Called with an ImageFrame it changes all of its pictures.
    Source: BigDL's FeatureTransformer.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        self._ignores_errors = False

    def change(self, feature: ImageFeature) -> None:
        """Change `feature`. Each transformer defines it."""
        raise NotImplementedError(f"{type(self).__name__} does not define change")

    def transform(self, image_feature: ImageFeature, bigdl_type: str = "float") -> ImageFeature:
        """Change one picture, and return it.

        Raises:
            ValueError: the transformer cannot take such a picture; the message names it.
        """
        if not image_feature.is_valid:
            return image_feature
        try:
            self.change(image_feature)
        except (ValueError, TypeError) as error:
            if not image_feature.is_valid:  # its file could not be decoded, which is logged
                return image_feature
            message = f"{image_feature.name()}: {type(self).__name__}: {error}"
            if not self._ignores_errors:
                raise ValueError(message) from error
            image_feature.fail(message)
        return image_feature

    def enable_ignore_exception(self) -> Self:
        """From now on, a picture that the transformer cannot take becomes invalid instead of raising an error."""
        self._ignores_errors = True
        return self

    def __call__(self, image_frame: Any, bigdl_type: str = "float") -> Any:
        """Change the pictures of an ImageFrame, or one ImageFeature."""
        return self.transform(image_frame) if isinstance(image_frame, ImageFeature) else image_frame.transform(self)


@dataclass(eq=False)
class Pipeline(FeatureTransformer):
    """One transformer after the other.

    Source: BigDL's Pipeline.

    Raises:
        TypeError: something is not a transformer.
    """

    transformers: Sequence[FeatureTransformer]

    def __post_init__(self) -> None:
        super().__post_init__()
        for transformer in self.transformers:
            if not isinstance(transformer, FeatureTransformer):
                raise TypeError(
                    f"Pipeline: got {type(transformer).__name__}, expected transformers such as Resize(256, 256)"
                )

    def transform(self, image_feature: ImageFeature, bigdl_type: str = "float") -> ImageFeature:
        for transformer in self.transformers:
            image_feature = transformer.transform(image_feature)
        return image_feature

    def enable_ignore_exception(self) -> Self:
        for transformer in self.transformers:
            transformer.enable_ignore_exception()
        return self


@dataclass(eq=False)
class RandomTransformer(FeatureTransformer):
    """`transformer` with probability `prob`, else nothing.

    Source: BigDL's RandomTransformer.
    """

    transformer: FeatureTransformer
    prob: float

    def transform(self, image_feature: ImageFeature, bigdl_type: str = "float") -> ImageFeature:
        return self.transformer.transform(image_feature) if drawn(0.0, 1.0) < self.prob else image_feature
