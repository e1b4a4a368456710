"""Pictures of relevance: zero is always the colour map's centre, and the scale is always shown.

Nothing here touches pyplot: no current figure, no rcParams, no backend. The figures that are
returned show themselves in notebooks and are written with `figure.savefig(path)`; to have one in
a window, pass axes that `pyplot.subplots` made.
"""

from lrpkeras.plot.arrays import symmetric_limits
from lrpkeras.plot.draw import grid, heatmap

__all__ = ["grid", "heatmap", "symmetric_limits"]
