"""Training checkpoints: one .npz file, written whole or not at all; no pickle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from dlcore.activity import Array
from dlcore.errors import CheckpointError
from dlcore.nn.module import Module
from dlcore.optim.archive import read_archive, write_archive
from dlcore.optim.method import OptimMethod
from dlcore.optim.trigger import TrainingState
from dlcore.stored_file import Place, brought, place_of

FORMAT = 2


@dataclass(frozen=True)
class Checkpoint:
    """All that training needs to go on as if it had not stopped."""

    arrays: dict[str, Array]
    facts: dict[str, Any]
    source: str = "checkpoint"

    @classmethod
    def of(
        cls,
        model: Module,
        buffers: Array,
        methods: Mapping[str, OptimMethod],
        state: TrainingState,
        settings: Mapping[str, int],
    ) -> Checkpoint:
        """A copy of the present state. buffers: the workers' rows (workers, B); methods: by the name of what they
        change; settings: numbers, such as the seed, with which training must go on."""
        arrays = {f"weight/{name}": parameter.value.copy() for name, parameter in model.named_parameters().items()}
        for name, method in methods.items():
            arrays |= {f"slot/{name}/{slot}": value.copy() for slot, value in method.slots.items()}
        arrays["buffers"] = buffers.copy()
        counters = asdict(state)
        counters.pop("history")
        states = {name: method.state() for name, method in methods.items()}
        facts = {"format": FORMAT, "methods": states, "state": counters, "frozen": _frozen(model)}
        return cls(arrays, facts | dict(settings))

    def save(self, path: Place) -> None:
        """Write to `path`; a reader sees the old file or the new one."""
        write_archive(path, self.facts, self.arrays)

    @classmethod
    def load(cls, path: Place) -> Checkpoint:
        """Read a checkpoint.

        Raises:
            FileNotFoundError: there is none.
            CheckpointError: it is damaged or of another format.
        """
        with brought(path) as local:
            facts, arrays = read_archive(local, "checkpoint", path)
        if facts.get("format") == 1:
            arrays, facts = _of_one_method(arrays, facts)
        elif facts.get("format") != FORMAT:
            raise CheckpointError(
                f"{path}: got format {facts.get('format')!r:.40}, expected 1 to {FORMAT}; a later version wrote it, "
                f"or it is damaged"
            )
        _require_form(facts, arrays, path)
        return cls(arrays, facts, str(path))

    def restore(
        self,
        model: Module,
        workers: int,
        methods: Mapping[str, OptimMethod],
        settings: Mapping[str, int],
        sizes: Mapping[str, int],
    ) -> tuple[TrainingState, Array]:
        """Put everything back; gives the state, and the workers' buffers (workers, B). sizes: the weights that each
        method changes.

        Raises:
            CheckpointError: it belongs to another model, other frozen layers, methods or settings, or another number of
                workers.
        """
        parameters = model.named_parameters()
        saved = self._named("weight/")
        self._require_same_model(
            {n: a.shape for n, a in saved.items()}, {n: p.value.shape for n, p in parameters.items()}
        )
        if (frozen := self.facts.get("frozen", _frozen(model))) != _frozen(model):
            raise CheckpointError(
                f"{self.source}: got a checkpoint of a model with {frozen or 'nothing'} frozen, expected "
                f"{_frozen(model) or 'nothing'}; freeze the same layers before resuming"
            )
        buffers = self.arrays["buffers"]
        self._require_equal("workers", len(buffers), workers, "resume with as many workers")
        for setting, wanted in settings.items():
            self._require_equal(setting, self.facts.get(setting, wanted), wanted, f"resume with the same {setting}")
        states = self.facts["methods"]
        self._require_equal("methods for", sorted(states), sorted(methods), "resume with methods for the same layers")
        if buffers.shape[1] != (size := sum(buffer.value.size for buffer in model.buffers().values())):
            raise CheckpointError(
                f"{self.source}: got {buffers.shape[1]} running means of a worker, expected {size}; it is damaged"
            )
        try:
            for name, method in methods.items():
                slots = self._named(f"slot/{name}/").items()
                mine = {slot: value for slot, value in slots if "/" not in slot}  # not those of a layer "name/other"
                self._require_size(mine, sizes[name])
                method.restore(states[name], mine)
        except CheckpointError:
            raise
        except ValueError as error:
            raise CheckpointError(f"{self.source}: {error}") from error
        for name, value in saved.items():
            parameters[name].assign(value)
        return TrainingState(**self.facts["state"]), buffers

    def _require_same_model(self, found: dict[str, tuple[int, ...]], expected: dict[str, tuple[int, ...]]) -> None:
        for name in dict.fromkeys([*expected, *found]):
            if found.get(name) != expected.get(name):
                raise CheckpointError(
                    f"{self.source}: got a checkpoint of another model: {name} of shape {found.get(name, 'none')}, "
                    f"expected "
                    f"{expected.get(name, 'none')}; resume with the model that was trained"
                )

    def _require_size(self, slots: dict[str, Array], size: int) -> None:
        for slot, value in slots.items():
            if value.shape[-1:] != (size,):
                raise CheckpointError(
                    f"{self.source}: got {slot} of shape {value.shape}, expected {size} weights; it is damaged or of "
                    f"other weights"
                )

    def _require_equal(self, what: str, found: Any, expected: Any, advice: str) -> None:
        if found != expected:
            raise CheckpointError(f"{self.source}: got a checkpoint of {what} {found}, expected {expected}; {advice}")

    def _named(self, prefix: str) -> dict[str, Array]:
        return {name.removeprefix(prefix): a for name, a in self.arrays.items() if name.startswith(prefix)}


def checkpoint_folder(path: str | Path) -> Place:
    """Where checkpoints are to be saved: a folder of this machine, or a URI.

    Raises:
        ValueError: the path is a file.
    """
    folder = place_of(path)
    if isinstance(folder, Path) and folder.is_file():
        raise ValueError(f"set_checkpoint: got the file {path}, expected a folder; it is made if there is none")
    return folder


def _frozen(model: Module) -> list[str]:
    return sorted(name for name, parameter in model.named_parameters().items() if parameter.frozen)


def _is_state(value: Any) -> bool:
    """Whether these are a TrainingState's numbers: whole ones, but for loss and score, which may be None."""
    known = {f.name for f in fields(TrainingState)} - {"history"}
    if not isinstance(value, dict) or not {"iteration"} <= value.keys() <= known:
        return False
    numbers = all(isinstance(value.get(name), (int, float, type(None))) for name in ("loss", "score"))
    whole = [each for name, each in value.items() if name not in ("loss", "score")]
    return numbers and all(isinstance(each, int) and 0 <= each < 1 << 62 for each in whole)


