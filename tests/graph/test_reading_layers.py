"""Every layer, alone in a float64 model with random weights, against Keras itself."""

import functools

import keras
import numpy as np
import pytest
from keras import layers

pytestmark = pytest.mark.usefixtures("float64")

L = layers
CHANNELS_FIRST = {"data_format": "channels_first"}


def chain(shape, *makers):
    """A model of layers in a row."""
    x = inputs = keras.Input(shape)
    for maker in makers:
        x = maker()(x)
    return keras.Model(inputs, x)


def case(name, shape, make):
    return pytest.param(shape, make, id=name)


def conv_cases():
    for padding in ("valid", "same"):
        for strides, dilation in ((1, 1), (2, 1), (3, 1), (1, 2)):
            settings = {"padding": padding, "strides": strides, "dilation_rate": dilation}
            name = f"{padding}-s{strides}-d{dilation}"
            yield case(f"conv1d-{name}", (9, 4), lambda s=settings: L.Conv1D(6, 3, groups=2, **s))
            yield case(f"conv2d-{name}", (8, 7, 4), lambda s=settings: L.Conv2D(6, (3, 2), **s))
            yield case(
                f"conv2d-grouped-{name}",
                (8, 7, 4),
                lambda s=settings: L.Conv2D(6, 3, groups=2, **s),
            )
            yield case(f"conv3d-{name}", (6, 7, 5, 2), lambda s=settings: L.Conv3D(3, 2, **s))
            yield case(
                f"depthwise1d-{name}",
                (9, 3),
                lambda s=settings: L.DepthwiseConv1D(4, depth_multiplier=2, **s),
            )
            yield case(
                f"depthwise2d-{name}",
                (8, 9, 3),
                lambda s=settings: L.DepthwiseConv2D(3, depth_multiplier=2, **s),
            )
            yield case(
                f"separable1d-{name}", (9, 3), lambda s=settings: L.SeparableConv1D(5, 3, **s)
            )
            yield case(
                f"separable2d-{name}",
                (8, 9, 3),
                lambda s=settings: L.SeparableConv2D(5, 3, depth_multiplier=2, **s),
            )
    yield case("conv1d-causal", (9, 3), lambda: L.Conv1D(4, 3, padding="causal", dilation_rate=2))
    yield case("conv1d-causal-strided", (9, 3), lambda: L.Conv1D(4, 3, padding="causal", strides=2))
    yield case("conv2d-uneven-strides", (9, 8, 3), lambda: L.Conv2D(4, 3, (1, 2), padding="same"))
    yield case("conv2d-no-bias", (9, 8, 3), lambda: L.Conv2D(4, 3, use_bias=False))
    yield case("conv2d-window-below-stride", (9, 8, 3), lambda: L.Conv2D(4, 1, 3, padding="same"))


def transposed_cases():
    kinds = {
        "1d": (L.Conv1DTranspose, (5, 3)),
        "2d": (L.Conv2DTranspose, (5, 4, 3)),
        "3d": (L.Conv3DTranspose, (3, 4, 2, 3)),
    }
    for name, (kind, shape) in kinds.items():
        for padding in ("valid", "same"):
            for window, strides, more in (
                (3, 1, None),
                (3, 2, None),
                (2, 3, None),
                (4, 2, None),
                (3, 2, 1),
                (4, 3, 2),
                (3, 2, 0),
            ):
                yield case(
                    f"transposed{name}-{padding}-w{window}-s{strides}-o{more}",
                    shape,
                    functools.partial(
                        kind, 4, window, strides, padding=padding, output_padding=more
                    ),
                )


def dense_cases():
    yield case("dense", (5,), lambda: L.Dense(3))
    yield case("dense-no-bias", (5,), lambda: L.Dense(3, use_bias=False))
    yield case("dense-on-maps", (3, 2, 5), lambda: L.Dense(4))
    yield case(
        "einsum-bias-vector", (3, 5), lambda: L.EinsumDense("abc,cd->abd", (3, 4), bias_axes="d")
    )
    yield case(
        "einsum-bias-map", (3, 5), lambda: L.EinsumDense("abc,cd->abd", (3, 4), bias_axes="bd")
    )
    yield case(
        "einsum-bias-first", (3, 5), lambda: L.EinsumDense("abc,cd->abd", (3, 4), bias_axes="b")
    )
    yield case("einsum-heads", (3, 5), lambda: L.EinsumDense("abc,cde->abde", (3, 4, 2)))
    yield case(
        "einsum-heads-bias",
        (3, 5),
        lambda: L.EinsumDense("abc,cde->abde", (3, 4, 2), bias_axes="de"),
    )
    yield case("einsum-two-contracted", (3, 5), lambda: L.EinsumDense("abc,bcd->ad", (4,)))
    yield case("einsum-dots", (3, 5), lambda: L.EinsumDense("...x,xy->...y", 4))


