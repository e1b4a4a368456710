"""Batches split over several devices, each of which runs the whole function on its share."""

from __future__ import annotations

from typing import Any

import jax
import keras
import numpy as np
from jax.sharding import Mesh

from lrpkeras.backend.jax.arrays import CONFIG
from lrpkeras.backend.jax.compiling import Compiled
from lrpkeras.errors import LrpError

AXIS = "samples"


def devices() -> tuple[Any, ...]:
    """Return the devices that batches are to be split over; none for wherever JAX computes.

    Those of a `keras.distribution.DataParallel`, if one is set; else all devices of this process,
    if there are several and `jax.default_device` names none of them.

    Raises
    ------
    LrpError
        If another distribution is set.
    """
    distribution = keras.distribution.distribution()
    if distribution is None:
        found = () if CONFIG.jax_default_device is not None else tuple(jax.local_devices())
        return found if len(found) > 1 else ()
    if not isinstance(distribution, keras.distribution.DataParallel):
        raise LrpError(
            f"A {type(distribution).__name__} splits weights over devices, and lrpkeras can split "
            "batches alone: explain under keras.distribution.DataParallel(), or under "
            "keras.distribution.set_distribution(None)."
        )
    return tuple(distribution.device_mesh.backend_mesh.devices.flatten())


def spread(compiled: Compiled, devices: tuple[Any, ...], *arguments: Any) -> Any:
    """Call a compiled function with each batch split over devices.

    Parameters
    ----------
    compiled
        Of results that have the batch in front.
    devices
        From `devices`; the size of the batch is a multiple of their number.
    arguments
        As the function takes them: those with a batch are split, the others copied.

    Returns
    -------
    What the function returns, each array with a part on each device.
    """
    if not compiled.jit_compile:
        return compiled(*arguments)
    return compiled.spread(Mesh(np.array(devices), (AXIS,)), *arguments)
