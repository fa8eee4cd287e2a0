"""Names of BigDL's that cannot be here: programs import them by the way, and are told what they lack when they use
them."""

from __future__ import annotations

from typing import Any

_JVM = "it reaches into BigDL's JVM, and there is none; dlcore computes in this process"
_PICTURES = "it reads Hadoop's sequence files of pictures; read the files of pictures with ImageFrame.read(path, sc)"
REASONS = {
    "GatewayWrapper": _JVM,
    "JActivity": _JVM,
    "JavaCreator": _JVM,
    "JavaObject": _JVM,
    "JavaValue": _JVM,
    "SeqFileFolder": _PICTURES,
    "SharedStaticUtils": _JVM,
    "SingletonMixin": _JVM,
    "_get_gateway": _JVM,
    "_java2py": _JVM,
    "_py2java": _JVM,
    "_to_java_object_rdd": _JVM,
    "callBigDlFunc": _JVM,
    "callJavaFunc": _JVM,
    "extend_spark_driver_cp": _JVM,
    "get_bigdl_classpath": _JVM,
}

_FILES = "dlcore does not read or write models of {}; it reads weights of PyTorch (dlcore.interop.torch_files)"
METHODS = {
    "load_caffe": _FILES.format("Caffe"),
    "load_caffe_model": _FILES.format("Caffe"),
    "load_keras": _FILES.format("Keras 1.2"),
    "load_tensorflow": _FILES.format("TensorFlow"),
    "load_torch": _FILES.format("Torch 7"),
    "of": _JVM,
    "save_caffe": _FILES.format("Caffe"),
    "save_tensorflow": _FILES.format("TensorFlow"),
}
"""Methods of BigDL's layers that are not here."""


def refusal(name: str) -> staticmethod[..., Any]:
    """The method of that name: it raises NotImplementedError with its reason."""

    def refuse(*_arguments: Any, **_options: Any) -> Any:
        raise NotImplementedError(f"{name}: {METHODS[name]}")

    return staticmethod(refuse)


class Absent(type):
    """A class or function of BigDL's that is not there: whatever one does with it raises NotImplementedError."""

    def __call__(cls, *_arguments: Any, **_options: Any) -> Any:
        raise NotImplementedError(f"{cls.__name__}: {REASONS[cls.__name__]}")

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise NotImplementedError(f"{cls.__name__}: {REASONS[cls.__name__]}")


def __getattr__(name: str) -> Any:
    if name not in REASONS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return Absent(name, (), {})


__all__ = [name for name in REASONS if not name.startswith("_")]
