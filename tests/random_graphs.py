"""Random networks of every supported layer: a plan, plain data, and the script that it stands for.

A plan is a list of steps that know nothing of one another: a step reads tensors counted back from
the newest, and parameters that do not fit the sizes at hand are bent until they do. So every part
of a plan is a plan, and hypothesis can leave out any step when it looks for a smaller example.

A plan becomes the lines of a script, one a layer, and `build` runs these very lines: what a failing
example prints is what was tested.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from hypothesis import strategies as st
from keras import layers
from linear_layers import float64

Plan = dict[str, Any]
Step = dict[str, Any]

# Sizes and channels that a step must not exceed: the nets stay tiny.
LARGEST, WIDEST = 10, 8


@dataclass
class Writer:
    """Writes the lines that make a network, and runs each one to know the shapes."""

    lines: list[str] = field(default_factory=list)
    space: dict[str, Any] = field(default_factory=lambda: {"keras": keras, "layers": layers})
    prefix: str = "t"
    tensors: list[str] = field(default_factory=list)
    count: int = 0

    def run(self, line: str) -> None:
        exec(line, self.space)
        self.lines.append(line)

    def fresh(self) -> str:
        self.count += 1
        return f"{self.prefix}{self.count}"

    def input(self, shape: Sequence[int]) -> str:
        name = self.fresh()
        self.run(f"{name} = keras.Input({tuple(shape)}, dtype='float64', name={name!r})")
        return name

    def layer(self, kind: str, *args: Any, **kwargs: Any) -> str:
        """Make a layer without calling it."""
        name = self.fresh()
        shown = [*map(repr, args), *(f"{k}={v!r}" for k, v in {**kwargs, "name": name}.items())]
        self.run(f"{name} = layers.{kind}({', '.join(shown)})")
        return name

    def call(self, layer: str, *reads: str) -> str:
        name = self.fresh()
        self.run(f"{name} = {layer}({reads[0] if len(reads) == 1 else f'[{", ".join(reads)}]'})")
        return name

    def add(self, kind: str, reads: str | Sequence[str], *args: Any, **kwargs: Any) -> str:
        """Make a layer and call it."""
        reads = [reads] if isinstance(reads, str) else reads
        return self.call(self.layer(kind, *args, **kwargs), *reads)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor without batch."""
        return tuple(self.space[name].shape[1:])

    def back(self, number: int) -> str:
        """The tensor so many before the newest; the first ones are as good as any."""
        return self.tensors[-1 - number % len(self.tensors)]

    def sizes(self, name: str) -> tuple[int, ...]:
        return self.shape(name)[:-1]

    def part(self, tensors: list[str], prefix: str | None = None) -> Writer:
        """A writer of more lines of the same script that sees other tensors."""
        child = Writer(self.lines, self.space, prefix or f"{self.fresh()}_", tensors)
        return child


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
    return w.add(f"Conv{d}D", x, filters, window, padding=padding, groups=groups, **geometry, **others)


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


@step(kind="norm", scale=st.sampled_from([True, True, False]), center=st.sampled_from([True, True, False]),
      axis=st.sampled_from([-1, -1, -1, -1, 1]))  # fmt: skip
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


OPERATORS = ("-{}", "{} * 0.5 + 1.0", "1.0 - {}", "{} / 3.0 - 0.1", "layers.Rescaling(2.0, -0.5)({})")


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


def deeper(leaf: st.SearchStrategy[Step]) -> st.SearchStrategy[Step]:
    """Blocks and nested models made of such steps."""
    steps = st.lists(leaf, max_size=4)
    common = {"back": BACK, "steps": steps}
    blocks = {"do": st.just("block"), **common, "how": MERGE, "relu": FLAG}
    models = {"do": st.just("nested"), **common, "other": st.integers(0, 3)}
    return st.one_of(
        st.fixed_dictionaries(blocks),
        st.fixed_dictionaries({**models, "how": st.none() | MERGE}),
    )


def often(common: Sequence[str]) -> st.SearchStrategy[Step]:
    """Any step, and some of them often."""
    names = [*STEPS, *common, *common]
    return st.sampled_from(names).flatmap(STEPS.__getitem__)


LEAF = often(["conv", "norm", "norm", "normed relu", "activation", "pool", "merge"])
INNER = deeper(LEAF)
STEP = st.sampled_from([LEAF, LEAF, LEAF, INNER, deeper(LEAF | INNER)]).flatmap(lambda s: s)
TAIL = st.lists(
    st.one_of(*(STEPS[name] for name in ("norm", "dense", "activation", "operator"))), max_size=3
)
SIZE = st.integers(5, 9)


