"""Graph -> Graph passes that keep the computed function, with fewer and plainer nodes."""

from __future__ import annotations

from lrpkeras.canonize.absorb_padding import absorb_padding
from lrpkeras.canonize.add_forks import add_forks
from lrpkeras.canonize.contrast_head import contrast_head
from lrpkeras.canonize.drop_inert import drop_inert
from lrpkeras.canonize.fold_left import fold_left
from lrpkeras.canonize.fold_right import fold_right
from lrpkeras.canonize.fuse_normalization import fuse_normalization
from lrpkeras.canonize.merge_affine import merge_affine
from lrpkeras.canonize.select_output import select_output
from lrpkeras.canonize.strip_head import strip_head
from lrpkeras.graph.graph import Graph

__all__ = [
    "absorb_padding",
    "add_forks",
    "canonize",
    "contrast_head",
    "drop_inert",
    "fold_left",
    "fold_right",
    "fuse_normalization",
    "merge_affine",
    "select_output",
    "strip_head",
]


def canonize(
    graph: Graph, *, fold: bool = True, thresholds: bool = False, contrast: bool = False
) -> Graph:
    """Run every pass, in the order in which each prepares the next.

    Parameters
    ----------
    graph
        As a reader returns it.
    fold
        Whether batch normalization is folded into linear nodes; otherwise it stays `Affine`.
    thresholds
        Whether a normalization in front of a ReLU is folded as a thresholded ReLU, not as a gate.
    contrast
        Whether each logit's lead over the mean of the others is explained, not the logit.
    """
    graph = absorb_padding(strip_head(drop_inert(graph))).sorted()
    if fold:
        graph = fold_right(fold_left(merge_affine(graph)), thresholds=thresholds)
    if contrast:
        graph = contrast_head(graph)
    return add_forks(graph.sorted())
