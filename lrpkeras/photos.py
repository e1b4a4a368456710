"""Photos in files, read safely and made what a model takes."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from lrpkeras.errors import InputError

Preprocess = Callable[[np.ndarray], np.ndarray]

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")
LARGEST = 2**26  # pixels: what says that it has more is not decoded
LARGEST_FILE = 2**28  # bytes
MOST_DECODED = 2**31  # pixels of all scans of a JPEG together: some seconds
SCAN = b"\xff\xda"  # what each begins with; within one, a byte that is not 0 never follows 0xff

# Means and deviations of ImageNet's channels, as Keras' own `preprocess_input` has them.
_CAFFE = (103.939, 116.779, 123.68)
_TORCH = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def _mobilenet(x: np.ndarray) -> np.ndarray:
    return x / np.float32(127.5) - 1


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.float32(255)


def _caffe(x: np.ndarray) -> np.ndarray:
    return x[..., ::-1] - np.array(_CAFFE, "float32")


def _torch(x: np.ndarray) -> np.ndarray:
    mean, deviation = np.array(_TORCH, "float32")
    return (x / np.float32(255) - mean) / deviation


def _as_they_are(x: np.ndarray) -> np.ndarray:
    return x


# By the names that `keras.applications` uses.
PREPROCESS: dict[str, Preprocess] = {
    "mobilenet": _mobilenet,
    "caffe": _caffe,
    "torch": _torch,
    "unit": _unit,
    "none": _as_they_are,
}


def preprocess(how: Any) -> Preprocess:
    """Return what makes a model's input of pixels.

    Parameters
    ----------
    how
        "mobilenet" (to [-1, 1]), "unit" (to [0, 1]), "caffe" (BGR, less ImageNet's mean), "torch"
        (to [0, 1], less ImageNet's mean, by its deviation), "none" or None (0 to 255); or a
        function of an array `(height, width, channels)` of float32, 0 to 255.

    Raises
    ------
    InputError
        If it is none of these.
    """
    if callable(how):
        chosen: Preprocess = how
        return chosen
    found = PREPROCESS.get("none" if how is None else how) if isinstance(how, str | None) else None
    if found is None:
        raise InputError(
            f"preprocess is one of {', '.join(map(repr, PREPROCESS))} or a function of an image, "
            f"not {how!r}."
        )
    return found


def read(path: str | os.PathLike, channels: int = 3) -> Image.Image:
    """Return a photo, upright, in grey or RGB.

    Parameters
    ----------
    path
        A PNG, JPEG, BMP, GIF (its first frame), WebP or TIFF file.
    channels
        1, 3 or 4.

    Raises
    ------
    InputError
        If it is no such file, or larger than 67 million pixels.
    """
    name = os.fspath(path)
    try:
        status = Path(path).stat()
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{name!r} is no file.")
        if status.st_size > LARGEST_FILE:
            raise InputError(f"{name!r} is larger than {LARGEST_FILE} bytes.")
        # LARGEST is below the size from which Pillow warns of bombs.
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > LARGEST:
                raise InputError(
                    f"{name!r} has {image.width} x {image.height} pixels, more than {LARGEST}."
                )
            if image.format == "JPEG":
                _check_scans(image, path)
            return _upright(image, name).convert({1: "L", 3: "RGB", 4: "RGBA"}[channels])
    except InputError:
        raise
    except UnidentifiedImageError:
        raise InputError(f"{name!r} is no image of a known format.") from None
    except OSError as error:
        raise InputError(f"{name!r} cannot be read: {error.strerror or error}.") from None
    except Exception as error:
        # Decoders raise what they like: SyntaxError, struct.error, DecompressionBombError.
        raise InputError(f"{name!r} is damaged: {type(error).__name__}: {error}.") from None


def _check_scans(image: Image.Image, path: str | os.PathLike) -> None:
    """Refuse a JPEG that repeats scans: a few bytes each, for a decoder as much work as a photo."""
    scans = Path(path).read_bytes().count(SCAN)
    if scans * image.width * image.height > MOST_DECODED:
        raise InputError(f"{os.fspath(path)!r} has {scans} scans: that is a bomb, no photo.")


def _upright(image: Image.Image, name: str) -> Image.Image:
    """Return an image with 8 bits, turned as the camera was."""
    if image.mode.startswith("I;16"):
        # Pillow would cut off what is above 255.
        image = Image.fromarray((np.asarray(image, "uint32") / 257).round().astype("uint8"))
    elif image.mode in ("I", "F"):
        raise InputError(
            f"{name!r} holds numbers of no known range (mode {image.mode}): make it an image of 8 "
            "or 16 bits."
        )
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged notes of the camera say nothing of the pixels
        return image


def as_input(image: Image.Image, shape: tuple[int, int, int], made: Preprocess) -> np.ndarray:
    """Return a photo as a model takes it, resized (bilinear).

    Parameters
    ----------
    image
        As `read` returned it.
    shape
        `(height, width, channels)` of the model's input.
    made
        From pixels to the model's values.

    Raises
    ------
    InputError
        If `made` fails, or changes the shape.
    """
    height, width = shape[:2]
    if (width, height) != image.size:
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(image, "float32").reshape(height, width, -1)
    try:
        values = np.asarray(made(pixels))
    except Exception as error:
        raise InputError(f"preprocess failed: {type(error).__name__}: {error}") from error
    if values.shape != pixels.shape:
        raise InputError(
            f"preprocess made shape {values.shape} of an image of {pixels.shape}: both must be the "
            "same, (height, width, channels)."
        )
    return values
