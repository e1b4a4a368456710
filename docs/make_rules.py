"""Write `docs/rules.md` and its pictures: every rule, explained and shown on the same images.

    python docs/make_rules.py           # the page alone: --text

The text of a rule is its docstring; its formula, what it conserves, when to use it and what it
costs is the table here. The pictures are of the network that ships with lrpkeras.
"""

from __future__ import annotations

import inspect
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpydoc.docscrape import NumpyDocString

import lrpkeras
from lrpkeras import Preset, plot, rules
from lrpkeras.datasets import shapes, shapes_classes, shapes_model

HERE = Path(__file__).parent
IMAGES, SEED, CLIP = 4, 0, 99.5
FORWARD = "one forward and one adjoint pass (F + F)"
SPLIT = "2F + F, the cost of z+"


@dataclass(frozen=True)
class About:
    """What a reader wants to know besides the formula."""

    conserves: str
    when: str
    cost: str
    # Entries of a preset that show the rule on the shipped network; None: it has no such node.
    shown: tuple | None = None
    gradient: bool = False


# In the notation of docs/concepts/rules.md.
FORMULAS: dict[str, str] = {
    "Zero": r"R_i = \sum_j \frac{x_i w_{ij}}{z_j}\, R_j",
    "Epsilon": r"R_i = \sum_j \frac{x_i w_{ij}}{z_j + \varepsilon\, \text{sign}\, z_j}\, R_j",
    "Gamma": r"R_i = \sum_j \frac{x_i w_{ij} + \gamma\, (x_i w_{ij})^{+}}{z_j + \gamma\, p_j}\, R_j"
    r"\quad (z_j \ge 0)",
    "AlphaBeta": r"R_i = \sum_j \left( \alpha\, \frac{(x_i w_{ij})^{+}}{p_j} - \beta\, "
    r"\frac{(x_i w_{ij})^{-}}{n_j} \right) R_j",
    "ZPlus": r"R_i = \sum_j \frac{(x_i w_{ij})^{+}}{p_j}\, R_j",
    "Box": r"R_i = \sum_j \frac{x_i w_{ij} - l_i\, w_{ij}^{+} - h_i\, w_{ij}^{-}}"
    r"{\sum_{k} x_{k} w_{kj} - l_{k}\, w_{kj}^{+} - h_{k}\, w_{kj}^{-}}\, R_j",
    "Flat": r"R_i = \sum_{j \in J_i} \frac{1}{|I_j|}\, R_j",
    "WSquare": r"R_i = \sum_j \frac{w_{ij}^2}{\sum_{k} w_{kj}^2}\, R_j",
    "Power": r"R_i = \sum_j \frac{(x_i w_{ij})^{p}}{\sum_{k} (x_{k} w_{kj})^{p}}\, R_j",
    "Relative": r"R_i = \frac{|J_i|}{M N} \sum_j x_i w_{ij}\, R_j",
    "Abs": r"R_i = \frac{|s\, x_i|}{|s\, x_i| + |t|}\, R_i^{\text{out}}",
    "Gradient": r"R_i = \sum_j \frac{\partial z_j}{\partial x_i}\, R_j",
    "Guided": r"R_i = f'(x_i)\, (R_i^{\text{out}})^{+}",
    "Deconv": r"R_i = (R_i^{\text{out}})^{+}",
    "Taylor": r"R_i = \frac{f(r) + f'(p)\,(x_i - r)}{f(x_i)}\, R_i^{\text{out}}",
    "Proportional": r"R_i = \frac{a_i}{\sum_{k} a_{k}}\, R",
    "Equal": r"R_i = \frac{1}{n}\, R",
}


def everywhere(rule: rules.Rule) -> tuple:
    """The rule wherever it applies."""
    return (("*", rule),)


def beside(where: str, rule: rules.Rule) -> tuple:
    """The rule at one kind of node, the default preset elsewhere."""
    return ((where, rule), *lrpkeras.presets.get("epsilon_plus_flat").entries)


def gradients(rule: rules.Rule) -> tuple:
    """The rule at activations, gradients elsewhere."""
    return (("Activation", rule), ("*", rules.Gradient()))


