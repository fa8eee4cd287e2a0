"""What BigDL's util.common and util.engine offer beside samples and tensors: the engine's start, Spark, numbers,
versions."""

from __future__ import annotations

import logging
import os
import tempfile
from importlib import import_module
from typing import Any

from dlcore.activity import Array
from dlcore.data.sample import Sample
from dlcore.keras.named import activation_of
from dlcore.nn.module import Module
from dlcore.number_type import FLOATS
from dlcore.optim.method import DOUBLEMAX
from dlcore.rng import RNG as PROCESS_RNG

__all__ = [
    "DOUBLEMAX",
    "INTMAX",
    "INTMIN",
    "RNG",
    "create_spark_conf",
    "create_tmp_path",
    "get_activation_by_name",
    "get_bigdl_conf",
    "get_bigdl_engine_type",
    "get_dtype",
    "get_node_and_core_number",
    "get_optimizer_version",
    "get_spark_context",
    "get_spark_sql_context",
    "init_engine",
    "init_executor_gateway",
    "redire_spark_logs",
    "set_optimizer_version",
    "show_bigdl_info_logs",
    "to_list",
    "to_sample_rdd",
]

RELEASE = "0.13.0"
"""The release of BigDL whose names these are."""
INTMAX, INTMIN = 2**31 - 1, -(2**31)
_VERSIONS = ("optimizerV1", "optimizerV2")


class RNG:
    """The generator of the process, under the class that BigDL has for it.

    Example:
        >>> rng = RNG()
        >>> rng.set_seed(100)
        >>> [f"{number:.5f}" for number in rng.uniform(0.1, 0.2, [2])]
        ['0.15434', '0.16712']
    """

    def __init__(self, bigdl_type: str = "float") -> None:
        self.bigdl_type = bigdl_type

    def set_seed(self, seed: int) -> None:
        """Restart the stream."""
        PROCESS_RNG.set_seed(seed)

    def uniform(self, a: float, b: float, size: Any) -> Array:
        """Numbers of [a, b) of shape `size`."""
        return PROCESS_RNG.uniform(a, b, size, FLOATS[self.bigdl_type])


# --- the engine: nothing has to be started, so that programs which do it go on
# ------------------------------------------


def init_engine(bigdl_type: str = "float") -> None:
    """Nothing: the engine is there."""


def prepare_env() -> None:
    """Nothing: no JVM's paths have to be set."""


def init_executor_gateway(sc: Any, bigdl_type: str = "float") -> None:
    """Nothing: no JVM has to be reached."""


def redire_spark_logs(bigdl_type: str = "float", log_path: str = "bigdl.log") -> None:
    """Nothing: dlcore writes nothing to Spark's log, which goes where Spark's configuration says."""


def show_bigdl_info_logs(bigdl_type: str = "float") -> None:
    """Let training show a line for each step on stderr, as BigDL does, not only one for each epoch."""
    logger = logging.getLogger("dlcore.optim.progress")
    logger.setLevel(logging.DEBUG)
    if not logger.handlers:
        logger.addHandler(logging.StreamHandler())


def get_bigdl_engine_type(bigdl_type: str = "float") -> str:
    """BigDL's name of an engine on the processor's own kernels; programs ask whether it is "MklDnn", which wants
    formats set."""
    return "MklBlas"


def set_optimizer_version(optimizerVersion: str, bigdl_type: str = "float") -> None:
    """Nothing: both of BigDL's versions compute what the one here computes.

    Raises:
        ValueError: there is no such version.
    """
    if optimizerVersion not in _VERSIONS:
        raise ValueError(f"got optimizer version {optimizerVersion!r}, expected one of {', '.join(_VERSIONS)}")


def get_optimizer_version(bigdl_type: str = "float") -> str:
    """The version that BigDL takes unless it is told another."""
    return _VERSIONS[0]


def get_bigdl_conf() -> dict[str, str]:
    """Nothing: BigDL's distribution has a file of settings for Spark's JVM, dlcore needs none."""
    return {}


# --- Spark
# --------------------------------------------------------------------------------------------------------------


def create_spark_conf() -> Any:
    """A SparkConf to set master and name on.

    Raises:
        ModuleNotFoundError: pyspark is not installed.
    """
    return import_module("pyspark").SparkConf().setAll(get_bigdl_conf().items())


def get_spark_context(conf: Any = None) -> Any:
    """The SparkContext of the process, made with `conf` if there is none."""
    return import_module("pyspark").SparkContext.getOrCreate(create_spark_conf() if conf is None else conf)


def init_nncontext(conf: Any = None) -> Any:
    """Analytics Zoo's name for it; `conf` may also be the application's name."""
    return get_spark_context(create_spark_conf().setAppName(conf) if isinstance(conf, str) else conf)


def get_spark_sql_context(sc: Any) -> Any:
    """A session of Spark SQL on `sc`, whose methods are those of the older SQLContext."""
    return import_module("pyspark.sql").SparkSession(sc)


def get_node_and_core_number(bigdl_type: str = "float") -> tuple[int, int]:
    """(1, cores): this machine, and the cores that a local Spark was given, without one all that the process may
    use."""
    context = import_module("pyspark").SparkContext._active_spark_context
    return 1, len(os.sched_getaffinity(0)) if context is None else int(context.defaultParallelism)


def to_sample_rdd(x: Array, y: Array, numSlices: int | None = None) -> Any:
    """An RDD of Samples of the records of `x` and `y`."""
    context = get_spark_context()
    pairs = context.parallelize(x, numSlices).zip(context.parallelize(y, numSlices))
    return pairs.map(lambda pair: Sample.from_ndarray(pair[0], pair[1]))


# --- small things
# -------------------------------------------------------------------------------------------------------


def to_list(a: Any) -> list[Any]:
    """`a`, in a list unless it is one."""
    return a if type(a) is list else [a]


def get_dtype(bigdl_type: str) -> str:
    """The type of numbers that `bigdl_type` means, "float32" or "float64"."""
    return FLOATS[bigdl_type].name


def get_activation_by_name(activation_name: str, activation_id: str | None = None) -> Module:
    """The activation layer of a name such as "tanh", named `activation_id` if that is given.

    Raises:
        ValueError: there is none.
    """
    found = activation_of(activation_name, 1)
    if found is None:
        raise ValueError(f"got activation {activation_name!r}, expected the name of a layer")
    return found if activation_id is None else found.set_name(activation_id)


def create_tmp_path() -> str:
    """A path in the temporary folder where nothing is."""
    return os.path.join(tempfile.mkdtemp(), "bigdl")


def compare_version(version1: str, version2: str) -> int:
    """-1, 0 or 1 as the first of two versions "2.1.0" is older, equal or newer; what is no number does not count."""
    first, second = ([int(part) for part in each.split(".") if part.isdigit()] for each in (version1, version2))
    return (first > second) - (first < second)
