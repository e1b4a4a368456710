"""Arrays and datasets, batch by batch."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from lrpkeras import backend
from lrpkeras.errors import InputError


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


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 2

    def __getitem__(self, index):
        return np.full((3, 1), index), np.zeros(3)


def test_a_dataset_of_keras_gives_its_inputs():
    data = Batches()
    assert backend.is_dataset(data)
    assert backend.count(data, 7) == 2
    assert [batch.ravel().tolist() for batch in backend.batches(data, 7)] == [[0] * 3, [1] * 3]


class Collated:
    """What torch puts in a batch."""

    def __init__(self, array):
        self.array = array

    def detach(self):
        return self

    cpu = detach

    def numpy(self):
        return self.array


class DataLoader:
    """Known by its name, since torch need not be there."""

    def __iter__(self):
        return iter([[Collated(np.ones((2, 1))), Collated(np.zeros(2))]] * 3)

    def __len__(self):
        return 3


def test_a_loader_of_torch_gives_its_inputs_as_arrays(monkeypatch):
    monkeypatch.setattr(DataLoader, "__module__", "torch.utils.data.dataloader")
    data = DataLoader()
    assert backend.is_dataset(data)
    assert backend.count(data, 7) == 3
    assert [batch.ravel().tolist() for batch in backend.batches(data, 7)] == [[1, 1]] * 3


@pytest.mark.parametrize("data", [[np.zeros((2, 1)), np.zeros((3, 1))], np.float32(1), []])
def test_inputs_without_a_common_number_of_samples_are_refused(data):
    with pytest.raises(InputError, match="samples"):
        backend.batches(data, 2)
