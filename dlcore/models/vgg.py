"""VGG16 (Simonyan and Zisserman 2015), configuration D."""

from dlcore.nn.container import Sequential
from dlcore.nn.init import MsraFiller, Zeros
from dlcore.nn.layer import Dropout, Linear, ReLU, SpatialConvolution, SpatialMaxPooling, View

BLOCKS = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))


def add_vgg16_features(model: Sequential) -> Sequential:
    """Append conv1_1 to pool5: (N, 3, 224, 224) -> (N, 512, 7, 7)."""
    planes_in = 3
    for block, (count, planes) in enumerate(BLOCKS, start=1):
        for i in range(1, count + 1):
            name = f"conv{block}_{i}"
            layer = SpatialConvolution(planes_in, planes, 3, 3, 1, 1, 1, 1, propagate_back=planes_in > 3)
            model.add(layer.set_name(name)).add(ReLU(True).set_name(f"relu{block}_{i}"))
            layer.set_init_method(MsraFiller(False), Zeros())
            planes_in = planes
        model.add(SpatialMaxPooling(2, 2, 2, 2).set_name(f"pool{block}"))
    return model


def add_fully_connected(model: Sequential, dropout: float = 0.5) -> Sequential:
    """Append fc6 and fc7: (N, 512, 7, 7) -> (N, 4096)."""
    model.add(View([512 * 7 * 7]))
    for name, size in (("fc6", 512 * 7 * 7), ("fc7", 4096)):
        model.add(Linear(size, 4096).set_name(name)).add(ReLU(True)).add(Dropout(dropout))
    return model


def vgg16(class_num: int = 1000) -> Sequential:
    """The classifier: (N, 3, 224, 224) -> logits (N, class_num). 30.9 GFLOP, 138 million parameters."""
    model = add_fully_connected(add_vgg16_features(Sequential()))
    return model.add(Linear(4096, class_num).set_name("fc8"))
