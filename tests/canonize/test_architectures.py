"""Every normalization of eight known networks folds, and the function stays what it was."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import keras
import numpy as np
import pytest
from keras import applications

import lrpkeras
from lrpkeras.canonize import canonize
from lrpkeras.graph import keras_reader
from lrpkeras.graph.nodes import Affine, Gate

BN = keras.layers.BatchNormalization
# Of the largest logit, from what the network with its normalizations computes in float64: Keras in
# float32 is as far from that, which the table shows too, and rounds as its processor does.
FLOAT32 = 1e-5
FLOAT64 = 1e-11


@dataclass(frozen=True)
class Case:
    """A network, its smallest input, its normalizations, and how many stay in plain Keras.

    In plain Keras those in front of a ReLU stay, with nothing linear before them.
    """

    make: Callable[..., keras.Model]
    size: int
    norms: int
    stay: int
    samples: int = 32


CASES = {
    "VGG16": Case(applications.VGG16, 32, 0, 0),
    "ResNet50": Case(applications.ResNet50, 32, 53, 0),
    "ResNet50V2": Case(applications.ResNet50V2, 32, 49, 17),
    "DenseNet121": Case(applications.DenseNet121, 32, 121, 62),
    "MobileNet": Case(applications.MobileNet, 32, 27, 0, 64),
    "MobileNetV2": Case(applications.MobileNetV2, 32, 52, 0, 64),
    "InceptionV3": Case(applications.InceptionV3, 75, 94, 0),
    "Xception": Case(applications.Xception, 71, 40, 0),
}


def smooth(samples, size):
    """Images whose colours change slowly, each of its own contrast and mean."""
    rng = np.random.default_rng(1)
    images = keras.ops.image.resize(rng.normal(size=(samples, 4, 4, 3)), (size, size), "bicubic")
    contrast, mean = rng.uniform(0.3, 2.0, (samples, 1, 1, 1)), rng.normal(size=(samples, 1, 1, 3))
    return np.asarray(images * contrast + mean, "float32")


def calibrated(case, images):
    """The network with gamma and beta of both signs, and the statistics of the images.

    Betas are larger than the normalized values. Else layers of random weights amplify the rounding
    of float32 until logits are known to 1e-4 only, folded or not.
    """
    keras.utils.set_random_seed(0)
    settings = {"weights": None, "classes": 100, "classifier_activation": None}
    model = case.make(input_shape=(case.size, case.size, 3), **settings)
    rng = np.random.default_rng(0)
    for norm in norms(model):
        if norm.scale:
            sign = rng.choice([-1, 1], norm.gamma.shape)
            norm.gamma.assign(rng.uniform(0.5, 1.5, norm.gamma.shape) * sign)
        norm.beta.assign(rng.normal(0, 2.0, norm.beta.shape))
        norm.momentum = 0.0
    model(images, training=True)
    return model


def norms(model):
    return [layer for layer in model.layers if isinstance(layer, BN)]


def left(graph):
    return [node for node in graph if isinstance(node, Affine) and node.batch_norm]


def in_float64(graph):
    """The graph with all its arrays in float64."""
    nodes = {}
    for node in graph:
        arrays = {field.name: getattr(node, field.name) for field in fields(node)}
        wide = {n: a.astype("float64") for n, a in arrays.items() if isinstance(a, np.ndarray)}
        nodes[node.name] = replace(node, **wide)
    return replace(graph, nodes=nodes, dtype="float64")


def logits(graph, images):
    x = keras.ops.convert_to_tensor(images, dtype=graph.dtype)
    return keras.ops.convert_to_numpy(graph.evaluate({graph.inputs[0]: x})[graph.outputs[0]])


def distance(actual, expected):
    return float(np.abs(actual - expected).max() / np.abs(expected).max())


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_every_normalization_folds(name, capsys):
    case = CASES[name]
    images = smooth(case.samples, case.size)
    model = calibrated(case, images)
    assert len(norms(model)) == case.norms
    images = images[:4]
    expected = np.asarray(model(images, training=False))
    plain = keras_reader.read(model)
    folded = canonize(plain)
    assert not left(folded)
    keras_folded = lrpkeras.fold_batch_norm(model)
    assert len(norms(keras_folded)) == case.stay
    exact = logits(in_float64(plain), images)
    found = {
        "float32": distance(logits(folded, images), exact),
        "plain Keras": distance(np.asarray(keras_folded(images)), exact),
        "float64": distance(logits(canonize(in_float64(plain)), images), exact),
    }
    rounding = distance(expected, exact)
    gates = sum(isinstance(node, Gate) for node in folded)
    numbers = ", ".join(f"{kind} {value:.1e}" for kind, value in found.items())
    with capsys.disabled():
        print(
            f"\n{name}: {case.norms} norms, {gates} gates; {numbers}; Keras itself {rounding:.1e}"
        )
    assert found["float32"] <= FLOAT32
    assert found["plain Keras"] <= FLOAT32
    assert found["float64"] <= FLOAT64
