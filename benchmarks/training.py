"""What `RelevanceCallback` adds to a training."""

from __future__ import annotations

import tempfile
from pathlib import Path

import keras

from benchmarks.results import Cell
from benchmarks.spread import spread
from benchmarks.turns import take_turns, timed
from lrpkeras import datasets
from lrpkeras.callbacks import RelevanceCallback

WITH, WITHOUT = "with", "without"
BATCH, SHOWN = 64, 8
EPOCHS = 10  # of the training that the share is of


def measure(network: keras.Model, images: int, rounds: int) -> Cell:
    """Train two copies in turn, epoch by epoch, one of them watched.

    Parameters
    ----------
    network
        Of images of 48 x 48 pixels.
    images
        How many there are in an epoch.
    rounds
        How many epochs each copy is trained.

    Returns
    -------
    The seconds of every epoch of both; those of the first sheet, which builds and traces; and those
    of every further one, a sheet an epoch, as PNG and for TensorBoard.
    """
    data = datasets.shapes(images, seed=1_000_000)
    models = {name: _compiled(network) for name in (WITH, WITHOUT)}
    for model in models.values():
        model.fit(data.images[:BATCH], data.labels[:BATCH], BATCH, verbose=0)  # traces
    with tempfile.TemporaryDirectory() as folder:
        watching = RelevanceCallback(
            data.images[:SHOWN],
            folder=Path(folder, "png"),
            log_dir=Path(folder, "board"),
        )
        watching.set_model(models[WITH])
        start = timed(watching.on_train_begin)()
        sheets: list[float] = []

        def sheet(epoch: int, logs: object) -> None:
            sheets.append(timed(lambda: watching.on_epoch_end(epoch))())

        callbacks = {WITH: [keras.callbacks.LambdaCallback(on_epoch_end=sheet)], WITHOUT: []}

        def epoch(name: str) -> None:
            models[name].fit(data.images, data.labels, BATCH, verbose=0, callbacks=callbacks[name])

        runs = {name: timed(lambda name=name: epoch(name)) for name in models}
        seconds = take_turns(runs, 0, rounds, rounds)
        watching.on_train_end()
    return {"images": images, "start": start, "sheets": sheets, "seconds": seconds}


def _compiled(network: keras.Model) -> keras.Model:
    model = keras.models.clone_model(network)
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def share(cell: Cell) -> float:
    """Return what is added to a training of `EPOCHS` epochs, as a share of it."""
    epoch = spread(cell["seconds"][WITHOUT]).median
    return float((cell["start"] + EPOCHS * spread(cell["sheets"]).median) / (EPOCHS * epoch))
