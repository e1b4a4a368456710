"""Generated images with known objects, and a small network trained on them.

Real photos come without the truth about which pixels made a network decide. Here the class is
the shape of one object alone: colour, size, place, rotation and background say nothing about it,
so relevance that misses the object's mask is relevance in the wrong place.
"""

from __future__ import annotations

import importlib.resources
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import numpy.typing as npt

from lrpkeras.errors import InputError, ModelError

__all__ = ["Shapes", "shapes", "shapes_classes", "shapes_model"]

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


class Shapes(NamedTuple):
    """Images of one coloured shape each, with their classes and the pixels of the shape.

    Attributes
    ----------
    images : numpy.ndarray
        float32 in [0, 1], `(n, 48, 48, 3)`.
    labels : numpy.ndarray
        int64, `(n,)`: positions in `shapes_classes`.
    masks : numpy.ndarray
        bool, `(n, 48, 48)`: true exactly where the shape covers the background.

    Examples
    --------
    >>> from lrpkeras import datasets
    >>> data = datasets.shapes(6, seed=0)
    >>> sorted(data.labels.tolist()), data.masks.dtype.name
    ([0, 1, 2, 3, 4, 5], 'bool')
    """

    images: Floats
    labels: npt.NDArray[np.int64]
    masks: Mask


def shapes(n: int, seed: int) -> Shapes:
    """Generate `n` images of coloured shapes on textured backgrounds.

    Every run of six images from the start holds each class once. The first images of a longer
    draw are those of a shorter one with the same seed. In every channel, every pixel of the
    background differs from the colour of the object by at least 0.02.

    Parameters
    ----------
    n : int
        How many images, at least 1.
    seed : int
        Non-negative; equal seeds give equal images. The shipped model was trained on seeds
        from 1,000,000 on, so that smaller ones are fresh to it.

    Returns
    -------
    Shapes
        `images`, `labels` and `masks`, which can be unpacked like a tuple.

    Raises
    ------
    lrpkeras.errors.InputError
        `n` or `seed` is not a whole number, or too small.

    Examples
    --------
    >>> images, labels, masks = shapes(8, seed=0)
    >>> images.shape, labels.shape, masks.shape
    ((8, 48, 48, 3), (8,), (8, 48, 48))
    """
    n, seed = _whole_number("n", n, least=1), _whole_number("seed", seed, least=0)
    label_stream, image_stream = np.random.default_rng(seed).spawn(2)
    labels = _labels(n, label_stream)
    images = np.empty((n, _SIZE, _SIZE, 3), np.float32)
    masks = np.empty((n, _SIZE, _SIZE), np.bool_)
    for start in range(0, n, _CHUNK):
        part = slice(start, start + _CHUNK)
        draws = _draw(len(labels[part]), image_stream)
        masks[part] = _masks(labels[part], draws)
        images[part] = _images(masks[part], draws)
    return Shapes(images, labels, masks)


def shapes_model() -> Any:
    """Load the network that ships with lrpkeras: a small residual one, trained on `shapes`.

    Convolutions without bias, BatchNormalization, ReLU, average pooling between three residual
    stages, global average pooling, and a softmax over `shapes_classes`; built and trained by
    `experiments/train_shapes.py`.

    Returns
    -------
    keras.Model
        From images `(batch, 48, 48, 3)` in [0, 1] to class probabilities `(batch, 6)`.

    Raises
    ------
    lrpkeras.errors.ModelError
        The file is not in the installed package.

    Examples
    --------
    >>> from lrpkeras import datasets
    >>> model = datasets.shapes_model()
    >>> images, labels, masks = datasets.shapes(6, seed=0)
    >>> (model.predict(images, verbose=0).argmax(axis=-1) == labels).mean().item()
    1.0
    """
    resource = importlib.resources.files("lrpkeras") / "data" / "shapes.keras"
    if not resource.is_file():
        raise ModelError(
            "the shapes model (lrpkeras/data/shapes.keras) is missing from this installation; "
            "reinstall lrpkeras, or train it again with experiments/train_shapes.py"
        )
    with importlib.resources.as_file(resource) as path:
        return keras.saving.load_model(path, compile=False)


_SIZE = 48
_CHUNK = 256  # images generated at once: large enough for NumPy, small enough for the cache
_RADIUS = (10.0, 18.0)  # of the circle around an object, in pixels
_CONTRAST = (0.36, 0.64)  # between object and mean background, per channel
_TEXTURE = 0.34  # largest departure from the mean background; less than the contrast
_GRATINGS = 2
_PERIOD = (5.0, 16.0)  # of a grating, in pixels
_BLOBS = 8  # random values along each side of the smoothed noise
_DRAWS = {  # how many uniform numbers describe one image
    "place": 2,
    "radius": 1,
    "rotation": 1,
    "background": 3,
    "contrast": 3,
    "angle": _GRATINGS,
    "period": _GRATINGS,
    "phase": _GRATINGS,
    "blobs": _BLOBS**2,
    "tint": (_GRATINGS + 1) * 3,
}


