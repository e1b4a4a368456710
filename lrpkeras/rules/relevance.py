"""Relevance on its way back: an array, and the form in which it is carried."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, islice
from typing import Any, Literal

import keras
from keras import ops

from lrpkeras import backend

Array = Any

# How far the scale of a result may lie from that of the start: in between, every number of a map
# that is within 1e-16 (1e-47) of the largest can be represented beside it.
REACH = {"float32": 50.0, "float64": 600.0}
# Logarithms whose exponentials are still numbers.
LARGEST = {"float32": 80.0, "float64": 700.0}
# The logarithm of "nothing": finite, so that the difference of two such is no NaN.
NOTHING = -1e30


@dataclass(frozen=True)
class Steps:
    """Elementwise functions to be applied one after another, in one pass over memory.

    Each takes the array so far and the operands with the given numbers.
    """

    functions: tuple[Callable, ...] = ()
    reads: tuple[tuple[int, ...], ...] = ()

    def __call__(self, array: Array, *operands: Array) -> Any:
        for function, numbers in zip(self.functions, self.reads, strict=True):
            array = function(array, *(operands[number] for number in numbers))
        return array


@dataclass(frozen=True)
class Relevance:
    """Relevance of one tensor for k targets.

    Attributes
    ----------
    source
        Shape `(k, batch, ...)`: one array for each target.
    form
        "R" for relevance itself; "ratio" for relevance divided by the value of the tensor, in
        which many rules need no division: `R = array * value`.
    log_scale
        None, or `(k, batch)`: relevance is `array * exp(log_scale)`. What shrinks with every layer
        would be zero in float32 long before it reaches the input of a deep model.
    steps, operands
        Elementwise steps that `source` waits for, until somebody reads `array`.

    Examples
    --------
    >>> import numpy as np
    >>> from lrpkeras.rules import Relevance
    >>> value = np.array([[2.0, 5.0]])
    >>> ratio = Relevance(np.array([[[0.5, 1.0]]]), "ratio")
    >>> np.asarray(ratio.absolute(value)).tolist()
    [[[1.0, 5.0]]]
    """

    source: Array
    form: Literal["R", "ratio"] = "R"
    log_scale: Array | None = None
    steps: Steps = Steps()
    operands: tuple[Array, ...] = ()

    @cached_property
    def array(self) -> Array:
        """Relevance in its form, all steps taken: `(k, batch, ...)`."""
        if not self.steps.functions:
            return self.source
        return backend.fused(self.steps, self.source, *self.operands)

    def then(self, function: Callable, *operands: Array) -> Relevance:
        """Return what an elementwise function `(array, *operands)` makes of the array.

        It waits, so that a run of such steps passes over memory once.

        Parameters
        ----------
        function
            A function of a module, of arrays alone.
        *operands
            Arrays that broadcast against `(k, batch, ...)`.

        Returns
        -------
        Relevance
            In the same form and scale.
        """
        if self.steps.functions and "array" in self.__dict__:
            return self.with_array(self.array).then(function, *operands)
        held, numbers = list(self.operands), []
        for operand in operands:
            found = [i for i, other in enumerate(held) if other is operand]
            numbers.append(found[0] if found else len(held))
            held += [] if found else [operand]
        steps = Steps((*self.steps.functions, function), (*self.steps.reads, tuple(numbers)))
        return replace(self, steps=steps, operands=tuple(held))

    def each(self, function: Callable, *operands: tuple[Array, ...]) -> tuple[Array, ...]:
        """Return what an elementwise function makes of the array with each of some operands.

        Parameters
        ----------
        function
            A function of a module, of arrays alone.
        *operands
            For each result the arrays that the function takes beside the array.

        Returns
        -------
        tuple of tensor
            One for each of the operands, `(k, batch, ...)`, made in one pass over memory.
        """
        if len(operands) == 1:
            return (self.then(function, *operands[0]).array,)
        widths = tuple(map(len, operands))
        run = self.then(_Each(function, widths), *chain.from_iterable(operands))
        made: tuple[Array, ...] = backend.fused(run.steps, run.source, *run.operands)
        return made

    @property
    def waits(self) -> bool:
        """Whether there are steps that nobody has taken."""
        return bool(self.steps.functions) and "array" not in self.__dict__

    @property
    def is_ratio(self) -> bool:
        """Whether the array still waits to be multiplied by the tensor's value."""
        return self.form == "ratio"

    def absolute(self, value: Array) -> Array:
        """Return relevance itself, but for its scale, given the value `(batch, ...)`.

        Parameters
        ----------
        value
            The tensor that this is the relevance of.

        Returns
        -------
        tensor
            Shape `(k, batch, ...)`.
        """
        return self.multiplied(value).array

    def multiplied(self, value: Array) -> Relevance:
        """Return relevance in the form "R", given the value `(batch, ...)`.

        Parameters
        ----------
        value
            The tensor that this is the relevance of.

        Returns
        -------
        Relevance
            The same relevance.
        """
        return replace(self.then(times, value), form="R") if self.is_ratio else self

    def with_array(self, array: Array) -> Relevance:
        """Return an array in the same form and scale.

        Parameters
        ----------
        array
            Shape `(k, batch, ...)`.

        Returns
        -------
        Relevance
            That array's.
        """
        return Relevance(array, self.form, self.log_scale)

    def unscaled(self) -> Relevance:
        """Return the array alone, without its scale.

        Returns
        -------
        Relevance
            With a `log_scale` of None.
        """
        return self if self.log_scale is None else replace(self, log_scale=None)

    def scaled(self, log_scale: Array | None) -> Relevance:
        """Return the same array times `exp(log_scale)`, carried apart from it.

        Parameters
        ----------
        log_scale
            Shape `(k, batch)`; None changes nothing.

        Returns
        -------
        Relevance
            With the sum of both scales.
        """
        if log_scale is None:
            return self
        own = log_scale if self.log_scale is None else self.log_scale + log_scale
        return replace(self, log_scale=own)

    def at(self, log_scale: Array, value: Array) -> Array:
        """Return relevance itself in units of `exp(log_scale)`.

        Parameters
        ----------
        log_scale
            Shape `(k, batch)`.
        value
            The tensor that this is the relevance of, `(batch, ...)`.

        Returns
        -------
        tensor
            Shape `(k, batch, ...)`.
        """
        own = ops.zeros_like(log_scale) if self.log_scale is None else self.log_scale
        array = self.absolute(value)
        # Against the scale of nothing the change has no bound, and infinity times zero is none.
        change = ops.minimum(own - log_scale, LARGEST[_type(array)])
        return array * per_sample(ops.exp(change), array)


