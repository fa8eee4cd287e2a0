"""What Spark's workers are given once: an object that each worker unpickles when a task first asks for it, and
keeps."""

from __future__ import annotations

import gc
import os
import pickle
import secrets
import zipimport
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

KEPT = 2
"""Objects that a worker keeps: the latest."""
_VALUES: OrderedDict[str, Any] = OrderedDict()


@dataclass(frozen=True)
class Shared:
    """An object by its token, and Spark's broadcast of it. Tasks carry this, some hundred bytes."""

    token: str
    pickled: Any

    @classmethod
    def of(cls, context: Any, value: Any) -> Shared:
        """`value`, broadcast by the SparkContext; functions and classes of a program's main file go with it."""
        from pyspark import cloudpickle

        return cls(secrets.token_hex(16), context.broadcast(cloudpickle.dumps(value)))

    def value(self) -> Any:
        """The object, the same for all tasks of this worker."""
        if self.token not in _VALUES:
            spare_tasks_time()
            _VALUES[self.token] = pickle.loads(self.pickled.value)
            while len(_VALUES) > KEPT:
                _VALUES.popitem(last=False)
        return _VALUES[self.token]

    def destroy(self) -> None:
        """Let Spark forget it."""
        self.pickled.destroy()


def forget(token: str) -> None:
    """Let this worker go of an object; who asks for it again gets it as it was broadcast."""
    _VALUES.pop(token, None)


def spare_tasks_time() -> None:
    """Spare the coming tasks of this worker what pyspark does at the start and at the end of each.

    At the start it forgets what it knows of all zip files, so that they are read again; at the end it collects garbage,
    all that the modules hold included.
    """
    zipimport.zipimporter.invalidate_caches = lambda self: None  # type: ignore[method-assign]
    gc.collect()
    gc.freeze()


def local_folder() -> str:
    """The folder of this executor, which Spark removes at its end; Spark names it to workers only, where SparkFiles has
    none."""
    from pyspark import SparkFiles

    if folders := os.environ.get("SPARK_LOCAL_DIRS"):
        return folders.split(",")[0]

    return str(SparkFiles.getRootDirectory())
