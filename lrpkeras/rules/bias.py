"""What becomes of the bias's share, for the rules whose denominators can hold a bias."""

from __future__ import annotations

from dataclasses import dataclass, field

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
        folded = getattr(node, "base_kernel", None) is not None
        return self.bias == "distribute" and (folded or "bias" in node.parameters)

    def prepare(self, node: Weighted) -> dict[str, Array]:
        arrays = self.kernels(node)
        return {**arrays, **equal_shares.prepare(node)} if self.distributes(node) else arrays

    def kernels(self, node: Weighted) -> dict[str, Array]:
        """Return the node's parameters and the rule's kernels."""
        return with_rule_kernel(node)

    def equal(
        self, node: Weighted, prepared: Prepared, x: Array, output: Array
    ) -> EqualShares | None:
        """Return who gets the bias's share; None where no input does."""
        if not self.distributes(node):
            return None
        return equal_shares.equal_shares(node, prepared, x, output)

    def vanishing(self, node: Weighted, output: Vanishing) -> Vanishing:
        return Vanishing() if self.distributes(node) else super().vanishing(node, output)
