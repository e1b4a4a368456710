"""Pictures of relevance: zero is always the colour map's centre, and the scale is always shown.

Nothing here touches pyplot: no current figure, no rcParams, no backend. What is returned shows
itself at the end of a notebook's cell. In a script, write it to a file:

    figure, axes = lrpkeras.plot.heatmap(relevance)
    figure.savefig("heatmap.png")

To have it in a window, pass axes that `pyplot.subplots` made, then call `pyplot.show()`.
"""

from lrpkeras.plot.arrays import symmetric_limits
from lrpkeras.plot.draw import grid, heatmap
from lrpkeras.plot.picture import Drawn

__all__ = ["Drawn", "grid", "heatmap", "symmetric_limits"]
