"""The callback draws what is learnt, at the right epochs, and the model learns as without it."""

import io
import os
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import lrpkeras
from lrpkeras.callbacks import RelevanceCallback
from lrpkeras.errors import InputError, LrpError, TargetError, UnsupportedLayerError
from lrpkeras.plot import montage

WHOLE, CLASSES, _ = lrpkeras.datasets.shapes(32, seed=0)
IMAGES = WHOLE[:, ::4, ::4]
NAMES = lrpkeras.datasets.shapes_classes
GREYS = list(IMAGES[:3] @ [0.299, 0.587, 0.114])


def network():
    """All that could notice: statistics, dropout, a layer that is not trained."""
    return keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            layers.Conv2D(4, 3, name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.ReLU(),
            layers.Dropout(0.2),
            layers.Conv2D(4, 3, activation="relu", trainable=False),
            layers.GlobalAveragePooling2D(),
            layers.Dense(6, name="head"),
        ]
    )


def compiled(model, **settings):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss, **settings)
    return model


def fit(model, *callbacks, **settings):
    arguments = {"epochs": 2, "batch_size": 16, "verbose": 0, **settings}
    return model.fit(IMAGES, CLASSES, callbacks=list(callbacks), **arguments)


def watching(folder, **settings):
    return RelevanceCallback(IMAGES[:3], folder=folder, **settings)


def plain():
    """What is trained in a moment."""
    model = keras.Sequential([keras.Input((12, 12, 3)), layers.Flatten(), layers.Dense(6)])
    return compiled(model)


def opened(path):
    return np.asarray(Image.open(path))


def drawn(explanation, **settings):
    return montage.maps(explanation, GREYS, **settings)


@pytest.mark.parametrize(
    ("settings", "epochs", "files"),
    [
        ({}, range(2), ["end.png", "epoch_0001.png", "epoch_0002.png"]),
        ({"every": 2}, range(5), ["end.png", "epoch_0002.png", "epoch_0004.png"]),
        (
            {"every": np.int64(3), "at_end": False},
            range(2, 6),
            ["epoch_0003.png", "epoch_0006.png"],
        ),
        ({"every": 9}, range(1), ["end.png"]),
    ],
)
def test_sheets_are_written_at_the_right_epochs(settings, epochs, files, tmp_path):
    folder = tmp_path / "new" / "folder"
    arguments = {"initial_epoch": epochs.start, "epochs": epochs.stop}
    fit(plain(), watching(folder, **settings), **arguments)
    assert sorted(os.listdir(folder)) == files


def state(model):
    variables = [*model.variables, *model.optimizer.variables]
    flags = [(layer.trainable, len(layer._inbound_nodes)) for layer in model.layers]
    return [np.asarray(variable).tobytes() for variable in variables], flags


SLOW = [{"jit_compile": True}, {"run_eagerly": True}]


@pytest.mark.parametrize(
    "settings", [{}, *(pytest.param(settings, marks=pytest.mark.slow) for settings in SLOW)]
)
def test_the_model_learns_the_same_bit_for_bit_as_without_it(settings, tmp_path):
    states = []
    for callbacks in ([], [watching(tmp_path, log_dir=tmp_path)]):
        keras.utils.set_random_seed(3)
        model = compiled(network(), **settings)
        history = fit(model, *callbacks, validation_split=0.25)
        states.append((*state(model), history.history))
    assert states[0] == states[1]
    assert len(os.listdir(tmp_path)) == 4


def test_a_sheet_is_what_a_new_analyzer_explains(tmp_path):
    model = compiled(network())
    settings = {"preset": "z_plus", "batch_norm": "identity"}
    fit(model, watching(tmp_path, labels=NAMES, clip=99, **settings))
    explanation = lrpkeras.Analyzer(model, **settings).explain(IMAGES[:3], verbose=0)
    expected = drawn(explanation, labels=NAMES, clip=99)
    for name in ("epoch_0002.png", "end.png"):
        np.testing.assert_array_equal(opened(tmp_path / name), expected)
    assert (opened(tmp_path / "epoch_0001.png") != expected).any()


@pytest.mark.parametrize("target", [4, [0, 5, 2], [[0, 1], [2, 3], [4, 5]]])
def test_targets_are_those_of_explain(target, tmp_path):
    model, callback = plain(), watching(tmp_path, target=target)
    callback.set_model(model)
    callback.on_train_begin()
    callback.on_train_end()
    explanation = lrpkeras.Analyzer(model).explain(IMAGES[:3], target, verbose=0)
    np.testing.assert_array_equal(opened(tmp_path / "end.png"), drawn(explanation))


