"""The colours of zero and of both ends, as `lrpkeras.plot.colours` names them."""

from matplotlib.colors import to_rgb

from lrpkeras.plot.colours import LIGHT


def _bytes(name):
    return tuple(round(255 * part) for part in to_rgb(name))


NEUTRAL = _bytes(LIGHT.zero)
RED, BLUE = _bytes(LIGHT.reds.split()[-1]), _bytes(LIGHT.blues.split()[-1])