def normalization_cases():
    yield case("bn", (4, 3, 5), lambda: L.BatchNormalization())
    yield case("bn-axis1", (4, 3, 5), lambda: L.BatchNormalization(axis=1))
    yield case("bn-axis2", (4, 3, 5), lambda: L.BatchNormalization(axis=2))
    yield case("bn-vector", (5,), lambda: L.BatchNormalization(axis=1))
    yield case("bn-no-scale", (4, 5), lambda: L.BatchNormalization(scale=False))
    yield case("bn-no-center", (4, 5), lambda: L.BatchNormalization(center=False, epsilon=0.1))
    yield case("rescaling", (4, 3), lambda: L.Rescaling(1 / 127.5, offset=-1))
    yield case("rescaling-channels", (4, 3), lambda: L.Rescaling([0.1, 0.2, 0.3], [1, 2, 3]))
    mean, variance = [1.0, 2.0, 3.0], [0.5, 2.0, 0.0]
    yield case("normalization", (4, 3), lambda: L.Normalization(mean=mean, variance=variance))
    yield case(
        "normalization-inverse",
        (4, 3),
        lambda: L.Normalization(mean=mean, variance=variance, invert=True),
    )
    yield case(
        "normalization-scalar", (4, 3), lambda: L.Normalization(axis=None, mean=2.0, variance=3.0)
    )
    yield case(
        "normalization-two-axes",
        (2, 3),
        lambda: L.Normalization(
            axis=(1, 2), mean=np.ones((2, 3)), variance=np.arange(6.0).reshape(2, 3)
        ),
    )


def pooling_cases():
    for name in ("Max", "Average"):
        for rank, shape in ((1, (9, 3)), (2, (9, 8, 3))):
            kind = getattr(L, f"{name}Pooling{rank}D")
            for padding in ("valid", "same"):
                for window, strides in ((2, None), (3, 2), (2, 3)):
                    yield case(
                        f"{name}{rank}d-{padding}-w{window}-s{strides}",
                        shape,
                        functools.partial(kind, window, strides, padding),
                    )
        for rank, shape in ((1, (9, 3)), (2, (9, 8, 3)), (3, (5, 6, 7, 2))):
            overall = getattr(L, f"Global{name}Pooling{rank}D")
            yield case(f"global-{name}{rank}d", shape, overall)
            yield case(
                f"global-{name}{rank}d-kept", shape, functools.partial(overall, keepdims=True)
            )


def reshaping_cases():
    yield case("flatten", (2, 3, 4), L.Flatten)
    yield case("flatten-vector", (4,), L.Flatten)
    yield case("flatten-scalar", (), L.Flatten)
    yield case("flatten-channels-first", (2, 3, 4), lambda: L.Flatten(**CHANNELS_FIRST))
    yield case("reshape", (2, 6), lambda: L.Reshape((3, 2, 2)))
    yield case("reshape-rest", (2, 6), lambda: L.Reshape((3, -1)))
    yield case("permute", (2, 3, 4), lambda: L.Permute((3, 1, 2)))
    yield case("repeat-vector", (4,), lambda: L.RepeatVector(3))
    yield case("pad1d", (4, 2), lambda: L.ZeroPadding1D((1, 2)))
    yield case("pad2d", (4, 3, 2), lambda: L.ZeroPadding2D(((1, 2), (0, 3))))
    yield case("pad3d", (4, 3, 5, 2), lambda: L.ZeroPadding3D(((1, 2), (0, 3), (2, 0))))
    yield case("crop1d", (5, 2), lambda: L.Cropping1D((1, 2)))
    yield case("crop2d", (5, 4, 2), lambda: L.Cropping2D(((1, 2), (0, 3))))
    yield case("crop3d", (5, 4, 6, 2), lambda: L.Cropping3D(((1, 2), (0, 3), (2, 0))))
    yield case("up1d", (4, 2), lambda: L.UpSampling1D(3))
    yield case("up2d", (4, 3, 2), lambda: L.UpSampling2D((2, 3)))
    yield case("up2d-one", (4, 3, 2), lambda: L.UpSampling2D(1))
    yield case("up3d", (2, 3, 2, 2), lambda: L.UpSampling3D((2, 1, 3)))


