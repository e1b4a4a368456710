"""Convolution against loops in NumPy, and its adjoint against the definition."""

import itertools
import os
import platform
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
import tensorflow as tf
from window_loops import (
    PADS,
    SIZES,
    STRIDES,
    WINDOW,
    assert_adjoint,
    geometry,
    loop_convolve,
    normal,
)

from lrpkeras import backend
from lrpkeras.backend.tensorflow import convolution

grid = pytest.mark.parametrize(
    ("rank", "stride", "dilation", "groups"),
    list(itertools.product((1, 2, 3), STRIDES, (1, 2), (1, 2, 4))),
)


@grid
def test_convolve_is_the_sum_over_the_window(rank, stride, dilation, groups):
    x, kernel = normal(2, *SIZES["mixed"][:rank], 4), normal(*WINDOW[:rank], 4 // groups, 8)
    for padding in PADS:
        options = geometry(rank, stride, dilation, padding)
        expected = loop_convolve(x, kernel, **options, groups=groups)
        actual = backend.convolve(x, kernel, **options, groups=groups)
        np.testing.assert_allclose(actual, expected, atol=1e-12)


@grid
def test_convolve_adjoint_is_the_adjoint(rank, stride, dilation, groups):
    kernel = normal(*WINDOW[:rank], 4 // groups, 8)
    for padding, size in itertools.product(PADS, SIZES):
        options = geometry(rank, stride, dilation, padding) | {"groups": groups}
        x = normal(2, *SIZES[size][:rank], 4)
        y = backend.convolve(x, kernel, **options)
        s = normal(*y.shape)
        back = backend.convolve_adjoint(s, kernel, x.shape[1:-1], **options)
        assert_adjoint(x, y, s, back)


@pytest.fixture(params=[False, True], ids=["plain", "onednn"])
def onednn(request, monkeypatch):
    monkeypatch.setattr(convolution, "convolves_with_onednn", lambda: request.param)
    return request.param


@pytest.mark.parametrize("dilation", [1, 2])
def test_the_adjoint_for_a_held_kernel_is_the_same(dilation, onednn):
    # Where the convolution keeps the size, it is a convolution with the turned kernel.
    kernel = normal(*WINDOW[:2], 4, 8)
    held = backend.variable(kernel, "kernel")
    for padding, size in itertools.product(PADS, SIZES):
        options = geometry(2, "1", dilation, padding) | {"groups": 1}
        x = normal(2, *SIZES[size][:2], 4)
        y = backend.convolve(x, held, **options)
        s = backend.constant(normal(*y.shape))
        assert_adjoint(x, y, s, backend.convolve_adjoint(s, held, x.shape[1:-1], **options))
    assert backend.nbytes(held) == kernel.nbytes * (1 if onednn else 2)


@pytest.mark.slow
def test_whether_onednn_convolves_is_what_tensorflow_says():
    """In processes of their own: it is decided once."""
    found = []
    for setting in ("0", "1"):
        command = (
            "from lrpkeras.backend.tensorflow.convolution import convolves_with_onednn as known;"
            "print(known())"
        )
        done = subprocess.run(
            [sys.executable, "-c", command],
            env={**os.environ, "TF_ENABLE_ONEDNN_OPTS": setting},
            capture_output=True,
            text=True,
            check=True,
        )
        found.append(done.stdout.strip())
    assert found[0] == "False"
    assert found[1] == "True" or platform.machine() != "x86_64"


def test_a_held_kernel_that_changes_changes_the_adjoint(onednn):
    kernels = normal(2, 3, 3, 4, 8)
    held = backend.variable(kernels[0], "kernel")
    options = geometry(2, "1", 1, "same") | {"groups": 1}
    s = backend.constant(normal(2, 5, 6, 8))
    before = backend.to_numpy(backend.convolve_adjoint(s, held, (5, 6), **options))
    backend.assign(held, kernels[1])
    for kernel, back in zip(
        kernels, (before, backend.convolve_adjoint(s, held, (5, 6), **options)), strict=True
    ):
        expected = backend.convolve_adjoint(s, kernel, (5, 6), **options)
        np.testing.assert_allclose(back, expected, atol=1e-12)


TRACED = [
    (1, "2", 1, 1, "same"),
    (1, "1", 2, 1, "uneven"),
    (2, "2", 1, 1, "same"),
    (2, "2", 1, 1, "uneven"),
    (2, "1", 2, 1, "same"),
    (2, "unequal", 1, 2, "same"),
    (2, "2", 1, 4, "same"),
    (3, "2", 1, 1, "uneven"),
    (3, "unequal", 1, 2, "same"),
]


@pytest.mark.parametrize(
    ("rank", "stride", "dilation", "groups", "padding", "jit_compile"),
    # Eighteen taps of unknown place take XLA long, and teach nothing that the others do not.
    [(*case, jit) for case in TRACED for jit in (False, True) if not (jit and case == TRACED[-1])],
)
def test_a_traced_convolution_with_unknown_sizes_equals_the_eager_one(
    rank, stride, dilation, groups, padding, jit_compile
):
    options = geometry(rank, stride, dilation, padding) | {"groups": groups}
    kernel = normal(*WINDOW[:rank], 4 // groups, 8)
    unknown = [None] * (rank + 1)

    def both(x, s):
        back = backend.convolve_adjoint(s, kernel, backend.shape(x)[1:-1], **options)
        assert back.shape[-1] == 4
        return backend.convolve(x, kernel, **options), back

    signature = [tf.TensorSpec([*unknown, 4], "float64"), tf.TensorSpec([*unknown, 8], "float64")]
    traced = tf.function(both, input_signature=signature, jit_compile=jit_compile)
    for size in ("odd", "even"):
        x = normal(3, *SIZES[size][:rank], 4)
        s = normal(*backend.convolve(x, kernel, **options).shape)
        for actual, expected in zip(traced(x, s), both(x, s), strict=True):
            np.testing.assert_allclose(actual, expected, atol=1e-12)


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    # Ten units of rounding of each type, relative to the largest value: sums of up to 36 terms.
    [("float32", 1e-6), ("float16", 1e-2), ("bfloat16", 8e-2)],
)
@pytest.mark.parametrize(("rank", "dilation", "groups"), [(2, 1, 1), (2, 2, 1), (3, 1, 2)])
def test_narrow_types_agree_with_float64(dtype, tolerance, rank, dilation, groups):
    options = geometry(rank, "1", dilation, "uneven") | {"groups": groups}
    x, kernel = normal(1, *SIZES["odd"][:rank], 4), normal(*WINDOW[:rank], 4 // groups, 4)
    sizes = x.shape[1:-1]
    y = backend.convolve(x, kernel, **options)
    back = backend.convolve_adjoint(y, kernel, sizes, **options)
    x, kernel, s = (backend.constant(each, dtype) for each in (x, kernel, y))
    narrow = backend.convolve(x, kernel, **options)
    narrow_back = backend.convolve_adjoint(s, kernel, sizes, **options)
    for actual, expected in ((narrow, y), (narrow_back, back)):
        assert actual.dtype == dtype
        error = np.abs(backend.to_numpy(actual).astype("float64") - expected).max()
        assert error <= tolerance * np.abs(expected).max()


# ResNet50's convolutions at 224 pixels, its ZeroPadding2D taken in as the convolution's own.
RESNET50 = [
    (224, 7, 2, (3, 3), "EXPLICIT"),
    (56, 1, 1, (0, 0), "VALID"),
    (56, 3, 1, (1, 1), "SAME"),
    (56, 1, 2, (0, 0), "VALID"),
]


@pytest.mark.parametrize(("size", "window", "stride", "pad", "native"), RESNET50)
def test_a_common_convolution_is_one_native_op_each_way(size, window, stride, pad, native):
    kernel = np.ones((window, window, 3, 4), "float32")
    options = {"strides": (stride,) * 2, "padding": (pad,) * 2, "dilation": (1, 1), "groups": 1}

    def forward(x):
        return backend.convolve(x, kernel, **options)

    def backward(s):
        return backend.convolve_adjoint(s, kernel, (size, size), **options)

    out = (size + sum(pad) - window) // stride + 1
    plumbing = {"Placeholder", "Const", "Identity", "NoOp"}
    for function, sizes, op in (
        (forward, (None, size, size, 3), "Conv2D"),
        (backward, (2, out, out, 4), "Conv2DBackpropInput"),
    ):
        graph = tf.function(function).get_concrete_function(tf.TensorSpec(sizes)).graph
        types = Counter(node.type for node in graph.get_operations())
        assert types[op] == 1
        assert set(types) <= {op, *plumbing}
        (node,) = (node for node in graph.get_operations() if node.type == op)
        assert node.get_attr("padding").decode() == native


def test_an_unknown_batch_adds_only_its_size_to_an_adjoint():
    kernel = np.ones((3, 3, 3, 4), "float32")
    options = geometry(2, padding="same") | {"groups": 1}
    graph = (
        tf.function(lambda s: backend.convolve_adjoint(s, kernel, (8, 8), **options))
        .get_concrete_function(tf.TensorSpec((None, 8, 8, 4)))
        .graph
    )
    types = Counter(node.type for node in graph.get_operations())
    assert types["Conv2DBackpropInput"] == types["Shape"] == types["Pack"] == 1
    assert not {"Pad", "PadV2", "Transpose", "Slice", "Reshape", "Mul"} & set(types)


@pytest.mark.parametrize("rank", [1, 2])
def test_the_adjoint_of_strides_and_groups_multiplies_no_inserted_zeros(rank):
    kernel = np.ones((*WINDOW[:rank], 2, 8), "float32")
    options = geometry(rank, "2", padding="same") | {"groups": 2}
    sizes = SIZES["even"][:rank]
    graph = (
        tf.function(lambda s: backend.convolve_adjoint(s, kernel, sizes, **options))
        .get_concrete_function(tf.TensorSpec((None, *(n // 2 for n in sizes), 8)))
        .graph
    )
    types = Counter(node.type for node in graph.get_operations())
    assert types["Conv2DBackpropInput"] == 2
    assert not {"Conv2D", "Pad", "PadV2"} & set(types)


def test_many_groups_have_an_adjoint_without_an_op_each():
    options = geometry(2, "2", padding="same") | {"groups": 40}
    x, kernel = normal(1, 7, 8, 80), normal(*WINDOW[:2], 2, 80)
    y = backend.convolve(x, kernel, **options)
    s = normal(*y.shape)
    adjoint = tf.function(lambda s: backend.convolve_adjoint(s, kernel, (7, 8), **options))
    assert_adjoint(x, y, s, adjoint(s))
    types = {node.type for node in adjoint.get_concrete_function(s).graph.get_operations()}
    assert "Conv2DBackpropInput" not in types
