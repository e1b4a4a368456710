"""Batches split over several devices, each of which runs the whole graph on its share."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import keras
import tensorflow as tf

from lrpkeras.backend.tensorflow.arrays import Tensor
from lrpkeras.backend.tensorflow.compiling import Compiled
from lrpkeras.errors import LrpError

STRATEGIES = (tf.distribute.MirroredStrategy, tf.distribute.OneDeviceStrategy)


def devices() -> tuple[Any, ...]:
    """Return the devices that batches are to be split over; none for wherever TensorFlow computes.

    Those of the `tf.distribute.MirroredStrategy` in whose scope this is called.

    Raises
    ------
    LrpError
        In the scope of another strategy.
    """
    if not tf.distribute.has_strategy():
        return ()
    strategy = tf.distribute.get_strategy()
    if not isinstance(strategy, STRATEGIES):
        raise LrpError(
            f"Batches cannot be split by a {type(strategy).__name__}: explain in the scope of a "
            "tf.distribute.MirroredStrategy, or outside of any."
        )
    return tuple(strategy.extended.worker_devices)


def spread(compiled: Compiled, devices: tuple[Any, ...], *arguments: Any) -> Any:
    """Call a compiled function with each batch split over devices.

    Parameters
    ----------
    compiled
        Of results that have the batch in front.
    devices
        From `devices`. What is left over goes to the first of them; where there are fewer samples,
        the last have nothing to do.
    arguments
        As the function takes them: those with a batch are split, the others copied.

    Returns
    -------
    What the function returns, the parts put together.
    """
    shares = compiled.shares(arguments, len(devices))
    used = devices[: len(shares)]
    graph = compiled.handed()

    def part(device: str, share: Any) -> Any:
        with tf.device(device):
            return graph(compiled.copies(device), *share)

    with ThreadPoolExecutor(len(used)) as threads:
        parts = list(threads.map(part, used, shares))
    return joined(parts)


def joined(parts: list[Any]) -> Any:
    """Put the results of several devices together, along the batch."""

    def join(*arrays: Tensor) -> Tensor:
        return tf.concat(arrays, axis=0)

    return keras.tree.map_structure(join, *parts)