def test_tensorboard_gets_the_pixels_of_the_files_with_the_steps_of_keras(tmp_path):
    board = tmp_path / "board"
    with tf.summary.record_if(False):  # what others record is their own affair
        fit(plain(), watching(tmp_path, log_dir=board, every=2), epochs=5)
    events = EventAccumulator(str(board), size_guidance={"tensors": 0}).Reload()
    assert sorted(events.Tags()["tensors"]) == ["relevance", "relevance_end"]
    steps = [
        ("relevance", 1, "epoch_0002.png"),
        ("relevance", 3, "epoch_0004.png"),
        ("relevance_end", 4, "end.png"),
    ]
    found = [
        (tag, event.step, event.tensor_proto.string_val)
        for tag in ("relevance", "relevance_end")
        for event in events.Tensors(tag)
    ]
    assert [(tag, step) for tag, step, _ in found] == [(tag, step) for tag, step, _ in steps]
    for (_, _, held), (_, _, file) in zip(found, steps, strict=True):
        *_, png = held  # behind width and height
        np.testing.assert_array_equal(opened(io.BytesIO(png)), opened(tmp_path / file))


def test_the_weights_that_training_ends_with_are_drawn_at_the_end(tmp_path):
    model = plain()
    optimizer = keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    fit(model, watching(tmp_path))
    expected = drawn(lrpkeras.Analyzer(model).explain(IMAGES[:3], verbose=0))
    np.testing.assert_array_equal(opened(tmp_path / "end.png"), expected)
    assert (opened(tmp_path / "epoch_0002.png") != expected).any()  # before they were averaged


@pytest.fixture
def built(monkeypatch):
    """How many analyzers the callback builds."""
    made = []

    class Counted(lrpkeras.Analyzer):
        def __init__(self, *arguments, **settings):
            made.append(1)
            super().__init__(*arguments, **settings)

    monkeypatch.setattr(lrpkeras.callbacks, "Analyzer", Counted)
    return made


def test_one_analyzer_serves_all_epochs_and_further_trainings(built, tmp_path):
    model, callback = plain(), watching(tmp_path)
    fit(model, callback, epochs=1)
    fit(model, callback, initial_epoch=1, epochs=3)
    assert len(built) == 1
    expected = drawn(lrpkeras.Analyzer(model).explain(IMAGES[:3], verbose=0))
    np.testing.assert_array_equal(opened(tmp_path / "epoch_0003.png"), expected)
    fit(plain(), callback, epochs=1)
    assert len(built) == 2


def test_a_model_that_has_got_other_layers_is_read_anew(built, tmp_path):
    model, callback = plain(), watching(tmp_path)
    fit(model, callback, epochs=1)
    model.pop()
    model.add(layers.Dense(7))
    fit(compiled(model), callback, epochs=1)
    assert len(built) == 2


def test_a_ready_made_analyzer_is_refreshed(tmp_path):
    model = plain()
    analyzer = lrpkeras.Analyzer(model, "epsilon")
    fit(model, watching(tmp_path, analyzer=analyzer), epochs=1)
    expected = drawn(lrpkeras.Analyzer(model, "epsilon").explain(IMAGES[:3], verbose=0))
    np.testing.assert_array_equal(opened(tmp_path / "end.png"), expected)


def test_an_analyzer_may_be_of_a_part_of_the_model(tmp_path):
    part = plain()
    inputs = keras.Input((12, 12, 3))
    model = compiled(keras.Model(inputs, layers.Dense(6)(part(inputs))))
    fit(model, watching(tmp_path, analyzer=lrpkeras.Analyzer(part)), epochs=1)
    expected = drawn(lrpkeras.Analyzer(part).explain(IMAGES[:3], verbose=0))
    np.testing.assert_array_equal(opened(tmp_path / "end.png"), expected)


def test_photos_lie_below_in_place_of_preprocessed_images(tmp_path):
    model = plain()
    fit(model, watching(tmp_path, photos=np.zeros((3, 12, 12, 3))), epochs=1)
    explanation = lrpkeras.Analyzer(model).explain(IMAGES[:3], verbose=0)
    expected = montage.maps(explanation, [np.zeros((12, 12))] * 3)
    np.testing.assert_array_equal(opened(tmp_path / "end.png"), expected)


