"""Linear operations: adjoints, static shapes, scaled kernels, flat forms, by their definitions."""

import itertools

import numpy as np
import pytest
from keras import ops

from lrpkeras.graph.convolutions import Convolution, Depthwise, TransposedConvolution
from lrpkeras.graph.operations import Dense, Einsum, Scale


def convolutions():
    for groups, first, padding, strides, dilation in itertools.product(
        (1, 2),
        (False, True),
        (((0, 0), (0, 0)), ((1, 2), (0, 1)), "same"),
        ((1, 1), (2, 1)),
        ((1, 1), (2, 1)),
    ):
        if max(strides) > 1 and max(dilation) > 1:
            continue
        shape = (2, 4, 7, 6) if first else (2, 7, 6, 4)
        geometry = (strides, padding, dilation)
        yield (
            Convolution(*geometry, groups=groups, channels_first=first),
            (3, 2, 4 // groups, 6),
            shape,
        )
        if groups == 1:
            yield Depthwise(*geometry, channels_first=first), (3, 2, 4, 2), shape


def transposed():
    for first, stride, padding, grow in itertools.product(
        (False, True), (1, 2), (((0, 0), (0, 0)), ((1, 1), (0, 1))), (0, 1)
    ):
        forward = Convolution((stride, stride), padding, (1, 1), channels_first=first)
        reach = [3 - sum(padding[0]), 2 - sum(padding[1])]
        # The output's size from that of the input: (n - 1) stride + reach, and some more.
        grows = tuple(r - stride + min(grow, stride - 1) for r in reach)
        spatial = tuple(n * stride + g for n, g in zip((4, 5), grows, strict=True))
        shape = (2, 3, 4, 5) if first else (2, 4, 5, 3)
        yield TransposedConvolution(forward, spatial, grows), (3, 2, 6, 3), shape
        yield TransposedConvolution(forward, (None, None), grows), (3, 2, 6, 3), shape


OTHERS = [
    (Dense(), (5, 4), (3, 5)),
    (Dense(), (5, 4), (3, 2, 5)),
    (Einsum("abc,cd->abd"), (5, 4), (3, 2, 5)),
    (Einsum("abc,cde->adbe"), (5, 4, 2), (3, 2, 5)),
    (Einsum("abc,bcd->ad"), (2, 5, 3), (3, 2, 5)),
    (Convolution((1,), ((2, 0),), (2,)), (3, 2, 5), (2, 8, 2)),
    (Convolution((2,), "same", (1,), 2), (3, 2, 6), (2, 9, 4)),
    (Convolution((1, 2, 1), ((1, 0), (0, 1), (1, 1)), (1, 1, 1)), (2, 3, 2, 2, 3), (2, 4, 5, 3, 2)),
    (Convolution((1, 1, 1), "same", (1, 1, 2), 2), (2, 3, 2, 1, 4), (2, 4, 5, 3, 2)),
    (Depthwise((2,), "same", (1,)), (3, 3, 2), (2, 9, 3)),
]
CASES = [*OTHERS, *convolutions(), *transposed()]
NAMES = [f"{i}-{type(case[0]).__name__}" for i, case in enumerate(CASES)]


def draw(shape, seed):
    return np.random.default_rng(seed).normal(size=shape)


def apply(operation, x, kernel):
    return np.asarray(operation.apply(ops.convert_to_tensor(x), ops.convert_to_tensor(kernel)))


@pytest.mark.parametrize(("operation", "kernel_shape", "shape"), CASES, ids=NAMES)
def test_the_adjoint_satisfies_its_definition(operation, kernel_shape, shape):
    """<L x, s> = <x, L' s>, to the rounding of sums of a few hundred terms."""
    x, kernel = draw(shape, 1), draw(kernel_shape, 2)
    z = apply(operation, x, kernel)
    s = draw(z.shape, 3)
    back = operation.adjoint(ops.convert_to_tensor(s), ops.convert_to_tensor(kernel), shape)
    assert tuple(back.shape) == shape
    assert np.sum(z * s) == pytest.approx(np.sum(x * np.asarray(back)), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize(("operation", "kernel_shape", "shape"), CASES, ids=NAMES)
def test_the_static_shape_is_the_computed_one(operation, kernel_shape, shape):
    z = apply(operation, draw(shape, 1), draw(kernel_shape, 2))
    static = operation.output_shape((None, *shape[1:]), kernel_shape)
    assert all(a in (None, b) for a, b in zip(static, z.shape, strict=True))
    if None not in getattr(operation, "spatial", ()):
        assert static[1:] == z.shape[1:]


def along(vector, axis, rank):
    return vector.reshape([-1 if a == axis % rank else 1 for a in range(rank)])


@pytest.mark.parametrize(("operation", "kernel_shape", "shape"), CASES, ids=NAMES)
def test_a_scale_in_front_can_be_moved_into_the_kernel(operation, kernel_shape, shape):
    """L(scale x, kernel) = L(x, scaled kernel)."""
    x, kernel, axis = draw(shape, 1), draw(kernel_shape, 2), operation.channel_axis
    scale = draw(shape[axis], 3)
    scaled = operation.scale_input(kernel, scale)
    expected = apply(operation, x * along(scale, axis, len(shape)), kernel)
    np.testing.assert_allclose(apply(operation, x, scaled), expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(("operation", "kernel_shape", "shape"), CASES, ids=NAMES)
def test_a_scale_behind_can_be_moved_into_the_kernel(operation, kernel_shape, shape):
    """scale L(x, kernel) = L(x, scaled kernel)."""
    x, kernel, axis = draw(shape, 1), draw(kernel_shape, 2), operation.channel_axis
    z = apply(operation, x, kernel)
    scale = draw(z.shape[axis], 3)
    scaled = operation.scale_output(kernel, scale)
    expected = z * along(scale, axis, z.ndim)
    np.testing.assert_allclose(apply(operation, x, scaled), expected, rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize(("operation", "kernel_shape", "shape"), CASES, ids=NAMES)
def test_the_flat_form_is_the_operation_with_all_weights_one(operation, kernel_shape, shape):
    flat = operation.flat(kernel_shape)
    ones = np.ones(kernel_shape)
    z = apply(operation, np.ones(shape), ones)
    s = draw(z.shape, 3)
    expected = operation.adjoint(ops.convert_to_tensor(s), ops.convert_to_tensor(ones), shape)
    axis = operation.channel_axis % len(shape)
    narrow = tuple(flat.width if a == axis else n for a, n in enumerate(shape))
    kernel = ops.convert_to_tensor(flat.kernel)
    reduced = flat.reduce(ops.convert_to_tensor(s))
    back = flat.expand(flat.operation.adjoint(reduced, kernel, narrow))
    np.testing.assert_allclose(np.asarray(back), np.asarray(expected), rtol=1e-11, atol=1e-12)
    counted = flat.fan * flat.repeat(flat.operation.apply(ops.ones(narrow, "float64"), kernel))
    np.testing.assert_allclose(np.broadcast_to(np.asarray(counted), z.shape), z, rtol=1e-12)


def test_scale_is_its_own_adjoint():
    x, kernel = draw((3, 4), 1), draw((4,), 2)
    back = Scale().adjoint(ops.convert_to_tensor(x), ops.convert_to_tensor(kernel), (3, 4))
    np.testing.assert_array_equal(np.asarray(back), x * kernel)
    assert Scale().output_shape((None, 4), (4,)) == (None, 4)


def test_padding_is_known_to_matter_only_where_there_is_some():
    strides, dilation = (1, 1), (1, 1)
    assert not Convolution(strides, ((0, 0), (0, 0)), dilation).pads
    assert Convolution(strides, ((0, 0), (0, 1)), dilation).pads
    assert Depthwise(strides, "same", dilation).pads