ABOUT: dict[str, About] = {
    "Zero": About(
        "all but the biases' shares and dead outputs",
        "to compare with input x gradient, which it equals on ReLU networks; noisy on deep ones",
        FORWARD,
        (("*", rules.Zero()), ("Sum", rules.Proportional(delta=0.0))),
    ),
    "Epsilon": About(
        "all but the biases' shares and what epsilon takes",
        "dense layers near the output; a larger epsilon takes out weak, contradictory evidence",
        FORWARD,
        everywhere(rules.Epsilon()),
    ),
    "Gamma": About(
        "all but the biases' shares",
        "convolutions, as a dial from Zero (0) to z+ (infinity): less noise, still signed",
        "2F + F behind a ReLU and for inputs that are never negative, else 2F + 2F",
        everywhere(rules.Gamma()),
    ),
    "AlphaBeta": About(
        "all but the biases' shares and one-signed sums, for alpha - beta = 1",
        "convolutions, where evidence against the class shall be seen: alpha 2, beta 1",
        "2F + 2F",
        everywhere(rules.AlphaBeta()),
    ),
    "ZPlus": About(
        "all but the positive biases' shares and sums without a positive part",
        "convolutions, for smooth and purely positive maps",
        "2F + F, 2F + 2F for signed inputs",
        everywhere(rules.ZPlus()),
    ),
    "Box": About(
        "all",
        "the first layer, where inputs have known bounds, as pixels do",
        "one extra pass of that layer",
        beside("first", rules.Box(0.0, 1.0)),
    ),
    "Flat": About(
        "all",
        "the first layer, for maps that do not hang on the values of pixels",
        "sums over channels and a box filter: next to nothing",
        beside("first", rules.Flat()),
    ),
    "WSquare": About(
        "all but outputs without weights",
        "the first layer, for inputs without bounds",
        "F; the denominators are constants",
        beside("first", rules.WSquare()),
    ),
    "Power": About(
        "all but what epsilon takes",
        "to study how far large messages shall outweigh small ones",
        "2F + F",
        everywhere(rules.Power()),
    ),
    "Relative": About(
        "nothing by number: a map is true up to a factor",
        "where a map shall have no denominators and no parameters; for ranking pixels",
        FORWARD,
        everywhere(rules.Relative()),
    ),
    "Identity": About(
        "all",
        "normalizations that are left unfolded (the papers' baseline); the default at local "
        "response normalization",
        "nothing",
    ),
    "Detach": About(
        "all but what epsilon takes",
        "layer, group, instance, RMS and unit normalization: the default",
        'elementwise; means, with `mean="linear"`',
    ),
    "Gradient": About(
        "nothing: it is no decomposition",
        "as a baseline, and under Guided and Deconv",
        FORWARD,
        everywhere(rules.Gradient()),
        gradient=True,
    ),
    "Abs": About(
        "all but the shift's share",
        "batch normalizations that are left unfolded",
        "elementwise",
    ),
    "Winner": About("all", "max pooling and maxima of inputs: the default", "as a gradient"),
    "Ties": About(
        "all",
        "max pooling where equal maxima are common, as after a ReLU",
        "a pass over the window",
    ),
    "Proportional": About(
        "all but sums that are zero",
        "average pooling and residual sums: the default. A larger `delta` tames sums that cancel",
        "elementwise; one extra pooling for max pooling",
        beside("Sum", rules.Proportional(delta=0.1)),
    ),
    "Equal": About(
        "all", "sums whose terms shall count alike", "elementwise", beside("Sum", rules.Equal())
    ),
    "Signal": About("all", "gates: the default where one factor is sigmoid-like", "nothing"),
    "Uniform": About("all", "products without a gate", "elementwise"),
    "Pass": About("all", "activations: the default", "nothing"),
    "Guided": About(
        "nothing: it is no decomposition",
        "to compare with guided backpropagation; it looks sharp whatever the network has learned",
        FORWARD,
        gradients(rules.Guided()),
        gradient=True,
    ),
    "Deconv": About(
        "nothing: it is no decomposition",
        "to compare with the deconvolutional network, which without max pooling hardly depends on "
        "the image",
        FORWARD,
        gradients(rules.Deconv()),
        gradient=True,
    ),
    "Taylor": About(
        "what the first-order expansion holds of each neuron; all at local response normalization",
        "smooth activations, where passing relevance ignores saturation; local response "
        "normalization, where channels that suppress others shall be seen",
        "elementwise",
        beside("Activation", rules.Taylor()),
    ),
    "Adjoint": About(
        "all but padding and what is masked out",
        "whatever moves values: the default; resized images, where pixels of both signs cancel",
        "nothing",
    ),
}


