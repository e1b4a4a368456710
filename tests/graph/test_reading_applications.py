"""Whole architectures of keras.applications, with random weights, in float64."""

import keras
import pytest

pytestmark = pytest.mark.usefixtures("float64")

SMALL = {"MobileNet": 64, "MobileNetV2": 64}
LARGE = {
    "VGG16": 32,
    "ResNet50": 64,
    "ResNet50V2": 64,
    "DenseNet121": 64,
    "InceptionV3": 75,
    "Xception": 75,
}


@pytest.mark.parametrize(
    ("name", "size"),
    [*SMALL.items(), *(pytest.param(*item, marks=pytest.mark.slow) for item in LARGE.items())],
)
def test_an_architecture_computes_what_keras_computes(agrees, name, size):
    make = getattr(keras.applications, name)
    model = make(weights=None, input_shape=(size, size, 3), classes=10)
    # Layers amplify rounding, each by its own kernel, through up to 120 of them.
    graph = agrees(model, tolerance=1e-9)
    assert graph[graph.outputs[0]].function.name == "softmax"
