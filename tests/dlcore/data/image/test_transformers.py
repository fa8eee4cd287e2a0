"""All transformers, each against a slow formula; random ones also repeat and draw what they should."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from dlcore.data import image
from dlcore.data.image import (
    AspectScale,
    Brightness,
    BytesToMat,
    CenterCrop,
    ChannelNormalize,
    ChannelOrder,
    ChannelScaledNormalizer,
    ColorJitter,
    Contrast,
    DetectionCrop,
    Expand,
    FeatureTransformer,
    Filler,
    FixedCrop,
    FixExpand,
    HFlip,
    Hue,
    ImageFeature,
    ImageFrameToSample,
    MatToFloats,
    MatToTensor,
    Pipeline,
    PixelBytesToMat,
    PixelNormalize,
    RandomAlterAspect,
    RandomAspectScale,
    RandomCrop,
    RandomCropper,
    RandomResize,
    RandomSampler,
    RandomTransformer,
    Resize,
    RoiHFlip,
    RoiNormalize,
    RoiProject,
    RoiResize,
    Saturation,
)
from dlcore.data.image.opencv import INTER_CUBIC, from_hsv, resize, to_hsv
from dlcore.rng import RNG
from tests.dlcore.data.image.drawn import MEANS, PICTURE, boxed, feature, fractions, pixels


def with_hsv(channel, change):
    def formula(picture):
        hsv = to_hsv(picture).astype(float)
        hsv[..., channel] = np.clip(np.rint(change(hsv[..., channel])), 0, 255)
        return from_hsv(hsv.astype(np.uint8))

    return formula


def filled(picture):
    expected = picture.copy()
    for row in range(6, 12):  # 0.5 * 12 to 12
        for column in range(2, 5):  # 0.1 * 20 to 0.25 * 20
            expected[row, column] = 7
    return expected


def in_the_middle(picture):
    expected = np.zeros((15, 25, 3), np.uint8)
    expected[1:13, 2:22] = picture
    return expected


def by_bytes(function):
    def slow(picture):
        flat = [min(max(round(function(int(value))), 0), 255) for value in picture.reshape(-1)]
        return np.array(flat, np.uint8).reshape(picture.shape)

    return slow


FORMULAS = {
    "Brightness": (Brightness(-40.5, -40.5), by_bytes(lambda x: x - 40.5)),
    "Contrast": (Contrast(1.5, 1.5), by_bytes(lambda x: x * 1.5)),
    "Saturation": (Saturation(0.5, 0.5), with_hsv(1, lambda s: s * 0.5)),
    "Hue": (Hue(25.0, 25.0), with_hsv(0, lambda h: h + 25)),
    "ChannelNormalize": (
        ChannelNormalize(10, 20, 30, 2, 4, 8),
        lambda p: np.stack([(p[..., 0] - 30.0) / 8, (p[..., 1] - 20.0) / 4, (p[..., 2] - 10.0) / 2], -1),
    ),
    "ChannelScaledNormalizer": (
        ChannelScaledNormalizer(10, 20, 30, 0.5),
        lambda p: np.stack([p[..., c] * 0.5 - [15, 10, 5][c] for c in range(3)], -1),
    ),
    "PixelNormalize": (PixelNormalize(MEANS), lambda p: p - MEANS.reshape(p.shape)),
    "Resize": (Resize(6, 10, 2), lambda p: resize(p, 6, 10, INTER_CUBIC)),
    "AspectScale": (AspectScale(24, max_size=30), lambda p: resize(p, 18, 30)),
    "CenterCrop": (CenterCrop(7, 5), lambda p: p[3:8, 6:13]),
    "FixedCrop": (FixedCrop(0.1, 0.25, 0.29, 1.0), lambda p: p[3:12, 2:5]),
    "FixExpand": (FixExpand(15, 25), in_the_middle),
    "Filler": (Filler(0.1, 0.5, 0.25, 1.0, 7), filled),
    "HFlip": (HFlip(), lambda p: [row[::-1] for row in p]),
    "Pipeline": (Pipeline([HFlip(), CenterCrop(6, 6), HFlip()]), lambda p: p[3:9, 7:13]),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_pixels_are_those_of_the_formula(name):
    transformer, formula = FORMULAS[name]
    before = PICTURE.copy()
    np.testing.assert_allclose(pixels(transformer), formula(PICTURE), rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(PICTURE, before)


def where(part):
    """The (row, column) of PICTURE at which `part` lies."""
    rows, columns = part.shape[:2]
    places = [(r, c) for r in range(13 - rows) for c in range(21 - columns)]
    return [place for place in places if np.array_equal(PICTURE[place[0] :, place[1] :][:rows, :columns], part)]


def is_crop(size):
    return lambda got: got.shape == (*size, 3) and len(where(got)) == 1


def is_mirrored_crop(got):
    flipped = got[:, ::-1]
    return got.shape == (8, 11, 3) and got.dtype == np.float32 and len([*where(got), *where(flipped)]) == 1


def is_expanded(got):
    rows, columns = got.shape[:2]
    holds = [
        (r, c)
        for r in range(rows - 11)
        for c in range(columns - 19)
        if np.array_equal(got[r : r + 12, c : c + 20], PICTURE)
    ]
    rest = np.ones((rows, columns), bool)
    rest[holds[0][0] :][:12, holds[0][1] : holds[0][1] + 20] = False
    return len(holds) == 1 and 12 <= rows < 24 and (got[rest] == [104, 117, 123]).all()


RANDOM = {
    "Brightness": (Brightness(-10, 10), lambda got: len(np.unique(got[4, :6].astype(int) - PICTURE[4, :6])) <= 3),
    "Resize": (Resize(6, 10, -1), lambda got: any(np.array_equal(got, resize(PICTURE, 6, 10, m)) for m in range(5))),
    "ChannelOrder": (ChannelOrder(), lambda got: np.array_equal(np.sort(got, -1), np.sort(PICTURE, -1))),
    "ColorJitter": (ColorJitter(), lambda got: got.shape == PICTURE.shape),
    "ColorJitter shuffled": (ColorJitter(shuffle=True, random_order_prob=0.5), lambda got: got.dtype == np.uint8),
    "RandomCrop": (RandomCrop(11, 8), is_crop((8, 11))),
    "RandomCropper": (RandomCropper(11, 8, True, "Random", 3), is_mirrored_crop),
    "Expand": (Expand(max_expand_ratio=2.0), is_expanded),
    "RandomTransformer": (
        RandomTransformer(HFlip(), 0.5),
        lambda got: any(np.array_equal(got, picture) for picture in (PICTURE, PICTURE[:, ::-1])),
    ),
    "RandomAspectScale": (RandomAspectScale([6, 9]), lambda got: got.shape in ((6, 10, 3), (9, 15, 3))),
    "RandomResize": (
        RandomResize(5, 9),
        lambda got: 5 <= got.shape[0] <= 9 and got.shape[1] == got.shape[0] * 20 // 12,
    ),
    "RandomAlterAspect": (RandomAlterAspect(0.2, 0.9, 0.75, "CUBIC", 6), lambda got: got.shape == (6, 6, 3)),
}


@pytest.mark.parametrize("name", RANDOM)
def test_random_ones_repeat_and_do_what_they_say(name):
    transformer, is_right = RANDOM[name]
    drawn = [pixels(transformer, seed=seed) for seed in range(30)]
    assert all(is_right(got) for got in drawn)
    assert len({got.tobytes() for got in drawn}) > 1
    np.testing.assert_array_equal(pixels(transformer, seed=7), drawn[7])


@pytest.mark.parametrize(
    ("transformer", "expected"),
    [
        (RandomCrop(11, 8), {(row, column) for row in range(5) for column in range(10)}),
        (RandomCropper(19, 12, False, "Random", 3), {(0, 0), (0, 1)}),
        (RandomCropper(18, 10, False, "Center", 3), {(1, 1)}),
        (RandomCrop(30, 40), {(0, 0)}),
    ],
)
def test_every_place_is_drawn(transformer, expected):
    assert {where(pixels(transformer, seed=seed))[0] for seed in range(40 * len(expected) // 5 + 20)} == expected


def test_probabilities_are_what_they_say():
    transformer = RandomTransformer(HFlip(), 0.25)
    RNG.set_seed(1)
    flipped = sum(not np.array_equal(transformer.transform(feature()).mat(), PICTURE) for _ in range(1000))
    assert 200 < flipped < 300  # three standard deviations of 14
    assert np.array_equal(pixels(RandomTransformer(HFlip(), 0.0)), PICTURE)
    assert np.array_equal(pixels(ColorJitter(0, 0, 0, 0.5, 1.5, 0, 18, 0, 0.5, 1.5)), PICTURE)


def test_ratios_of_area_and_sides_are_within_bounds():
    transformer = RandomAlterAspect(0.1, 0.4, 0.5, "NEAREST", 64)
    parts = []
    grid = np.stack(np.meshgrid(np.arange(100), np.arange(80), [0], indexing="ij"), -1)[:, :, 0].astype(np.float32)
    for seed in range(60):
        got = pixels(transformer, grid, seed=seed)
        rows, columns = (np.ptp(got[..., axis]) + 1 for axis in range(2))
        parts.append((rows * columns / grid[..., 0].size, rows / columns))
    areas, ratios = np.array(parts).T
    assert 0.08 < areas.min() < 0.2
    assert 0.3 < areas.max() < 0.45
    assert 0.2 < ratios.min() < 1 < ratios.max() < 4.5


@pytest.mark.parametrize(
    ("transformer", "size"),
    [
        (AspectScale(6), (6, 10)),
        (AspectScale(600), (600, 1000)),
        (AspectScale(700), (600, 1000)),
        (AspectScale(13, scale_multiple_of=4, max_size=100), (12, 20)),
        (AspectScale(6, min_scale=2.0), (24, 40)),
        (AspectScale(6, resize_mode=0, use_scale_factor=False), (6, 10)),
    ],
)
def test_sides_keep_their_ratio(transformer, size):
    assert pixels(transformer).shape[:2] == size


def test_boxes_follow_the_picture():
    def boxes(transformer, label, picture=PICTURE):
        return transformer.transform(feature(picture, label)).get_label().bboxes

    np.testing.assert_allclose(boxes(RoiNormalize(), boxed()), fractions().bboxes)
    np.testing.assert_allclose(boxes(RoiHFlip(False), boxed()), [[10, 3, 18, 9], [2, 2, 8, 8]])
    flipped = boxes(RoiHFlip(False), boxed()) / [20, 12, 20, 12]
    np.testing.assert_allclose(boxes(RoiHFlip(), fractions()), flipped, rtol=1e-6)
    halved = Pipeline([Resize(6, 10), RoiResize(False)])
    np.testing.assert_allclose(boxes(halved, boxed()), boxed().bboxes / 2)
    np.testing.assert_allclose(boxes(RoiResize(), fractions()), fractions().bboxes)


@pytest.mark.parametrize(
    ("change", "is_centred", "expected"),
    [
        (FixedCrop(5, 0, 20, 12, False), True, [[0, 3, 5, 9], [7, 2, 13, 8]]),
        (FixedCrop(0, 0, 0.35, 1), True, [[2, 3, 7, 9]]),
        (FixedCrop(0, 0, 0.25, 1), True, []),
        (FixedCrop(0, 0, 0.25, 1), False, [[2, 3, 5, 9]]),
        (FixExpand(16, 30), True, [[7, 5, 15, 11], [17, 4, 23, 10]]),
        (FixedCrop(11, 0, 20, 12, False), False, [[1, 2, 7, 8]]),
    ],
)
def test_boxes_are_projected_onto_what_is_left(change, is_centred, expected):
    got = Pipeline([change, RoiProject(is_centred)]).transform(feature(label=fractions()))
    label, (height, width, _) = got.get_label(), got.get_size()
    np.testing.assert_allclose(label.bboxes * [width, height, width, height], np.reshape(expected, (-1, 4)), atol=1e-4)
    kept = [0, 1] if len(expected) == 2 else [0] if expected and expected[0][0] == 2 else [1] if expected else []
    np.testing.assert_array_equal(label.classes, boxed().classes[:, kept])


def test_parts_are_sampled_with_boxes_whose_centres_are_inside():
    sizes = set()
    for seed in range(40):
        RNG.set_seed(seed)
        got = RandomSampler().transform(feature(label=fractions()))
        label, box = got.get_label(), got["boundingBox"]
        centres = (fractions().bboxes[:, :2] + fractions().bboxes[:, 2:]) / 2
        inside = [box.x1 <= x <= box.x2 and box.y1 <= y <= box.y2 for x, y in centres]
        assert label.size() == sum(inside)
        assert ((label.bboxes >= 0) & (label.bboxes <= 1)).all()
        sizes.add(got.get_size())
    assert PICTURE.shape in sizes
    assert len(sizes) > 5


def test_a_detected_box_is_cut_out():
    rows = np.array([[1, 0.9, 0.1, 0.25, 0.5, 0.75], [2, 0.8, 0, 0, 1, 1]], np.float32)
    for found, normalized in ((rows, True), (np.array([2, *rows.reshape(-1)], np.float32), True)):
        one = feature()
        one["found"] = found
        np.testing.assert_array_equal(DetectionCrop("found", normalized).transform(one).mat(), PICTURE[3:9, 2:10])
    one = feature()
    one["found"] = np.zeros(1)
    np.testing.assert_array_equal(DetectionCrop("found").transform(one).mat(), PICTURE)


def test_pixels_become_floats_tensors_and_samples():
    one = feature(label=4)
    one = Pipeline([MatToTensor(to_rgb=True), ImageFrameToSample(["imageTensor"], ["label"])]).transform(one)
    np.testing.assert_array_equal(one["imageTensor"], PICTURE[..., ::-1].transpose(2, 0, 1))
    sample = one.get_sample()
    np.testing.assert_array_equal(sample.feature, one["imageTensor"])
    assert float(sample.label) == 4
    np.testing.assert_array_equal(one.get_image(), PICTURE.transpose(2, 0, 1))
    assert one.get_size() == PICTURE.shape
    grey = MatToTensor().transform(feature(PICTURE[..., 0]))
    np.testing.assert_array_equal(grey["imageTensor"], PICTURE[..., 0])
    np.testing.assert_array_equal(MatToFloats(out_key="data").transform(feature())["data"], PICTURE)


def test_a_picture_from_an_array_has_no_file_to_decode_and_keeps_its_pixels():
    np.testing.assert_array_equal(BytesToMat().transform(ImageFeature(PICTURE)).mat(), PICTURE)


def test_raw_pixels_become_pictures():
    one = ImageFeature()
    one["bytes"], one["originalSize"] = PICTURE.tobytes(), PICTURE.shape
    np.testing.assert_array_equal(PixelBytesToMat().transform(one).mat(), PICTURE)
    one["bytes"] = b"1234"
    assert "got 4 bytes, expected 720" in PixelBytesToMat().transform(one).reason
    unknown = PixelBytesToMat().transform(ImageFeature())
    assert not unknown.is_valid
    assert "originalSize" in unknown.reason


NEEDS_OTHERS = {"BytesToMat", "MatToFloats", "MatToTensor", "ImageFrameToSample", "PixelBytesToMat", "DetectionCrop"}
BOXES = {"RandomSampler", "RoiProject", "RoiHFlip", "RoiResize", "RoiNormalize"}


def test_nothing_escapes_its_test():
    kinds = {
        name for name, kind in vars(image).items() if inspect.isclass(kind) and issubclass(kind, FeatureTransformer)
    }
    tested = {name.split()[0] for name in (*FORMULAS, *RANDOM)} | NEEDS_OTHERS | BOXES | {"FeatureTransformer"}
    assert kinds == tested
