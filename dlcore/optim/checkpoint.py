"""Training checkpoints: one .npz file, written whole or not at all; no pickle."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dlcore.activity import Array
from dlcore.errors import CheckpointError
from dlcore.nn.module import Module
from dlcore.optim.method import OptimMethod
from dlcore.optim.trigger import TrainingState
from dlcore.optim.worker import Memory

FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """All that training needs to go on as if it had not stopped."""

    arrays: dict[str, Array]
    facts: dict[str, Any]

    @classmethod
    def of(cls, model: Module, memory: Memory, method: OptimMethod, state: TrainingState, seed: int) -> "Checkpoint":
        """A copy of the present state."""
        arrays = {f"weight/{name}": parameter.value.copy() for name, parameter in model.parameters().items()}
        arrays |= {f"slot/{name}": value.copy() for name, value in method.slots.items()}
        arrays["buffers"] = memory.buffers.copy()
        counters = asdict(state)
        counters.pop("history")
        facts = {"format": FORMAT, "method": method.state(), "state": counters, "seed": seed}
        return cls(arrays, facts)

    def save(self, path: Path) -> None:
        """Write to `path`; a reader sees the old file or the new one."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        text = np.frombuffer(json.dumps(self.facts).encode(), np.uint8)
        try:
            with partial.open("wb") as file:
                np.savez(file, facts=text, **self.arrays)  # type: ignore[arg-type]
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: Path) -> "Checkpoint":
        """Read a checkpoint.

        Raises:
            FileNotFoundError: there is none.
            CheckpointError: it is damaged or of another format.
        """
        try:
            with np.load(path, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            facts = json.loads(arrays.pop("facts").tobytes())
        except FileNotFoundError:
            raise
        except Exception as error:
            raise CheckpointError(
                f"{path}: got a damaged checkpoint ({error}), expected one that training wrote"
            ) from error
        if facts.get("format") != FORMAT:
            raise CheckpointError(f"{path}: got format {facts.get('format')}, expected {FORMAT}")
        return cls(arrays, facts)

    def restore(self, model: Module, memory: Memory, method: OptimMethod) -> TrainingState:
        """Put everything back; gives the state.

        Raises:
            CheckpointError: it belongs to another model, method or number of workers.
        """
        parameters = model.parameters()
        saved = {name.removeprefix("weight/"): a for name, a in self.arrays.items() if name.startswith("weight/")}
        if {n: a.shape for n, a in saved.items()} != {n: p.value.shape for n, p in parameters.items()}:
            raise CheckpointError("got a checkpoint of another model, expected the same layer names and shapes")
        if self.arrays["buffers"].shape != memory.buffers.shape:
            raise CheckpointError(
                f"got a checkpoint of {len(self.arrays['buffers'])} workers, expected {len(memory.buffers)}; "
                "resume with as many workers"
            )
        for name, value in saved.items():
            parameters[name].assign(value)
        memory.buffers[...] = self.arrays["buffers"]
        slots = {name.removeprefix("slot/"): a for name, a in self.arrays.items() if name.startswith("slot/")}
        try:
            method.restore(self.facts["method"], slots)
        except ValueError as error:
            raise CheckpointError(str(error)) from error
        return TrainingState(**self.facts["state"])
