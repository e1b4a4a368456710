"""Time and count explanations against a forward pass and a tape's gradient to the input.

    python benchmarks/run.py --models VGG16 ResNet50 --batch 1 4 --json results.json

Everything that is compared runs in one process, in turn: noise from other programs then falls on
all alike, and the ratios to the tape gradient, taken round by round, hold where milliseconds do
not. Weights are random; the work does not depend on their values. What is timed is what users
call, with all its checks, up to the finished NumPy array.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

# Beside this file, whether it is run or imported.
sys.path.insert(0, str(Path(__file__).parent))

import multiply_adds

import lrpkeras

PRESETS = ("gradient", "epsilon", "z_plus", "epsilon_plus_flat", "epsilon_alpha2_beta1_flat")
BOUNDS = (-1.0, 1.0)  # of the images; for presets that need to know
BASELINE = "tape gradient"


@dataclass(frozen=True)
class Result:
    """What one way of computing something cost; seconds, and multiply-adds of one batch.

    `first_call` includes building the analyzer (or function) and tracing it; `verify` is part of
    it for analyzers. `ratio` is the median over rounds of time / time of the tape gradient, and
    `ratio_low` and `ratio_high` are the quartiles.
    """

    model: str
    batch: int
    what: str
    multiply_adds: int
    products: int
    forwards: float
    first_call: float
    median: float
    low: float
    high: float
    ratio: float
    ratio_low: float
    ratio_high: float


@dataclass(frozen=True)
class Candidate:
    """Something to time: how to run it once, its traced graph, and what building it took."""

    what: str
    run: Callable[[], np.ndarray]
    graph: Any
    first_call: float


def main(arguments: list[str] | None = None) -> int:
    """Measure, print one table, and write it as JSON if asked to."""
    options = _parser().parse_args(arguments)
    if options.quick:
        options.models, options.batch, options.repeats = list(TINY), [2], 3
    print(_table([HEADS]), flush=True)
    results = []
    for name in options.models:
        model = (TINY | FULL)[name]()
        for batch in options.batch:
            found = measure(model, name, batch, options.presets, options.repeats)
            print(_table([_cells(result) for result in found]), flush=True)
            results += found
    print(NOTES)
    if options.json is not None:
        rows = [asdict(result) for result in results]
        options.json.write_text(json.dumps({"where": _where(), "results": rows}, indent=2) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    heading, _, text = __doc__.partition("\n\n")
    parser = argparse.ArgumentParser(
        description=heading, epilog=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--models", nargs="+", choices=[*FULL, *TINY], default=["VGG16", "ResNet50"])
    add("--batch", nargs="+", type=_positive, default=[1, 4], help="batch sizes (1 4)")
    add("--presets", nargs="+", choices=lrpkeras.presets.names(), default=list(PRESETS))
    add("--repeats", type=_positive, default=10, help="rounds of all candidates (10)")
    add("--quick", action="store_true", help="tiny models, three rounds: does it still run?")
    add("--json", type=Path, metavar="FILE", help="write all numbers here")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return number


def measure(
    model: keras.Model, name: str, batch: int, presets: list[str], repeats: int
) -> list[Result]:
    """Run all candidates in turn, `repeats` times."""
    random = np.random.default_rng(0)
    images = random.uniform(*BOUNDS, (batch, *model.input_shape[1:])).astype("float32")
    candidates = [
        _function("forward", _forward(model), images),
        _function(BASELINE, _tape_gradient(model), images),
        *(_preset(model, preset, images) for preset in presets),
    ]
    seconds = np.empty((repeats, len(candidates)))
    gc.disable()  # a collection would fall on whichever is running
    for one_round in seconds:
        for index, candidate in enumerate(candidates):
            start = time.perf_counter()
            candidate.run()
            one_round[index] = time.perf_counter() - start
    gc.enable()
    return _results(name, batch, candidates, seconds)


def _forward(model: keras.Model) -> Callable:
    return lambda x: model(x, training=False)


def _tape_gradient(model: keras.Model) -> Callable:
    def gradient(x: Any) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            winner = tf.reduce_max(model(x, training=False), axis=-1)
        return tape.gradient(winner, x)

    return gradient


def _function(what: str, function: Callable, images: np.ndarray) -> Candidate:
    start = time.perf_counter()
    signature = tf.TensorSpec((None, *images.shape[1:]), "float32")
    compiled = tf.function(function, input_signature=[signature], autograph=False)
    compiled(tf.constant(images)).numpy()
    elapsed = time.perf_counter() - start
    fixed = tf.function(function, autograph=False)
    graph = fixed.get_concrete_function(tf.TensorSpec(images.shape, "float32"))
    return Candidate(what, lambda: compiled(tf.constant(images)).numpy(), graph, elapsed)


def _preset(model: keras.Model, name: str, images: np.ndarray) -> Candidate:
    start = time.perf_counter()
    analyzer = lrpkeras.Analyzer(model, lrpkeras.presets.named(name, BOUNDS))
    analyzer(images).numpy()
    elapsed = time.perf_counter() - start
    graph = analyzer.concrete_function(batch_size=len(images))
    return Candidate(name, lambda: analyzer(images).numpy(), graph, elapsed)


def _results(
    name: str, batch: int, candidates: list[Candidate], seconds: np.ndarray
) -> list[Result]:
    names = [candidate.what for candidate in candidates]
    work = [multiply_adds.total(candidate.graph) for candidate in candidates]
    times = np.percentile(seconds, (50, 25, 75), axis=0)
    ratios = np.percentile(seconds / seconds[:, [names.index(BASELINE)]], (50, 25, 75), axis=0)
    return [
        Result(
            name,
            batch,
            candidate.what,
            work[i],
            len(multiply_adds.operations(candidate.graph)),
            work[i] / work[names.index("forward")],
            candidate.first_call,
            *times[:, i].tolist(),
            *ratios[:, i].tolist(),
        )
        for i, candidate in enumerate(candidates)
    ]


HEADS = (
    "model", "batch", "what", "multiply-adds", "of forward", "products", "first call",
    "median", "quartiles", "x tape", "quartiles",
)  # fmt: skip
WIDTHS = (12, 6, -26, 14, 12, 10, 12, 12, 18, 8, 14)

NOTES = """\
multiply-adds: of convolutions and matrix products, from the traced graph; products: how many.
first call: seconds to build, verify and trace, and to run once. x tape: time per time of the
tape gradient, median over rounds."""


def _cells(result: Result) -> tuple[str, ...]:
    return (
        result.model,
        str(result.batch),
        result.what,
        f"{result.multiply_adds / 1e6:,.2f} M",
        f"{result.forwards:.3f}",
        str(result.products),
        f"{result.first_call:.1f} s",
        f"{1e3 * result.median:.1f} ms",
        f"{1e3 * result.low:.1f} - {1e3 * result.high:.1f}",
        f"{result.ratio:.2f}",
        f"{result.ratio_low:.2f} - {result.ratio_high:.2f}",
    )


def _table(rows: list[tuple[str, ...]]) -> str:
    return "\n".join("".join(map(_aligned, row, WIDTHS)).rstrip() for row in rows)


def _aligned(cell: str, width: int) -> str:
    """Right in a column of `width`, or, where that is negative, left after two blanks."""
    return cell.rjust(width) if width > 0 else "  " + cell.ljust(-width)


def _where() -> dict[str, Any]:
    return {
        "lrpkeras": lrpkeras.__version__,
        "keras": keras.__version__,
        "tensorflow": tf.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "gpus": [device.name for device in tf.config.list_physical_devices("GPU")],
    }


def _application(name: str) -> Callable[[], keras.Model]:
    return lambda: getattr(keras.applications, name)(weights=None)


def _tiny_plain() -> keras.Model:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Conv2D(8, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(5, activation="softmax"),
        ]
    )


def _tiny_residual() -> keras.Model:
    layers = keras.layers
    image = keras.Input((16, 16, 3))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(8, 3)(image)))
    y = layers.BatchNormalization()(layers.Conv2D(8, 3, padding="same")(x))
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(layers.Add()([x, y])))
    return keras.Model(image, layers.Dense(5, activation="softmax")(x))


FULL = {
    name: _application(name)
    for name in ("VGG16", "ResNet50", "ResNet50V2", "DenseNet121", "MobileNet", "MobileNetV2",
                 "InceptionV3", "Xception")
}  # fmt: skip
TINY = {"tiny": _tiny_plain, "tiny-resnet": _tiny_residual}

if __name__ == "__main__":
    sys.exit(main())
