"""Random networks of every supported layer: a plan, plain data, and the script that it stands for.

A plan is a list of steps, each of which reads tensors counted back from the newest. So every part
of a plan is a plan, and hypothesis can leave out any step when it looks for a smaller example.

A plan becomes the lines of a script, one a layer, and `build` runs these very lines: what a failing
example prints is what was tested.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from hypothesis import reject
from hypothesis import strategies as st
from linear_layers import float64
from model_script import Writer
from random_steps import BACK, CURVED, FLAG, MERGE, STEPS, WIDTH, Step, fitted, follow, spatial

Plan = dict[str, Any]
# Of every table; words are few enough to occur more than once.
ROWS = 5


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


LEAF = often(["conv", "norm", "norm", "normed relu", "activation", "pool", "resize", "merge"])
INNER = deeper(LEAF)
STEP = st.sampled_from([LEAF, LEAF, LEAF, INNER, deeper(LEAF | INNER)]).flatmap(lambda s: s)
TAIL = st.lists(
    st.one_of(*(STEPS[name] for name in ("norm", "dense", "activation", "operator"))), max_size=3
)
SIZE = st.integers(5, 9)


# Between a table with a mask and the mean that reads it: Keras' other layers end a mask.
HANDING_ON = st.one_of(
    *(STEPS[name] for name in ("dropout", "dense", "norm", "normed relu", "activation"))
)
WORDS = st.fixed_dictionaries(
    {
        "words": SIZE,
        "width": WIDTH,
        "masked": st.none() | st.lists(HANDING_ON, max_size=3),
    }
)


def starts() -> st.SearchStrategy[list[Any]]:
    """Draw what networks start with: one image or sequence or two of a size, or words."""
    axes = st.sampled_from([2, 2, 1])
    image = axes.flatmap(lambda d: st.tuples(*[SIZE] * d, WIDTH)).map(list)
    images = image.flatmap(lambda shape: st.sampled_from([[shape]] * 3 + [[shape] * 2]))
    sequence = st.tuples(SIZE, WIDTH).map(list)
    words = st.tuples(WORDS).map(list) | st.tuples(sequence, WORDS).map(list)
    return st.sampled_from([images] * 4 + [words]).flatmap(lambda s: s)


def networks() -> st.SearchStrategy[Plan]:
    """Draw plans."""
    few, many = (st.lists(STEP, min_size=least, max_size=least + 5) for least in (1, 4))
    return st.fixed_dictionaries(
        {
            "inputs": starts(),
            "steps": few | many,
            "head": st.sampled_from(
                ["Flatten", "GlobalAveragePooling", "GlobalMaxPooling", "conv"]
            ),
            "tail": TAIL,
            "end": st.sampled_from([None, "softmax", "sigmoid"]),
            "whole": st.sampled_from([False, False, True]),
            "non_negative": FLAG,
            "seed": st.integers(0, 999),
        }
    )


def embedded(w: Writer, words: str, width: int, masked: Sequence[Step] | None) -> str:
    """Look words up; with a mask, the mean of those that are not 0 is added to each."""
    x = w.add("Embedding", words, ROWS, width)
    if masked is None:
        return x
    others = follow(w.part([w.add("Embedding", words, ROWS, width, mask_zero=True)]), masked)
    mean = w.add("GlobalAveragePooling1D", others, keepdims=True)
    return w.add("Add", [x, w.add("Dense", mean, width)])


def write(plan: Plan) -> Writer:
    """Write the lines that make `model`, `logits` (the same without its head) and `inputs`."""
    w = Writer()
    inputs = [
        w.input(each) if isinstance(each, list) else w.input([each["words"]], "int32")
        for each in plan["inputs"]
    ]
    starts = [
        name if isinstance(each, list) else embedded(w, name, each["width"], each["masked"])
        for name, each in zip(inputs, plan["inputs"], strict=True)
    ]
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
    listed = inputs[0] if len(inputs) == 1 else f"[{', '.join(inputs)}]"
    try:
        w.run(f"logits = keras.Model({listed}, {x})")
    except ValueError as error:
        if "not connected" not in str(error):
            raise
        # Keras 3.12 makes no model of an input that nothing reads.
        reject()
    w.run(f"model = keras.Model({listed}, {end})")
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
    # Bounded, yet no two equal: where maxima tie, slopes are a convention.
    drawn = [rng.normal(0, 1, (2, *tensor.shape[1:])) for tensor in model.inputs]
    inputs = [3 * np.tanh(x / 3) for x in drawn]
    if whole:
        inputs = [
            np.round(x) * np.array([1.0, 0.0]).reshape(2, *[1] * (x.ndim - 1)) for x in inputs
        ]
    inputs = [np.abs(x) for x in inputs] if non_negative else inputs
    if model.inputs[-1].dtype == "int32":
        inputs[-1] = rng.integers(0, ROWS, drawn[-1].shape, "int32")
        inputs[-1][:, 0] = 1  # There is no mean of words that are all masked.
    return inputs


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
            "import lrpkeras\n",
            "keras.config.set_dtype_policy('float64')",
            *lines,
            "\n",
            f"ROWS = {ROWS}\n\n",
            inspect.getsource(fill),
            "",
            f"inputs = fill(model, {settings})",
            "",
        ]
    )


def curved(steps: Any) -> bool:
    """Whether a plan, or a part of one, holds products or functions with f(x) != f'(x) x."""
    if isinstance(steps, dict):
        own = steps.get("do") in ("gate", "normalized") or steps.get("function") in CURVED
        return own or any(curved(part) for part in steps.values())
    return isinstance(steps, list) and any(curved(part) for part in steps)
