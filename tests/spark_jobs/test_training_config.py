"""The file that says what `train_model` trains: what it says, and what is refused before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlcore.models.named import PICTURE_MODELS
from spark_jobs.mistakes import Mistake
from spark_jobs.settings import REPOSITORY
from spark_jobs.training_config import MOST_BYTES, load_config, parsed

LEAST = """
artefact = "shops-lenet"
[model]
name = "lenet5"
[rows]
label = "metadata.shop"
[method]
name = "adam"
"""


def test_the_example_says_what_holds_without_its_other_entries() -> None:
    example = load_config(str(REPOSITORY / "docs/train_model.toml"))
    assert example.preprocessing.metadata() == parsed(LEAST).preprocessing.metadata()
    assert example.training == parsed(LEAST).training and example.rows == parsed(LEAST).rows
    assert example.made_method().learningrate == parsed(LEAST).made_method().learningrate  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (('"shops-lenet"', '"../shops"'), "expected small letters"),
        (('"shops-lenet"', "3"), "expected a name in quotes"),
        (('name = "lenet5"', 'name = "lenet"'), "did you mean lenet5"),
        (('name = "lenet5"', 'name = "resnet"\ndept = 18'), "did you mean 'depth'"),
        (('name = "lenet5"', 'name = "resnet"\ndepth = 19'), "got depth 19"),
        (('name = "lenet5"', 'name = "resnet"\ndepth = nan'), "expected a number up to"),
        (('name = "lenet5"', 'name = "autoencoder"'), "expected no label"),
        (("[rows]", "[rows]\nlable = 3"), "did you mean label"),
        (("[rows]", "[rows]\ndataset = 'raw'"), "expected one of crops, images"),
        (("[rows]", "[rows]\nfirst_day = '2026-11-31'"), "expected a date"),
        (("[rows]", "[rows]\nfirst_day = '2026-11-02'\nlast_day = '2026-11-01'"), "expected it before"),
        (("metadata.shop", "blur"), "or a column of images"),
        (("metadata.shop", ""), "expected a label"),
        (("[method]", "[pictures]\nchannels = 'RGB'\n[method]"), "expected 1 planes"),
        (("[method]", "[pictures]\nside = 40\n[method]"), "lenet5"),
        (("[method]", "[pictures]\nresize = 32\n[method]"), "centre_crop"),
        (("[method]", "[pictures]\nmean = [1, 2]\n[method]"), "got 2 means"),
        (("[method]", "[pictures]\nmean = [nan]\n[method]"), "mean: got nan, expected a number up to"),
        (("[method]", f"[pictures]\nscale = [1{'0' * 400}]\n[method]"), "scale: got 10+, expected a number up to"),
        (("[method]", "[training]\nepochs = 0\n[method]"), "expected 1 to 10,000"),
        (("[method]", "[training]\nepochs = true\n[method]"), "expected int"),
        (("[method]", "[training]\nbatch_size = 65\n[method]"), "multiple of the workers"),
        (("[method]", "[training]\ncriterion = 'MSECriterion'\n[method]"), "expected ClassNLLCriterion"),
        (("[method]", "method = 3\n[method]"), "method"),
        (('name = "adam"', 'name = "adam"\nmomentum = 0.9'), "got state 'momentum'"),
        (('name = "adam"', 'name = "adam"\nlearningrate = "fast"'), "expected a number"),
        (('name = "adam"', 'name = "os.system"'), "expected one of"),
        (("[method]", "[other]\n[method]"), "got 'other'"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_to_write(tmp_path: Path, entry: tuple[str, str], message: str) -> None:
    assert entry[0] in LEAST
    (tmp_path / "train.toml").write_text(LEAST.replace(*entry))
    with pytest.raises(Mistake, match=message):
        load_config(str(tmp_path / "train.toml")).made_model(3)


def test_a_file_that_is_missing_or_no_small_toml_is_refused(tmp_path: Path) -> None:
    contents = {"none": None, "large": b"#" * (MOST_BYTES + 1), "json": b'{"artefact": 1}', "bytes": b"\xff"}
    contents["digits"] = b"artefact = 1" + b"0" * 5000
    for name, content in contents.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(Mistake, match=f"config '.*{name}'"):
            load_config(str(tmp_path / name))


@pytest.mark.parametrize("name", ["lenet5", "resnet_cifar", "vgg_cifar", "autoencoder"])
def test_a_network_takes_the_pictures_that_are_usual_for_it(name: str) -> None:
    label = 'label = ""' if name == "autoencoder" else 'label = "metadata.shop"'
    text = LEAST.replace('label = "metadata.shop"', label).replace("lenet5", name)
    config, row = parsed(text), PICTURE_MODELS[name]
    model = config.made_model(7)
    expected = row.planes * row.side**2 if row.gives == "pictures" else 7
    assert model.output_shape((2, row.planes, row.side, row.side)) == (2, expected)
    config.made_criterion()
