"""Matrix products against NumPy."""

from collections import Counter

import numpy as np
import pytest
import tensorflow as tf
from window_loops import normal

from lrpkeras import backend


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


def test_the_adjoint_of_a_large_kernel_leaves_the_kernel_as_it_lies_in_memory():
    kernel, s = normal(1024, 1024), normal(3, 1024)
    np.testing.assert_allclose(backend.matmul_adjoint(s, kernel), s @ kernel.T, atol=1e-10)
    held = backend.variable(kernel, "kernel")
    spec = tf.TensorSpec((None, 1024), "float64")
    graph = tf.function(lambda s: backend.matmul_adjoint(s, held)).get_concrete_function(spec)
    (product,) = (op for op in graph.graph.get_operations() if op.type == "MatMul")
    assert not product.get_attr("transpose_a")
    assert product.inputs[0].shape.as_list() == [1024, 1024]
    assert graph.structured_outputs.shape.as_list() == [None, 1024]


def test_einsum_is_numpys():
    a, b = normal(2, 3, 4), normal(4, 3)
    expected = np.einsum("bij,ji->bi", a, b)
    np.testing.assert_allclose(backend.einsum("bij,ji->bi", a, b), expected, atol=1e-12)