def networks() -> st.SearchStrategy[Plan]:
    """Draw plans."""
    image = st.one_of(st.tuples(SIZE, SIZE, WIDTH), st.tuples(SIZE, WIDTH)).map(list)
    return st.fixed_dictionaries(
        {
            "inputs": image.flatmap(lambda shape: st.sampled_from([[shape]] * 3 + [[shape] * 2])),
            "steps": st.lists(STEP, min_size=1, max_size=7),
            "head": st.sampled_from(["Flatten", "GlobalAveragePooling", "GlobalMaxPooling", "conv"]),
            "tail": TAIL,
            "end": st.sampled_from([None, "softmax", "sigmoid"]),
            "whole": st.sampled_from([False, False, True]),
            "non_negative": FLAG,
            "seed": st.integers(0, 999),
        }
    )


def write(plan: Plan) -> Writer:
    """Write the lines that make `model`, `logits` (the same without its head) and `inputs`."""
    w = Writer()
    starts = [w.input(shape) for shape in plan["inputs"]]
    w.tensors.extend(starts)
    x = follow(w, plan["steps"])
    d = spatial(w, x)
    for other in starts[1:]:
        x = w.add("Concatenate", [x, fitted(w, other, x, channels=False)])
    if plan["head"] == "conv":
        x = w.add(f"GlobalAveragePooling{d}D", w.add(f"Conv{d}D", x, 3, 1))
    else:
        x = w.add("Flatten" if plan["head"] == "Flatten" else f"{plan['head']}{d}D", x)
        x = w.add("Dense", follow(w.part([x]), plan["tail"]), 3)
    end = w.add("Activation", x, plan["end"]) if plan["end"] else x
    w.run(f"logits = keras.Model([{', '.join(starts)}], {x})")
    w.run(f"model = keras.Model([{', '.join(starts)}], {end})")
    return w


def fill(model: Any, seed: int, whole: bool, non_negative: bool) -> list[np.ndarray]:
    """Give random weights, gammas of both signs and zero, and return two samples of each input.

    With `whole` both are whole numbers, mostly: maxima tie, sums cancel, an input is all zero.
    """
    rng = np.random.default_rng(seed)
    for variable in model.variables:
        if not variable.dtype.startswith("float"):
            continue
        if "variance" in variable.name:
            value = rng.choice([1e-36, 0.5, 2.0], variable.shape, p=[0.1, 0.45, 0.45])
        elif "gamma" in variable.name:
            value = rng.choice([-1.5, -0.5, 0.0, 0.7, 2.0], variable.shape)
        elif whole:
            value = rng.integers(-1, 2, variable.shape).astype(float)
        else:
            value = rng.normal(0, 0.6, variable.shape)
        variable.assign(value)
    inputs = [rng.normal(0, 1, (2, *tensor.shape[1:])).clip(-3, 3) for tensor in model.inputs]
    if whole:
        inputs = [np.round(x) * np.array([1.0, 0.0]).reshape(2, *[1] * (x.ndim - 1)) for x in inputs]
    return [np.abs(x) for x in inputs] if non_negative else inputs


@dataclass(frozen=True)
class Net:
    """What a plan stands for."""

    model: keras.Model
    logits: keras.Model
    inputs: list[np.ndarray]
    lines: tuple[str, ...]

    @property
    def layers(self) -> set[str]:
        """The classes of all layers, nested ones included."""
        return {type(layer).__name__ for layer in self.model._flatten_layers()}


def build(plan: Plan) -> Net:
    """Make the network of a plan, in float64, with its weights and inputs."""
    with float64():
        written = write(plan)
    model, logits = written.space["model"], written.space["logits"]
    inputs = fill(model, plan["seed"], plan["whole"], plan["non_negative"])
    return Net(model, logits, inputs, tuple(written.lines))


def script(plan: Plan, lines: Sequence[str]) -> str:
    """Return a script that needs no file of the tests and ends with the same network.

    `plan` and `lines` are those of a `Net`; what a check adds may follow.
    """
    values = {key: plan[key] for key in ("seed", "whole", "non_negative")}
    settings = ", ".join(f"{key}={value!r}" for key, value in values.items())
    return "\n".join(
        [
            "from __future__ import annotations\n",
            "from typing import Any\n",
            "import keras",
            "import numpy as np",
            "from keras import layers\n",
            "keras.config.set_dtype_policy('float64')",
            *lines,
            "\n",
            inspect.getsource(fill),
            "",
            f"inputs = fill(model, {settings})",
            "",
        ]
    )


def curved(steps: Any) -> bool:
    """Whether a plan, or a part of one, holds products or functions with f(x) != f'(x) x."""
    if isinstance(steps, dict):
        own = steps.get("do") == "gate" or steps.get("function") in CURVED
        return own or any(curved(part) for part in steps.values())
    return isinstance(steps, list) and any(curved(part) for part in steps)


def size(plan: Plan) -> int:
    """How many layers the lines of a plan hold, roughly."""
    return math.floor(len(str(plan)) / 60)
