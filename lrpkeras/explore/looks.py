"""Images explained one at a time, as chosen; what was looked at is remembered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
from numpy.typing import NDArray

from lrpkeras import backend
from lrpkeras.errors import InputError
from lrpkeras.explore.offer import Offer, Way
from lrpkeras.explore.recent import Recent
from lrpkeras.plot import views
from lrpkeras.plot.arrays import Maps, read_photos, read_pictures
from lrpkeras.plot.explained import Explained

ANALYZERS = 4  # each holds the weights that its rules changed, and compiled functions
ROOM = 256 * 2**20  # bytes of explanations
LOGITS = 100_000  # numbers


@dataclass(frozen=True)
class Choice:
    """What is looked at.

    Attributes
    ----------
    image
        Its number.
    target
        The class.
    preset
        By name.
    layer
        The hidden layer whose relevance is shown; None for the input's.
    """

    image: int
    target: int
    preset: str
    layer: str | None = None


class Looks:
    """Explains what is chosen, once.

    Parameters
    ----------
    images
        What the model takes, `(n, ...)`.
    photos
        What is shown in place of `images`, `n` of `(height, width)` or `(height, width, 1 or 3)`.
    offer
        What there is to choose from.

    Raises
    ------
    InputError
        If photos are not as many as images, or one is no picture.
    """

    def __init__(self, images: NDArray[Any], photos: Sequence[Any] | None, offer: Offer) -> None:
        if photos is not None:
            for _ in read_photos(photos, len(images)):
                pass  # they are read again when they are shown: all at once may not fit in memory
        self.images, self.offer = images, offer
        self._photos = images if photos is None else photos
        self._ways: Recent[Way] = Recent(ANALYZERS)
        self._explained: Recent[Explained] = Recent(ROOM, _nbytes)
        self._last: Recent[Any] = Recent(1)
        self._layers: dict[tuple[str, str], Mapping[str, str]] = {}
        self._logits: Recent[NDArray[Any]] = Recent(LOGITS, lambda logits: logits.size)

    def photo(self, number: int) -> Maps | None:
        """Return an image in [0, 1], `(height, width)` or with 3 channels; None if it is none."""
        if self._photos is self.images:
            return views.photo(self.images[number])
        return read_pictures(self._photos[number])[0]

    def logits(self, number: int) -> NDArray[Any]:
        """Return an image's logit of each class, `(classes,)`; summed over positions."""

        def compute() -> NDArray[Any]:
            output = backend.to_numpy(self.offer.logits(self.images[number : number + 1]))[0]
            return output.reshape(-1, output.shape[-1] if output.ndim else 1).sum(axis=0)

        return self._logits.get((self.offer.version(), number), compute)

    def way(self, preset: str) -> Way:
        """Return the way of explaining by a preset, built if need be.

        Raises
        ------
        LrpError
            If it cannot be built.
        """
        if reason := self.offer.refused[preset]:
            raise InputError(f"{preset} is not available. {reason}")
        key = (self.offer.version(), preset)
        return self._ways.get(key, lambda: self.offer.build(preset))

    def layers(self, preset: str) -> Mapping[str, str]:
        """Return the hidden layers whose relevance a preset's analyzer has, and what to call them.

        Raises
        ------
        LrpError
            If it cannot be built.
        """
        key = (self.offer.version(), preset)
        if key not in self._layers:
            self._layers[key] = self.way(preset).layers
        return self._layers[key]

    def is_built(self, preset: str) -> bool:
        """Whether the way of explaining by a preset is held."""
        return (self.offer.version(), preset) in self._ways.held

    def explanation(self, choice: Choice) -> Explained:
        """Return the explanation of one image that was chosen.

        Raises
        ------
        LrpError
            If it cannot be explained so.
        """

        def chosen() -> Explained:
            whole = self._whole(replace(choice, layer=None))
            layers = {} if choice.layer is None else {choice.layer: whole.layers[choice.layer]}
            return replace(whole, layers=layers)

        return self._explained.get((self.offer.version(), choice), chosen)

    def _whole(self, choice: Choice) -> Any:
        """Return the explanation with all hidden layers: tracing one function serves them all."""

        def explain() -> Explained:
            explain = self.way(choice.preset).explain
            image = self.images[choice.image : choice.image + 1]
            layers = list(self.layers(choice.preset)) or None
            return explain(image, choice.target, layers=layers, verbose=0)

        return self._last.get((self.offer.version(), choice), explain)


def relevance(explanation: Explained, layer: str | None) -> NDArray[Any]:
    """Return the relevance of a layer, or the input, of the one sample that there is."""
    if layer is not None:
        return explanation.layers[layer][0]
    array: NDArray[Any] = keras.tree.flatten(explanation.relevance)[0]
    return array[0]


def _nbytes(explanation: Explained) -> int:
    arrays = [*keras.tree.flatten(explanation.relevance), *explanation.layers.values()]
    return sum(array.nbytes for array in arrays)
