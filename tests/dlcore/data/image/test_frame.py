"""ImageFrames from files and arrays: what is known of their pictures, and training on them."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest
from PIL import Image

from dlcore.data.dataset import DataSet
from dlcore.data.image import (
    CenterCrop,
    ChannelNormalize,
    HFlip,
    ImageFeature,
    ImageFrame,
    ImageFrameToSample,
    LocalImageFrame,
    MatToTensor,
    Pipeline,
    RandomTransformer,
    Resize,
)
from dlcore.data.image import feature as module
from dlcore.data.image.feature import decoded
from dlcore.nn.criterion import ClassNLLCriterion
from dlcore.nn.layer import Linear, LogSoftMax, ReLU, Reshape, Sequential, SpatialConvolution
from dlcore.optim.adaptive import Adam
from dlcore.optim.loop import Optimizer
from dlcore.optim.metric import Top1Accuracy
from dlcore.optim.trigger import EveryEpoch, MaxEpoch
from dlcore.rng import RNG
from dlcore.settings import Settings

PIXELS = np.random.default_rng(3).integers(0, 256, (5, 7, 3), dtype=np.uint8)


def saved(folder):
    """A folder of two red, two blue pictures and one that is damaged."""
    (folder / "red").mkdir()
    for place in range(2):
        Image.new("RGB", (8, 6), (220 + place, 10, 10)).save(folder / "red" / f"{place}.png")
        Image.new("RGB", (8, 6), (10, 10, 220 + place)).save(folder / f"blue{place}.jpg")
    (folder / ".hidden.png").write_bytes(b"")
    return folder


def test_pictures_are_read_from_a_folder_by_path(tmp_path):
    frame = ImageFrame.read(str(saved(tmp_path)))
    names = ["blue0.jpg", "blue1.jpg", "red/0.png", "red/1.png"]
    assert frame.get_uri() == [str(tmp_path / name) for name in names]
    assert (len(frame), frame.is_local(), frame.is_distributed()) == (4, True, False)
    np.testing.assert_array_equal(frame.get_image()[2][:, 0, 0], [10, 10, 220])  # blue, green, red
    assert frame.features[3].keys() == ["bytes", "mat", "originalSize", "uri"]
    assert [label.tolist() for label in frame.get_label()] == [[-1]] * 4
    assert frame.get_predict() == [(str(tmp_path / name), None) for name in names]
    assert len(ImageFrame.read(f"{tmp_path}/*.jpg")) == 2
    assert len(ImageFrame.read(tmp_path / "blue1.jpg")) == 1


@pytest.mark.parametrize("path", ["nothing", "*.gif", "empty"])
def test_a_place_without_pictures_says_what_belongs_there(tmp_path, path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="got no files, expected pictures"):
        ImageFrame.read(tmp_path / path)


def of_mode(mode, **options):
    content = io.BytesIO()
    image = Image.fromarray(PIXELS).convert("L" if mode.startswith("I") else mode)
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image).astype(np.uint16) * 256 + 9)
    image.save(content, "PNG" if mode not in ("CMYK",) else "TIFF", **options)
    return ImageFeature.of_file(content.getvalue()).mat()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "I;16", "CMYK"])
def test_all_kinds_of_pictures_are_decoded(mode):
    expected = (
        PIXELS[..., ::-1]
        if mode in ("RGB", "RGBA", "CMYK")
        else np.asarray(Image.fromarray(PIXELS).convert("L"))[..., None]
    )
    got = of_mode(mode)
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, expected)


def test_damaged_and_too_large_pictures_are_invalid(tmp_path, monkeypatch, caplog):
    content = io.BytesIO()
    Image.fromarray(PIXELS).save(content, "JPEG")
    (tmp_path / "cut.jpg").write_bytes(content.getvalue()[:-200])
    Image.fromarray(PIXELS).save(tmp_path / "good.png")
    Image.fromarray(np.tile(PIXELS, (2, 2, 1))).save(tmp_path / "large.png")
    monkeypatch.setattr(module, "settings", lambda: Settings(max_image_pixels=100))
    frame = ImageFrame.read(tmp_path)
    kept = frame.filter(lambda feature: feature.is_valid)
    assert [uri.rpartition("/")[2] for uri in kept.get_uri()] == ["good.png"]
    assert "raise DLCORE_MAX_IMAGE_PIXELS" in frame.features[2].reason
    assert "cut.jpg" in caplog.text
    assert frame.get_sample() == [None] * 3
    frame.transform(HFlip())
    np.testing.assert_array_equal(frame.features[1].mat(), PIXELS[:, ::-1, ::-1])
    assert "cannot be decoded" in frame.features[0].reason
    gone = ImageFrame.read(tmp_path / "good.png").features[0]
    (tmp_path / "good.png").unlink()
    assert "No such file" in gone.check().reason


@pytest.mark.parametrize("content", [b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", b"", b"<svg/>"])
def test_other_kinds_of_files_are_not_opened(content):
    with pytest.raises(ValueError, match=r"cannot be decoded.*expected one of JPEG, PNG"):
        decoded(content)


@pytest.mark.filterwarnings("ignore:.*:UserWarning:PIL")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM"])
def test_pictures_changed_at_random_are_decoded_or_refused(kind):
    content = io.BytesIO()
    Image.fromarray(np.tile(PIXELS, (4, 3, 1))).convert("P" if kind == "GIF" else "RGB").save(content, kind)
    whole, rng, refused = content.getvalue(), random.Random(7), 0
    assert decoded(whole).shape == (20, 21, 3)
    for _ in range(40):
        damaged = bytearray(whole[: rng.choice([len(whole), rng.randrange(len(whole))])])
        for _ in range(min(3, len(damaged))):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        try:
            assert decoded(bytes(damaged)).dtype == np.uint8
        except ValueError as error:
            assert "cannot be decoded" in str(error)
            refused += 1
    assert refused


def test_labels_come_by_path_and_pictures_are_split(tmp_path):
    frame = ImageFrame.read(saved(tmp_path))
    frame.set_label({uri: 1 + ("red" in uri) for uri in frame.get_uri()})
    assert [float(label[0]) for label in frame.get_label()] == [1, 1, 2, 2]
    with pytest.raises(KeyError, match="got path 'other'"):
        frame.set_label({"other": 1})
    RNG.set_seed(2)
    parts = frame.random_split([3, 1])
    assert [len(part) for part in parts] == [3, 1]
    assert sorted(uri for part in parts for uri in part.get_uri()) == frame.get_uri()
    with pytest.raises(ValueError, match="expected numbers that are not negative"):
        frame.random_split([0, 0])


def test_arrays_make_a_frame():
    frame = LocalImageFrame([PIXELS, PIXELS.astype(np.float64) / 2, PIXELS[..., 0]], [1, np.array([2, 3]), 4])
    assert [feature.mat().dtype for feature in frame.features] == [np.uint8, np.float32, np.uint8]
    assert [label.tolist() for label in frame.get_label()] == [[1], [2, 3], [4]]
    assert frame.features[2].get_size() == (5, 7, 1)
    with pytest.raises(ValueError, match="3 pictures and 1 labels"):
        LocalImageFrame([PIXELS] * 3, [1])
    for wrong in (np.zeros((4, 4, 5)), np.zeros(3), np.zeros((0, 4, 3))):
        with pytest.raises(ValueError, match="got an image of shape"):
            ImageFeature(wrong)


def to_samples():
    return Pipeline(
        [
            Resize(8, 8),
            RandomTransformer(HFlip(), 0.5),
            CenterCrop(6, 6),
            ChannelNormalize(120, 120, 120, 100, 100, 100),
            MatToTensor(),
            ImageFrameToSample(["imageTensor"], ["label"]),
        ]
    )


def network():
    RNG.set_seed(1)
    model = Sequential().add(SpatialConvolution(3, 4, 3, 3)).add(ReLU()).add(Reshape([64], True))
    return model.add(Linear(64, 2)).add(LogSoftMax())


def labelled(folder):
    frame = ImageFrame.read(saved(folder))
    frame.set_label({uri: 1 + ("red" in uri) for uri in frame.get_uri()})
    return frame


@pytest.mark.parametrize(
    ("make", "workers"),
    [
        (lambda frame: frame.transform(to_samples()), 1),
        (lambda frame: DataSet.image_frame(frame).transform(to_samples()), 2),
        (lambda frame: frame.transform(to_samples()).get_sample(), 1),
    ],
    ids=["frame", "data set", "samples"],
)
def test_a_model_is_trained_on_pictures(tmp_path, make, workers):
    data = make(labelled(tmp_path))
    optimizer = Optimizer(
        network(), data, ClassNLLCriterion(), MaxEpoch(6), 2, Adam(0.02), workers=workers, is_quiet=True
    )
    optimizer.set_validation(2, data, EveryEpoch(), [Top1Accuracy()])
    optimizer.optimize()
    assert optimizer.state.score == 1


def test_pictures_of_a_data_set_are_decoded_when_asked_for_and_not_kept(tmp_path):
    frame = labelled(tmp_path)
    data = DataSet.image_frame(frame).transform(to_samples())
    assert data.get_image_frame() is frame
    assert data.batch([0, 3]).input.shape == (2, 3, 6, 6)
    assert not any("mat" in feature for feature in frame.features)


def test_a_damaged_picture_stops_training_with_its_name(tmp_path):
    frame = labelled(tmp_path)
    (tmp_path / "blue0.jpg").write_bytes(b"damaged")
    optimizer = Optimizer(
        network(), DataSet.image_frame(frame).transform(to_samples()), ClassNLLCriterion(), is_quiet=True
    )
    with pytest.raises(ValueError, match=r"blue0.jpg: .*cannot be decoded"):
        optimizer.optimize()
    with pytest.raises(ValueError, match="end the transformers with MatToTensor"):
        DataSet.image_frame(labelled_arrays()).batch([0])


def labelled_arrays():
    return LocalImageFrame([PIXELS], [1])
