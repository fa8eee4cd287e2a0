"""Where the names of BigDL's modules are in dlcore, and why some cannot be anywhere."""

from __future__ import annotations

Homes = dict[str, str]
"""Module -> the names that it gives, by spaces: "*" for all that are public, "Module=Layer" for one under another name,
"=np" for the module itself. What a module with "?" before it gives is there if that is installed."""

_KERAS: Homes = {
    "dlcore.keras.layer": "*",
    "dlcore.keras.construction": "KerasLayer",
    "bigdl.util.common": "*",
}
_TOPOLOGY: Homes = {
    "dlcore.keras.topology": "*",
    "dlcore.keras.training": "KerasModel",
    "dlcore.keras.construction": "KerasLayer",
}

_CHANGES = (
    "AspectScale Brightness BytesToMat CenterCrop ChannelNormalize ChannelOrder ChannelScaledNormalizer ColorJitter "
    "Contrast Expand "
    "Filler FixedCrop HFlip Hue MatToFloats MatToTensor PixelBytesToMat PixelNormalize RandomAspectScale RandomCrop "
    "Resize Saturation"
)
_PREPROCESSING = (
    " ".join(f"{name}=Image{name}" for name in _CHANGES.split()) + " RandomTransformer=ImageRandomPreprocessing"
)
"""Analytics Zoo's names of BigDL's transformers: each begins with Image."""

MODULES: dict[str, Homes] = {
    "bigdl.util.common": {
        "dlcore.bigdl.absent": "*",
        "dlcore.bigdl.common": "*",
        "dlcore.data.sample": "JTensor Sample",
        "dlcore.optim.metric": "EvaluatedResult",
        "numpy": "=np",
        "os": "=os",
        "sys": "=sys",
        "tempfile": "=tempfile",
        "?pyspark": "SparkConf SparkContext SparkFiles RDD",
        "?pyspark.sql": "DataFrame SQLContext",
    },
    "bigdl.util.engine": {"dlcore.bigdl.common": "compare_version prepare_env"},
    "bigdl.nn.layer": {
        "bigdl.util.common": "*",
        "dlcore.nn.layer": "*",
        "dlcore.nn.module": "Module=Layer",
        "dlcore.nn.regularizer": "*",
        "dlcore.data.dataset": "DataSet",
        "dlcore.data.image": "ImageFrame",
    },
    "bigdl.nn.criterion": {"bigdl.util.common": "*", "dlcore.nn.criterion": "*", "dlcore.nn.module": "Module=Layer"},
    "bigdl.nn.initialization_method": {"bigdl.util.common": "*", "dlcore.nn.init": "*"},
    "bigdl.nn.onnx.layer": {"bigdl.util.common": "*", "dlcore.nn.onnx.layer": "*", "dlcore.nn.module": "Module=Layer"},
    "bigdl.nn.keras.layer": _KERAS,
    "bigdl.nn.keras.topology": {
        "bigdl.optim.optimizer": "*",
        "bigdl.nn.criterion": "*",
        **_TOPOLOGY,
        "dlcore.bigdl.keras": "*",
    },
    "bigdl.optim.optimizer": {
        "bigdl.dataset.dataset": "*",
        "dlcore.optim.optimizer": "*",
        "dlcore.optim.loop": "Optimizer=BaseOptimizer Optimizer=DistriOptimizer",
        "multiprocessing": "=multiprocessing",
        "warnings": "=warnings",
    },
    "bigdl.dataset.dataset": {"bigdl.transform.vision.image": "*", "dlcore.data.dataset": "DataSet"},
    "bigdl.dataset.base": {"dlcore.bigdl.models": "maybe_download", "numpy": "=np", "os": "=os", "sys": "=sys"},
    "bigdl.version": {"dlcore.bigdl.common": "RELEASE=__version__"},
    "bigdl.dataset.mnist": {"dlcore.data.mnist": "*", "dlcore.data.transformer": "*"},
    "bigdl.dataset.movielens": {"dlcore.data.movielens": "*", "numpy": "=np"},
    "bigdl.dataset.news20": {"dlcore.data.news20": "*"},
    "bigdl.dataset.sentence": {"dlcore.data.sentence": "*"},
    "bigdl.dataset.transformer": {"dlcore.data.transformer": "*", "dlcore.data.sample": "Sample"},
    "bigdl.transform.vision.image": {"bigdl.util.common": "*", "dlcore.data.image": "*"},
    "bigdl.models.lenet.lenet5": {
        "bigdl.models.lenet.utils": "*",
        "bigdl.nn.layer": "*",
        "bigdl.nn.criterion": "*",
        "dlcore.models.lenet": "build_model",
    },
    "bigdl.models.lenet.utils": {
        "bigdl.optim.optimizer": "*",
        "bigdl.dataset.transformer": "*",
        "bigdl.dataset.mnist": "=mnist",
        "dlcore.bigdl.models": "get_mnist preprocess_mnist get_end_trigger validate_optimizer",
    },
    "bigdl.models.local_lenet.local_lenet": {
        "bigdl.models.lenet.lenet5": "*",
        "dlcore.bigdl.models": "get_local_mnist=get_mnist",
    },
    "bigdl.models.rnn.rnnexample": {"dlcore.bigdl.models": "recurrent=build_model"},
    "bigdl.models.textclassifier.textclassifier": {"dlcore.models.text_classifier": "text_classifier=build_model"},
    "bigdl.models.inception.inception": {
        "dlcore.models.inception": "inception_v1 inception_v1_no_aux_classifier",
        "bigdl.nn.layer": "*",
    },
    "bigdl.models.utils.model_broadcast": {"dlcore.bigdl.models": "broadcast_model"},
    "zoo.common.nncontext": {"dlcore.bigdl.common": "init_nncontext create_spark_conf=init_spark_conf"},
    "bigdl.dlframes.dl_classifier": {
        "bigdl.util.common": "*",
        "?dlcore.spark.estimator": "DLEstimator DLModel DLClassifier DLClassifierModel",
    },
    "bigdl.dlframes.dl_image_reader": {"?dlcore.spark.pictures": "DLImageReader"},
    "bigdl.dlframes.dl_image_transformer": {"?dlcore.spark.pictures": "DLImageTransformer"},
    "bigdl.models.ml_pipeline.dl_classifier": {"bigdl.dlframes.dl_classifier": "*"},
    "zoo.pipeline.nnframes": {"?dlcore.spark.nnframes": "*"},
    "zoo.pipeline.nnframes.nn_classifier": {"?dlcore.spark.nnframes": "*"},
    "zoo.pipeline.nnframes.nn_image_reader": {"?dlcore.spark.nnframes": "NNImageReader"},
    "zoo.feature.common": {"?dlcore.spark.preprocessing": "*", "?dlcore.data.image": "ImageFeature"},
    "zoo.feature.image.imagePreprocessing": {
        "?dlcore.spark.preprocessing": "RowToImageFeature ImageFeatureToTensor",
        "dlcore.data.image": _PREPROCESSING,
    },
    "zoo.feature.image": {"zoo.feature.image.imagePreprocessing": "*"},
    "zoo.pipeline.api.net": {"dlcore.bigdl.zoo": "Net", "dlcore.nn.graph": "Graph=GraphNet"},
    "zoo.pipeline.api.keras.layers": _KERAS,
    "zoo.pipeline.api.keras.models": _TOPOLOGY,
}

