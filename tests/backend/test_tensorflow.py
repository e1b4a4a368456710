"""The primitives against loops written out in NumPy, and each adjoint against its definition."""

import itertools
import runpy
import threading
from collections import Counter

import keras
import numpy as np
import pytest
import tensorflow as tf

from lrpkeras import backend
from lrpkeras.errors import InputError, LrpError

WINDOW = (3, 2, 3)
PADS = {
    "valid": ((0, 0), (0, 0), (0, 0)),
    "same": "same",
    "uneven": ((1, 0), (0, 2), (1, 1)),
    "wider than the window": ((4, 1), (3, 3), (0, 5)),
}
SIZES = {"odd": (7, 9, 5), "even": (8, 6, 6), "mixed": (7, 8, 6)}
STRIDES = {"1": (1, 1, 1), "2": (2, 2, 2), "unequal": (1, 2, 3)}

grid = pytest.mark.parametrize(
    ("rank", "stride", "dilation", "groups"),
    list(itertools.product((1, 2, 3), STRIDES, (1, 2), (1, 2, 4))),
)


def normal(*sizes, dtype="float64"):
    return np.random.default_rng(len(sizes)).normal(size=sizes).astype(dtype)


def geometry(rank, stride="1", dilation=1, padding="valid"):
    pads = PADS[padding]
    return {
        "strides": STRIDES[stride][:rank],
        "padding": pads if pads == "same" else pads[:rank],
        "dilation": (dilation,) * rank,
    }