def test_vectors_are_drawn_too(tmp_path):
    model = compiled(keras.Sequential([keras.Input((5,)), layers.Dense(6)]))
    callback = RelevanceCallback(np.ones((2, 5)), folder=tmp_path)
    model.fit(np.ones((4, 5)), np.zeros(4), verbose=0, callbacks=[callback])
    assert opened(tmp_path / "end.png").shape[1] > 200


# --- what cannot be -------------------------------------------------------------------------------


class Batches(keras.callbacks.Callback):
    """How many batches were trained on."""

    count = 0

    def on_train_batch_end(self, batch, logs=None):
        self.count += 1


def refused(callback, error, told, model=None):
    """`fit` ends before the first batch."""
    batches = Batches()
    with pytest.raises(error, match=told):
        fit(plain() if model is None else model, callback, batches)
    assert batches.count == 0


@pytest.mark.parametrize(
    ("settings", "error", "told"),
    [
        ({"target": 6}, TargetError, "out of range"),
        ({"target": [1, 2]}, TargetError, "2 entries for 3 samples"),
        ({"labels": ["a", "b"]}, InputError, "2 names"),
        ({"clip": 0}, InputError, "percentile"),
        ({"preset": "epsilom"}, LrpError, "did you mean 'epsilon'"),
        ({"input_range": (2, 3)}, InputError, "outside of input_range"),
    ],
)
def test_what_does_not_fit_the_model_is_told_before_it_is_trained(settings, error, told, tmp_path):
    refused(watching(tmp_path, **settings), error, told)


def test_images_that_do_not_fit_are_told_before_it_is_trained(tmp_path):
    callback = RelevanceCallback(IMAGES[:3, :10], folder=tmp_path)
    refused(callback, InputError, r"the model takes \(samples, 12, 12, 3\)")


def test_a_model_that_cannot_be_explained_is_told_before_it_is_trained(tmp_path):
    recurrent = [keras.Input((12, 12, 3)), layers.Reshape((12, 36)), layers.LSTM(6)]
    model = compiled(keras.Sequential(recurrent))
    refused(watching(tmp_path), UnsupportedLayerError, "recurrent", model)


def test_an_analyzer_of_another_model_is_refused(tmp_path):
    callback = watching(tmp_path, analyzer=lrpkeras.Analyzer(plain()))
    refused(callback, InputError, "another model than the one that is trained")


@pytest.mark.parametrize("where", ["folder", "log_dir"])
def test_a_folder_that_cannot_be_written_is_told_before_training(where, tmp_path):
    (tmp_path / "file").touch()
    callback = RelevanceCallback(IMAGES[:3], **{where: tmp_path / "file" / "below"})
    refused(callback, InputError, "Nothing can be written into")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"folder": None}, "Give a folder"),
        ({"every": 0}, "every is a number of epochs"),
        ({"every": 1.5}, "every is a number of epochs"),
        ({"photos": IMAGES[:2]}, "2 photos for 3 images"),
        ({"analyzer": "epsilon"}, "analyzer is an lrpkeras.Analyzer"),
    ],
)
def test_options_that_do_not_fit_are_refused_when_it_is_made(settings, told, tmp_path):
    with pytest.raises(InputError, match=told):
        RelevanceCallback(IMAGES[:3], **{"folder": tmp_path, **settings})


@pytest.mark.parametrize(
    ("images", "told"),
    [([np.ones((2, 2)), np.ones(3)], "no array"), (5.0, "give samples"), (IMAGES[:0], "samples")],
)
def test_what_is_no_batch_of_images_is_refused_when_it_is_made(images, told, tmp_path):
    with pytest.raises(InputError, match=told):
        RelevanceCallback(images, folder=tmp_path)


def test_settings_beside_a_ready_made_analyzer_are_refused(tmp_path):
    with pytest.raises(InputError, match="preset: a ready-made analyzer has its settings"):
        watching(tmp_path, analyzer=lrpkeras.Analyzer(plain()), preset="epsilon")


def test_tensorboard_without_tensorflow_is_refused(monkeypatch, tmp_path):
    callback = RelevanceCallback(IMAGES[:3], log_dir=tmp_path)
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(LrpError, match=r"pip install 'lrpkeras\[cpu\]'"):
        callback.on_train_begin()


