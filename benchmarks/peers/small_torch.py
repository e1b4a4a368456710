"""Small networks in torch, explained by zennit and captum.

`python -m benchmarks.peers.small_torch` prints one JSON object: by library and version, by case
(`small.py` says what they are), numbers or the reason why there are none.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from benchmarks.peers.torch_worker import Stacked, import_zennit

Numbers = list[float]
TINY = 1e-12  # an epsilon that no digit shown here notices


def dense(weights: Sequence[Sequence[float]], bias: float = 0.0) -> nn.Linear:
    """Return a layer of an `(out, in)` matrix and one bias; captum's rules want a bias."""
    layer = nn.Linear(len(weights[0]), len(weights))
    layer.weight.data, layer.bias.data = torch.tensor(weights), torch.full((len(weights),), bias)
    return layer


class Residual(nn.Module):
    """Sixteen times `x + x / 2`, by modules or by operators."""

    def __init__(self, add: Callable[[], nn.Module] | None = None) -> None:
        super().__init__()
        self.layers = nn.ModuleList(dense([[0.5]]) for _ in range(16))
        self.sums = nn.ModuleList(add() for _ in range(16)) if add else []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return 1.5 ** 16 times x."""
        for number, layer in enumerate(self.layers):
            x = self.sums[number](x, layer(x)) if self.sums else x + layer(x)
        return x


class Doubled(nn.Module):
    """A layer behind `2 * x`, an operator."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = dense([[1.0]])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return 2 x."""
        return self.layer(2 * x)


class Normalized(nn.Module):
    """`3 (relu(2 x) - 1) + 0.5`, the ReLU as a function between a layer and a normalization."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = (
            dense([[2.0]]),
            nn.BatchNorm1d(1, eps=0.0),
            dense([[1.0]]),
        )
        set_norm(self.norm, 3.0, 0.5, 1.0, 1.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logit."""
        return self.last(self.norm(torch.relu(self.first(x))))


def set_norm(norm: Any, gamma: float, beta: float, mean: float, variance: float) -> None:
    """Give a normalization of one channel its numbers."""
    norm.weight.data.fill_(gamma)
    norm.bias.data.fill_(beta)
    norm.running_mean.fill_(mean)
    norm.running_var.fill_(variance)


def convolution_then_norm() -> nn.Module:
    """Return `3 (x - 1) / sqrt(4) + 0.5` for one pixel."""
    conv, norm = nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1, eps=0.0)
    conv.weight.data.fill_(1.0)
    conv.bias.data.fill_(0.0)
    set_norm(norm, 3.0, 0.5, 1.0, 4.0)
    return nn.Sequential(conv, norm)


def padded() -> nn.Module:
    """Return a convolution behind a padding layer that reads one pixel of 2 x 2."""
    conv = nn.Conv2d(1, 1, 4, bias=False)
    conv.weight.data.zero_()
    conv.weight.data[0, 0, 1, 1] = 1.0
    return nn.Sequential(nn.ZeroPad2d(1), conv, nn.Flatten())


def by_zennit(network: nn.Module, x: Any, composite: Any) -> tuple[Numbers, Numbers]:
    """Return the output that zennit explained, and the relevance."""
    zennit = import_zennit()
    images = torch.tensor([x], requires_grad=True)
    with zennit.attribution.Gradient(network.eval(), composite) as attributor:
        output, relevance = attributor(images, lambda output: output)
    return output.flatten().tolist(), relevance.flatten().tolist()


def everywhere(rule: Any, canonizers: Any = None) -> Any:
    """Return zennit's composite of one rule for all linear layers, and its own for all others."""
    composites = importlib.import_module("zennit.composites")
    layers = composites.layer_map_base(TINY)
    return composites.LayerMapComposite([((nn.Linear, nn.Conv2d), rule), *layers], canonizers)


