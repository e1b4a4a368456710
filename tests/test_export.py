"""Exported analyzers: SavedModels that run without lrpkeras, and `lrpkeras.load`.

What an analyzer returns is the expected value: an export is another way to run the same function.
"""

import json
import shutil
import subprocess
import sys
from contextlib import nullcontext

import every_backend
import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from linear_layers import float64

import lrpkeras
from lrpkeras import rules
from lrpkeras.errors import InputError, LrpError, ModelError, RuleError, TargetError

# The bound, of the largest entry: the same operations, but for those that XLA fused.
TOLERANCE = 1e-6


def close(got, expected, tolerance=TOLERANCE):
    got, expected = np.asarray(got), np.asarray(expected)
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() <= tolerance * np.abs(expected).max()


@pytest.fixture(scope="module")
def images():
    return lrpkeras.datasets.shapes(5, seed=0).images


@pytest.fixture(scope="module")
def analyzer():
    return lrpkeras.Analyzer(lrpkeras.datasets.shapes_model(), input_range=(0, 1))


@pytest.fixture(scope="module")
def folder(analyzer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "new" / "shapes"
    analyzer.export(folder)
    return folder


@pytest.fixture(scope="module")
def loaded(folder):
    return lrpkeras.load(folder)


# What it returns


@pytest.mark.parametrize(
    "target",
    [None, 2, [0, 1, 2, 3, 4], [[1, 2, 5]] * 5, [list(range(6))] * 5, "all"],
    ids=["winner", "one", "one each", "three", "listed", "all"],
)
def test_maps_are_those_of_the_analyzer(analyzer, loaded, images, target):
    close(loaded(images, target), analyzer(images, target))


def test_relevance_starts_from_arrays_and_callables(analyzer, loaded, images):
    factors = np.random.default_rng(0).normal(size=(5, 6)).astype("float32")
    close(loaded(images, factors), analyzer(images, factors))
    close(loaded(images, factors[0]), analyzer(images, factors[0]))
    positive = loaded(images, lambda logits: logits > 0)
    close(positive, analyzer(images, lambda logits: logits > 0))


def test_data_sets_are_explained_in_batches(analyzer, loaded, images):
    got, expected = (one.explain(images, batch_size=2, verbose=0) for one in (loaded, analyzer))
    close(got.relevance, expected.relevance)
    close(got.output, expected.output)
    np.testing.assert_array_equal(got.target, expected.target)
    dataset = tf.data.Dataset.from_tensor_slices(images).batch(3)
    close(loaded.explain(dataset, verbose=0).relevance, expected.relevance)
    close(loaded.logits(images), expected.output)


QUICK = (every_backend.residual, every_backend.two_inputs, every_backend.words)
KINDS = [
    pytest.param(kind, id=kind.__name__, marks=[] if kind in QUICK else [pytest.mark.slow])
    for kind in every_backend.SMALL
]


@pytest.mark.parametrize("network", KINDS)
def test_every_kind_of_network(network, tmp_path):
    """In float64: where shares cancel, one class or two at a time are 2e-6 apart in float32."""
    keras.utils.set_random_seed(1)
    # TensorFlow has no float64 kernels for such volumes on a CPU.
    narrow = network is every_backend.volume
    with nullcontext() if narrow else float64():
        model = keras.Model(*network())
    analyzer = lrpkeras.Analyzer(model, "epsilon_alpha2_beta1_flat")
    rng = np.random.default_rng(1)
    x = [
        rng.integers(0, 9, (3, *node.shape[1:]))
        if keras.backend.is_int_dtype(node.dtype)
        else rng.normal(size=(3, *node.shape[1:]))
        for node in model.inputs
    ]
    analyzer.export(tmp_path / "model")
    loaded = lrpkeras.load(tmp_path / "model")
    for target in (None, [[0, 3]] * 3):
        for got, expected in zip(loaded(x, target), analyzer(x, target), strict=True):
            close(got, expected, every_backend.SINGLE if narrow else TOLERANCE)


def test_inputs_nested_in_a_dict_are_taken_and_returned_so(tmp_path):
    parts = {"target": keras.Input((3,), name="target"), "b-c": keras.Input((2,), name="b-c")}
    outputs = layers.Dense(2)(layers.Concatenate()([parts["target"], parts["b-c"]]))
    analyzer = lrpkeras.Analyzer(keras.Model(parts, outputs), "zero")
    analyzer.export(tmp_path / "model")
    x = {"target": np.ones((2, 3), "float32"), "b-c": np.ones((2, 2), "float32")}
    got, expected = lrpkeras.load(tmp_path / "model")(x), analyzer(x)
    assert list(got) == list(expected)
    for key in x:
        close(got[key], expected[key])
    explain = tf.saved_model.load(tmp_path / "model").signatures["explain"]
    found = explain(target_=x["target"], b_c=x["b-c"], target=np.array([0, 1], "int32"))
    assert set(found) == {"relevance_target_", "relevance_b_c", "output", "target"}


SETTINGS = {
    "batch_norm": "identity",
    "bias": "ignore",
    "input_range": (-4.0, 4.0),
    "output": "scores",
    "initial": "unit",
    "jit_compile": True,
    "verify": False,
}


def test_every_setting_is_kept(tmp_path):
    keras.utils.set_random_seed(2)
    inputs = keras.Input((6, 6, 2), dtype="float16")
    x = layers.BatchNormalization()(layers.Conv2D(3, 3)(inputs))
    x = layers.Dense(4, name="scores")(layers.Flatten()(layers.ReLU()(x)))
    model = keras.Model(inputs, [x, layers.Dense(2)(x)])
    analyzer = lrpkeras.Analyzer(model, "gamma", rules={"scores": rules.Epsilon(0.1)}, **SETTINGS)
    assert set(SETTINGS) | {"preset", "rules", "precision"} == set(analyzer.get_config())
    analyzer.export(tmp_path / "model")
    loaded = lrpkeras.load(tmp_path / "model")
    assert loaded.get_config() == analyzer.get_config()
    assert loaded.options == analyzer.options
    assert loaded.fingerprint == analyzer.fingerprint
    assert loaded.summary(print_fn=str) == analyzer.summary(print_fn=str)
    x = np.random.default_rng(0).normal(size=(3, 6, 6, 2)).astype("float16")
    # XLA adds in an order of its own.
    close(loaded(x), analyzer(x), 1e-5)
    again = lrpkeras.Analyzer.from_config(loaded.get_config(), model)
    np.testing.assert_array_equal(again(x), analyzer(x))


def test_bfloat16_products_are_kept(tmp_path, images):
    model = lrpkeras.datasets.shapes_model()
    analyzer = lrpkeras.Analyzer(model, precision="bfloat16")
    analyzer.export(tmp_path / "model")
    close(lrpkeras.load(tmp_path / "model")(images), analyzer(images))


def test_an_export_is_a_snapshot(tmp_path):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2, use_bias=False)])
    analyzer = lrpkeras.Analyzer(model, "zero")
    x = np.ones((1, 3), "float32")
    model.set_weights([np.array([[1, 0], [2, 0], [3, 0]], "float32")])
    analyzer.refresh()
    analyzer.export(tmp_path / "new")
    model.set_weights([np.zeros((3, 2), "float32")])
    analyzer.refresh()
    # LRP-0 of one linear layer is x w.
    np.testing.assert_allclose(lrpkeras.load(tmp_path / "new")(x, 0), [[1, 2, 3]], rtol=1e-6)
    analyzer.export(tmp_path / "old")
    np.testing.assert_array_equal(lrpkeras.load(tmp_path / "old")(x, 0), [[0, 0, 0]])