HIDDEN: dict[str, str] = {"bigdl.optim.optimizer.ActivityRegularization": "dlcore.optim.optimizer"}
"""Names that `import *` does not bring, and where they are: this one would hide the layer that is called so."""

ROOTS = {"dl": "bigdl"}
"""First names of packages that stand for another: BigDL was called dl before its release."""

_IMPORTERS = "dlcore does not read such models"
_BY_NAME = (
    "compile takes names, such as 'adam', 'mse' and 'accuracy', and objects of bigdl.optim.optimizer and "
    "bigdl.nn.criterion"
)
ABSENT: dict[str, str] = {
    "bigdl.contrib.onnx": _IMPORTERS,
    "bigdl.keras": "it converts models of Keras 1.2.2, which needs TensorFlow or Theano; write them with "
    "bigdl.nn.keras",
    "bigdl.util.tf_utils": _IMPORTERS,
    "zoo.models": "of Analytics Zoo there are zoo.pipeline.api.net, .keras, .nnframes, zoo.feature.common, .image and "
    "zoo.common.nncontext",
    "zoo.pipeline.api.autograd": "write a layer of your own with dlcore.nn.module.Module, or put layers together in a "
    "graph",
    "zoo.pipeline.api.keras.metrics": _BY_NAME,
    "zoo.pipeline.api.keras.objectives": _BY_NAME,
    "zoo.pipeline.api.keras.optimizers": _BY_NAME,
}
"""Modules of BigDL and Analytics Zoo, with all inside them, that are not there, and why."""
