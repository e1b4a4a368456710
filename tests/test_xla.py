"""Whatever is explained compiles under XLA, too, and gives the same relevance."""

from collections.abc import Iterator

import every_backend
import keras
import numpy as np
import pytest
from every_backend import ALL_PRESETS, ARCHITECTURES, FEW, SINGLE, SMALL

from lrpkeras import presets
from lrpkeras.backend.tensorflow.convolution import convolves_with_onednn

# What oneDNN, which XLA does not use, does to the map of VGG16, random as it is here: with it and
# without, TensorFlow's own differ by 3.9e-5.
TOLERANCE = 1e-4 if convolves_with_onednn() else SINGLE


def differences(model: keras.Model, names: tuple[str, ...]) -> dict[str, float]:
    """Return what XLA makes of a model that is not what TensorFlow makes of it."""

    def explained(jit_compile: bool) -> Iterator[tuple[str, np.ndarray]]:
        return every_backend.explanations(model, names, jit_compile)

    return every_backend.far_apart(dict(explained(True)), dict(explained(False)), TOLERANCE)


def test_xla_compiles_a_network_to_the_same_relevance():
    model = every_backend.random(keras.Model(*every_backend.residual()))
    assert differences(model, every_backend.ONE) == {}


@pytest.mark.slow
@pytest.mark.parametrize("network", SMALL, ids=lambda network: network.__name__)
def test_xla_compiles_every_kind_of_network(network):
    names = tuple(presets.names()) if network is ALL_PRESETS else FEW
    assert differences(every_backend.random(keras.Model(*network())), names) == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_xla_compiles_real_architectures(name):
    assert differences(every_backend.application(name), (ARCHITECTURES[name],)) == {}
