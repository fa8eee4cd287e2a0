"""A model's structure as TensorBoard shows it."""

from __future__ import annotations

from pathlib import Path
from time import time

from dlcore.nn.graph import Graph, to_graph
from dlcore.nn.module import Module


def save_graph_topology(module: Module, log_path: str | Path) -> Module:
    """Write which layer takes what, and what each was made with, to an event file in the folder `log_path`, for
    TensorBoard's page Graphs.

    A name with slashes opens folders there. Containers that only connect are taken apart, see `to_graph`.
    """
    from tensorboard.compat.proto.attr_value_pb2 import AttrValue
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.graph_pb2 import GraphDef
    from tensorboard.compat.proto.node_def_pb2 import NodeDef
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    graph = module if isinstance(module, Graph) else to_graph(module)
    names = _names(graph)
    nodes = [
        NodeDef(
            name=name,
            op=type(node.module).__name__,
            input=[names[source] for source in sources],
            attr={key: AttrValue(s=value.encode()) for key, value in _settings(node.module).items()},
        )
        for name, node, sources in zip(names, graph.nodes, graph.sources, strict=True)
    ]
    writer = EventFileWriter(str(log_path))
    writer.add_event(Event(wall_time=time(), graph_def=GraphDef(node=nodes).SerializeToString()))
    writer.close()
    return module


def _settings(module: Module) -> dict[str, str]:
    """The layer's arguments that are numbers or words, and how many numbers it learns."""
    given = {} if isinstance(module, Graph) else module.config()
    plain = {name: str(value) for name, value in given.items() if isinstance(value, (bool, int, float, str))}
    count = sum(parameter.value.size for parameter in module.named_parameters().values())
    return plain | ({"parameters": str(count)} if count else {})


def _names(graph: Graph) -> list[str]:
    """A name for each node: its layer's, else the layer's kind; with a number where it is not the first of that
    name."""
    names: list[str] = []
    for node in graph.nodes:
        name = wanted = node.module.name()
        count = 1
        while name in names:
            count += 1
            name = f"{wanted}_{count}"
        names.append(name)
    return names
