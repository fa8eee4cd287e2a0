"""What a training of `train_model` is asked for: a TOML file, checked before anything runs.

`docs/train_model.toml` is an example with every entry. Nothing in a file is executed: networks, criterions and methods
are named from tables.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from hashlib import sha256
from typing import Any, get_type_hints

import fsspec
import pyarrow as pa

from data_contracts.contract import Contract
from data_contracts.crops import CROPS
from data_contracts.images import IMAGES
from dlcore.models.named import PICTURE_MODELS, PictureModel
from dlcore.nn import criterion as criterions
from dlcore.nn.criterion import Criterion
from dlcore.nn.module import Module
from dlcore.optim.method import OptimMethod
from dlcore.optim.named import METHODS, method_of
from dlcore.vision.preprocessing import CHANNELS, FITS, Preprocessing
from spark_jobs.mistakes import Mistake, day_of, nearest

MOST_BYTES = 64 << 10
"""The size of a file beyond which it is not read."""
MOST = 10_000
"""The largest number that an argument of a network, a mean or a scale may have, and the most classes."""
DATASETS: Mapping[str, Contract] = {"images": IMAGES, "crops": CROPS}
"""The datasets whose pictures every decoder reads alike."""
CRITERIONS: Mapping[str, tuple[str, ...]] = {
    "log-probabilities": ("ClassNLLCriterion",),
    "logits": ("CrossEntropyCriterion", "MultiMarginCriterion"),
    "pictures": ("MSECriterion", "BCECriterion", "AbsCriterion", "SmoothL1Criterion"),
}
"""By what a network gives: the criterions that fit, the usual one first."""
METADATA = "metadata."
"""The beginning of a label that is a cell of the image's row, as `raw_images` keeps it."""
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_SCALES = {
    "RGB": (Preprocessing.mean, Preprocessing.scale),
    "BGR": (Preprocessing.mean[::-1], Preprocessing.scale[::-1]),
    "GREY": ((127.5,), (1 / 64,)),
}
_TO_ONE = 1 / 255


@dataclass(frozen=True)
class Rows:
    """Which pictures of the lake. label: a column of the dataset, or `metadata.<cell>`. Days are ISO dates."""

    dataset: str = field(default="images", metadata={"of": tuple(DATASETS)})
    label: str = ""
    first_day: str = ""
    last_day: str = ""


@dataclass(frozen=True)
class Pictures:
    """How they become the network's input; 0 or nothing: as is usual for the network. See Preprocessing."""

    side: int = field(default=0, metadata={"min": 0, "max": 1024})
    channels: str = field(default="", metadata={"of": ("", *CHANNELS)})
    fit: str = field(default="warp", metadata={"of": FITS})
    resize: int = field(default=0, metadata={"min": 0, "max": 2048})
    mean: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()


@dataclass(frozen=True)
class Training:
    """How it learns. checkpoint_steps: steps between checkpoints beside those of each epoch; 0: none.

    workers: processes that compute gradients, or partitions on a cluster.
    """

    criterion: str = ""
    batch_size: int = field(default=64, metadata={"min": 1, "max": 1 << 16})
    epochs: int = field(default=10, metadata={"min": 1, "max": MOST})
    validation_share: float = field(default=0.1, metadata={"min": 0.001, "max": 0.5})
    checkpoint_steps: int = field(default=0, metadata={"min": 0, "max": 1 << 30})
    workers: int = field(default=2, metadata={"min": 1, "max": 1024})
    seed: int = field(default=1, metadata={"min": 0, "max": (1 << 31) - 1})


TABLES: Mapping[str, Any] = {"rows": Rows, "pictures": Pictures, "training": Training}
"""The tables of a file that are dataclasses."""


