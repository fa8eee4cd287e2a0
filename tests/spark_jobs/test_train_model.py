"""A network is trained on pictures of the lake, here and on Spark's workers; a killed training goes on."""

from __future__ import annotations

import io
import json
import signal
import subprocess
from collections.abc import Iterator
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from data_contracts.images import IMAGES
from data_contracts.raw_images import RAW_IMAGES
from data_contracts.reasons import Reason
from deploy.stack import spark_home
from dlcore.interop.artefact import load_artefact
from dlcore.optim.summary import TrainSummary
from dlcore.vision.preprocessing import Preprocessing
from spark_jobs import train_model, withdraw
from spark_jobs.pipeline import EXIT_MISTAKE, EXIT_OK
from spark_jobs.running import runner
from spark_jobs.running.command_line import NoOptions
from spark_jobs.running.publishing import ensure_table
from spark_jobs.settings import REPOSITORY, Settings, static_spark_conf
from spark_jobs.stages.decode import read_scaled
from tests.spark_jobs.lake import Lake
from tests.waiting import LIMIT_S

pytestmark = pytest.mark.spark

DAY = date(2026, 11, 2)
PRODUCTS, PICTURES = 36, 2
CONFIG = """
artefact = "{name}"
[model]
name = "lenet5"
[rows]
label = "metadata.shop"
[training]
batch_size = 16
epochs = {epochs}
validation_share = 0.25
checkpoint_steps = 3
[method]
name = "adam"
learningrate = 3e-3
"""
KILLED = """
import os, signal, sys
from dlcore.optim.loop import Optimizer
step = Optimizer._step
def dying(self, crew, display):
    if self.state.iteration == 8:
        os.kill(os.getpid(), signal.SIGKILL)
    step(self, crew, display)
Optimizer._step = dying
from spark_jobs import train_model
train_model.runner.run("train_model", train_model.plan, train_model.Options)
"""


