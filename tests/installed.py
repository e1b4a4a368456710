"""Which version of Keras is installed: some do not make, or run, what a test is about."""

import keras

KERAS = tuple(map(int, keras.__version__.split(".")[:2]))
