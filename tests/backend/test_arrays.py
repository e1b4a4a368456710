"""Shapes and values of tensors."""

import numpy as np
import pytest
import tensorflow as tf
from window_loops import normal

from lrpkeras import backend


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
