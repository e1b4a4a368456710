"""One graph for every batch size and thread."""

import threading

import numpy as np
import pytest
from keras import ops

from lrpkeras import backend

SPEC = backend.Spec((None, 3), "float32")
LARGE = backend.Spec((None, 2**14), "float32")


def test_a_compiled_function_is_traced_once_for_every_batch_size():
    compiled = backend.compile(lambda _, x: x * 2, (SPEC,))
    for batch in (1, 4, 7):
        assert compiled(np.ones((batch, 3))).numpy().tolist() == [[2, 2, 2]] * batch
    assert backend.trace_count(compiled) == 1


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_compiled_function_takes_and_gives_nested_structures(jit_compile):
    def function(_, pair, scale):
        return {"sum": pair["a"] + pair["b"][0], "scaled": [pair["a"] * scale]}

    signature = ({"a": SPEC, "b": [SPEC]}, backend.Spec((), "float32"))
    compiled = backend.compile(function, signature, jit_compile=jit_compile)
    ones = np.ones((2, 3), "float32")
    out = compiled({"a": ones, "b": [2 * ones]}, 5.0)
    np.testing.assert_array_equal(out["sum"], 3 * ones)
    np.testing.assert_array_equal(out["scaled"][0], 5 * ones)


def test_many_threads_share_one_trace():
    ready, out = threading.Barrier(8), [None] * 8
    compiled = backend.compile(lambda _, x: x + 1, (SPEC,))

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
    compiled = backend.compile(lambda weights, x: x * weights[0], (SPEC,), variables=[weight])
    compiled(np.ones((1, 3)))
    backend.assign(weight, np.full(3, 4))
    assert compiled(np.ones((1, 3))).numpy().tolist() == [[4, 4, 4]]
    assert backend.trace_count(compiled) == 1
    assert not weight.trainable


def test_the_concrete_function_is_to_be_had_for_one_batch_size_or_any():
    compiled = backend.compile(lambda _, x: x * 2, (SPEC,))
    for batch_size in (None, 5):
        graph = backend.concrete(compiled, batch_size)
        assert graph.structured_outputs.shape.as_list() == [batch_size, 3]
        assert backend.concrete(compiled, batch_size) is graph


def twice_the_square(x):
    return 2 * ops.square(x)


def elementwise(_, x):
    return backend.fused(twice_the_square, x)


def islands(graph):
    return [op.name for op in graph.graph.get_operations() if "PartitionedCall" in op.type]


def test_large_elementwise_runs_become_islands_where_the_batch_size_is_known():
    """For any batch size there are none: XLA would compile, and keep, one for each."""
    compiled = backend.compile(elementwise, (LARGE,), jit_compile=False)
    assert len(islands(backend.concrete(compiled, 2))) == 1
    assert islands(backend.concrete(compiled)) == []
    small = backend.compile(elementwise, (SPEC,), jit_compile=False)
    assert islands(backend.concrete(small, 2)) == []


@pytest.mark.parametrize(
    ("sizes", "another"), [([3, 1, 2, 5, 8, 3, 5], 4), ([1, 2, 3, 4, 16, 17, 18, 19, 16], 20)]
)
def test_islands_are_compiled_for_four_batch_sizes_and_four_larger_ones(sizes, another):
    compiled = backend.compile(elementwise, (LARGE,), jit_compile=False)

    def explain(size):
        x = np.random.default_rng(size).normal(size=(size, 2**14)).astype("float32")
        np.testing.assert_allclose(compiled(x), 2 * x**2, rtol=1e-6)

    for size in sizes:
        explain(size)
    assert backend.trace_count(compiled) == 1
    for size in (another, *range(1, 20)):
        explain(size)
        assert backend.trace_count(compiled) == 2


@pytest.mark.parametrize(("spec", "jit_compile"), [(SPEC, False), (LARGE, True)])
def test_without_islands_there_is_one_trace_for_every_batch_size(spec, jit_compile):
    compiled = backend.compile(elementwise, (spec,), jit_compile=jit_compile)
    for size in range(1, 7):
        compiled(np.ones((size, spec.shape[1])))
    backend.concrete(compiled)
    assert backend.trace_count(compiled) == 1
