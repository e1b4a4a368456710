"""Watching a network learn where to look: heatmaps of a few images while it trains."""

from __future__ import annotations

import inspect
import operator
import os
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike, NDArray

from lrpkeras.analyzer import Analyzer
from lrpkeras.errors import InputError, LrpError, ModelError
from lrpkeras.plot import montage
from lrpkeras.plot.arrays import Maps, read_photos
from lrpkeras.plot.explained import Labels
from lrpkeras.plot.pixels import Pixels, as_png
from lrpkeras.plot.views import grey, photo

__all__ = ["RelevanceCallback"]


class RelevanceCallback(keras.callbacks.Callback):
    """Draws the relevance of a few images every few epochs: PNG files, or TensorBoard.

    One sheet an epoch: the maps side by side, each over its image and in a scale of its own, titled
    with class, logit and the end of its scale. The model is only read: it trains to the same
    weights, bit for bit, as without the callback. What stands in the way of an explanation ends
    `fit` before the first epoch, or after it if the model is not built before; what goes wrong
    later (weights that became NaN, a full disk) is warned of, and training goes on.

    Parameters
    ----------
    images
        What is explained, as the model takes it, `(n, height, width, channels)`; vectors and series
        are drawn as bars.
    target
        As for `Analyzer.explain`: None (the winner of that epoch), an int, or one int for each
        image.
    every
        How many epochs lie between two sheets.
    folder
        Where PNG files go, `epoch_0001.png` after the first epoch, numbered as by
        `keras.callbacks.ModelCheckpoint`; `end.png` when training ends. Files of another run there
        are replaced.
    log_dir
        Where TensorBoard looks: images "relevance", with the step that
        `keras.callbacks.TensorBoard` gives an epoch, from 0; "relevance_end" when training ends.
        Needs TensorFlow, on any backend.
    at_end
        Whether there is a sheet at the end of training, of the weights that it ends with: they may
        be those of an earlier epoch, or averages.
    labels
        Names of the classes: one for each, or a dict by class number.
    photos
        What to show below the maps in place of `images`, where those are preprocessed.
    clip
        As for `lrpkeras.plot.heatmap`.
    analyzer
        An analyzer of the model, or of a part of it, that is used and refreshed. By default one is
        built when training begins.
    **settings
        Those of `Analyzer`, such as `preset`, for the one that is built.

    Raises
    ------
    InputError
        When made: if neither `folder` nor `log_dir` is given, or an option does not fit. When
        training begins: if the images or the target do not fit the model, or a folder cannot be
        written.
    LrpError
        When training begins: whatever `Analyzer` raises; `log_dir` without TensorFlow.
    TypeError
        When made: for a setting that `Analyzer` does not have.

    Notes
    -----
    A refreshed analyzer is not traced again, so that only the first sheet takes seconds. Of ten
    epochs of 6,000 images of 48 x 48 pixels all sheets took 3 %, measured by
    `python -m benchmarks.run training`.

    It goes with `jit_compile`, `run_eagerly`, mixed precision, and a model that was made in the
    scope of a `tf.distribute` strategy with one device.

    A model without an `Input`, and a subclassed one that was not called, is not built when training
    begins, and first explained at the end of the first epoch. On several workers give the callback
    to one of them.

    Examples
    --------
    >>> import lrpkeras, tempfile
    >>> images, classes, _ = lrpkeras.datasets.shapes(64, seed=0)
    >>> flat = keras.layers.Flatten()
    >>> model = keras.Sequential([keras.Input((48, 48, 3)), flat, keras.layers.Dense(6)])
    >>> model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     relevance = RelevanceCallback(
    ...         images[:4], every=2, folder=folder, labels=lrpkeras.datasets.shapes_classes
    ...     )
    ...     history = model.fit(images, classes, epochs=4, callbacks=[relevance], verbose=0)
    ...     sorted(os.listdir(folder))
    ['end.png', 'epoch_0002.png', 'epoch_0004.png']
    """

    def __init__(
        self,
        images: ArrayLike,
        *,
        target: Any = None,
        every: int = 1,
        folder: str | os.PathLike | None = None,
        log_dir: str | os.PathLike | None = None,
        at_end: bool = True,
        labels: Labels | None = None,
        photos: Sequence[Any] | None = None,
        clip: float | None = None,
        analyzer: Analyzer | None = None,
        **settings: Any,
    ) -> None:
        super().__init__()
        if folder is None and log_dir is None:
            raise InputError("Give a folder for PNG files, log_dir for TensorBoard, or both.")
        if analyzer is not None and settings:
            raise InputError(f"{', '.join(settings)}: a ready-made analyzer has its settings.")
        if analyzer is not None and not isinstance(analyzer, Analyzer):
            raise InputError(f"analyzer is an lrpkeras.Analyzer, not {type(analyzer).__name__}.")
        self._images, self._target = _array(images), target
        self._below = _below(self._images, photos)
        self._every, self._at_end = _whole(every), at_end
        self._labels, self._clip = labels, clip
        self._folder, self._log_dir = folder, log_dir
        self._given, self._settings = analyzer, _settings(settings)
        self._analyzer: Analyzer | None = None
        self._writers: list[_Files | _Board] = []
        self._epoch = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Open files, and explain the images once: what cannot be explained is told now.

        Parameters
        ----------
        logs
            As Keras hands them over; not read.
        """
        self._writers = []
        if self._folder is not None:
            self._writers.append(_Files(self._folder))
        if self._log_dir is not None:
            self._writers.append(_Board(self._log_dir))
        model = self.model
        if model.built:
            self._analyzer = self._begun(model)
            self._drawn(self._analyzer)
        else:
            self._analyzer = None

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write a sheet, if it is time.

        Parameters
        ----------
        epoch
            From 0.
        logs
            As Keras hands them over; not read.
        """
        self._epoch = epoch
        if self._analyzer is None:  # the model was not built before
            self._analyzer = self._begun(self.model)
            self._drawn(self._analyzer)
        if (epoch + 1) % self._every == 0:
            self._write(ended=False)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        """Write the last sheet.

        Parameters
        ----------
        logs
            As Keras hands them over; not read.
        """
        if self._at_end:
            self._write(ended=True)
        for writer in self._writers:
            writer.close()

    def _begun(self, model: keras.Model) -> Analyzer:
        """Return the analyzer, with the weights as they are now."""
        if self._given is not None:
            _check_part(self._given, model)
            self._given.refresh()
            return self._given
        if self._analyzer is not None and self._analyzer.model is model:
            try:
                self._analyzer.refresh()
                return self._analyzer
            except ModelError:  # its layers are others than when it was last trained
                pass
        return Analyzer(model, **self._settings)

    def _refreshed(self) -> Analyzer:
        """Return the analyzer, with the weights as they are now; built if that had to wait."""
        model = self.model  # on JAX, asking for it brings its weights up to date
        if self._analyzer is None:
            self._analyzer = self._begun(model)
        else:
            self._analyzer.refresh()
        return self._analyzer

    def _write(self, ended: bool) -> None:
        """Write a sheet, or warn: nothing here is worth the training."""
        try:
            pixels = self._drawn(self._refreshed())
        except LrpError as error:
            self._warn(ended, error)
            return
        for writer in self._writers:
            try:
                writer.write(pixels, self._epoch, ended)
            except OSError as error:
                self._warn(ended, error)

    def _warn(self, ended: bool, error: Exception) -> None:
        when = "At the end of training" if ended else f"After epoch {self._epoch + 1}"
        warnings.warn(f"{when} no relevance was drawn: {error}", stacklevel=2)

    def _drawn(self, analyzer: Analyzer) -> Pixels:
        """Return the sheet of now."""
        explanation = analyzer.explain(self._images, self._target, verbose=0)
        return montage.maps(explanation, self._below, self._labels, self._clip)