def _whole_number(name: str, value: int, least: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise InputError(f"{name} must be a whole number, got {value!r}") from None
    if isinstance(value, bool) or number < least:
        raise InputError(f"{name} must be a whole number of at least {least}, got {value!r}")
    return number


def _labels(n: int, stream: np.random.Generator) -> npt.NDArray[np.int64]:
    """Shuffle the classes anew for every run of as many images."""
    count = len(shapes_classes)
    return stream.random((-(-n // count), count)).argsort(axis=1).reshape(-1)[:n].astype(np.int64)


def _draw(n: int, stream: np.random.Generator) -> dict[str, Floats]:
    """Draw one row of numbers in [0, 1) an image, so that an image depends on its row alone."""
    rows = stream.random((n, sum(_DRAWS.values()))).astype(np.float32)
    parts = np.split(rows, np.cumsum(list(_DRAWS.values()))[:-1], axis=1)
    return dict(zip(_DRAWS, parts, strict=True))


def _between(limits: tuple[float, float], draw: Floats) -> Floats:
    low, high = limits
    return np.float32(low) + np.float32(high - low) * draw


def _masks(labels: npt.NDArray[np.int64], draws: dict[str, Floats]) -> Mask:
    """Sample each object at the pixel centres: `(n, 48, 48)`."""
    radius = _between(_RADIUS, draws["radius"])
    centre = radius + (_SIZE - 2 * radius) * draws["place"]
    pixels = np.arange(_SIZE, dtype=np.float32) + np.float32(0.5)
    across = ((pixels - centre[:, :1]) / radius)[:, None, :]
    down = ((pixels - centre[:, 1:]) / radius)[:, :, None]
    turn = 2 * np.float32(np.pi) * draws["rotation"][:, :, None]
    u = np.cos(turn) * across + np.sin(turn) * down
    v = np.cos(turn) * down - np.sin(turn) * across
    masks = np.empty(u.shape, np.bool_)
    for label, inside in enumerate(_INSIDE.values()):
        chosen = labels == label
        masks[chosen] = inside(u[chosen], v[chosen])
    return masks


def _images(masks: Mask, draws: dict[str, Floats]) -> Floats:
    """Paint the objects in one colour each over their backgrounds: `(n, 48, 48, 3)`.

    The colour of the object is that of the mean background moved around a circle of
    circumference 1, so it is as uniform as the background's and never near it. The texture
    departs by less than the contrast and thus stays on its side of the object's colour.
    """
    mean = draws["background"]
    colour = (mean + _between(_CONTRAST, draws["contrast"])) % 1
    tint = 2 * draws["tint"].reshape(len(mean), _GRATINGS + 1, 3) - 1
    tint *= _TEXTURE / np.abs(tint).sum(axis=1, keepdims=True)
    patterns = np.concatenate([_gratings(draws), _noise(draws)], axis=1)
    texture = patterns.reshape(*patterns.shape[:2], -1).swapaxes(1, 2) @ tint
    background = np.clip(mean[:, None] + texture, 0, 1).reshape(*masks.shape, 3)
    return np.where(masks[..., None], colour[:, None, None], background)


def _gratings(draws: dict[str, Floats]) -> Floats:
    """Waves of random direction, period and phase, in [-1, 1]: `(n, gratings, 48, 48)`.

    `sin(a + b) = sin a cos b + cos a sin b` needs sines of rows and columns only.
    """
    pixels = np.arange(_SIZE, dtype=np.float32)
    frequency = 2 * np.float32(np.pi) / _between(_PERIOD, draws["period"])
    angle = np.float32(np.pi) * draws["angle"]
    phase = 2 * np.float32(np.pi) * draws["phase"]
    a = ((frequency * np.cos(angle))[..., None] * pixels + phase[..., None])[..., None, :]
    b = ((frequency * np.sin(angle))[..., None] * pixels)[..., :, None]
    waves: Floats = np.sin(a) * np.cos(b) + np.cos(a) * np.sin(b)
    return waves


def _noise(draws: dict[str, Floats]) -> Floats:
    """Random values on a coarse grid, linearly interpolated, in [-1, 1]: `(n, 1, 48, 48)`."""
    values = 2 * draws["blobs"].reshape(-1, 1, _BLOBS, _BLOBS) - 1
    at = np.linspace(0, _BLOBS - 1, _SIZE, dtype=np.float32)
    weights = np.maximum(0, 1 - np.abs(at[:, None] - np.arange(_BLOBS, dtype=np.float32)))
    noise: Floats = weights @ values @ weights.T
    return noise


def _edges_beyond(u: Floats, v: Floats, sides: int, distance: float) -> npt.NDArray[np.int64]:
    """Count the lines of a regular polygon, `distance` from its centre, that (u, v) is beyond."""
    count = np.zeros(u.shape, np.int64)
    for angle in 2 * np.pi * np.arange(sides) / sides:
        count += np.float32(np.cos(angle)) * u + np.float32(np.sin(angle)) * v > distance
    return count


def _cross(u: Floats, v: Floats) -> Mask:
    thin, long = np.minimum(np.abs(u), np.abs(v)), np.maximum(np.abs(u), np.abs(v))
    return (thin <= 0.3) & (long <= 0.95)


def _ring(u: Floats, v: Floats) -> Mask:
    squared = u**2 + v**2
    return (squared >= 0.6**2) & (squared <= 1)


# Every shape fits into the unit circle. A five-pointed star is what lies beyond at most one of
# the five lines through its points.
_INSIDE: dict[str, Callable[[Floats, Floats], Mask]] = {
    "circle": lambda u, v: u**2 + v**2 <= 0.8**2,
    "square": lambda u, v: np.maximum(np.abs(u), np.abs(v)) <= np.sqrt(0.5),
    "triangle": lambda u, v: _edges_beyond(u, v, 3, distance=0.5) == 0,
    "cross": _cross,
    "ring": _ring,
    "star": lambda u, v: _edges_beyond(u, v, 5, distance=np.cos(2 * np.pi / 5)) <= 1,
}

shapes_classes: tuple[str, ...] = tuple(_INSIDE)
"""The names of the classes, in the order of the labels."""
