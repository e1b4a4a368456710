"""Section 5.2: whether LRP-epsilon overflows on ResNet50 unless epsilon is above 1.

The weights of ImageNet's ResNet50 are not here. In their place: its layers, for photos of 128 x 128
pixels, with weights by chance (He's normal kernels; scales of normalizations in [0.2, 1], shifts
and biases small and of either sign; means and variances those of photos that pass through), and
networks with weights that were learnt: MobileNet and the small residual network of the shapes.

The paper's equation 4 adds epsilon to the sum whatever its sign, so that a sum near -epsilon is
divided by about zero, has no bias in the sum, and says nothing about batch normalization. lrpkeras
adds epsilon with the sum's sign. Both forms are here, and steps in between.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

import lrpkeras
from experiments import data
from experiments.nyiri2024_methods import count
from experiments.outcome import Outcome, Verdict
from lrpkeras.presets import Preset
from lrpkeras.presets.basic import UNGUARDED
from lrpkeras.rules import Epsilon

EPSILONS = (0.001, 0.01, 1.0, 10.0)
BLOWN_UP = 1000.0  # times the logit


@dataclass(frozen=True)
class PlainEpsilon(Epsilon):
    """`R_i = sum_j x_i w_ij / (z_j + epsilon) R_j`: epsilon whatever the sign [equation 4]."""

    def whole(self, z: Any) -> Any:
        """Return the denominator."""
        return z + self.epsilon


# The rule, whether biases count, and what becomes of batch normalization.
FORMS: dict[str, tuple[type[Epsilon], str, str]] = {
    "lrpkeras": (Epsilon, "absorb", "fold"),
    "lrpkeras, biases left out": (Epsilon, "ignore", "fold"),
    "equation 4": (PlainEpsilon, "ignore", "fold"),
    "equation 4, normalization passed by": (PlainEpsilon, "ignore", "identity"),
}
THEIRS = [name for name in FORMS if name.startswith("equation")]
Largest = dict[str, list[float]]


def run(given: argparse.Namespace, outcome: Outcome) -> None:
    """Measure the largest relevance over epsilon, and hold the claim against it."""
    images = data.photos(given.data, count(given, 8, 4)).images
    side = count(given, 128, 64)
    # ResNet50's own preprocessing: channels turned around, means taken off.
    photos = keras.applications.resnet50.preprocess_input(images[:, :side, :side].astype("float32"))
    shapes = lrpkeras.datasets.shapes(len(images), given.seed).images
    networks = {
        "ResNet50, random": (random_resnet50(photos, given.seed), photos),
        "MobileNet": (data.mobilenet(given.data), (images / 127.5 - 1).astype("float32")),
        "shapes": (lrpkeras.datasets.shapes_model(), shapes),
    }
    epsilons = EPSILONS[1::2] if given.quick else EPSILONS
    forms = ["lrpkeras", "equation 4"] if given.quick else list(FORMS)
    found = {name: _measured(model, x, epsilons, forms) for name, (model, x) in networks.items()}
    _table(outcome, found, epsilons)
    for name, largest in found.items():
        _claim(outcome, name, largest, epsilons)


def random_resnet50(photos: np.ndarray, seed: int) -> keras.Model:
    """Return ResNet50 with weights by chance, and the statistics of photos in its normalizations.

    In training mode every normalization sees what comes out of those before it that are normalized
    by these photos, too; with a momentum of 0 one pass leaves just that.
    """
    keras.utils.set_random_seed(seed)
    model = keras.applications.ResNet50(weights=None, input_shape=photos.shape[1:])
    stream = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
            layer.gamma.assign(stream.uniform(0.2, 1.0, layer.gamma.shape))
            layer.beta.assign(stream.normal(0, 0.2, layer.beta.shape))
        elif isinstance(layer, keras.layers.Conv2D):
            fan_in = np.prod(layer.kernel.shape[:3])
            layer.kernel.assign(stream.normal(0, np.sqrt(2 / fan_in), layer.kernel.shape))
            layer.bias.assign(stream.normal(0, 0.05, layer.bias.shape))
    model(photos, training=True)
    return model


def _measured(
    model: keras.Model, x: np.ndarray, epsilons: Sequence[float], forms: list[str]
) -> Largest:
    """Return the largest |R| / |logit| for each form and epsilon; infinite where it overflows."""
    logits = lrpkeras.Analyzer(model, "epsilon").logits(x).numpy()
    return {
        form: [_largest(model, x, logits, *FORMS[form], epsilon) for epsilon in epsilons]
        for form in forms
    }


def _largest(
    model: keras.Model,
    x: np.ndarray,
    logits: np.ndarray,
    rule: type[Epsilon],
    bias: str,
    mode: str,
    epsilon: float,
) -> float:
    entries = (("*", rule(epsilon)),)
    # Equation 4 has no guard where sums cancel; lrpkeras' own form has.
    preset = Preset((*UNGUARDED, *entries) if rule is PlainEpsilon else entries, "epsilon")
    analyzer = lrpkeras.Analyzer(model, preset, bias=bias, batch_norm=mode, verify=False)
    winners = logits.argmax(axis=1)
    try:
        relevance = analyzer.explain(x, winners, batch_size=4, verbose=0).relevance
    except lrpkeras.errors.LrpError:  # not finite
        return np.inf
    most = np.abs(relevance).reshape(len(x), -1).max(axis=1).astype(float)
    return float(np.max(most / np.abs(logits.max(axis=1))))


def _table(outcome: Outcome, found: dict[str, Largest], epsilons: Sequence[float]) -> None:
    rows = [
        [name, form, *map(written, numbers)]
        for name, largest in found.items()
        for form, numbers in largest.items()
    ]
    heads = ["network", "form", *(f"ε = {epsilon:g}" for epsilon in epsilons)]
    outcome.table("Largest |R| / |logit| of any pixel of any image", heads, rows)


def written(number: float) -> str:
    """Return a number, or that there is none."""
    return f"{number:.2g}" if np.isfinite(number) else "not finite"


def _claim(outcome: Outcome, name: str, largest: Largest, epsilons: Sequence[float]) -> None:
    verdicts = [overflows(epsilons, largest[form]) for form in THEIRS if form in largest]
    best = next(one for one in ("reproduced", "partly", "not reproduced") if one in verdicts)
    words = "; ".join(
        f"{form}: {', '.join(map(written, numbers))}" for form, numbers in largest.items()
    )
    outcome.claim(
        f"section 5.2, {name}",
        "LRP-ε overflows on ResNet50, by division by small values, unless ε > 1",
        best,
        f"largest |R| / |logit| for ε = {', '.join(f'{one:g}' for one in epsilons)}: {words}. "
        "ImageNet's weights of ResNet50 are not here. (Either form of equation 4; reproduced: not "
        f"finite for the largest ε up to 1, finite above; partly: over {BLOWN_UP:g} for some ε up "
        "to 1, less above)",
    )


def overflows(epsilons: Sequence[float], largest: Sequence[float]) -> Verdict:
    """Tell whether relevance overflows up to epsilon = 1 and not above, or is very large there."""
    up_to_one = [one for epsilon, one in zip(epsilons, largest, strict=True) if epsilon <= 1]
    above_one = max(one for epsilon, one in zip(epsilons, largest, strict=True) if epsilon > 1)
    if not np.isfinite(up_to_one[-1]) and np.isfinite(above_one):
        return "reproduced"
    return "partly" if max(up_to_one) > BLOWN_UP > above_one else "not reproduced"
