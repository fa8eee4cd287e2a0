"""What transformers refuse, and what becomes of pictures that they cannot work on."""

from __future__ import annotations

import numpy as np
import pytest

from dlcore.data.image import (
    AspectScale,
    Brightness,
    BytesToMat,
    CenterCrop,
    ChannelNormalize,
    Contrast,
    DetectionCrop,
    Expand,
    Filler,
    FixedCrop,
    FixExpand,
    HFlip,
    Hue,
    ImageFeature,
    ImageFrameToSample,
    LocalImageFrame,
    MatToFloats,
    MatToTensor,
    Pipeline,
    PixelNormalize,
    RandomAlterAspect,
    RandomAspectScale,
    RandomCropper,
    RandomResize,
    Resize,
    RoiHFlip,
    RoiLabel,
    RoiProject,
    Saturation,
)
from tests.dlcore.data.image.drawn import PICTURE, feature, fractions, pixels

REFUSED = {
    "rising brightness": (lambda: Brightness(3, 1), "got 3 to 1"),
    "negative contrast": (lambda: Contrast(-1, 1), "from 0"),
    "negative saturation": (lambda: Saturation(-1, 1), "from 0"),
    "size": (lambda: Resize(0, 5), "got resize_h 0"),
    "mode": (lambda: Resize(5, 5, 9), "got resize_mode 9"),
    "least size": (lambda: AspectScale(0), "got min_size 0"),
    "scales": (lambda: RandomAspectScale([]), "got no scales"),
    "range": (lambda: RandomResize(9, 5), "got 9 to 5"),
    "areas": (lambda: RandomAlterAspect(2, 1, 1, "CUBIC", 5), "got areas 2 to 1"),
    "interpolation": (lambda: RandomAlterAspect(0.1, 1, 1, "SPLINE", 5), "got interp_mode 'SPLINE'"),
    "cropper": (lambda: RandomCropper(3, 3, True, "Left", 3), "got cropper_method 'Left'"),
    "ratios": (lambda: Expand(min_expand_ratio=0.5), "got ratios 0.5"),
    "filler": (lambda: Filler(0.5, 0, 0.5, 1), "expected fractions that rise"),
    "std": (lambda: ChannelNormalize(0, 0, 0, 1, 0, 1), "got a std of 0"),
    "no part": (lambda: pixels(FixedCrop(0.5, 0, 0.5, 1)), "expected a part of the picture"),
    "beyond": (lambda: pixels(FixedCrop(0, 0, 30, 5, False, False)), "columns 0 to 30"),
    "larger centre": (lambda: pixels(CenterCrop(30, 5, False)), "FixedCrop|CenterCrop: got columns -5 to 25"),
    "larger crop": (lambda: pixels(RandomCropper(30, 5, True, "Random", 3)), "columns 0 to 30"),
    "larger picture": (lambda: pixels(FixExpand(10, 40)), "got a picture 12 x 20, expected at most 10 x 40"),
    "means": (lambda: pixels(PixelNormalize([1, 2])), "got 2 means"),
    "grey hue": (lambda: pixels(Hue(5, 5), PICTURE[..., :1]), "expected 3 channels"),
    "no box": (lambda: pixels(RoiProject(True), label=fractions()), 'got no "boundingBox"'),
    "no boxes": (lambda: pixels(RoiHFlip(), label=3), "expected a RoiLabel"),
    "nothing detected": (lambda: pixels(DetectionCrop("found")), "got no 'found'"),
    "no pixels": (lambda: Pipeline([MatToTensor(), HFlip()]).transform(feature()), "got no pixels"),
    "no tensor": (lambda: ImageFrameToSample().transform(feature()), "makes imageTensor"),
    "no label": (
        lambda: Pipeline([MatToTensor(), ImageFrameToSample(target_keys=["label"])]).transform(feature()),
        "set_label gives labels, and pictures to predict on need no target_keys",
    ),
    "label": (lambda: RoiLabel(np.ones(3), np.ones((2, 4))), "got classes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_makes_no_sense_is_refused(name):
    make, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        make()


def test_a_pipeline_is_of_transformers():
    with pytest.raises(TypeError, match="got function, expected transformers"):
        Pipeline([lambda picture: picture])


def test_errors_may_be_ignored():
    frame = LocalImageFrame([PICTURE, PICTURE[:5]])
    Pipeline([CenterCrop(8, 8, False), HFlip()]).enable_ignore_exception()(frame)
    assert [one.is_valid for one in frame.features] == [True, False]
    assert "CenterCrop" in frame.features[1].reason


def test_a_file_that_is_no_picture_is_left_alone():
    broken = ImageFeature.of_file(b"no picture", "broken.jpg")
    transformer = Pipeline([BytesToMat(), HFlip(), Resize(5, 5), MatToFloats(4, 5, 3), MatToTensor()])
    assert transformer.transform(broken).is_valid is False
    assert broken.get_image().shape == (3, 4, 5)
    assert broken.get_original_size() == (-1, -1, -1)
    with pytest.raises(ValueError, match=r"broken.jpg: .*cannot be decoded.*image_frame.filter"):
        broken.get_sample()
