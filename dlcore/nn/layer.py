"""All layers under one name, as `bigdl.nn.layer` has them. Each family file lists its own in `__all__`."""

from __future__ import annotations

from dlcore.nn.container import *
from dlcore.nn.graph import *
from dlcore.nn.layers.activation import *
from dlcore.nn.layers.affine import *
from dlcore.nn.layers.attention import *
from dlcore.nn.layers.beam_search import *
from dlcore.nn.layers.border import *
from dlcore.nn.layers.cells import *
from dlcore.nn.layers.contrast import *
from dlcore.nn.layers.convolution import *
from dlcore.nn.layers.convolutional_cells import *
from dlcore.nn.layers.detection import *
from dlcore.nn.layers.dropout import *
from dlcore.nn.layers.embedding import *
from dlcore.nn.layers.fpn import *
from dlcore.nn.layers.gated import *
from dlcore.nn.layers.linear import *
from dlcore.nn.layers.local import *
from dlcore.nn.layers.long_short_term import *
from dlcore.nn.layers.normalization import *
from dlcore.nn.layers.penalty import *
from dlcore.nn.layers.pointwise import *
from dlcore.nn.layers.pooling import *
from dlcore.nn.layers.product import *
from dlcore.nn.layers.recurrent import *
from dlcore.nn.layers.reduction import *
from dlcore.nn.layers.resize import *
from dlcore.nn.layers.roi import *
from dlcore.nn.layers.separable import *
from dlcore.nn.layers.shape import *
from dlcore.nn.layers.sparse import *
from dlcore.nn.layers.table import *
from dlcore.nn.layers.transformer import *
from dlcore.nn.layers.transposed import *
from dlcore.nn.layers.tree import *
from dlcore.nn.layers.volumetric import *
from dlcore.nn.module import *

__all__ = [name for name in dir() if name[0].isupper()]
