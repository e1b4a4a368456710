"""What becomes of the bias's share, for the rules whose denominators can hold a bias."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from lrpkeras import backend
from lrpkeras.errors import RuleError
from lrpkeras.rules import equal_shares
from lrpkeras.rules.equal_shares import EqualShares
from lrpkeras.rules.linear import ProductRule, Weighted, with_rule_kernel
from lrpkeras.rules.rule import Array, Prepared, Vanishing

MODES = ("absorb", "ignore", "distribute")


@dataclass(frozen=True)
class BiasRule(ProductRule):
    """A `ProductRule` whose denominators hold the bias, or not.

    Parameters
    ----------
    bias
        "absorb": the bias is in the denominators and keeps its share [Bach et al. 2015]. "ignore":
        it is in none, so that all goes to the inputs. "distribute": it is in the denominators, and
        its share goes in equal parts to the inputs that reach the output, padding not counted
        [Arras et al. 2017, eq. 1 with delta = 1, where epsilon's share goes there, too].
    """

    bias: str = field(default="absorb", kw_only=True)

    def __post_init__(self) -> None:
        if not (isinstance(self.bias, str) and self.bias in MODES):
            known = ", ".join(map(repr, MODES))
            raise RuleError(f"{type(self).__name__}(bias={self.bias!r}): bias is one of {known}.")

    def distributes(self, node: Weighted) -> bool:
        """Whether the node has a bias whose share goes to its inputs."""
        return self.bias == "distribute" and (_varies(node) or "bias" in node.parameters)

    def prepare(self, node: Weighted) -> dict[str, Array]:
        arrays = {**self.kernels(node), **self._constant_parts(node)}
        return {**arrays, **equal_shares.prepare(node)} if self.distributes(node) else arrays

    def bias_parts(self, node: Weighted) -> Mapping[str, Callable[[Array], Array]]:
        """Return what the denominators hold of a bias, by a name for each part."""
        return {}

    def _constant_parts(self, node: Weighted) -> dict[str, Array]:
        bias = node.parameters.get("bias")
        if bias is None or self.bias == "ignore" or _varies(node):
            return {}
        parts = self.bias_parts(node).items()
        return {name: backend.to_numpy(part(backend.constant(bias))) for name, part in parts}

    def part_of_bias(self, node: Weighted, prepared: Prepared, bias: Array, name: str) -> Array:
        """Return one of `bias_parts` of the bias tensor: as prepared, where that is constant."""
        if name in prepared:
            return node.aligned_bias(prepared[name])
        return self.bias_parts(node)[name](bias)

    def kernels(self, node: Weighted) -> dict[str, Array]:
        """Return the node's parameters and the rule's kernels."""
        return with_rule_kernel(node)

    def equal(self, node: Weighted, prepared: Prepared, x: Array) -> EqualShares | None:
        """Return who gets the bias's share; None where no input does."""
        if not self.distributes(node):
            return None
        return equal_shares.equal_shares(node, prepared, x)

    def vanishing(self, node: Weighted, output: Vanishing) -> Vanishing:
        return Vanishing() if self.distributes(node) else super().vanishing(node, output)


def _varies(node: Weighted) -> bool:
    """Whether the bias tensor depends on the sample: that of a normalization behind a gate does."""
    return getattr(node, "base_kernel", None) is not None
