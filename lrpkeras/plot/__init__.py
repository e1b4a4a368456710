"""Pictures of relevance: zero is always the neutral colour, and the scale is always shown.

Nothing here touches pyplot: no current figure, no rcParams, no backend. What is returned shows
itself at the end of a notebook's cell. In a script, write it to a file:

    figure, axes = lrpkeras.plot.heatmap(relevance)
    figure.savefig("heatmap.png")

To have it in a window, pass axes that `pyplot.subplots` made, then call `pyplot.show()`.
"""

from lrpkeras.plot.arrays import symmetric_limits
from lrpkeras.plot.comparison import compare
from lrpkeras.plot.flow import flow
from lrpkeras.plot.grids import grid
from lrpkeras.plot.heatmaps import heatmap
from lrpkeras.plot.layers import layers
from lrpkeras.plot.picture import Drawn
from lrpkeras.plot.series import series
from lrpkeras.plot.tokens import tokens
from lrpkeras.plot.volume import volume

__all__ = [
    "Drawn",
    "compare",
    "flow",
    "grid",
    "heatmap",
    "layers",
    "series",
    "symmetric_limits",
    "tokens",
    "volume",
]