HEAD = r"""# The rules

A rule says how one kind of node passes relevance back to its inputs. In the formulas
$z_j = \sum_i x_i w_{ij} + b_j$ is an output; $p_j = \sum_i (x_i w_{ij})^{+} + b_j^{+}$ and
$n_j = \sum_i (x_i w_{ij})^{-} + b_j^{-}$ are its positive and its negative part, with
$a^{+} = \max(a, 0)$ and $a^{-} = \min(a, 0)$; $I_j$ are the inputs that reach output $j$, $J_i$
the outputs that read input $i$. Why there are several: [rules](concepts/rules.md).

F is the cost of one forward pass; costs are in multiply-adds of convolutions and matrix products.
The pictures show four generated images and the network that ships with lrpkeras; red speaks for the
class, blue against. Generated by `python docs/make_rules.py`; the examples are those of the
docstrings, and run with them.
"""


def page() -> str:
    """Return the page."""
    names = [name for name in rules.__all__ if name in ABOUT]
    table = [
        f"| [`{name}`](#{name.lower()}) | {_kinds(name)} | {ABOUT[name].conserves} |"
        for name in names
    ]
    head = ["| rule | for | conserves |", "|---|---|---|"]
    return "\n".join([HEAD, *head, *table, "", *(section(name, ABOUT[name]) for name in names)])


def _kinds(name: str) -> str:
    return ", ".join(kind.__name__ for kind in getattr(rules, name).kinds)


def section(name: str, about: About) -> str:
    """Return the text of one rule."""
    rule = getattr(rules, name)
    text = NumpyDocString(inspect.getdoc(rule) or "")
    lines = [f"## {name}", "", "```pycon", f"{name}({signature(rule)})", "```", ""]
    lines += [" ".join(text["Summary"]), ""]
    if name in FORMULAS:
        lines += [f"$${FORMULAS[name]}$$", ""]
    lines += [*text["Extended Summary"], ""]
    lines += [
        f"- `{', '.join(p.name.split(', '))}`: {' '.join(p.desc)}" for p in text["Parameters"]
    ]
    lines += ["", f"**For** {_kinds(name)} nodes. **Conserves** {about.conserves}.", ""]
    lines += [f"**When**: {about.when}. **Cost**: {about.cost}.", ""]
    if about.shown is not None:
        lines += [f"![Four images explained with {name}](images/rules/{name.lower()}.webp)", ""]
    # In Markdown, two brackets in a row are a link to a reference.
    words = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).replace("] [", "] \\[")
    return "\n".join([words, *example(text["Examples"])])


def signature(rule: type[rules.Rule]) -> str:
    """Return a rule's parameters and their defaults."""
    parameters = inspect.signature(rule).parameters.values()
    return ", ".join(f"{parameter.name}={parameter.default!r}" for parameter in parameters)


def example(lines: list[str]) -> list[str]:
    """Return a docstring's example: the words before it, and the code."""
    first = next(number for number, line in enumerate(lines) if line.startswith(">>>"))
    return [" ".join(lines[:first]).strip(), "", "```pycon", *lines[first:], "```", ""]


def draw(name: str, about: About) -> None:
    """Write the rule's picture: the images, their maps, and one colour scale."""
    data = shapes(IMAGES, SEED)
    preset = Preset(about.shown, name, seed="gradient" if about.gradient else "relevance")
    analyzer = lrpkeras.Analyzer(shapes_model(), preset, input_range=(0, 1))
    explanation = analyzer.explain(data.images, verbose=0)
    maps = np.asarray(explanation.relevance)
    titles = [shapes_classes[target] for target in explanation.target]
    figure, _ = plot.grid({name: maps}, data.images, titles=titles, clip=CLIP)
    folder = HERE / "images" / "rules"
    folder.mkdir(parents=True, exist_ok=True)
    # Textures as PNG would take ten times as much.
    options = {"dpi": 80, "bbox_inches": "tight", "pad_inches": 0.05, "pil_kwargs": {"quality": 90}}
    figure.savefig(folder / f"{name.lower()}.webp", **options)


if __name__ == "__main__":
    (HERE / "rules.md").write_text(page())
    if "--text" not in sys.argv:
        for name, about in ABOUT.items():
            if about.shown is not None:
                draw(name, about)
