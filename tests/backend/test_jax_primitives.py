"""The primitives on JAX give what those on TensorFlow give, which are tested against loops."""

import itertools

import numpy as np
import pytest
from window_loops import PADS, SIZES, STRIDES, WINDOW, assert_adjoint, geometry, normal

pytest.importorskip("jax", reason="JAX is not installed")

from lrpkeras import backend
from lrpkeras.backend import jax

# Of float64, over sums of up to 18 terms times a few channels.
TOLERANCE = 1e-12

# Enough to see each setting once; the rest takes JAX, which compiles each case, a minute.
CONVOLUTIONS = [
    (1, "2", 1, 1),
    (2, "1", 1, 1),
    (2, "2", 2, 2),
    (2, "unequal", 1, 4),
    (3, "unequal", 2, 2),
]
REST = [
    case
    for case in itertools.product((1, 2, 3), STRIDES, (1, 2), (1, 2, 4))
    if case not in CONVOLUTIONS
]
every = [*CONVOLUTIONS, *(pytest.param(*case, marks=pytest.mark.slow) for case in REST)]


@pytest.fixture(autouse=True)
def float64():
    """JAX computes in float64 within this alone."""
    with jax.precise():
        yield


def close(actual, expected):
    expected = np.asarray(expected)
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, atol=TOLERANCE)


@pytest.mark.parametrize(("rank", "stride", "dilation", "groups"), every)
def test_convolution_and_its_adjoint_are_those_of_tensorflow(rank, stride, dilation, groups):
    kernel = normal(*WINDOW[:rank], 4 // groups, 8)
    for padding, size in zip(PADS, itertools.cycle(SIZES), strict=False):
        options = geometry(rank, stride, dilation, padding) | {"groups": groups}
        x = normal(2, *SIZES[size][:rank], 4)
        y = jax.convolve(x, kernel, **options)
        close(y, backend.convolve(x, kernel, **options))
        s = normal(*y.shape)
        assert_adjoint(x, y, s, jax.convolve_adjoint(s, kernel, x.shape[1:-1], **options))


@pytest.mark.parametrize("multiplier", [1, 3])
@pytest.mark.parametrize(("rank", "stride", "dilation"), [(1, "2", 1), (2, "unequal", 2)])
def test_depthwise_convolution_and_its_adjoint_are_those_of_tensorflow(
    rank, stride, dilation, multiplier
):
    kernel = normal(*WINDOW[:rank], 3, multiplier)
    options = geometry(rank, stride, dilation, "uneven")
    x = normal(2, *SIZES["mixed"][:rank], 3)
    y = jax.depthwise(x, kernel, **options)
    close(y, backend.depthwise(x, kernel, **options))
    s = normal(*y.shape)
    assert_adjoint(x, y, s, jax.depthwise_adjoint(s, kernel, x.shape[1:-1], **options))


POOLS = [
    pytest.param(*case, marks=() if case in ((2, "2", "same"), (3, "unequal", "valid")) else slow)
    for slow in [pytest.mark.slow]
    for case in itertools.product((1, 2, 3), STRIDES, ("valid", "same"))
]


@pytest.mark.parametrize(("rank", "stride", "padding"), POOLS)
def test_pooling_and_its_adjoints_are_those_of_tensorflow_on_equal_maxima(rank, stride, padding):
    options = {"window": WINDOW[:rank], "strides": STRIDES[stride][:rank], "padding": padding}
    sizes = SIZES["mixed"][:rank]
    # Few distinct integers: most windows tie.
    x = np.random.default_rng(0).integers(-2, 1, (2, *sizes, 2)).astype("float64")
    y = jax.max_pool(x, **options)
    close(y, backend.max_pool(x, **options))
    s, v = normal(*y.shape), normal(*x.shape)
    y, several = np.asarray(y), np.stack([s, 2 * s])
    for name, arguments in {
        "max_pool_adjoint": (x, y, s),
        "max_pool_ties_adjoint": (x, y, several),
        "max_pool_ties_sum": (x, y, v),
        "average_pool": (x,),
        "average_pool_adjoint": (s, sizes),
    }.items():
        got, expected = (getattr(module, name)(*arguments, **options) for module in (jax, backend))
        close(got, expected)


@pytest.mark.parametrize("size", [(5, 8), (8, 5)])
def test_resizing_is_that_of_tensorflow(size):
    bilinear = jax.bilinear_matrix(*size, "float64")
    close(bilinear, backend.bilinear_matrix(*size, "float64"))
    # Keras runs on TensorFlow here: float32, since it interpolates in it.
    np.testing.assert_allclose(jax.resizing_matrix(*size, "bilinear"), bilinear, atol=1e-6)
    rows, columns = normal(3, 6), normal(4, 7)
    x, s = normal(2, 6, 7, 3), normal(2, 3, 4, 3)
    close(jax.resample(x, rows, columns), backend.resample(x, rows, columns))
    close(jax.resample_adjoint(s, rows, columns), backend.resample_adjoint(s, rows, columns))
    close(jax.resample_adjoint(s, rows, None), backend.resample_adjoint(s, rows, None))


@pytest.mark.parametrize("leading", [(5,), (2, 3, 4)])
def test_products_are_numpys(leading):
    x, kernel, s = normal(*leading, 3), normal(3, 4), normal(*leading, 4)
    close(jax.matmul(x, kernel), x @ kernel)
    close(jax.matmul_adjoint(s, kernel), s @ kernel.T)
    close(jax.einsum("ij,kj->ik", kernel, s.reshape(-1, 4)), kernel @ s.reshape(-1, 4).T)


def test_arrays_split_merge_and_choose_as_those_of_tensorflow():
    x, array = normal(2, 3, 4), normal(3, 2, 3, 4)
    for name, arguments in {
        "merge_leading": (array,),
        "split_leading": (normal(6, 4), 3),
        "where_positive": (x, array),
        "select": (x > 0, array, -array),
        "add_bias": (x, normal(4)),
    }.items():
        close(getattr(jax, name)(*arguments), getattr(backend, name)(*arguments))
    assert jax.shape(x) == (2, 3, 4)


SPEC = backend.Spec((None, 3), "float32")


@pytest.mark.parametrize("jit_compile", ["auto", False])
def test_a_compiled_function_follows_its_variables_without_a_new_trace(jit_compile):
    weight = jax.variable(np.ones(3, "float32"), "weight")
    compiled = jax.compile(
        lambda held, x: {"y": x * held["w"]},
        (SPEC,),
        variables={"w": weight},
        jit_compile=jit_compile,
    )
    ones = np.ones((1, 3))
    frozen = jax.concrete(compiled)
    assert compiled(ones)["y"].tolist() == [[1, 1, 1]]
    jax.assign(weight, np.full(3, 4))
    assert compiled(ones)["y"].tolist() == [[4, 4, 4]]
    assert jax.trace_count(compiled) == (0 if jit_compile is False else 1)
    assert frozen(np.ones((2, 3), "float32"))["y"].tolist() == [[1, 1, 1]] * 2
    one_size = jax.concrete(compiled, 2)
    assert one_size(np.ones((2, 3), "float32"))["y"].tolist() == [[4, 4, 4]] * 2
    with pytest.raises(ValueError, match="shape"):
        jax.assign(weight, np.ones(4))


def test_float64_is_refused_where_jax_would_round_it():
    with jax.precise():
        assert jax.lacks("float64") is None
    from jax import enable_x64

    with enable_x64(False):
        assert "JAX_ENABLE_X64=1" in jax.lacks("float64")
        assert jax.lacks("float32") is None