_FORM: dict[str, tuple[Callable[[Any], bool], str]] = {
    "methods": (
        lambda value: isinstance(value, dict) and all(isinstance(state, dict) for state in value.values()),
        "the state of each method",
    ),
    "state": (_is_state, "numbers for iteration, epoch, records, is_epoch_end, loss, score"),
    "frozen": (lambda value: value is None or isinstance(value, list), "a list of names"),
}


def _require_form(facts: dict[str, Any], arrays: dict[str, Array], path: Place) -> None:
    """Refuse what no version has written."""
    for name, (is_right, expected) in _FORM.items():
        if not is_right(facts.get(name)):
            raise CheckpointError(
                f"{path}: got {name} {facts.get(name)!r:.80}, expected {expected}; the checkpoint is damaged or of a "
                f"later version"
            )
    kinds = {name: array.dtype for name, array in arrays.items() if array.dtype.kind != "f"}
    if kinds or arrays.get("buffers", np.empty(0)).ndim != 2:
        found = next(iter(kinds.items()), ("buffers", "no (workers, B)"))
        raise CheckpointError(f"{path}: got {found[0]} of type {found[1]}, expected floats; the checkpoint is damaged")


def _of_one_method(arrays: dict[str, Array], facts: dict[str, Any]) -> tuple[dict[str, Array], dict[str, Any]]:
    """The arrays and facts of format 1, which knew one method for the whole model, in those of today."""
    renamed = {
        name.replace("slot/", "slot//", 1) if name.startswith("slot/") else name: a for name, a in arrays.items()
    }
    return renamed, {**facts, "format": FORMAT, "methods": {"": facts.get("method")}}