def inert_cases():
    makers = {
        "Dropout": lambda: L.Dropout(0.5),
        "SpatialDropout2D": lambda: L.SpatialDropout2D(0.5),
        "AlphaDropout": lambda: L.AlphaDropout(0.5),
        "GaussianDropout": lambda: L.GaussianDropout(0.5),
        "GaussianNoise": lambda: L.GaussianNoise(0.5),
        "ActivityRegularization": lambda: L.ActivityRegularization(0.1),
        "Identity": L.Identity,
        "RandomBrightness": lambda: L.RandomBrightness(0.2),
        "RandomColorDegeneration": lambda: L.RandomColorDegeneration(0.2),
        "RandomColorJitter": lambda: L.RandomColorJitter(brightness_factor=0.2),
        "RandomContrast": lambda: L.RandomContrast(0.2),
        "RandomErasing": L.RandomErasing,
        "RandomFlip": L.RandomFlip,
        "RandomGaussianBlur": L.RandomGaussianBlur,
        "RandomGrayscale": L.RandomGrayscale,
        "RandomHue": lambda: L.RandomHue(0.2),
        "RandomInvert": L.RandomInvert,
        "RandomPerspective": L.RandomPerspective,
        "RandomPosterization": lambda: L.RandomPosterization(4),
        "RandomRotation": lambda: L.RandomRotation(0.2),
        "RandomSaturation": lambda: L.RandomSaturation(0.2),
        "RandomSharpness": lambda: L.RandomSharpness(0.2),
        "RandomShear": lambda: L.RandomShear(0.2, 0.2),
        "RandomTranslation": lambda: L.RandomTranslation(0.2, 0.2),
        "RandomZoom": lambda: L.RandomZoom(0.2),
    }
    for name, make in makers.items():
        yield case(name, (6, 5, 3), make)


@pytest.mark.parametrize(
    ("shape", "make"),
    [
        *conv_cases(),
        *transposed_cases(),
        *dense_cases(),
        *normalization_cases(),
        *pooling_cases(),
        *reshaping_cases(),
        *inert_cases(),
    ],
)
def test_a_layer_computes_what_keras_computes(agrees, shape, make):
    agrees(chain(shape, make))


@pytest.mark.parametrize("kind", [L.MaxPooling3D, L.AveragePooling3D])
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(("window", "strides"), [(2, None), (3, 2), (2, 3)])
def test_pooling_in_three_dimensions_computes_what_keras_computes(
    agrees, kind, padding, window, strides
):
    """In float32: TensorFlow has no float64 kernels for it on CPUs. Rounding is about 1e-7."""
    inputs = keras.Input((5, 6, 7, 2), dtype="float32")
    outputs = kind(window, strides, padding, dtype="float32")(inputs)
    agrees(keras.Model(inputs, outputs), tolerance=1e-6)


def test_a_separable_convolution_is_two_linear_nodes(agrees):
    model = chain((6, 6, 3), lambda: L.SeparableConv2D(4, 3, activation="relu", name="sep"))
    graph = agrees(model)
    assert list(graph.nodes)[1:] == ["sep:depthwise", "sep", "sep:relu"]
    assert graph["sep"].kernel.shape == (1, 1, 3, 4)


def test_lora_counts_with_the_kernel_that_it_gives(agrees):
    model = chain((6,), lambda: L.Dense(4, name="dense"))
    model.get_layer("dense").enable_lora(2)
    agrees(model)


def test_normalization_adapted_to_data_is_read(agrees):
    layer = L.Normalization()
    layer.adapt(np.random.default_rng(0).normal(3, 2, (50, 4)))
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layer(inputs))
    agrees(model)
