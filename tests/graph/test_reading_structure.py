"""Models of models: nesting, sharing, several inputs and outputs, sizes unknown until run time."""

import keras
import numpy as np
import pytest
from installed import KERAS
from keras import layers

from lrpkeras.graph import keras_reader

pytestmark = pytest.mark.usefixtures("float64")


def tower(name="tower", shape=(None, None, 3)):
    inputs = keras.Input(shape, name=f"{name}_in")
    x = layers.Conv2D(4, 3, padding="same", strides=2, activation="relu", name="conv")(inputs)
    x = layers.BatchNormalization(name="bn")(x)
    return keras.Model(inputs, x, name=name)


def test_sequential_models_are_read(agrees):
    model = keras.Sequential(
        [keras.Input((6, 6, 2)), layers.Conv2D(3, 3), layers.ReLU(), layers.Flatten()]
    )
    agrees(model)


def test_a_sequential_model_built_by_a_call_is_read(agrees):
    model = keras.Sequential([layers.Dense(3, activation="relu"), layers.Dense(2)])
    model(np.ones((1, 4)))
    agrees(model)


def test_nested_models_carry_their_path(agrees):
    inner = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="dense")], name="inner")
    inputs = keras.Input((4,), name="x")
    middle = keras.Model(inputs, layers.ReLU(name="relu")(inner(inputs)), name="middle")
    outer = keras.Sequential([keras.Input((4,), name="first"), middle, layers.Dense(2, name="top")])
    graph = agrees(outer)
    assert list(graph.nodes) == ["first", "middle/inner/dense", "middle/relu", "top"]
    assert graph["middle/inner/dense"].layers == ("middle/inner/dense",)
    assert graph.places["middle"] == "middle/relu"
    assert graph.places["middle/inner"] == "middle/inner/dense"
    assert graph.places["middle/x"] == "first"


def test_nested_models_compute_what_flat_ones_do():
    shared = [layers.Dense(5, activation="tanh", name=f"dense{i}") for i in range(3)]
    inputs = keras.Input((4,), name="x")
    flat = keras.Model(inputs, shared[2](shared[1](shared[0](inputs))))
    again = keras.Input((4,), name="x")
    nested = keras.Model(
        again, shared[2](keras.Sequential([keras.Input((5,)), shared[1]])(shared[0](again)))
    )
    x = keras.ops.convert_to_tensor(np.random.normal(size=(3, 4)))
    results = []
    for model in (flat, nested):
        graph = keras_reader.read(model)
        results.append(graph.evaluate({"x": x})[graph.outputs[0]].numpy())
    np.testing.assert_array_equal(*results)


def test_a_nested_model_gets_the_sizes_that_it_is_called_on(agrees):
    inputs = keras.Input((9, 8, 3))
    graph = agrees(keras.Model(inputs, tower()(inputs, training=False)))
    assert graph["tower/conv"].shape == (None, 5, 4, 4)
    assert graph["tower/conv"].operation.padding == ((1, 1), (0, 1))


def test_a_model_called_twice_shares_its_arrays(agrees):
    inputs = [keras.Input((8, 8, 3)), keras.Input((9, 9, 3))]
    twin = tower()
    pooled = [layers.GlobalAveragePooling2D()(twin(x)) for x in inputs]
    graph = agrees(keras.Model(inputs, layers.Subtract()(pooled)))
    one, two = graph["tower/conv"], graph["tower#2/conv"]
    assert one.kernel is two.kernel
    assert one.bias is two.bias
    assert two.layers == ("tower/conv",)
    assert two.operation.padding != one.operation.padding


def test_a_layer_called_twice_is_two_nodes_of_one_array(agrees):
    inputs = keras.Input((4,))
    dense = layers.Dense(4, activation="relu", name="dense")
    graph = agrees(keras.Model(inputs, dense(dense(inputs))))
    assert list(graph.nodes)[1:] == ["dense", "dense:relu", "dense#2", "dense#2:relu"]
    assert graph["dense"].kernel is graph["dense#2"].kernel
    assert graph["dense#2"].layers == ("dense",)


