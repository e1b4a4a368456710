"""Which Keras layers' outputs a rewriting touches."""

from __future__ import annotations

from collections.abc import Collection

from lrpkeras.graph.graph import Graph


def layers_at(graph: Graph, nodes: Collection[str]) -> frozenset[str]:
    """Return the layers whose output is that of one of `nodes`, by name.

    More than the nodes' own: dropout behind a convolution has its place there too.
    """
    return frozenset(layer for layer, name in graph.places.items() if name in nodes)
