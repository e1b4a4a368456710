"""Rules that treat positive and negative messages apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from keras import ops

from lrpkeras import backend
from lrpkeras.errors import RuleError
from lrpkeras.graph.convolutions import Convolution
from lrpkeras.graph.nodes import Linear
from lrpkeras.rules.bias import BiasRule
from lrpkeras.rules.linear import Linearized, Term, Weighted, by_sign
from lrpkeras.rules.rule import Array, Prepared, check_flag, check_number

# The kernels that make positive messages, and those that make negative ones: for x > 0, for x < 0.
KERNELS = (("positive", "negative"), ("negative", "positive"))

# The parts of the bias beside them.
BIASES = ("positive_bias", "negative_bias")

# From so many weights on, a convolution's kernel is split anew at every call: a second copy of it
# weighs more than the pass over it costs.
LARGE = 2**20

# A sum with its part of the bias, and that part; with the sum's weight.
Sum = tuple[Array | None, Array | None]
Side = tuple[float, Array, Array | None]


@dataclass(frozen=True)
class AlphaBeta(BiasRule):
    """LRP-alpha-beta: positive and negative messages apart [Bach et al. 2015, eq. 60].

    `R_i = sum_j (alpha (x_i w_ij)+ / (sum (xw)+ + b+) - beta (x_i w_ij)- / (sum (xw)- + b-)) R_j`,
    alpha - beta = 1. The sign is that of the product, for x of any sign, and the bias is split by
    sign, so that each denominator holds what its numerators leave out. What the bias has, and alpha
    or -beta where there is no message of that sign, is not passed on; the rest is conserved.

    Parameters
    ----------
    alpha, beta
        Weights of the two sums, with `alpha - beta = 1`. `beta <= 0` is allowed.
    conserve
        False allows any pair, of which only `alpha - beta` of the relevance is passed on
        [Gonzalez 2020: alpha 1, beta -1; alpha 0, beta 1; alpha 1, beta 1].
    bias
        What becomes of the bias's share, as `Analyzer(bias=)` has it. Ignored, it leaves both
        denominators.

    Raises
    ------
    RuleError
        If a parameter is out of its range, or `alpha - beta` is not 1 and `conserve` not False.

    Examples
    --------
    Messages 3 and -2 make z = 1; 2 for the positive one, -1 for the negative one:

    >>> import keras, lrpkeras, numpy as np
    >>> from lrpkeras import rules
    >>> dense = keras.layers.Dense(1, use_bias=False)
    >>> model = keras.Sequential([keras.Input((2,)), dense])
    >>> dense.set_weights([np.array([[3.0], [-1.0]])])
    >>> analyzer = lrpkeras.Analyzer(model, rules={"dense": rules.AlphaBeta(2, 1)})
    >>> analyzer([[1.0, 2.0]]).numpy().round(2)
    array([[ 2., -1.]], dtype=float32)
    """

    alpha: float = 2.0
    beta: float = 1.0
    conserve: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self, "alpha")
        check_number(self, "beta")
        check_flag(self, "conserve")
        if self.conserve and abs(self.alpha - self.beta - 1) > 1e-9:
            raise RuleError(
                f"AlphaBeta(alpha={self.alpha:g}, beta={self.beta:g}) does not conserve "
                "relevance: alpha - beta must be 1. conserve=False allows any pair."
            )

    def kernels(self, node: Weighted) -> dict[str, Array]:
        arrays = dict(node.parameters)
        if self._is_cheap(node):
            return {**arrays, "weights": node.kernel, "magnitude": np.abs(node.kernel)}
        if self._splits_late(node):
            return arrays
        if self._reads_positive or node.facts.signed:
            arrays["positive"] = np.maximum(node.kernel, 0)
        if self._reads_negative or node.facts.signed:
            arrays["negative"] = np.minimum(node.kernel, 0)
        if self._sums_parts(node):
            del arrays["kernel"]
        return arrays

    def bias_parts(self, node: Weighted) -> dict[str, Callable[[Array], Array]]:
        reads = (self._reads_positive, self._reads_negative)
        signs = (ops.relu, lambda bias: ops.minimum(bias, 0))
        return {name: sign for name, sign, read in zip(BIASES, signs, reads, strict=True) if read}

    @property
    def _reads_positive(self) -> bool:
        """Whether the positive sum plays a part; one of the two always does."""
        return self.alpha != 0 or self.beta == 0

    @property
    def _reads_negative(self) -> bool:
        return self.beta != 0

    def _is_cheap(self, node: Weighted) -> bool:
        """Whether `sum (xw)+` may be computed as `(sum xw + sum |x||w|) / 2`.

        That cancels where the positive part is small beside the negative. Where a ReLU closes
        every z <= 0 it does no harm: z > 0 makes `sum (xw)+ + b+` at least half of all magnitudes.
        Without the bias in the denominator `sum (xw)+` alone may be any small part of them.
        """
        closed = node.facts.closed and self.bias != "ignore"
        return not self._reads_negative and node.facts.signed and closed

    def _splits_late(self, node: Weighted) -> bool:
        """Whether the positive part of the kernel is made on the way back, and not held."""
        if self._reads_negative or node.facts.signed or not isinstance(node, Linear):
            return False
        plain = isinstance(node.operation, Convolution) and node.base_kernel is None
        return plain and node.kernel.size >= LARGE

    def _sums_parts(self, node: Weighted) -> bool:
        """Whether the output is the sum of the two parts, which then cost no extra pass."""
        both = self._reads_positive and self._reads_negative
        return both and getattr(node, "base_kernel", None) is None

    def evaluate(
        self, node: Weighted, prepared: Prepared, inputs: tuple[Array, ...]
    ) -> tuple[Array, Linearized]:
        if not self._sums_parts(node):
            return super().evaluate(node, prepared, inputs)
        parts = tuple(_part(node, prepared, inputs[0], pair) for pair in KERNELS)
        sums = self._sums(node, prepared, inputs, parts)
        wholes = [whole for whole, _ in sums if whole is not None]
        if self.bias == "ignore":
            bias = node.bias_tensor(inputs, prepared)
            wholes += [] if bias is None else [bias]
        add = _rectified_sum if node.facts.rectified else _sum
        output = backend.fused(add, *wholes)
        return output, self._linearized(node, prepared, inputs, output, sums)

    def linearize(
        self, node: Weighted, prepared: Prepared, inputs: tuple[Array, ...], output: Array
    ) -> Linearized:
        if self._is_cheap(node):
            return self._linearized_cheaply(node, prepared, inputs, output)
        if self._splits_late(node):
            kernel = backend.after(prepared["kernel"], inputs[0])
            prepared = {**prepared, "positive": ops.relu(kernel)}
        parts = self._parts(node, prepared, inputs[0])
        sums = self._sums(node, prepared, inputs, parts)
        return self._linearized(node, prepared, inputs, output, sums)

    def _parts(
        self, node: Weighted, prepared: Prepared, x: Array
    ) -> tuple[Array | None, Array | None]:
        """`sum (xw)+` and `sum (xw)-`, each where the rule reads it."""
        reads = (self._reads_positive, self._reads_negative)
        pairs = zip(reads, KERNELS, strict=True)
        plus, minus = (_part(node, prepared, x, pair) if read else None for read, pair in pairs)
        return plus, minus

    def _sums(
        self,
        node: Weighted,
        prepared: Prepared,
        inputs: tuple[Array, ...],
        parts: tuple[Array | None, Array | None],
    ) -> tuple[Sum, Sum]:
        """Add to each part that of the bias: the parts of both add up to the output."""
        bias = None if self.bias == "ignore" else node.bias_tensor(inputs, prepared)

        def whole(part: Array | None, name: str) -> Sum:
            if part is None or bias is None:
                return part, None
            own = self.part_of_bias(node, prepared, bias, name)
            return part + own, own

        return whole(parts[0], BIASES[0]), whole(parts[1], BIASES[1])

    def _linearized(
        self,
        node: Weighted,
        prepared: Prepared,
        inputs: tuple[Array, ...],
        output: Array,
        sums: tuple[Sum, Sum],
    ) -> Linearized:
        x = inputs[0]
        terms: list[Term] = []
        sides: list[Side] = []
        weights = (self.alpha, -self.beta)
        for weight, (whole, own), pair in zip(weights, sums, KERNELS, strict=True):
            if whole is not None:
                sides.append((weight, whole, own))
                terms += _by_sign(node, prepared, x, pair, whole, weight)
        equal = self.equal(node, prepared, x)
        return Linearized(node, x, output, tuple(terms), self._fractions(sides), equal)

    def _linearized_cheaply(
        self, node: Weighted, prepared: Prepared, inputs: tuple[Array, ...], output: Array
    ) -> Linearized:
        x, bias = inputs[0], node.bias_tensor(inputs, prepared)
        magnitude = node.operation.apply(ops.absolute(x), prepared["magnitude"])
        total = output if bias is None else output - bias
        own = None if bias is None else self.part_of_bias(node, prepared, bias, BIASES[0])
        whole = ops.relu(0.5 * (total + magnitude))
        whole = whole if own is None else whole + own
        half = 0.5 * self.alpha
        terms = (
            Term(prepared["weights"], whole, half),
            Term(prepared["magnitude"], whole, half, backend.inlined(ops.sign, x)),
        )
        fractions = self._fractions([(self.alpha, whole, own)])
        return Linearized(node, x, output, terms, fractions, self.equal(node, prepared, x))

    def _fractions(self, sides: list[Side]) -> Callable[[], dict[str, Array]]:
        """What the bias takes of each sum, what is lost where one is empty, and by design."""

        def fractions() -> dict[str, Array]:
            held = [w * ops.divide_no_nan(own, whole) for w, whole, own in sides if own is not None]
            empty = [weight * ops.cast(whole == 0, whole.dtype) for weight, whole, _ in sides]
            taken = {"bias": sum(held[1:], held[0])} if held else {}
            taken["one-signed sum"] = sum(empty[1:], empty[0])
            if not self.conserve:
                taken["design"] = ops.full_like(empty[0], 1 - (self.alpha - self.beta))
            return taken

        return fractions


def _sum(*terms: Array) -> Array:
    return sum(terms[1:], terms[0])


def _rectified_sum(*terms: Array) -> Array:
    return ops.relu(_sum(*terms))


def _part(node: Weighted, prepared: Prepared, x: Array, kernels: tuple[str, str]) -> Array:
    """The sum of the messages of one sign: x >= 0 with the first kernel, x < 0 with the second."""
    apply = node.operation.apply
    if not node.facts.signed:
        return apply(x, prepared[kernels[0]])
    above, below = ops.relu(x), ops.minimum(x, 0)
    return apply(above, prepared[kernels[0]]) + apply(below, prepared[kernels[1]])


def _by_sign(
    node: Weighted,
    prepared: Prepared,
    x: Array,
    kernels: tuple[str, str],
    whole: Array,
    weight: float,
) -> list[Term]:
    """The terms of one sign of product: x >= 0 with the first kernel, x < 0 with the second."""
    if not node.facts.signed:
        return [Term(prepared[kernels[0]], whole, weight)]
    pairs = zip(kernels, by_sign(x), strict=True)
    return [Term(prepared[kernel], whole, weight, mask) for kernel, mask in pairs]


@dataclass(frozen=True)
class ZPlus(AlphaBeta):
    """The z+ rule, alpha 1, beta 0: `R_i = sum_j (x_i w_ij)+ / (sum (xw)+ + b+) R_j`.

    [Montavon et al. 2017, Deep Taylor decomposition, with the sign taken of the product.] What the
    positive bias has, and all where no message is positive, is not passed on.

    Parameters
    ----------
    bias
        What becomes of the bias's share, as `Analyzer(bias=)` has it. Ignored, it leaves the
        denominator.

    Examples
    --------
    Messages 3 and -2 make z = 1; the positive one gets it all:

    >>> import keras, lrpkeras, numpy as np
    >>> from lrpkeras import rules
    >>> dense = keras.layers.Dense(1, use_bias=False)
    >>> model = keras.Sequential([keras.Input((2,)), dense])
    >>> dense.set_weights([np.array([[3.0], [-1.0]])])
    >>> analyzer = lrpkeras.Analyzer(model, rules={"dense": rules.ZPlus()})
    >>> analyzer([[1.0, 2.0]]).numpy().round(2)
    array([[1., 0.]], dtype=float32)
    """

    alpha: float = field(default=1.0, init=False)
    beta: float = field(default=0.0, init=False)
    conserve: bool = field(default=True, init=False)