# Where neither lrpkeras nor Keras is

ALONE = """
import sys
sys.modules["keras"] = sys.modules["lrpkeras"] = None  # importing them raises
import numpy as np, tensorflow as tf
try:
    import keras
except ImportError:
    pass
else:
    raise SystemExit("keras could be imported")
data = np.load(sys.argv[2])
signatures = tf.saved_model.load(sys.argv[1]).signatures
winner = signatures["serving_default"](images=tf.constant(data["images"]))
target = tf.constant(data["target"])
given = signatures["explain"](images=tf.constant(data["images"]), target=target)
one = signatures["serving_default"](images=tf.constant(data["images"][:1]))
np.savez(sys.argv[3], given=given["relevance"], one=one["relevance"], **winner)
"""


def test_it_runs_where_neither_lrpkeras_nor_keras_can_be_imported(
    analyzer, folder, images, tmp_path
):
    target = np.array([5, 4, 3, 2, 1], "int32")
    np.savez(tmp_path / "in.npz", images=images, target=target)
    words = [sys.executable, "-c", ALONE, folder, tmp_path / "in.npz", tmp_path / "out.npz"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = np.load(tmp_path / "out.npz")
    expected = analyzer.explain(images, verbose=0)
    close(found["relevance"], expected.relevance)
    close(found["one"], expected.relevance[:1])
    close(found["output"], expected.output)
    np.testing.assert_array_equal(found["target"], expected.target)
    close(found["given"], analyzer(images, target))


@pytest.mark.slow
def test_tensorflow_s_own_command_runs_it(analyzer, folder, images, tmp_path):
    np.save(tmp_path / "images.npy", images)
    words = ["run", "--dir", folder, "--tag_set", "serve", "--signature_def", "serving_default"]
    words += ["--inputs", f"images={tmp_path / 'images.npy'}", "--outdir", tmp_path]
    command = "from tensorflow.python.tools.saved_model_cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", command, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    close(np.load(tmp_path / "relevance.npy"), analyzer(images))


def test_what_an_analyzer_refuses_the_graph_refuses(folder, images):
    signatures = tf.saved_model.load(folder).signatures
    default, explain = signatures["serving_default"], signatures["explain"]
    spoilt = images.copy()
    spoilt[0, 0, 0, 0] = np.nan
    for wrong, message in ((spoilt, "'images' holds NaN"), (2 * images + 1, "lies outside")):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            default(images=tf.constant(wrong))
    for target, message in (([6] * 5, "not in 0 to 5"), ([-1] * 5, "not in"), ([1], "one class")):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            explain(images=tf.constant(images), target=tf.constant(target, "int32"))
    factors = np.full((5, 6), np.inf, "float32")
    with pytest.raises(tf.errors.InvalidArgumentError, match="'factors' holds"):
        signatures["explain_array"](images=tf.constant(images), factors=tf.constant(factors))


def test_what_does_not_fit_together_is_refused(tmp_path, folder, images):
    signatures = tf.saved_model.load(folder).signatures
    with pytest.raises(tf.errors.InvalidArgumentError, match="no sample"):
        signatures["serving_default"](images=tf.zeros((0, 48, 48, 3)))
    with pytest.raises(tf.errors.InvalidArgumentError, match="factors is not"):
        signatures["explain_array"](images=tf.constant(images), factors=tf.zeros((4, 6)))
    keras.utils.set_random_seed(0)
    one, two = keras.Input((3,), name="class"), keras.Input((3,), name="self")
    three = keras.Input((3,), name="a\u00b2")
    analyzer = lrpkeras.Analyzer(keras.Model([one, two, three], layers.Add()([one, two, three])))
    analyzer.export(tmp_path / "model")
    signature = tf.saved_model.load(tmp_path / "model").signatures["serving_default"]
    arrays = {name: tf.ones((2, 3)) for name in ("class_", "self_", "a_")}
    assert signature(**arrays)["relevance_class_"].shape == (2, 3)
    with pytest.raises(tf.errors.InvalidArgumentError, match="different numbers"):
        signature(**{**arrays, "a_": tf.ones((1, 3))})


@pytest.mark.parametrize(("dtype", "rows"), [("uint8", 256), ("uint8", 300), ("int8", 128)])
def test_indices_of_few_bytes_are_compared_in_full(tmp_path, dtype, rows):
    inputs = keras.Input((2,), dtype=dtype)
    x = layers.Flatten()(layers.Embedding(rows, 3)(inputs))
    analyzer = lrpkeras.Analyzer(keras.Model(inputs, layers.Dense(2)(x)))
    analyzer.export(tmp_path / "model")
    x = np.array([[0, 100]], dtype)
    close(lrpkeras.load(tmp_path / "model")(x), analyzer(x))


def test_indices_that_are_no_rows_are_refused(tmp_path):
    keras.utils.set_random_seed(0)
    analyzer = lrpkeras.Analyzer(keras.Model(*every_backend.words()))
    analyzer.export(tmp_path / "words")
    signature = tf.saved_model.load(tmp_path / "words").signatures["serving_default"]
    (name,) = signature.structured_input_signature[1]
    for index in (9, -1):
        with pytest.raises(tf.errors.InvalidArgumentError, match="no row"):
            signature(**{name: tf.constant([[index] + 6 * [1]])})


# SavedModels explained


@pytest.mark.slow
def test_the_signatures_of_an_explained_saved_model_are_kept(tmp_path, images):
    model = lrpkeras.datasets.shapes_model()
    model.export(tmp_path / "model", verbose=False)
    analyzer = lrpkeras.Analyzer(tmp_path / "model")
    analyzer.export(tmp_path / "explained")
    signatures = tf.saved_model.load(tmp_path / "explained").signatures
    ours = {"serving_default", "explain", "explain_array", "logits"}
    theirs = {"original_serving_default", "serve"}
    assert set(signatures) >= ours | {"original_serving_default"}
    assert set(signatures) <= ours | theirs
    original = tf.saved_model.load(tmp_path / "model").signatures["serving_default"]
    (name,) = original.structured_input_signature[1]
    (expected,) = original(**{name: tf.constant(images)}).values()
    (got,) = signatures["original_serving_default"](**{name: tf.constant(images)}).values()
    np.testing.assert_array_equal(got, expected)
    close(lrpkeras.load(tmp_path / "explained")(images), analyzer(images))


def test_no_message_names_a_folder_that_is_gone(tmp_path, caplog):
    """In notebooks TensorFlow tells where it has written; that is aside, and then renamed."""
    model = keras.Sequential([keras.Input((2,)), layers.Dense(2)])
    with caplog.at_level("INFO", logger="tensorflow"):
        tf.get_logger().info("before")
        lrpkeras.Analyzer(model).export(tmp_path / "explainer")
        tf.get_logger().info("after")
    assert caplog.messages == ["before", "after"]


# Bad input


def test_nothing_is_overwritten_and_nothing_left_behind(analyzer, tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    with pytest.raises(ModelError, match="is there already"):
        analyzer.export(tmp_path / "mine")

    def full(*arguments, **options):
        raise OSError("No space left on device")

    monkeypatch.setattr(tf.saved_model, "save", full)
    with pytest.raises(OSError, match="No space"):
        analyzer.export(tmp_path / "other")
    assert [file.name for file in tmp_path.iterdir()] == ["mine"]


def test_what_needs_the_model_is_refused(loaded, images):
    with pytest.raises(LrpError, match="no hidden layers"):
        loaded.explain(images, layers="conv*")
    with pytest.raises(LrpError, match="no condition"):
        loaded.explain(images, condition={"conv": 1})


@pytest.mark.parametrize(
    ("x", "target", "error"),
    [
        (np.zeros((2, 9, 9, 3)), None, InputError),
        (np.full((2, 48, 48, 3), 7.0), None, InputError),
        (np.full((2, 48, 48, 3), np.nan), None, InputError),
        (np.zeros((2, 48, 48, 3)), 6, TargetError),
    ],
)
def test_bad_input_gets_the_analyzer_s_errors(loaded, x, target, error):
    with pytest.raises(error):
        loaded(x, target)


def test_what_is_no_exported_analyzer_is_named(tmp_path, folder):
    with pytest.raises(ModelError, match="There is no exported analyzer"):
        lrpkeras.load(tmp_path / "nothing")
    with pytest.raises(ModelError, match=r"is no exported analyzer.*Analyzer\(path\)"):
        lrpkeras.load(tmp_path)
    with pytest.raises(ModelError, match=r"lrpkeras.load"):
        lrpkeras.Analyzer(folder)


@pytest.mark.parametrize(
    "record",
    ["", "{", "[]", '{"format": 2}', '{"format": 1}', "[" * 100_000],
    ids=["empty", "cut", "list", "newer", "lacking", "deep"],
)
def test_a_damaged_record_is_named(folder, tmp_path, record):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "assets" / "lrpkeras.json").write_text(record)
    with pytest.raises(ModelError, match=r"lrpkeras\.json"):
        lrpkeras.load(copy)


def test_settings_that_are_none_are_named(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    file = copy / "assets" / "lrpkeras.json"
    record = json.loads(file.read_text())
    del record["config"]["rules"]
    file.write_text(json.dumps(record))
    with pytest.raises(ModelError, match="record is damaged"):
        lrpkeras.load(copy)


def test_an_explanation_is_no_model_to_explain(folder):
    function = tf.saved_model.load(folder).signatures["serving_default"]
    with pytest.raises(LrpError):
        lrpkeras.Analyzer(function)


# Settings alone


def test_settings_are_kept_in_a_file(analyzer, images, tmp_path):
    analyzer.save_config(tmp_path / "analyzer.json")
    model = lrpkeras.datasets.shapes_model()
    again = lrpkeras.Analyzer.from_config(tmp_path / "analyzer.json", model)
    assert again.get_config() == analyzer.get_config()
    np.testing.assert_array_equal(again(images), analyzer(images))


@pytest.mark.parametrize("text", ["", "{", "[1]", '"x"'])
def test_a_file_of_no_settings_is_named(tmp_path, text):
    (tmp_path / "wrong.json").write_text(text)
    model = lrpkeras.datasets.shapes_model()
    with pytest.raises(RuleError):
        lrpkeras.Analyzer.from_config(tmp_path / "wrong.json", model)
    with pytest.raises(RuleError, match=r"absent.json"):
        lrpkeras.Analyzer.from_config(tmp_path / "absent.json", model)


def test_a_fingerprint_names_graph_and_weights(analyzer):
    model = lrpkeras.datasets.shapes_model()
    assert lrpkeras.Analyzer(model, "zero").fingerprint == analyzer.fingerprint
    kernel = model.trainable_variables[0]
    kernel.assign(kernel.numpy() * np.float32(1 + 1e-6))
    assert lrpkeras.Analyzer(model).fingerprint != analyzer.fingerprint


# Real data


@pytest.mark.reference
def test_mobilenet_on_photos(data_folder, tmp_path):
    from experiments import data

    photos = data.photos(data_folder, 8).images
    x = (photos / 127.5 - 1).astype("float32")
    analyzer = lrpkeras.Analyzer(data.mobilenet(data_folder))
    analyzer.export(tmp_path / "mobilenet")
    loaded = lrpkeras.load(tmp_path / "mobilenet")
    close(loaded(x), analyzer(x))