@dataclass(frozen=True)
class _Each:
    """A step of several results: a function of the array and so many operands for each."""

    function: Callable
    widths: tuple[int, ...]

    def __call__(self, array: Array, *operands: Array) -> tuple[Array, ...]:
        left = iter(operands)
        return tuple(self.function(array, *islice(left, width)) for width in self.widths)


def times(array: Array, value: Array) -> Array:
    """A step that multiplies."""
    return array * value


def plus(array: Array, other: Array) -> Array:
    """A step that adds."""
    return array + other


def _type(array: Array) -> str:
    return str(keras.backend.standardize_dtype(array.dtype))


def per_sample(values: Array, array: Array) -> Array:
    """Give `(k, batch)` trailing axes, so that it broadcasts against `array`."""
    for _ in range(len(array.shape) - 2):
        values = ops.expand_dims(values, -1)
    return values


def total(array: Array) -> Array:
    """Sum `(k, batch, ...)` over all but targets and samples."""
    axes = tuple(range(2, len(array.shape)))
    return ops.sum(array, axis=axes) if axes else array


def largest(array: Array) -> Array:
    """Return the largest magnitude in `(k, batch, ...)` for each target and sample."""
    size = ops.absolute(array)
    axes = tuple(range(2, len(array.shape)))
    return ops.max(size, axis=axes) if axes else size


def normalized(array: Array, log_factor: Array | float = 0.0) -> Relevance:
    """Return `array * exp(log_factor)` with magnitudes up to one and the rest as log-scale."""
    size = largest(array)
    alive = size > 0
    size = ops.where(alive, size, ops.ones_like(size))
    log_scale = ops.where(alive, ops.log(size) + log_factor, ops.full_like(size, NOTHING))
    return Relevance(array / per_sample(size, array), "R", log_scale)


def settled(relevance: Relevance, value: Array, start: Array) -> Array:
    """Return relevance itself where that can be represented.

    Parameters
    ----------
    relevance
        Of a tensor.
    value
        That tensor, `(batch, ...)`.
    start
        Relevance of the output, `(k, batch, ...)`: where the log-scale is further than `REACH` from
        its size, the result is true up to one positive factor for each target and sample.
    """
    array = relevance.absolute(value)
    if relevance.log_scale is None:
        return array
    size = largest(start)
    alive = size > 0
    first = ops.log(ops.where(alive, size, ops.ones_like(size)))
    reach = REACH[_type(array)]
    change = ops.clip(relevance.log_scale - first, -reach, reach)
    return array * per_sample(size * ops.exp(change), array)


def added(parts: list[Relevance], value: Array) -> Relevance:
    """Add relevance that several consumers of one tensor send back."""
    if len(parts) == 1:
        return parts[0]
    scales = [part.log_scale for part in parts if part.log_scale is not None]
    if scales:
        return _aligned(parts, scales, value)
    same = all(part.is_ratio for part in parts)
    parts = parts if same else [part.multiplied(value) for part in parts]
    # What waits for steps first: it takes the sum along with them.
    first, *others = sorted(parts, key=lambda part: not part.waits)
    for part in others:
        first = first.then(plus, part.array)
    return first


def _aligned(parts: list[Relevance], scales: list[Array], value: Array) -> Relevance:
    """Add relevance in units of its largest part."""
    if len(scales) < len(parts):
        scales = [*scales, ops.zeros_like(scales[0])]
    peak = scales[0]
    for scale in scales[1:]:
        peak = ops.maximum(peak, scale)
    return Relevance(_sum([part.at(peak, value) for part in parts]), "R", peak)


def _sum(arrays: list[Array]) -> Array:
    result = arrays[0]
    for array in arrays[1:]:
        result = result + array
    return result