def same_pads(sizes, window, strides, dilation=(1, 1, 1)):
    """SAME as TensorFlow documents it: ceil(size / stride) outputs, the odd zero at the end."""
    pads = []
    for size, width, stride, step in zip(sizes, window, strides, dilation, strict=False):
        outputs = int(np.ceil(size / stride))
        total = max((outputs - 1) * stride + (width - 1) * step + 1 - size, 0)
        pads.append((total // 2, total - total // 2))
    return tuple(pads)


def windows(x, window, strides, pads, dilation, fill):
    """Yield every output position and what its window reads, `(batch, *window, channels)`."""
    x = np.pad(x, ((0, 0), *pads, (0, 0)), constant_values=fill)
    reach = [(width - 1) * step + 1 for width, step in zip(window, dilation, strict=True)]
    outputs = [(n - r) // s + 1 for n, r, s in zip(x.shape[1:-1], reach, strides, strict=True)]
    for position in np.ndindex(*outputs):
        starts = [p * s for p, s in zip(position, strides, strict=True)]
        cuts = [
            slice(start, start + r, step)
            for start, r, step in zip(starts, reach, dilation, strict=True)
        ]
        yield position, x[(slice(None), *cuts, slice(None))]


def collect(values, batch, channels):
    """Arrange (position, (batch, channels)) pairs as `(batch, *out_spatial, channels)`."""
    values = dict(values)
    sizes = [n + 1 for n in max(values)]
    out = np.zeros((batch, *sizes, channels))
    for position, value in values.items():
        out[(slice(None), *position)] = value
    return out


def loop_convolve(x, kernel, strides, padding, dilation, groups):
    window, (per_group, outputs) = kernel.shape[:-2], kernel.shape[-2:]
    if padding == "same":
        padding = same_pads(x.shape[1:-1], window, strides, dilation)

    def at(seen):
        out = np.zeros((len(x), outputs))
        for o in range(outputs):
            first = o // (outputs // groups) * per_group
            part = seen[..., first : first + per_group] * kernel[..., o]
            out[:, o] = part.reshape(len(x), -1).sum(1)
        return out

    reads = windows(x, window, strides, padding, dilation, 0)
    return collect(((position, at(seen)) for position, seen in reads), len(x), outputs)


def assert_adjoint(x, y, s, back, tolerance=1e-12):
    """<L x, s> = <x, L* s>, up to rounding in the terms of the sum."""
    y, s, back = (np.asarray(each, "float64") for each in (y, s, back))
    assert back.shape == x.shape
    scale = np.abs(y * s).sum()
    assert abs((y * s).sum() - (x * back).sum()) <= tolerance * scale


# Convolution


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


# Depthwise


@pytest.mark.parametrize("multiplier", [1, 3])
@pytest.mark.parametrize("padding", PADS)
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("stride", STRIDES)
@pytest.mark.parametrize("rank", [1, 2])
def test_depthwise_is_a_convolution_of_one_channel_a_group(
    rank, stride, dilation, padding, multiplier
):
    options = geometry(rank, stride, dilation, padding)
    x, kernel = normal(2, *SIZES["mixed"][:rank], 3), normal(*WINDOW[:rank], 3, multiplier)
    grouped = kernel.reshape(*WINDOW[:rank], 1, 3 * multiplier)
    y = backend.depthwise(x, kernel, **options)
    np.testing.assert_allclose(y, loop_convolve(x, grouped, **options, groups=3), atol=1e-12)
    s = normal(*y.shape)
    back = backend.depthwise_adjoint(s, kernel, x.shape[1:-1], **options)
    assert_adjoint(x, y, s, back)


@pytest.mark.parametrize(
    ("rank", "options"),
    [
        (2, {"padding": "same", "strides": 2}),
        (2, {"padding": "valid", "depth_multiplier": 3}),
        (2, {"padding": "same", "dilation_rate": 2, "depth_multiplier": 2}),
        (1, {"padding": "same", "strides": 2, "depth_multiplier": 2}),
        (1, {"padding": "valid", "dilation_rate": 2}),
    ],
)
def test_depthwise_equals_the_keras_layer(rank, options):
    layer = getattr(keras.layers, f"DepthwiseConv{rank}D")(3, use_bias=False, **options)
    x = normal(2, *SIZES["mixed"][:rank], 4, dtype="float32")
    expected = layer(x)
    actual = backend.depthwise(
        x,
        layer.kernel.numpy(),
        strides=layer.strides[:rank],
        padding="same" if options["padding"] == "same" else ((0, 0),) * rank,
        dilation=layer.dilation_rate[:rank],
    )
    np.testing.assert_allclose(actual, expected, atol=1e-6)


# Pooling

POOLS = [
    (rank, stride, padding, dtype, jit_compile)
    for rank, stride, padding, dtype, jit_compile in itertools.product(
        (1, 2, 3), STRIDES, ("valid", "same"), ("float32", "float64"), (False, True)
    )
    # XLA is slow to start; these are enough to see that it pools alike.
    if not jit_compile or (rank == 2 and stride != "unequal") or (rank, stride) == (3, "2")
]


def pool_case(rank, stride, padding):
    sizes, window, strides = SIZES["mixed"][:rank], WINDOW[:rank], STRIDES[stride][:rank]
    pads = same_pads(sizes, window, strides) if padding == "same" else PADS["valid"][:rank]
    return sizes, {"window": window, "strides": strides, "padding": padding}, pads


def loop_max_pool(x, s_at, window, strides, pads):
    """Maxima, and where the first maximum in row-major order sends its window's s."""
    index = np.arange(x[0, ..., 0].size, dtype=float).reshape(x.shape[1:-1])
    places = np.broadcast_to(index[None, ..., None], x.shape)
    values = windows(x, window, strides, pads, (1,) * len(window), -np.inf)
    indices = windows(places, window, strides, pads, (1,) * len(window), -1)
    maxima, routed = {}, np.zeros((len(x), index.size, x.shape[-1]))
    for (position, seen), (_, place) in zip(values, indices, strict=True):
        seen, place = (each.reshape(len(x), -1, x.shape[-1]) for each in (seen, place))
        maxima[position] = seen.max(1)
        for n, c in np.ndindex(len(x), x.shape[-1]):
            winner = int(place[n, np.argmax(seen[n, :, c]), c])  # argmax takes the first
            routed[n, winner, c] += s_at(n, position, c)
    return collect(maxima.items(), len(x), x.shape[-1]), routed.reshape(x.shape)


@pytest.mark.parametrize(("rank", "stride", "padding", "dtype", "jit_compile"), POOLS)
def test_max_pool_sends_all_to_the_first_maximum(rank, stride, padding, dtype, jit_compile):
    sizes, options, pads = pool_case(rank, stride, padding)
    # Few distinct integers: most windows tie, and sums of integers are exact in every type.
    x = np.random.default_rng(0).integers(-2, 1, (2, *sizes, 2)).astype(dtype)
    y = backend.max_pool(x, **options)
    s = np.random.default_rng(1).integers(1, 50, y.shape).astype(dtype)
    unknown = backend.Spec((None,) * (rank + 1) + (2,), dtype)
    adjoint = backend.compile(
        lambda x, y, s: backend.max_pool_adjoint(x, y, s, **options),
        (unknown,) * 3,
        jit_compile=jit_compile,
    )
    expected, routed = loop_max_pool(
        x, lambda n, position, c: s[(n, *position, c)], options["window"], options["strides"], pads
    )
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(adjoint(x, y, s), routed)


def test_max_pool_of_equal_values_has_one_winner_a_window():
    x = np.zeros((1, 6, 6, 1))
    options = {"window": (3, 3), "strides": (1, 1), "padding": "same"}
    back = backend.max_pool_adjoint(x, x, np.ones_like(x), **options)
    # Windows start one row and column before their output; at the border, at the border.
    once = np.array([2.0, 1, 1, 1, 1, 0])
    np.testing.assert_array_equal(back[0, ..., 0], np.outer(once, once))


@pytest.mark.parametrize(("rank", "stride", "padding", "dtype", "jit_compile"), POOLS)
def test_average_pool_does_not_count_padding(rank, stride, padding, dtype, jit_compile):
    sizes, options, pads = pool_case(rank, stride, padding)
    x = normal(2, *sizes, 3, dtype=dtype)
    reads = windows(x, options["window"], options["strides"], pads, (1,) * rank, np.nan)
    means = ((at, np.nanmean(seen.reshape(2, -1, 3).astype("float64"), 1)) for at, seen in reads)
    tolerance = {"float32": 1e-6, "float64": 1e-12}[dtype]
    y = tf.function(backend.average_pool, jit_compile=jit_compile)(x, **options)
    np.testing.assert_allclose(y, collect(means, 2, 3), atol=tolerance)
    s = normal(*y.shape, dtype=dtype)
    adjoint = tf.function(
        lambda s: backend.average_pool_adjoint(s, sizes, **options), jit_compile=jit_compile
    )
    assert_adjoint(x, y, s, adjoint(s), tolerance)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_pooling_serves_unknown_sizes(rank):
    sizes, options, _ = pool_case(rank, "2", "same")

    def both(x):
        y, mean = backend.max_pool(x, **options), backend.average_pool(x, **options)
        back = backend.max_pool_adjoint(x, y, mean, **options)
        return back, backend.average_pool_adjoint(y, backend.shape(x)[1:-1], **options)

    traced = tf.function(both, input_signature=[tf.TensorSpec([None] * (rank + 1) + [3])])
    x = normal(2, *sizes, 3, dtype="float32")
    for actual, expected in zip(traced(x), both(x), strict=True):
        np.testing.assert_allclose(actual, expected, atol=1e-6)


# Matrix products and shapes


@pytest.mark.parametrize("leading", [(5,), (2, 5), (2, 3, 4)])
def test_matmul_and_its_adjoint_are_one_product_each(leading):
    x, kernel, s = normal(*leading, 3), normal(3, 4), normal(*leading, 4)
    np.testing.assert_allclose(backend.matmul(x, kernel), x @ kernel, atol=1e-12)
    np.testing.assert_allclose(backend.matmul_adjoint(s, kernel), s @ kernel.T, atol=1e-12)
    spec = tf.TensorSpec((None, *leading[1:], 3), "float64")
    graph = tf.function(lambda x: backend.matmul(x, kernel)).get_concrete_function(spec)
    types = Counter(node.type for node in graph.graph.get_operations())
    assert types["MatMul"] == 1
    assert types["Reshape"] == (0 if len(leading) == 1 else 2)
    assert graph.structured_outputs.shape.as_list() == [None, *leading[1:], 4]


def test_einsum_is_numpys():
    a, b = normal(2, 3, 4), normal(4, 3)
    expected = np.einsum("bij,ji->bi", a, b)
    np.testing.assert_allclose(backend.einsum("bij,ji->bi", a, b), expected, atol=1e-12)


def test_leading_axes_merge_and_split_again():
    x = normal(3, 2, 5)
    merged = backend.merge_leading(x)
    np.testing.assert_array_equal(merged, x.reshape(6, 5))
    np.testing.assert_array_equal(backend.split_leading(merged, 3), x)


@pytest.mark.parametrize(("k", "free"), [(1, True), (3, False)])
def test_one_target_costs_no_reshape(k, free):
    @tf.function(input_signature=[tf.TensorSpec((k, None, 4, 5))])
    def there_and_back(x):
        merged = backend.merge_leading(x)
        assert merged.shape.as_list() == [None, 4, 5]
        back = backend.split_leading(merged, k)
        assert back.shape.as_list() == [k, None, 4, 5]
        return back

    types = {node.type for node in there_and_back.get_concrete_function().graph.get_operations()}
    assert ("Reshape" not in types) == free
    x = normal(k, 2, 4, 5, dtype="float32")
    np.testing.assert_array_equal(there_and_back(x), x)


def test_shape_has_ints_where_sizes_are_known():
    @tf.function(input_signature=[tf.TensorSpec((None, 4, None))])
    def sizes(x):
        batch, four, last = backend.shape(x)
        assert type(four) is int
        return batch, last

    assert [int(size) for size in sizes(np.zeros((3, 4, 7), "float32"))] == [3, 7]
    assert backend.shape(np.zeros((3, 4))) == (3, 4)


def test_constants_keep_or_take_a_type():
    assert backend.constant(np.zeros(2, "float16")).dtype == "float16"
    assert backend.constant(np.zeros(2), "float32").dtype == "float32"
    assert backend.constant(tf.zeros(2), "float64").dtype == "float64"
    assert backend.is_tensor(tf.zeros(2))
    assert not backend.is_tensor(np.zeros(2))


def test_arrays_taken_out_of_tensors_are_copies():
    tensor = tf.zeros(3)
    backend.to_numpy(tensor)[0] = 1
    assert tensor.numpy().tolist() == [0, 0, 0]


# Compiling

SPEC = backend.Spec((None, 3), "float32")


def test_a_compiled_function_is_traced_once_for_every_batch_size():
    compiled = backend.compile(lambda x: x * 2, (SPEC,))
    for batch in (1, 4, 7):
        assert compiled(np.ones((batch, 3))).numpy().tolist() == [[2, 2, 2]] * batch
    assert backend.trace_count(compiled) == 1


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_compiled_function_takes_and_gives_nested_structures(jit_compile):
    def function(pair, scale):
        return {"sum": pair["a"] + pair["b"][0], "scaled": [pair["a"] * scale]}

    signature = ({"a": SPEC, "b": [SPEC]}, backend.Spec((), "float32"))
    compiled = backend.compile(function, signature, jit_compile=jit_compile)
    ones = np.ones((2, 3), "float32")
    out = compiled({"a": ones, "b": [2 * ones]}, 5.0)
    np.testing.assert_array_equal(out["sum"], 3 * ones)
    np.testing.assert_array_equal(out["scaled"][0], 5 * ones)


def test_many_threads_share_one_trace():
    ready, out = threading.Barrier(8), [None] * 8
    compiled = backend.compile(lambda x: x + 1, (SPEC,))

    def call(i):
        ready.wait()
        out[i] = compiled(np.full((i + 1, 3), i))

    threads = [threading.Thread(target=call, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert backend.trace_count(compiled) == 1
    assert [float(each[0, 0]) for each in out] == list(range(1, 9))


def test_an_assigned_variable_changes_the_result_without_a_new_trace():
    weight = backend.variable(np.ones(3, "float32"), "block1/kernel: a weight")
    compiled = backend.compile(lambda x: x * weight, (SPEC,))
    compiled(np.ones((1, 3)))
    backend.assign(weight, np.full(3, 4))
    assert compiled(np.ones((1, 3))).numpy().tolist() == [[4, 4, 4]]
    assert backend.trace_count(compiled) == 1
    assert not weight.trainable


def test_the_concrete_function_is_to_be_had_for_one_batch_size_or_any():
    compiled = backend.compile(lambda x: x * 2, (SPEC,))
    for batch_size in (None, 5):
        graph = backend.concrete(compiled, batch_size)
        assert graph.structured_outputs.shape.as_list() == [batch_size, 3]
        assert backend.concrete(compiled, batch_size) is graph


# Data


def test_arrays_come_in_slices():
    data = {"a": np.arange(5), "b": [tf.range(5) * 2]}
    out = list(backend.batches(data, 2))
    assert backend.count(data, 2) == len(out) == 3
    assert [batch["a"].tolist() for batch in out] == [[0, 1], [2, 3], [4]]
    assert [batch["b"][0].numpy().tolist() for batch in out] == [[0, 2], [4, 6], [8]]


@pytest.mark.parametrize("extra", [0, 1, 2])
def test_a_dataset_gives_its_inputs_as_they_come(extra):
    x = np.arange(6.0).reshape(6, 1)
    data = tf.data.Dataset.from_tensor_slices((x, *[np.zeros(6)] * extra) if extra else x).batch(4)
    assert backend.is_dataset(data)
    assert not backend.is_dataset(x)
    assert backend.count(data, 2) == 2
    assert [batch.numpy().ravel().tolist() for batch in backend.batches(data, 2)] == [
        [0, 1, 2, 3],
        [4, 5],
    ]


def test_a_dataset_of_unknown_length_has_no_count():
    data = tf.data.Dataset.range(9).filter(lambda i: i > 2).batch(2)
    assert backend.count(data, 2) is None


@pytest.mark.parametrize("data", [[np.zeros((2, 1)), np.zeros((3, 1))], np.float32(1), []])
def test_inputs_without_a_common_number_of_samples_are_refused(data):
    with pytest.raises(InputError, match="samples"):
        backend.batches(data, 2)


def test_another_keras_backend_is_refused(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(LrpError, match="KERAS_BACKEND=tensorflow"):
        runpy.run_path(backend.__file__)