class Diverges(keras.callbacks.Callback):
    """A weight is NaN after the first epoch, and all are well again after the second."""

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 0:
            self.well = self.model.get_weights()
            self.model.set_weights([np.full_like(self.well[0], np.nan), *self.well[1:]])
        else:
            self.model.set_weights(self.well)


@contextmanager
def keras_aside():
    """Ignore, where warnings are watched for, the one of Keras 3.12 that setup.cfg ignores, too."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        yield


def test_training_that_diverges_is_warned_of_and_goes_on(tmp_path):
    batches = Batches()
    match = "After epoch 1 no relevance was drawn.*'dense"
    with pytest.warns(UserWarning, match=match) as told, keras_aside():
        fit(plain(), Diverges(), watching(tmp_path), batches, epochs=2)
    assert len(told) == 1
    assert batches.count == 4
    assert sorted(os.listdir(tmp_path)) == ["end.png", "epoch_0002.png"]


def test_a_full_disk_is_warned_of_and_training_goes_on(monkeypatch, tmp_path):
    def full(self, data):
        raise OSError(28, "No space left on device")

    batches = Batches()
    monkeypatch.setattr(Path, "write_bytes", full)
    callback = watching(tmp_path, log_dir=tmp_path / "board", at_end=False)
    match = "After epoch 1 no relevance was drawn.*No space left"
    with pytest.warns(UserWarning, match=match), keras_aside():
        fit(plain(), callback, batches, epochs=1)
    assert batches.count == 2
    events = EventAccumulator(str(tmp_path / "board")).Reload()
    assert events.Tags()["tensors"] == ["relevance"]


# --- models and trainings of other kinds ----------------------------------------------------------


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.flat, self.dense = layers.Flatten(), layers.Dense(6)

    def call(self, x):
        return self.dense(self.flat(x))


@pytest.mark.parametrize(
    "make", [Subclassed, lambda: keras.Sequential([layers.Flatten(), layers.Dense(6)])]
)
def test_models_that_are_built_by_their_first_batch_are_explained(make, tmp_path):
    fit(compiled(make()), watching(tmp_path))
    assert len(os.listdir(tmp_path)) == 3


def test_a_model_that_is_built_later_is_explained_from_then_on(built, tmp_path):
    model, callback = plain(), watching(tmp_path)
    callback.set_model(keras.Sequential([layers.Flatten(), layers.Dense(6)]))
    callback.on_train_begin()
    assert built == []
    callback.set_model(model)
    callback.on_epoch_end(0)
    assert len(built) == 1
    assert os.listdir(tmp_path) == ["epoch_0001.png"]


def test_what_stands_in_the_way_of_a_model_built_later_is_told_after_an_epoch(
    tmp_path,
):
    callback = watching(tmp_path, every=5)
    callback.set_model(keras.Sequential([layers.Flatten(), layers.Dense(6)]))
    callback.on_train_begin()
    callback.set_model(keras.Sequential([keras.Input((12, 12)), layers.LSTM(6)]))
    with pytest.raises(LrpError, match="recurrent"):
        callback.on_epoch_end(0)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"colour": 1}, TypeError, "colour"),
        ({"every": True}, InputError, "every is a number"),
        ({"photos": [np.zeros((5, 12, 12, 3))] * 3}, InputError, "is a batch of 5"),
    ],
)
def test_what_does_not_fit_is_refused_when_it_is_made(tmp_path, options, error, said):
    with pytest.raises(error, match=said):
        watching(tmp_path, **options)


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_is_explained(policy, tmp_path):
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(policy)
    try:
        model = compiled(network())
    finally:
        keras.mixed_precision.set_global_policy(before)
    fit(model, watching(tmp_path), epochs=1)
    expected = drawn(lrpkeras.Analyzer(model).explain(IMAGES[:3], verbose=0))
    np.testing.assert_array_equal(opened(tmp_path / "end.png"), expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    "strategy",
    [
        lambda: tf.distribute.OneDeviceStrategy("CPU:0"),
        lambda: tf.distribute.MirroredStrategy(["CPU:0"]),
    ],
)
def test_models_of_a_strategy_are_explained(strategy, tmp_path):
    with strategy().scope():
        model = compiled(network())
    fit(model, watching(tmp_path), epochs=1)
    expected = drawn(lrpkeras.Analyzer(model).explain(IMAGES[:3], verbose=0))
    np.testing.assert_array_equal(opened(tmp_path / "end.png"), expected)