def test_calls_outside_of_the_model_do_not_count():
    dense = layers.Dense(4, name="dense")
    dense(keras.Input((4,)))
    inputs = keras.Input((4,))
    graph = keras_reader.read(keras.Model(inputs, dense(inputs)))
    assert graph.outputs == ("dense",)


def test_inputs_may_be_a_list(agrees):
    inputs = [keras.Input((3,), name="b"), keras.Input((4,), name="a")]
    graph = agrees(keras.Model(inputs, layers.Concatenate()(inputs)))
    assert graph.inputs == ("b", "a")


def test_inputs_may_be_a_list_of_one(agrees):
    inputs = keras.Input((3,))
    agrees(keras.Model([inputs], [layers.Dense(2)(inputs)]))


def test_inputs_may_be_a_dict(agrees):
    inputs = {"b": keras.Input((3,), name="b"), "a": keras.Input((4,), name="a")}
    x = layers.Concatenate()([inputs["b"], inputs["a"]])
    model = keras.Model(inputs, {"sum": layers.Dense(2)(x), "all": x})
    graph = agrees(model)
    assert graph.inputs == tuple(x.name for x in model.inputs)


def test_nested_models_may_take_and_give_dicts(agrees):
    inner_inputs = {"b": keras.Input((3,), name="b"), "a": keras.Input((3,), name="a")}
    difference = layers.Subtract()([inner_inputs["b"], inner_inputs["a"]])
    inner = keras.Model(inner_inputs, {"z": difference, "y": inner_inputs["a"]}, name="inner")
    inputs = keras.Input((3,))
    outputs = inner({"a": layers.Dense(3)(inputs), "b": inputs})
    agrees(keras.Model(inputs, layers.Concatenate()([outputs["z"], outputs["y"]])))


def test_a_nested_model_of_a_list_may_be_called_with_a_dict(agrees):
    pair = [keras.Input((3,), name="b"), keras.Input((3,), name="a")]
    inner = keras.Model(pair, layers.Subtract()(pair), name="inner")
    inputs = [keras.Input((3,), name="a"), keras.Input((3,), name="b")]
    agrees(keras.Model(inputs, inner(dict(zip("ab", inputs, strict=True)))))


def test_several_outputs_keep_their_order_and_may_repeat(agrees):
    inputs = keras.Input((3,))
    x = layers.Dense(4, name="one")(inputs)
    y = layers.Dense(2, name="two")(x)
    graph = agrees(keras.Model(inputs, [y, x, inputs, y]))
    assert graph.outputs == ("two", "one", graph.inputs[0], "two")


def test_a_nested_model_with_several_outputs_numbers_its_places(agrees):
    inner_inputs = keras.Input((3,))
    outputs = [layers.Dense(2, name="p")(inner_inputs), layers.Dense(2, name="q")(inner_inputs)]
    inner = keras.Model(inner_inputs, outputs, name="inner")
    inputs = keras.Input((3,))
    graph = agrees(keras.Model(inputs, layers.Add()(inner(inputs))))
    assert (graph.places["inner:0"], graph.places["inner:1"]) == ("inner/p", "inner/q")


@pytest.mark.skipif(KERAS < (3, 13), reason="Keras 3.12 makes no such model")
def test_an_input_that_nothing_reads_stays_an_input(agrees):
    inputs = [keras.Input((3,), name="used"), keras.Input((4,), name="unused")]
    graph = agrees(keras.Model(inputs, layers.Dense(2)(inputs[0])))
    assert graph.inputs == ("used", "unused")


def test_sizes_may_be_unknown_until_run_time(agrees):
    inputs = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 3, padding="same", name="steady")(inputs)
    x = layers.Conv2D(4, 3, strides=2, padding="same", name="halved")(x)
    skip = x
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu6")(x)
    x = layers.Add()([x, skip])
    x = layers.MaxPooling2D(3, 2, padding="same")(x)
    x = layers.UpSampling2D(2)(x)
    x = layers.Conv2DTranspose(3, 3, strides=2, padding="same")(x)
    x = layers.ZeroPadding2D(1)(layers.Cropping2D(2)(x))
    model = keras.Model(inputs, [layers.GlobalAveragePooling2D()(x), x])
    for sizes in ((32, 27), (33, 40)):
        graph = agrees(model, sizes)
    assert graph["steady"].operation.padding == ((1, 1), (1, 1))
    assert graph["halved"].operation.padding == "same"


