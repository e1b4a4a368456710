"""Normalizations by the sample's own statistics: read exactly, and differentiated by hand."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers, ops

from lrpkeras import backend
from lrpkeras.errors import UnsupportedLayerError
from lrpkeras.graph import keras_reader
from lrpkeras.graph.nodes import Affine, Normalize, Route
from lrpkeras.graph.normalize import DEVIATION, NORM, ROOT_MEAN_SQUARE, Denominator

pytestmark = pytest.mark.usefixtures("float64")

L = layers
SHAPE = (3, 10, 4, 6)
# Gamma as `keras.ops` takes it: of the input's rank, so that Keras does not reshape it.
GAMMA = np.linspace(-1, 2, 4 * 6).reshape(1, 1, 4, 6)


def deprecated_rms():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "You passed `rms_scaling=True`")
        return L.LayerNormalization(rms_scaling=True)


LAYERS = {
    "layer": lambda: L.LayerNormalization(),
    "layer, plain": lambda: L.LayerNormalization(center=False, scale=False),
    "layer, gamma only": lambda: L.LayerNormalization(center=False, epsilon=0.5),
    "layer, beta only": lambda: L.LayerNormalization(scale=False),
    "layer over one inner axis": lambda: L.LayerNormalization(axis=2),
    "layer over positions": lambda: L.LayerNormalization(axis=[1, 2]),
    "layer over all": lambda: L.LayerNormalization(axis=[1, 2, 3]),
    "layer, axes unsorted": lambda: L.LayerNormalization(axis=[-1, 1]),
    "layer, axes counted both ways": lambda: L.LayerNormalization(axis=[2, -1]),
    "group": lambda: L.GroupNormalization(3),
    "group, plain": lambda: L.GroupNormalization(2, center=False, scale=False),
    "group, gamma only": lambda: L.GroupNormalization(2, center=False),
    "group of all": lambda: L.GroupNormalization(1),
    "instance": lambda: L.GroupNormalization(-1),
    "instance by number": lambda: L.GroupNormalization(6, epsilon=0.1),
    "group of channels first": lambda: L.GroupNormalization(5, axis=1),
    "instance of channels first": lambda: L.GroupNormalization(-1, axis=1),
    "group of an inner axis": lambda: L.GroupNormalization(2, axis=2),
    "group of the last axis by number": lambda: L.GroupNormalization(2, axis=3),
    "group of an axis from behind": lambda: L.GroupNormalization(2, axis=-2),
    "unit": lambda: L.UnitNormalization(),
    "unit over positions": lambda: L.UnitNormalization(axis=(1, 2)),
    "rms": lambda: L.RMSNormalization(),
    "rms with epsilon": lambda: L.RMSNormalization(epsilon=0.5),
    "rms over the last axes": lambda: L.RMSNormalization(axis=[2, 3]),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_read_exactly(name, agrees):
    agrees(keras.Sequential([keras.Input(SHAPE[1:]), LAYERS[name]()]))


@pytest.mark.filterwarnings("ignore:You passed `rms_scaling=True`")
def test_rms_scaling_divides_by_the_deviation_and_leaves_the_mean(agrees):
    graph = agrees(keras.Sequential([keras.Input(SHAPE[1:]), deprecated_rms()]))
    node = next(node for node in graph if isinstance(node, Normalize))
    assert not node.centre
    assert node.denominator == DEVIATION


@pytest.mark.parametrize(
    "shape", [(6,), (7, 6), (2, 3, 4, 6)], ids=["vectors", "series", "volumes"]
)
@pytest.mark.parametrize("groups", [1, 2, 6])
def test_groups_of_other_ranks_are_read_exactly(groups, shape, agrees):
    agrees(keras.Sequential([keras.Input(shape), L.GroupNormalization(groups)]))


OPERATIONS = {
    "layer": lambda x: ops.layer_normalization(x, GAMMA, 0.5 * GAMMA, axis=(2, 3), epsilon=0.1),
    "layer, plain": lambda x: ops.layer_normalization(x),
    "layer, gamma of other axes": lambda x: ops.layer_normalization(x, GAMMA, GAMMA, axis=1),
    "layer, last axis by number": lambda x: ops.layer_normalization(x, np.arange(6.0), axis=3),
    "layer, gamma only": lambda x: ops.layer_normalization(x, np.arange(10.0), axis=1),
    "rms": lambda x: ops.rms_normalization(x, np.arange(6.0)),
    "rms, plain": lambda x: ops.rms_normalization(x, axis=1, epsilon=0.1),
    # Keras declares what it gives as float32, whatever it is: a layer behind sets that right.
    "normalize": lambda x: L.Dense(3)(ops.normalize(x, axis=(1, 3))),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_is_read_exactly(name, agrees):
    inputs = keras.Input(SHAPE[1:])
    agrees(keras.Model(inputs, OPERATIONS[name](inputs)))


def test_unknown_sizes_stay_unknown(agrees):
    inputs = keras.Input((None, None, 6))
    x = L.GroupNormalization(-1)(L.LayerNormalization()(inputs))
    agrees(keras.Model(inputs, x), sizes=(5, 4))


def test_one_unknown_size_can_be_parted_into_groups(agrees):
    agrees(keras.Sequential([keras.Input((None, 6)), L.GroupNormalization(2)]), sizes=(5,))


def test_groups_of_images_of_unknown_size_are_refused():
    model = keras.Sequential([keras.Input((None, None, 6)), L.GroupNormalization(2, name="mine")])
    with pytest.raises(UnsupportedLayerError, match=r"'mine'.*(?s:.*)fixed input size"):
        keras_reader.read(model)


def test_normalizing_across_samples_is_refused():
    inputs = keras.Input((4,), batch_size=3)
    model = keras.Model(inputs, L.LayerNormalization(axis=[0, 1], name="mine")(inputs))
    with pytest.raises(UnsupportedLayerError, match="samples of a batch"):
        keras_reader.read(model)


@pytest.mark.parametrize(
    ("layer", "kinds"),
    [
        (lambda: L.LayerNormalization(name="n"), [Normalize, Affine]),
        (lambda: L.UnitNormalization(name="n"), [Normalize]),
        (lambda: L.GroupNormalization(1, name="n"), [Normalize, Affine]),
        (lambda: L.GroupNormalization(2, name="n"), [Route, Normalize, Route, Affine]),
        (lambda: L.GroupNormalization(2, name="n", center=False, scale=False), None),
    ],
)
def test_statistics_are_one_node_and_gamma_and_beta_another(layer, kinds):
    graph = keras_reader.read(keras.Sequential([keras.Input((5, 6)), layer()]))
    nodes = [node for node in graph if "n" in node.layers]
    assert [type(node) for node in nodes] == (kinds or [Route, Normalize, Route])
    assert nodes[-1].name == graph.places["n"] == "n"
    assert not any(node.batch_norm for node in nodes if isinstance(node, Affine))


def test_values_of_zero_stay_zero_and_finite():
    x = np.zeros((2, 4, 3))
    for denominator in (DEVIATION, ROOT_MEAN_SQUARE, NORM):
        node = Normalize(name="n", axes=(2,), denominator=denominator, epsilon=1e-12)
        y = backend.to_numpy(node.compute((backend.constant(x),), {}))
        assert not y.any()


DENOMINATORS = {
    "deviation": DEVIATION,
    "root mean square": ROOT_MEAN_SQUARE,
    "norm": NORM,
    "root of the sum": Denominator(total=True),
    "root of the centred sum": Denominator(of_centred=True, total=True),
    "largest of deviation and epsilon": Denominator(of_centred=True, floor=True),
}


@pytest.mark.parametrize("centre", [True, False])
@pytest.mark.parametrize("name", DENOMINATORS)
def test_the_adjoint_is_the_transposed_jacobian(name, centre):
    # Samples of 1, 0.1 and 0.01: epsilon is the floor for some of them and not for the others.
    x = np.random.default_rng(3).normal(0.5, 1, (3, 4, 2)) * [[[1.0]], [[0.1]], [[0.01]]]
    node = Normalize(
        name="n", axes=(1,), centre=centre, denominator=DENOMINATORS[name], epsilon=0.05
    )
    jacobian = _jacobian(node, x)
    r = np.random.default_rng(4).normal(0, 1, (2, *x.shape))
    expected = np.einsum("nabij,knab->knij", jacobian, r)
    got = backend.to_numpy(node.adjoint(backend.constant(r), backend.constant(x)))
    # Central differences of step h are exact to h^2, and lose the digits that h takes.
    assert np.abs(got - expected).max() <= 1e-6 * np.abs(expected).max()
    sums = backend.to_numpy(node.derivative_sums(backend.constant(x)))
    wanted = jacobian.sum(axis=(-2, -1))
    assert np.abs(sums - wanted).max() <= 1e-6 * np.abs(jacobian).max()


def _jacobian(node: Normalize, x: np.ndarray, step: float = 1e-6) -> np.ndarray:
    """Central differences: `(batch, *outputs, *inputs)`, all samples moved at once."""
    jacobian = np.zeros((*x.shape, *x.shape[1:]))
    for index in np.ndindex(*x.shape[1:]):
        moved = np.zeros_like(x)
        moved[(slice(None), *index)] = step
        ahead, behind = (
            backend.to_numpy(node.compute((backend.constant(x + sign * moved),), {}))
            for sign in (1, -1)
        )
        jacobian[(..., *index)] = (ahead - behind) / (2 * step)
    return jacobian
