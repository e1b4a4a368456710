"""Looking at explanations in a notebook: `analyzer.explore(images)`.

`offer` says what there is to choose from, `looks` explains what was chosen and remembers it,
`widget` shows it. Only `widget` needs ipywidgets, which may be absent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from lrpkeras.errors import LrpError
from lrpkeras.explore.looks import Looks
from lrpkeras.explore.offer import Offer
from lrpkeras.plot.explained import Labels

if TYPE_CHECKING:
    from lrpkeras.explore.widget import Explorer


def explorer(
    images: NDArray[Any], photos: Sequence[Any] | None, labels: Labels | None, offer: Offer
) -> Explorer:
    """Return the widget; see `lrpkeras.Analyzer.explore`.

    Raises
    ------
    LrpError
        If ipywidgets is not there.
    """
    try:
        from lrpkeras.explore.widget import Explorer
    except ModuleNotFoundError as error:
        if error.name != "ipywidgets":
            raise
        raise LrpError(
            "explore shows a widget, and ipywidgets is missing: pip install 'lrpkeras[notebook]'."
        ) from None
    return Explorer(Looks(images, photos, offer), labels)