@dataclass(frozen=True)
class TrainingConfig:
    """A file's content. model, method: a name and its arguments. Raises Mistake where something does not fit."""

    artefact: str
    model: str
    arguments: Mapping[str, Any]
    rows: Rows
    pictures: Pictures
    training: Training
    method: str
    settings: Mapping[str, Any]

    def __post_init__(self) -> None:
        """Check what no single entry tells."""
        if not _NAME.fullmatch(self.artefact):
            raise Mistake(
                f"got artefact {self.artefact!r}, expected small letters, digits, - and _, such as shops-lenet"
            )
        self._check_rows()
        if self.training.batch_size % self.training.workers:
            raise Mistake(
                f"[training] got batch_size {self.training.batch_size} and {self.training.workers} workers, expected a "
                f"multiple of the workers"
            )
        try:
            known = self.preprocessing
            self.made_method()
            self.made_criterion()
            if known.resize < known.size or (known.fit == "warp" and known.resize != known.size):
                raise ValueError(
                    f'got resize {known.resize} for a side of {known.size}, expected fit = "centre_crop" '
                    f"and a larger resize"
                )
            if known.planes != self.network.planes:
                raise ValueError(f"got {known.channels} pictures, expected {self.network.planes} planes")
        except (ValueError, TypeError) as error:
            raise Mistake(f"[model] {self.model}, [pictures], [training], [method]: {error}") from error

    def _check_rows(self) -> None:
        rows = self.rows
        days = [day_of(day, f"[rows] {name}") for name in ("first_day", "last_day") if (day := getattr(rows, name))]
        if days != sorted(days):
            raise Mistake(f"[rows] got first_day {rows.first_day} after last_day {rows.last_day}, expected it before")
        if self.is_labelled == (not rows.label):
            wanted = (
                "a label, such as metadata.shop" if self.is_labelled else "no label: the network learns the picture"
            )
            raise Mistake(f"[rows] got label {rows.label!r} for {self.model}, expected {wanted}")
        texts = [column.name for column in DATASETS[rows.dataset].columns if column.type == pa.string()]
        if rows.label and not rows.label.startswith(METADATA) and rows.label not in texts:
            raise Mistake(
                f"[rows] got label {rows.label!r}, expected {METADATA}<cell>, or a column of {rows.dataset}: "
                f"{', '.join(texts)}"
            )

    @property
    def network(self) -> PictureModel:
        """The row of the table of networks."""
        return PICTURE_MODELS[self.model]

    @property
    def is_labelled(self) -> bool:
        """Whether it learns classes, not pictures."""
        return self.network.gives != "pictures"

    @property
    def preprocessing(self) -> Preprocessing:
        """How pixels become the network's input."""
        given = self.pictures
        channels = given.channels or ("RGB" if self.network.planes == 3 else "GREY")
        mean, scale = _SCALES[channels]
        if not self.is_labelled:
            mean, scale = (0.0,) * self.network.planes, (_TO_ONE,) * self.network.planes
        side = given.side or self.network.side
        return Preprocessing(side, channels, given.mean or mean, given.scale or scale, given.resize, given.fit)

    def made_model(self, class_num: int) -> Module:
        """The network, its weights as the engine's generator draws them.

        Raises:
            Mistake: it cannot have these arguments, or takes no pictures of this side.
        """
        try:
            return self.network.made(class_num, self.preprocessing.size, self.arguments)
        except ValueError as error:
            raise Mistake(f"[model] {self.model}: {error}") from error

    def made_criterion(self) -> Criterion:
        """The criterion; ValueError: it does not fit the network."""
        fitting = CRITERIONS[self.network.gives]
        name = self.training.criterion or fitting[0]
        if name not in fitting:
            raise ValueError(f"got criterion {name!r}, expected {' or '.join(fitting)}")
        made: Criterion = getattr(criterions, name)()
        return made

    def made_method(self) -> OptimMethod:
        """The optimisation method; ValueError: it has no such setting."""
        return method_of(self.method, self.settings)

    def values(self) -> dict[str, Any]:
        """The content as values for JSON."""
        return asdict(self)

    def digest(self) -> str:
        """The content as 16 hexadecimal digits."""
        return sha256(json.dumps(self.values(), sort_keys=True).encode()).hexdigest()[:16]


