"""TensorBoard event files of training and validation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from dlcore.nn.parameter import Parameter
from dlcore.optim.trigger import TrainingState, Trigger, require_trigger

Scalar = tuple[int, float, float]


class Summary:
    """Scalars by tag, as event files in log_dir/app_name/<kind>, made when the first is added."""

    kind: ClassVar[str]

    def __init__(self, log_dir: str | Path, app_name: str, bigdl_type: str = "float") -> None:
        self.folder = Path(log_dir) / app_name / self.kind
        self.triggers: dict[str, Trigger | None] = {"Loss": None, "Throughput": None}
        self._writer: Any = None

    def set_summary_trigger(self, name: str, trigger: Trigger) -> Summary:
        """Write `name` (LearningRate, Loss, Throughput or Parameters) when `trigger` says so.

        Raises:
            ValueError: another name.
            TypeError: no trigger.
        """
        names = ("LearningRate", "Loss", "Throughput", "Parameters")
        if name not in names:
            raise ValueError(f"got summary name {name!r}, expected one of {', '.join(names)}")
        self.triggers[name] = require_trigger(trigger, f"trigger of {name}")
        return self

    def add_scalar(self, tag: str, value: float, step: int) -> Summary:
        """Write one number."""
        from tensorboard.compat.proto.summary_pb2 import Summary as Message

        self._add(Message(value=[Message.Value(tag=tag, simple_value=value)]), step)
        return self

    def add_histogram(self, tag: str, values: Any, step: int) -> Summary:
        """Write the distribution of an array in 64 buckets; numbers that are infinite or not a number are left out."""
        from tensorboard.compat.proto.summary_pb2 import HistogramProto
        from tensorboard.compat.proto.summary_pb2 import Summary as Message

        given = np.asarray(values, np.float64)
        flat = given[np.isfinite(given)]
        if not flat.size:
            return self
        counts, edges = np.histogram(flat, 64)
        histogram = HistogramProto(
            min=flat.min(),
            max=flat.max(),
            num=flat.size,
            sum=flat.sum(),
            sum_squares=np.square(flat).sum(),
            bucket=counts,
            bucket_limit=edges[1:],
        )
        self._add(Message(value=[Message.Value(tag=tag, histo=histogram)]), step)
        return self

    def add_parameters(self, parameters: Mapping[str, Parameter], step: int) -> Summary:
        """Write the distribution of each parameter and of its gradient, as `<layer>/weight` and
        `<layer>/gradWeight`."""
        for path, parameter in parameters.items():
            layer, _, name = path.rpartition(".")
            start = f"{layer}/" if layer else ""
            self.add_histogram(f"{start}{name}", parameter.value, step)
            self.add_histogram(f"{start}grad{name[:1].upper()}{name[1:]}", parameter.grad, step)
        return self

    def _add(self, message: Any, step: int) -> None:
        from time import time

        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        if self._writer is None:
            self._writer = EventFileWriter(str(self.folder))
        self._writer.add_event(Event(step=step, wall_time=time(), summary=message))

    def flush(self) -> None:
        """Write out what is waiting."""
        if self._writer is not None:
            self._writer.flush()

    def close(self) -> None:
        """End the writer; the next scalar starts a new file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def read_scalar(self, tag: str) -> list[Scalar]:
        """(step, value, wall-clock time in s) of each scalar `tag`, by time, also of earlier runs in this folder; [] if
        there is none.

        What a run that was killed did not write whole is left out.
        """
        from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

        self.flush()
        found: list[Scalar] = []
        for path in self.folder.glob("events.out.tfevents.*"):
            for event in LegacyEventFileLoader(str(path)).Load():
                found += [(event.step, v.simple_value, event.wall_time) for v in event.summary.value if v.tag == tag]
        return sorted(found, key=lambda entry: entry[2])


class TrainSummary(Summary):
    """Loss, Throughput (both by default), LearningRate and Parameters of the steps."""

    kind = "train"

    def record(
        self,
        state: TrainingState,
        scalars: Mapping[str, Mapping[str, float]],
        parameters: Callable[[], Mapping[str, Parameter]],
    ) -> None:
        """Write what is due after a step: of `scalars`, by name and what each is of ("" is all), and the parameters."""
        for name, trigger in self.triggers.items():
            if trigger is not None and not trigger(state):
                continue
            if name == "Parameters":
                self.add_parameters(parameters(), state.iteration)
                continue
            for of, value in scalars[name].items():
                self.add_scalar(f"{name}/{of}" if of else name, value, state.iteration)


class ValidationSummary(Summary):
    """One scalar per metric and validation."""

    kind = "validation"