def zennit_cases() -> dict[str, Callable[[], Numbers]]:
    """Return zennit's cases."""
    zennit = import_zennit()
    rules, composites = importlib.import_module("zennit.rules"), zennit.composites
    merge = [zennit.canonizers.SequentialMergeBatchNorm()]
    epsilon, z_plus = rules.Epsilon(TINY), rules.ZPlus(TINY)

    def share(add: Callable[[], nn.Module] | None = None) -> Numbers:
        logit, relevance = by_zennit(Residual(add), [2.0], everywhere(epsilon))
        return [relevance[0] / logit[0]]

    def twice() -> Numbers:
        network = nn.Sequential(dense([[1.0, -1.0]]))
        return [r for _ in range(2) for r in by_zennit(network, [3.0, 1.0], everywhere(z_plus))[1]]

    def relevance(network: nn.Module, x: Any, composite: Any) -> Numbers:
        return by_zennit(network, x, composite)[1]

    merged = composites.EpsilonPlus(TINY, TINY, canonizers=merge)
    head = nn.Sequential(dense([[1.0, -3.0]]), nn.Sigmoid())
    negative = dense([[1.0, -1.0]])
    return {
        "residual": share,
        "residual_by_modules": lambda: share(Stacked),
        "negative_bias": lambda: relevance(
            dense([[1.0, -1.0]], -0.9), [1.0, 0.05], everywhere(z_plus)
        ),
        "negative_input": lambda: relevance(negative, [1.0, -3.0], everywhere(z_plus)),
        "sigmoid_head": lambda: relevance(head, [1.0, 1.0], composites.EpsilonPlus(TINY, TINY)),
        "flat_behind_padding": lambda: relevance(
            padded(), [[[1.0] * 2] * 2], composites.EpsilonPlusFlat(TINY, TINY)
        ),
        "batch_norm": lambda: relevance(
            convolution_then_norm(), [[[5.0]]], everywhere(epsilon, merge)
        ),
        "batch_norm_behind_relu": lambda: by_zennit(Normalized(), [-2.0], merged)[0],
        "factor": lambda: relevance(Doubled(), [3.0], everywhere(epsilon)),
        "second_call": twice,
    }


def by_captum(
    network: nn.Module, x: Any, rule: Any = None, *, calls: int = 1, target: Any = 0
) -> Numbers:
    """Return captum's relevance; a rule is for the first module."""
    if rule is not None:
        network[0].rule = rule  # type: ignore[index]
    images = torch.tensor([x], requires_grad=True)
    lrp = importlib.import_module("captum.attr").LRP(network.eval())
    found = [lrp.attribute(images, target) for _ in range(calls)]
    return torch.cat(found).flatten().tolist()


def captum_cases() -> dict[str, Callable[[], Numbers]]:
    """Return captum's cases."""
    rules = importlib.import_module("captum.attr._utils.lrp_rules")
    adds = importlib.import_module("captum.attr._utils.custom_modules").Addition_Module
    plus = rules.Alpha1_Beta0_Rule

    def share(add: Callable[[], nn.Module] | None = None) -> Numbers:
        return [by_captum(Residual(add), [2.0])[0] / (2 * 1.5**16)]

    def one(bias: float = 0.0) -> nn.Module:
        return nn.Sequential(dense([[1.0, -1.0]], bias))

    head = nn.Sequential(dense([[1.0, -3.0]]), nn.Sigmoid())
    return {
        "residual": share,
        "residual_by_modules": lambda: share(adds),
        "negative_bias": lambda: by_captum(one(-0.9), [1.0, 0.05], plus()),
        "negative_input": lambda: by_captum(one(), [1.0, -3.0], plus()),
        "sigmoid_head": lambda: by_captum(head, [1.0, 1.0]),
        "batch_norm": lambda: by_captum(convolution_then_norm(), [[[5.0]]], target=(0, 0, 0)),
        "factor": lambda: by_captum(Doubled(), [3.0]),
        "second_call": lambda: by_captum(one(), [3.0, 1.0], plus(), calls=2),
    }


def outcome(case: Callable[[], Numbers]) -> Numbers | str:
    """Return the numbers, or the first line of the error."""
    try:
        return case()
    except Exception as error:
        return f"{type(error).__name__}: {error}".splitlines()[0]


def main() -> None:
    """Print all that there is."""
    torch.set_default_dtype(torch.float64)
    found = {}
    for library, cases in (("zennit", zennit_cases), ("captum", captum_cases)):
        name = f"{library} {importlib.metadata.version(library)}"
        found[name] = {case: outcome(run) for case, run in cases().items()}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
