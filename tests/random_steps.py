"""The steps of random networks: what hypothesis draws of each, and the layers that it becomes.

A step knows nothing of the others: it gets a tensor, and parameters that do not fit its sizes are
bent until they do, or it does nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st
from model_script import Writer

Step = dict[str, Any]

# Sizes and channels that a step must not exceed: the nets stay tiny.
LARGEST, WIDEST = 10, 8

Maker = Callable[..., str]
MAKERS: dict[str, Maker] = {}
STEPS: dict[str, st.SearchStrategy[Step]] = {}

BACK = st.sampled_from([0, 0, 0, 0, 1, 1, 2, 3])
WIDTH = st.integers(2, 4)
WINDOW = st.tuples(st.integers(1, 3), st.integers(1, 3)).map(list)
PADDING = st.sampled_from(["same", "valid"])
STRIDES = st.sampled_from([1, 1, 2, 3])
FLAG = st.booleans()
FUSED = st.sampled_from([None, None, None, "relu"])
MERGE = st.sampled_from(["Add", "Concatenate", "Maximum", "Subtract", "Average", "Minimum"])


def step(kind: str | None = None, **parameters: st.SearchStrategy) -> Callable[[Maker], Maker]:
    """Register a step: `maker(writer, x, **parameters)` returns the tensor that it makes."""

    def decorate(maker: Maker) -> Maker:
        name = kind or maker.__name__
        MAKERS[name] = maker
        drawn = {"do": st.just(name), "back": BACK, **parameters}
        STEPS[name] = st.fixed_dictionaries(drawn)
        return maker

    return decorate


def follow(w: Writer, steps: Sequence[Step]) -> str:
    """Take all steps and return the newest tensor."""
    for each in steps:
        parameters = {key: value for key, value in each.items() if key not in ("do", "back")}
        made = MAKERS[each["do"]](w, w.back(each["back"]), **parameters)
        if made not in w.tensors:
            w.tensors.append(made)
    return w.tensors[-1]


def spatial(w: Writer, x: str) -> int:
    """How many axes between batch and channels; zero for vectors."""
    return len(w.shape(x)) - 1


def fits(sizes: Sequence[int], window: Sequence[int], padding: str, dilation: int = 1) -> str:
    """The padding, or "same" where no window fits in."""
    pairs = zip(sizes, window, strict=True)
    return padding if all((k - 1) * dilation < n for n, k in pairs) else "same"


@step(
    filters=WIDTH, window=WINDOW, padding=PADDING, strides=STRIDES,
    dilation=st.sampled_from([1, 1, 1, 2]), groups=st.sampled_from([1, 1, 2]),
    use_bias=FLAG, activation=FUSED,
)  # fmt: skip
def conv(w, x, *, filters, window, padding, strides, dilation, groups, **others):
    if not (d := spatial(w, x)):
        return x
    channels, window = w.shape(x)[-1], window[:d]
    groups = groups if channels % groups == filters % groups == 0 else 1
    padding = fits(w.sizes(x), window, padding, dilation)
    geometry = {"strides": strides} if dilation == 1 else {"dilation_rate": dilation}
    return w.add(
        f"Conv{d}D", x, filters, window, padding=padding, groups=groups, **geometry, **others
    )


@step(window=WINDOW, padding=PADDING, strides=STRIDES, multiplier=st.integers(1, 2), use_bias=FLAG)
def depthwise(w, x, *, window, padding, multiplier, **others):
    if not (d := spatial(w, x)):
        return x
    window, padding = window[:d], fits(w.sizes(x), window[:d], padding)
    multiplier = multiplier if w.shape(x)[-1] * multiplier <= WIDEST else 1
    return w.add(
        f"DepthwiseConv{d}D", x, window, depth_multiplier=multiplier, padding=padding, **others
    )


@step(filters=WIDTH, window=WINDOW, padding=PADDING, strides=STRIDES, activation=FUSED)
def separable(w, x, *, filters, window, padding, **others):
    if not (d := spatial(w, x)):
        return x
    window, padding = window[:d], fits(w.sizes(x), window[:d], padding)
    return w.add(f"SeparableConv{d}D", x, filters, window, padding=padding, **others)


@step(filters=WIDTH, window=WINDOW, padding=PADDING, strides=st.integers(1, 2), use_bias=FLAG)
def transposed(w, x, *, filters, window, strides, **others):
    d = spatial(w, x)
    if not d or max(w.sizes(x)) * strides + 2 > LARGEST:
        return x
    return w.add(f"Conv{d}DTranspose", x, filters, window[:d], strides=strides, **others)


@step(units=WIDTH, use_bias=FLAG, activation=FUSED)
def dense(w, x, *, units, **others):
    """On a vector, or on every position."""
    return w.add("Dense", x, units, **others)


MOSTLY = st.sampled_from([True, True, False])


@step(scale=MOSTLY, center=MOSTLY, axis=st.sampled_from([-1, -1, -1, -1, 1]))
def norm(w, x, **settings):
    return w.add("BatchNormalization", x, **settings)


ACTIVATIONS: dict[str, tuple[str, list, dict]] = {
    "relu": ("ReLU", [], {}),
    "leaky": ("LeakyReLU", [], {"negative_slope": 0.3}),
    "prelu": ("PReLU", [], {}),
    "relu6": ("ReLU", [6.0], {}),
    "elu": ("ELU", [], {}),
    **{
        name: ("Activation", [name], {})
        for name in ("tanh", "sigmoid", "gelu", "softplus", "silu", "hard_sigmoid")
    },
}
# Where f(x) = f'(x) x does not hold.
CURVED = frozenset(ACTIVATIONS) - {"relu", "leaky", "prelu"}


@step(function=st.sampled_from(["relu", "relu", "relu", "relu", *ACTIVATIONS]))
def activation(w, x, *, function):
    kind, args, kwargs = ACTIVATIONS[function]
    return w.add(kind, x, *args, **kwargs)


@step(kind="normed relu", behind=FLAG)
def normed_relu(w, x, *, behind):
    """As in networks of the field: in front of a convolution, or behind one."""
    kinds = ("ReLU", "BatchNormalization") if behind else ("BatchNormalization", "ReLU")
    for kind in kinds:
        x = w.add(kind, x)
    return x


# Of the sample's own statistics; UnitNormalization of a vector of zeros has slopes of 1e12.
NORMALIZATIONS: dict[str, str] = {
    "layer": "layers.LayerNormalization()",
    "all": "layers.LayerNormalization(axis=list(range(1, {rank})))",
    "root mean square": "layers.RMSNormalization()",
    "groups": "layers.GroupNormalization({groups}, epsilon=0.1)",
    "local": "lrpkeras.layers.LocalResponseNormalization(1, 0.7, 0.4, 0.6)",
}


# Local normalization is of images alone.
@step(kind="normalized", how=st.sampled_from([*NORMALIZATIONS, "local", "local"]))
def normalized(w, x, *, how):
    shape = w.shape(x)
    if how == "local" and len(shape) != 3:
        return x
    groups = 2 if shape[-1] % 2 == 0 else 1
    made, name = NORMALIZATIONS[how].format(rank=len(shape) + 1, groups=groups), w.fresh()
    w.run(f"{name} = {made}({x})")
    return name


@step(largest=FLAG, window=WINDOW, strides=st.integers(1, 2), padding=PADDING)
def pool(w, x, *, largest, window, strides, padding):
    if not (d := spatial(w, x)):
        return x
    window, kind = window[:d], "Max" if largest else "Average"
    padding = fits(w.sizes(x), window, padding)
    return w.add(f"{kind}Pooling{d}D", x, window, strides, padding=padding)


@step(kind="global", largest=FLAG)
def context(w, x, *, largest):
    """What is known of the whole image, added everywhere."""
    if not (d := spatial(w, x)):
        return x
    whole = w.add(f"Global{'Max' if largest else 'Average'}Pooling{d}D", x, keepdims=True)
    return w.add("Add", [x, whole])


SIDES = st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 2), st.integers(0, 1))


@step(sides=SIDES.map(list))
def pad(w, x, *, sides):
    d = spatial(w, x)
    if not d or max(w.sizes(x)) + 4 > LARGEST:
        return x
    return w.add(f"ZeroPadding{d}D", x, _pairs(sides, d))


@step(sides=SIDES.map(list))
def crop(w, x, *, sides):
    d = spatial(w, x)
    if not d or min(w.sizes(x)) <= 4:
        return x
    return w.add(f"Cropping{d}D", x, _pairs(sides, d))


def _pairs(sides: Sequence[int], d: int) -> Any:
    pairs = (tuple(sides[:2]), tuple(sides[2:]))
    return pairs[0] if d == 1 else pairs


@step()
def upsample(w, x):
    d = spatial(w, x)
    if not d or max(w.sizes(x)) * 2 > LARGEST:
        return x
    return w.add(f"UpSampling{d}D", x, 2)


SIZES = st.tuples(st.integers(2, 8), st.integers(2, 8)).map(list)


@step(sizes=st.none() | SIZES, interpolation=st.sampled_from(["bilinear", "bilinear", "bicubic"]))
def resize(w, x, *, sizes, interpolation):
    """Twice as large, or of given sizes, every new pixel a weighted sum of old ones."""
    if spatial(w, x) != 2 or (sizes is None and max(w.sizes(x)) * 2 > LARGEST):
        return x
    if sizes is None:
        return w.add("UpSampling2D", x, 2, interpolation=interpolation)
    return w.add("Resizing", x, *sizes, interpolation=interpolation)


@step(how=st.sampled_from(["permute", "reshape"]))
def move(w, x, *, how):
    """Turn an image, or read its values in another order."""
    if spatial(w, x) != 2:
        return x
    height, width, channels = w.shape(x)
    if how == "permute":
        return w.add("Permute", x, (2, 1, 3))
    return w.add("Reshape", x, (width, height, channels))


@step()
def dropout(w, x):
    return w.add("Dropout", x, 0.5)


OPERATORS = (
    "-{}",
    "{} * 0.5 + 1.0",
    "1.0 - {}",
    "{} / 3.0 - 0.1",
    "layers.Rescaling(2.0, -0.5)({})",
)


@step(formula=st.sampled_from(OPERATORS))
def operator(w, x, *, formula):
    name = w.fresh()
    w.run(f"{name} = {formula.format(x)}")
    return name


def fitted(w: Writer, x: str, like: str, *, channels: bool = True) -> str:
    """Bring a tensor to another one's sizes, and channels."""
    for kind, sign in (("Cropping", 1), ("ZeroPadding", -1)):
        gaps = [max(0, sign * (a - b)) for a, b in zip(w.sizes(x), w.sizes(like), strict=True)]
        if any(gaps):
            sides = [side for gap in gaps for side in (gap // 2, gap - gap // 2)]
            x = w.add(f"{kind}{len(gaps)}D", x, _pairs([*sides, 0, 0][:4], len(gaps)))
    if channels and w.shape(x)[-1] != w.shape(like)[-1]:
        d, width = spatial(w, x), w.shape(like)[-1]
        x = w.add(f"Conv{d}D", x, width, 1) if d else w.add("Dense", x, width)
    return x


def merged(w: Writer, how: str, parts: Sequence[str]) -> str:
    """Merge tensors, the others fitted to the first."""
    parts = parts[:2] if how == "Subtract" else parts
    if how == "Concatenate" and sum(w.shape(x)[-1] for x in parts) > WIDEST:
        how = "Add"
    others = [fitted(w, x, parts[0], channels=how != "Concatenate") for x in parts[1:]]
    return w.add(how, [parts[0], *others])


@step(how=MERGE, others=st.lists(st.integers(0, 3), min_size=1, max_size=2))
def merge(w, x, *, how, others):
    return merged(w, how, [x, *map(w.back, others)])


@step(how=st.sampled_from(["position", "channel", "signal"]), other=st.integers(0, 2))
def gate(w, x, *, how, other):
    """A product with a sigmoid of another tensor, of its channels' means, or with the tensor."""
    source, d, width = fitted(w, w.back(other), x), spatial(w, x), w.shape(x)[-1]
    if how == "channel" and d:
        source = w.add(f"GlobalAveragePooling{d}D", source, keepdims=True)
    if how != "signal":
        source = w.add("Dense", source, width, activation="sigmoid")
    return w.add("Multiply", [x, source])


@step(kind="shared", layer=st.sampled_from(["conv", "norm", "depthwise", "relu"]), how=MERGE,
      other=st.integers(0, 3), chained=FLAG)  # fmt: skip
def shared(w, x, *, layer, how, other, chained):
    """One layer at two places: side by side, or one behind the other."""
    d, width = spatial(w, x), w.shape(x)[-1]
    args = {"conv": [width, 2], "depthwise": [2], "norm": [], "relu": []}[layer]
    kind = {"conv": f"Conv{d}D", "depthwise": f"DepthwiseConv{d}D", "norm": "BatchNormalization"}
    settings = {"padding": "same"} if args else {}
    if not d and args:
        return x
    made = w.layer(kind.get(layer, "ReLU"), *args, **settings)
    first = w.call(made, x)
    second = w.call(made, first if chained else fitted(w, w.back(other), x))
    return merged(w, how, [first, second])


def block(w, x, *, steps, how, relu):
    """A branch beside the tensor itself, merged with it."""
    branch = follow(w.part([x]), steps)
    made = merged(w, how, [branch, x])
    return w.add("ReLU", made) if relu else made


def nested(w, x, *, steps, other, how):
    """A model inside the model, called once or, where `how` tells to merge, twice."""
    inner = w.part([])
    inner.tensors.append(start := inner.input(w.shape(x)))
    end = follow(inner, steps)
    end = w.add("Activation", end, "linear") if end == start else end
    made = w.fresh()
    w.run(f"{made} = keras.Model({start}, {end}, name={made!r})")
    first = w.call(made, x)
    if how is None:
        return first
    return merged(w, how, [first, w.call(made, fitted(w, w.back(other), x))])


MAKERS |= {"block": block, "nested": nested}
