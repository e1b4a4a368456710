"""Ways of explaining on one device, ours and zennit's: images are there, and relevance stays there.

`python -m benchmarks.on_card VGG16 tf32 64 gpu epsilon` explains one batch, if it fits.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from benchmarks import multiply_adds, networks, turns, ways
from benchmarks.peers import client

ROOT = Path(__file__).parents[1]
SECONDS = 300  # for one try whether a batch fits
DEVICES = {"gpu": "GPU:0", "cpu": "CPU:0"}
TORCH_DEVICES = {"gpu": "cuda", "cpu": "cpu"}
# Keras' policy for a model in each precision; TensorFloat-32 is no type but a way to multiply.
POLICIES = {"float32": "float32", "tf32": "float32", "bfloat16": "mixed_bfloat16"}


@dataclass(frozen=True)
class Setting:
    """A network, the precision of its arithmetic, the batch size, and the device."""

    network: str
    precision: str
    batch: int
    device: str

    @property
    def pixels(self) -> int:
        """The size of images."""
        return networks.TINY_SIZE if self.network in networks.TINY else networks.SIZE


@dataclass(frozen=True)
class Contender:
    """One way in a setting.

    `run` explains a batch and waits for it; `memory` does so once more and returns the most bytes
    that were allocated on the device, if that is known; `multiply_adds` are those of one image, if
    counted; `fits` tries another batch size in a process of its own.
    """

    run: turns.Run
    memory: Callable[[], int | None]
    multiply_adds: int | None
    fits: Callable[[int], bool]


def card(device: str) -> str | None:
    """Return the device's name, and make room for others on it; None if there is no GPU."""
    if device == "cpu":
        return "CPU"
    found = tf.config.list_physical_devices("GPU")
    if not found:
        return None
    for gpu in found:
        tf.config.experimental.set_memory_growth(gpu, True)
    return tf.config.experimental.get_device_details(found[0]).get("device_name", "GPU")


def ours(setting: Setting, what: str) -> Contender:
    """Build a gradient, or an analyzer.

    In bfloat16 the gradient is that of a model of policy mixed_bfloat16; an explanation is of the
    float32 model, with `precision="bfloat16"`.

    Raises
    ------
    LrpError
        If this version does not know the precision.
    """
    tf.config.experimental.enable_tensor_float_32_execution(setting.precision == "tf32")
    if what in ways.FUNCTIONS:
        function = ways.FUNCTIONS[what](_network(setting, POLICIES[setting.precision]))
        settings = {"jit_compile": what == ways.COMPILED_GRADIENT, "autograph": False}
        call = tf.function(function, **settings)
        spec = tf.TensorSpec((1, setting.pixels, setting.pixels, 3), "float32")
        graph = tf.function(function, autograph=False).get_concrete_function(spec)
    else:
        options = {"precision": "bfloat16"} if setting.precision == "bfloat16" else {}
        call = ways.analyzer(_network(setting, "float32"), what, **options)
        graph = call.concrete_function(batch_size=1)
    images = _images(setting)

    def explain() -> None:
        # A number of the result is fetched: until it is there, the device has not finished.
        tf.reduce_sum(call(images)).numpy()

    def fits(batch: int) -> bool:
        return _runs(replace(setting, batch=batch), what)

    run = turns.timed(explain)
    return Contender(run, lambda: _memory(setting, run), multiply_adds.total(graph), fits)


def peers(worker: client.Worker, setting: Setting, what: str) -> Contender:
    """Have a worker build the same network on the same device.

    Raises
    ------
    PeerError
        If it cannot.
    """
    place = {"network": setting.network, "what": what}
    request = place | {
        "size": setting.pixels,
        "device": TORCH_DEVICES[setting.device],
        "precision": setting.precision,
    }
    worker.ask(do="prepare", **request)

    def memory() -> int | None:
        return worker.ask(do="memory", **place, batch=setting.batch)["memory"]

    def fits(batch: int) -> bool:
        try:
            other = worker.another()
        except client.PeerError:
            return False
        try:
            other.ask(do="prepare", **request)
            other.run(setting.network, what, batch)()
        except client.PeerError:
            return False
        finally:
            other.close()
        return True

    return Contender(worker.run(setting.network, what, setting.batch), memory, None, fits)


def largest(fits: Callable[[int], bool], start: int, most: int) -> int | None:
    """Return the largest of start, 2 start, 4 start ... up to `most` that fits; None if none does.

    Examples
    --------
    >>> largest(lambda batch: batch < 100, 8, 1024), largest(lambda batch: False, 8, 1024)
    (64, None)
    """
    found, batch = None, start
    while batch <= most and fits(batch):
        found, batch = batch, 2 * batch
    return found


def _network(setting: Setting, policy: str) -> keras.Model:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        return networks.build(setting.network)
    finally:
        keras.config.set_dtype_policy(before)


def _images(setting: Setting) -> Any:
    shape = (setting.batch, setting.pixels, setting.pixels, 3)
    with tf.device(DEVICES[setting.device]):
        return tf.random.stateless_uniform(shape, (0, 0), *ways.BOUNDS)


def _memory(setting: Setting, run: turns.Run) -> int | None:
    """Return the most bytes that TensorFlow had allocated in one run."""
    device = DEVICES[setting.device]
    try:
        tf.config.experimental.reset_memory_stats(device)
        run()
        return tf.config.experimental.get_memory_info(device)["peak"]
    except ValueError:
        return None  # a CPU keeps no account


def _runs(setting: Setting, what: str) -> bool:
    """Try in a process of its own: one that ran out of memory leaves the allocator in pieces."""
    arguments = [str(value) for value in (*astuple(setting), what)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-m", "benchmarks.on_card", *arguments]
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, timeout=SECONDS
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def main(network: str, precision: str, batch: str, device: str, what: str) -> None:
    """Explain one batch, twice."""
    card(device)
    contender = ours(Setting(network, precision, int(batch), device), what)
    contender.run()
    contender.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