class _Files:
    """Writes PNG files into a folder."""

    def __init__(self, folder: str | os.PathLike) -> None:
        self._folder = _writable(folder)

    def write(self, pixels: Pixels, epoch: int, ended: bool) -> None:
        """Write a file, complete or not at all."""
        name = "end.png" if ended else f"epoch_{epoch + 1:04d}.png"
        aside = self._folder / f".{name}"
        aside.write_bytes(as_png(pixels))
        aside.replace(self._folder / name)

    def close(self) -> None:
        """Do nothing: every file is complete."""


class _Board:
    """Writes images where TensorBoard looks."""

    def __init__(self, log_dir: str | os.PathLike) -> None:
        try:
            import tensorflow
        except ImportError:
            raise LrpError(
                "log_dir is for TensorBoard, whose files TensorFlow writes, and it is missing: "
                "pip install 'lrpkeras[cpu]', or give a folder for PNG files instead."
            ) from None
        self._tensorflow = tensorflow
        self._writer = tensorflow.summary.create_file_writer(os.fspath(_writable(log_dir)))

    def write(self, pixels: Pixels, epoch: int, ended: bool) -> None:
        """Write an image, now."""
        summary = self._tensorflow.summary
        name = "relevance_end" if ended else "relevance"
        try:
            with self._writer.as_default(), summary.record_if(True):
                summary.image(name, pixels[np.newaxis], step=epoch)
            self._writer.flush()
        except self._tensorflow.errors.OpError as error:
            raise OSError(error.message) from error

    def close(self) -> None:
        """Close the file of events."""
        self._writer.close()


def _writable(folder: str | os.PathLike) -> Path:
    """Return a folder, made if need be, that files can be written into."""
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            return path
    except OSError as error:
        raise InputError(f"Nothing can be written into {os.fspath(folder)!r}: {error}.") from None


def _check_part(analyzer: Analyzer, model: keras.Model) -> None:
    """Refuse an analyzer whose weights are not trained: its maps would never change."""
    held = {id(variable) for variable in model.variables}
    is_model = isinstance(analyzer.model, keras.Model)
    if not is_model or any(id(variable) not in held for variable in analyzer.model.variables):
        raise InputError(
            "The analyzer is of another model than the one that is trained: build it of that one, "
            "or of a part of it."
        )


def _array(images: ArrayLike) -> NDArray[Any]:
    try:
        array = np.asarray(images)
    except ValueError:
        raise InputError("images is no array: give samples of one shape.") from None
    if array.ndim < 2 or not len(array):
        raise InputError(f"images has shape {array.shape}: give samples, (n, ...).")
    return array


def _below(images: NDArray[Any], photos: Sequence[Any] | None) -> list[Maps | None]:
    """Return the images in grey; None for what is none."""
    if photos is None:
        return [grey(photo(image)) for image in images]
    return [grey(one) for one in read_photos(photos, len(images))]


def _settings(given: dict[str, Any]) -> dict[str, Any]:
    """Return an analyzer's settings, or refuse what it does not have, as calling it would."""
    inspect.signature(Analyzer).bind(None, **given)
    return given


def _whole(every: Any) -> int:
    try:
        number = 0 if isinstance(every, bool) else operator.index(every)
    except TypeError:
        number = 0
    if number < 1:
        raise InputError(f"every is a number of epochs, at least 1, not {every!r}.")
    return number