def load_config(uri: str) -> TrainingConfig:
    """The config of a file, a path or URI.

    Raises:
        Mistake: there is none, or something in it is not as it should be.
    """
    try:
        with fsspec.open(uri, "rb") as file:
            text = file.read(MOST_BYTES + 1)
    except (OSError, ValueError, ImportError) as error:
        raise Mistake(f"config {uri!r}: {error}") from error
    if len(text) > MOST_BYTES:
        raise Mistake(f"config {uri!r}: got more than {MOST_BYTES} bytes, expected a small TOML file")
    try:
        return parsed(text.decode("utf-8"))
    except Mistake as error:
        raise Mistake(f"config {uri!r}: {error}") from None
    except (ValueError, RecursionError) as error:  # no TOML, no UTF-8, or a number of thousands of digits
        raise Mistake(f"config {uri!r}: {error}; expected TOML, such as docs/train_model.toml") from error


def parsed(text: str) -> TrainingConfig:
    """The config in a TOML text.

    Raises:
        Mistake: an entry is unknown, of another type, or out of range.
        ValueError: it is no TOML that can be read.
    """
    given = tomllib.loads(text)
    known = ("artefact", "model", "method", *TABLES)
    for name in given:
        if name not in known:
            raise Mistake(f"got {name!r}, {nearest(name, known)}")
    artefact = given.get("artefact")
    if not isinstance(artefact, str):
        raise Mistake(f"got artefact {artefact!r:.80}, expected a name in quotes")
    model, arguments = _named(given, "model", PICTURE_MODELS)
    method, settings = _named(given, "method", METHODS)
    rows, pictures, training = (_table(kind, given, name) for name, kind in TABLES.items())
    return TrainingConfig(artefact, model, arguments, rows, pictures, training, method, settings)


def _named(given: Mapping[str, Any], where: str, known: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The name in a table, in small letters, and the other entries."""
    table = _entries(given, where)
    name = table.pop("name", None)
    if not isinstance(name, str) or name.lower() not in known:
        raise Mistake(f"[{where}] got name {name!r:.80}, {nearest(str(name).lower(), known)}")
    for entry, value in table.items():
        is_number = isinstance(value, int | float) and abs(value) <= MOST
        if not (is_number or (isinstance(value, str) and where == "model")):
            raise Mistake(f"[{where}] got {entry} {value!r:.80}, expected a number up to {MOST:,} or true/false")
    return name.lower(), table


def _entries(given: Mapping[str, Any], where: str) -> dict[str, Any]:
    table = given.get(where, {})
    if not isinstance(table, dict):
        raise Mistake(f"got {where} {table!r:.80}, expected a table: [{where}]")
    return dict(table)


def _table(kind: Any, given: Mapping[str, Any], where: str) -> Any:
    """A dataclass of a table's entries."""
    table, hints = _entries(given, where), get_type_hints(kind)
    for name in table:
        if name not in hints:
            raise Mistake(f"[{where}] got {name!r}, {nearest(name, hints)}")
    return kind(**{
        item.name: _value(table[item.name], hints[item.name], item.metadata, f"[{where}] {item.name}")
        for item in fields(kind) if item.name in table
    })  # fmt: skip


def _value(value: Any, kind: Any, bounds: Mapping[str, Any], where: str) -> Any:
    if kind == tuple[float, ...]:
        if not isinstance(value, list) or len(value) > max(CHANNELS.values()):
            raise Mistake(f"{where}: got {value!r:.80}, expected a list of a number for each channel")
        return tuple(_value(each, float, bounds, where) for each in value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is float and is_number:
        if not abs(value) <= MOST:  # or it is none, which TOML calls nan
            raise Mistake(f"{where}: got {value!r:.80}, expected a number up to {MOST:,}")
        value = float(value)
    if type(value) is not kind:
        raise Mistake(f"{where}: got {value!r:.80}, expected {'text in quotes' if kind is str else kind.__name__}")
    least, most = bounds.get("min"), bounds.get("max")
    if most is not None and not least <= value <= most:
        raise Mistake(f"{where}: got {value}, expected {least} to {most:,}")
    if "of" in bounds and value not in bounds["of"]:
        raise Mistake(f"{where}: got {value!r:.80}, {nearest(value, [each for each in bounds['of'] if each])}")
    return value