@pytest.fixture(scope="module")
def lake(lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """Tables, models and trainings of these tests' own: a training reads all days."""
    folder = tmp_path_factory.mktemp("trained")
    own = {"PIPELINE_NAMESPACE": "trained", "PIPELINE_INDEX": f"file://{folder}/index"}
    own |= {"PIPELINE_MODELS": f"file://{folder}/models", "PIPELINE_TRAININGS": f"file://{folder}/trainings"}
    environment = {**lake.environment, **own}
    return Lake(Settings.from_environment(environment), environment)


def picture(rng: np.random.Generator, shop: str) -> bytes:
    """A JPEG of stripes with noise: upright ones in the north, lying ones in the south."""
    stripes = np.where(np.arange(40) // 5 % 2, 200, 60)[None, :].repeat(40, 0)
    pixels = (stripes if shop == "north" else stripes.T)[..., None] + rng.integers(-40, 40, (40, 40, 3))
    file = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=95)
    return file.getvalue()


def rows() -> list[dict[str, Any]]:
    """Two shops' pictures, one that is broken, one without a shop and one that is withdrawn."""
    rng, found = np.random.default_rng(4), []
    for product in range(PRODUCTS):
        shop = ("north", "south")[product % 2]
        for number in range(PICTURES):
            found.append({"key": f"sku{product}/{number}", "image": picture(rng, shop), "metadata": {"shop": shop}})
    found[0] |= {"image": None, "reason": Reason.EMPTY.value}
    found[1] |= {"metadata": {"shop": " "}}
    return [{"day": DAY, "reason": "ok", **row} for row in found]


def published(job: Any) -> Any:
    """The rows as `images` or `raw_images`."""
    import pyarrow as pa

    more = {"width": 40, "height": 40, "sha256": "0" * 64, "blur": 1.0, "entropy": 1.0, "flags": []}
    contract = job.contract
    made = [{**more, "size_bytes": len(row["image"] or b""), **row} for row in rows()]
    return job.spark.createDataFrame(pa.Table.from_pylist(made, schema=contract.arrow_schema()))


@pytest.fixture(scope="module")
def loaded(lake: Lake) -> Iterator[Lake]:
    """The lake with the rows."""
    spark = lake.connect()
    for contract, stage in ((RAW_IMAGES, "read_images"), (IMAGES, "preprocess_images")):
        ensure_table(spark, lake.settings.table(contract.dataset), contract)
        line = ["--day", str(DAY), "--run", "load", "--remote", lake.remote()]
        assert runner.execute(stage, published, NoOptions, line, lake.settings) == EXIT_OK
    decision = withdraw.Decision(("sku1/0",), Reason.WITHDRAWN, "a test", datetime.now(UTC))
    line = ["--run", "withdraw", "--remote", lake.remote()]
    plan = partial(withdraw.plan, decision=decision)
    assert runner.execute("withdraw", plan, NoOptions, line, lake.settings) == EXIT_OK
    spark.stop()
    yield lake


def config(folder: Path, name: str, epochs: int = 4) -> str:
    """The path of a config."""
    path = folder / f"{name}-{epochs}.toml"
    path.write_text(CONFIG.format(name=name, epochs=epochs))
    return str(path)


def train(lake: Lake, run: str, path: str) -> tuple[int, dict[str, Any]]:
    """The exit code and the run report."""
    line = ["--run", run, "--config", path, "--remote", lake.remote()]
    code = runner.execute("train_model", train_model.plan, train_model.Options, line, lake.settings)
    return code, lake.report("train_model", None, run)


def test_a_network_learns_from_what_is_used_and_its_artefact_tells_all(loaded: Lake, tmp_path: Path) -> None:
    code, report = train(loaded, "first", config(tmp_path, "shops", 20))
    assert code == EXIT_OK, report["error"]
    told, pictures = report["extra"], report["extra"]["pictures"]
    assert pictures["left_out"] == {"empty": 1, "no_label": 1, "withdrawn": 1}
    assert pictures["training"] + pictures["validation"] == PRODUCTS * PICTURES - 3
    assert told["scores"]["Top1Accuracy"] > 0.9 and not told["distributed"]
    artefact = load_artefact(f"{loaded.settings.models}/shops")
    assert artefact.version == told["version"] and artefact.metadata["classes"] == ["north", "south"]
    how = Preprocessing.from_metadata(artefact.metadata["preprocessing"])
    pixels = np.stack([read_scaled(picture(np.random.default_rng(9), shop), how.resize) for shop in ("north", "south")])
    assert artefact.model.predict_class(how.normalise(pixels)).tolist() == [1, 2]
    steps = 20 * -(-pictures["training"] // 16)
    folder = Path(told["folder"].removeprefix("file://"))
    losses = TrainSummary(folder / "summaries", "").read_scalar("Loss")
    assert [step for step, *_ in losses] == list(range(1, steps + 1))
    assert {path.name for path in folder.iterdir()} == {"done.json", "summaries"}
    again = train(loaded, "first", config(tmp_path, "shops", 20))[1]["extra"]  # of the same run: it is done
    assert again["version"] == told["version"] and "training" not in again


def test_a_killed_training_goes_on_and_ends_with_the_same_weights(loaded: Lake, tmp_path: Path) -> None:
    unbroken = train(loaded, "unbroken", config(tmp_path, "killed"))[1]
    line = ["--config", config(tmp_path, "killed"), "--remote", loaded.remote()]
    job = loaded.python("-c", KILLED, "--run", "killed", *line)
    output = job.communicate(timeout=LIMIT_S)[0]
    assert job.returncode == -signal.SIGKILL, output
    assert list(Path(unbroken["extra"]["folder"].removeprefix("file://")).glob("checkpoint.npz"))
    code, report = train(loaded, "again", config(tmp_path, "killed"))
    assert code == EXIT_OK and report["extra"]["went_on"]
    assert report["extra"]["version"] == unbroken["extra"]["version"]


def test_an_autoencoder_learns_the_pictures_without_labels(loaded: Lake, tmp_path: Path) -> None:
    text = Path(config(tmp_path, "restored", 5)).read_text()
    text = text.replace("lenet5", "autoencoder").replace('label = "metadata.shop"', "")
    (tmp_path / "restored.toml").write_text(text)
    code, report = train(loaded, "restored", str(tmp_path / "restored.toml"))
    assert code == EXIT_OK, report["error"]
    assert report["extra"]["pictures"]["left_out"] == {"empty": 1, "withdrawn": 1}
    artefact = load_artefact(f"{loaded.settings.models}/restored")
    assert artefact.metadata["classes"] == [] and set(report["extra"]["scores"]) == {"Loss"}
    how = Preprocessing.from_metadata(artefact.metadata["preprocessing"])
    x = how.normalise(read_scaled(picture(np.random.default_rng(9), "north"), how.resize)[None])
    mistaken = np.square(artefact.model.forward(x) - x.reshape(1, -1)).mean()
    assert 0 <= x.min() <= x.max() <= 1 and mistaken < np.square(x - 0.5).mean()


def test_what_cannot_be_trained_is_refused(loaded: Lake, tmp_path: Path) -> None:
    text = Path(config(tmp_path, "refused")).read_text()
    (tmp_path / "wrong.toml").write_text(text.replace("epochs", "epoch"))
    (tmp_path / "early.toml").write_text(text.replace("[rows]", '[rows]\nlast_day = "2026-11-01"'))
    (tmp_path / "cell.toml").write_text(text.replace("metadata.shop", "metadata.brand"))
    told = {"none": "config", "wrong": "did you mean epochs", "early": "got 0 pictures", "cell": "70 no_label"}
    for name, message in told.items():
        code, report = train(loaded, name, str(tmp_path / f"{name}.toml"))
        assert (code, report["status"]) == (EXIT_MISTAKE, "refused") and message in report["error"], report["error"]
    taken = Path(loaded.settings.models.removeprefix("file://")) / "taken"
    taken.parent.mkdir(exist_ok=True)
    taken.symlink_to(REPOSITORY / "models/detector-small")
    code, report = train(loaded, "taken", config(tmp_path, "taken"))
    assert code == EXIT_MISTAKE and "take another name" in report["error"]


def test_a_classic_session_trains_on_its_workers(loaded: Lake, tmp_path: Path) -> None:
    submit = [str(spark_home() / "bin" / "spark-submit"), "--master", "local[2]", "--driver-memory", "1g"]
    conf = [f"--conf={name}={value}" for name, value in static_spark_conf(loaded.settings).items()]
    job = [
        str(REPOSITORY / "spark_jobs/train_model.py"),
        "--run",
        "classic",
        "--config",
        config(tmp_path, "spread", 10),
    ]
    done = subprocess.run(
        [*submit, *conf, *job], env=loaded.environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-6000:]
    told = json.loads(done.stdout.strip().splitlines()[-1])["extra"]
    assert told["distributed"] and told["scores"]["Top1Accuracy"] > 0.9
    assert told["folder"].endswith("-distributed")  # a training beside the job does not go on there
    assert load_artefact(f"{loaded.settings.models}/spread").version == told["version"]