def test_flatten_of_unknown_sizes_is_read(agrees):
    inputs = keras.Input((None, None, 3))
    agrees(keras.Model(inputs, layers.Flatten()(inputs)), sizes=(4, 5))


def test_models_in_float32_are_read_in_float32():
    inputs = keras.Input((3,), dtype="float32")
    graph = keras_reader.read(keras.Model(inputs, layers.Dense(2, dtype="float32")(inputs)))
    assert graph.dtype == "float32"
    assert {a.dtype for n in graph for a in n.parameters.values()} == {np.dtype("float32")}


def test_mixed_precision_models_are_read_in_float32():
    inputs = keras.Input((3,), dtype="float32")
    dense = layers.Dense(2, dtype="mixed_bfloat16")
    graph = keras_reader.read(keras.Model(inputs, dense(inputs)))
    assert graph.dtype == "float32"
    np.testing.assert_array_equal(graph[graph.outputs[0]].kernel, dense.kernel.numpy())


def test_whole_numbers_may_come_in():
    inputs = keras.Input((4, 4, 3), dtype="uint8")
    x = layers.Rescaling(1 / 255)(layers.Permute((3, 1, 2))(inputs))
    graph = keras_reader.read(keras.Model(inputs, x))
    assert graph[graph.inputs[0]].dtype == "uint8"


def test_arrays_are_copies_of_the_weights():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, layers.Dense(2, name="dense")(inputs))
    graph = keras_reader.read(model)
    before = graph["dense"].kernel.copy()
    model.get_layer("dense").kernel.assign(np.full((3, 2), 7.0))
    np.testing.assert_array_equal(graph["dense"].kernel, before)


class Functional(keras.Model):
    """A subclass by name alone: made of inputs and outputs, training in a way of its own."""

    def train_step(self, data):
        raise NotImplementedError


def test_a_functional_model_of_a_class_of_its_own_is_read(agrees):
    inputs = keras.Input((3,))
    model = Functional(inputs, layers.Dense(2)(inputs))
    agrees(model)
    again = keras.Input((3,))
    agrees(keras.Model(again, model(again)))


def test_a_submodel_cut_out_of_a_model_is_read(agrees):
    inputs = keras.Input((3,))
    x = layers.Dense(4, name="one")(inputs)
    y = layers.Dense(2, name="two")(x)
    keras.Model(inputs, y)
    agrees(keras.Model(x, y))


def a_model_of_everything():
    inputs = keras.Input((8, 8, 3))
    x = tower()(inputs)
    x = layers.Dropout(0.3)(layers.RandomFlip()(x))
    x = keras.ops.mean(x * 2.0 + x, axis=(1, 2))
    x = layers.PReLU()(layers.Dense(3, activity_regularizer="l2")(x))
    return keras.Model(inputs, layers.Dense(2, activation="softmax")(x))


def all_layers(model):
    found = [model]
    for operation in model.operations if hasattr(model, "operations") else ():
        found += [operation, *(all_layers(operation) if hasattr(operation, "operations") else [])]
    return found


def state(model):
    operations = all_layers(model)
    return (
        [(len(o._inbound_nodes), len(o._outbound_nodes)) for o in operations],
        [getattr(o, "built", None) for o in operations],
        [sorted(vars(o)) for o in operations],
        [v.numpy().tobytes() for v in model.variables],
        [len(getattr(o, "losses", ())) for o in operations],
    )


def test_reading_and_running_leave_the_model_as_it_was():
    model = a_model_of_everything()
    x = np.random.normal(size=(2, 8, 8, 3))
    model(x, training=False)
    before = state(model)
    keras_reader.read(model)
    assert state(model) == before
    keras_reader.run(model, x)
    assert state(model) == before


def test_reading_twice_gives_the_same_graph():
    model = a_model_of_everything()
    one, two = keras_reader.read(model), keras_reader.read(model)
    assert list(one.nodes) == list(two.nodes)
    assert one.places == two.places
