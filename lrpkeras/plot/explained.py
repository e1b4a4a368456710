"""What is drawn is an array, or an explanation, which brings its titles along.

`lrpkeras.Explanation` lies above this package; here it is whatever has its attributes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lrpkeras.errors import InputError

if TYPE_CHECKING:
    from lrpkeras.conditions import Channels, Condition

Labels: TypeAlias = Sequence[str] | Mapping[int, str]

SHOWN = 5  # channels in a title


@runtime_checkable
class Explained(Protocol):
    """What `lrpkeras.Explanation` has; its class says what each attribute is."""

    @property
    def relevance(self) -> Any: ...  # noqa: D102
    @property
    def output(self) -> NDArray[Any]: ...  # noqa: D102
    @property
    def target(self) -> NDArray[Any]: ...  # noqa: D102
    @property
    def layers(self) -> dict[str, NDArray[Any]]: ...  # noqa: D102
    @property
    def condition(self) -> Condition | tuple[Condition, ...] | None: ...  # noqa: D102


@dataclass(frozen=True)
class Shown:
    """Relevance to draw, and of what it is.

    Attributes
    ----------
    relevance
        An array, as it was given. Of an explanation `(maps, ...)`: one entry for each sample,
        target and condition, in this order.
    titles
        Of an explanation a text for each map: class and logit, and the condition if there is
        one. None for an array.
    samples
        How many samples an explanation has; None for an array.
    """

    relevance: NDArray[Any]
    titles: list[str] | None = None
    samples: int | None = None

    @property
    def times(self) -> int:
        """How many maps each sample has."""
        return 1 if self.samples is None else len(self.relevance) // self.samples


def read_relevance(relevance: ArrayLike | Explained, labels: Labels | None = None) -> Shown:
    """Return the relevance that an array or an explanation holds, with the titles of the latter.

    Parameters
    ----------
    relevance
        An array of any shape, or an explanation of a model with one input.
    labels
        Of an explanation: names of the classes, one for each, or a dict by class number.

    Raises
    ------
    lrpkeras.errors.InputError
        Where an explanation is of several inputs, or labels do not fit.

    Examples
    --------
    >>> read_relevance(np.zeros((2, 8, 8, 3))).relevance.shape
    (2, 8, 8, 3)
    """
    if isinstance(relevance, Explained):
        maps = flat(relevance)
        return Shown(maps, titles(relevance, labels), len(relevance.target))
    if labels is not None:
        raise InputError("labels names the classes of an explanation; for an array, give titles.")
    return Shown(relevance)  # type: ignore[arg-type]  # read, and refused, by who draws it


def read_several(several: Sequence[ArrayLike | Explained], labels: Labels | None) -> list[Shown]:
    """Read arrays and explanations; labels are for the explanations, one of which there must be."""
    has_explained = any(isinstance(one, Explained) for one in several)
    return [
        read_relevance(one, labels if isinstance(one, Explained) or not has_explained else None)
        for one in several
    ]


def flat(explained: Explained) -> NDArray[Any]:
    """Return an explanation's relevance `(samples * targets * conditions, ...)`."""
    relevance = explained.relevance
    while isinstance(relevance, list | tuple | Mapping) and len(relevance) == 1:
        [relevance] = relevance.values() if isinstance(relevance, Mapping) else relevance
    if not isinstance(relevance, np.ndarray):
        raise InputError(
            "This explanation is of several inputs: draw one input's relevance, such as "
            "explanation.relevance[0] or explanation.relevance['name']."
        )
    if not len(explained.target):
        raise InputError("The explanation has no samples: there is nothing to draw.")
    several = (explained.target.ndim == 2) + isinstance(explained.condition, tuple)
    return relevance.reshape(-1, *relevance.shape[1 + several :])


@dataclass(frozen=True)
class Caption:
    """Of what a map is.

    Attributes
    ----------
    name
        The class; empty where relevance started from an array.
    logit
        Its logit; None where there is none, or one for each position.
    condition
        Through what the relevance has flowed; empty where it has gone every way.
    """

    name: str
    logit: float | None
    condition: str

    def __str__(self) -> str:
        name = self.name if self.logit is None else f"{self.name}: {self.logit:.2f}"
        return "\n".join(filter(None, (name, self.condition)))


def titles(explained: Explained, labels: Labels | None = None) -> list[str]:
    """Return "class: logit" for each map of `flat`, and a line of its condition if it has one."""
    return list(map(str, captions(explained, labels)))


def captions(explained: Explained, labels: Labels | None = None) -> list[Caption]:
    """Return of what each map of `flat` is.

    Parameters
    ----------
    explained
        An explanation.
    labels
        Names of the classes, one for each, or a dict by class number.

    Raises
    ------
    lrpkeras.errors.InputError
        Where labels do not fit.
    """
    if labels is not None and not isinstance(labels, Mapping):
        labels = _checked(labels, explained.output.shape[-1] if explained.output.ndim > 1 else 1)
    below = [words(condition) for condition in conditions(explained)]
    rows = explained.target.reshape(len(explained.target), -1)
    return [
        Caption(*_class(int(target), output, labels), line)
        for targets, output in zip(rows, explained.output, strict=True)
        for target in targets
        for line in below
    ]


def conditions(explained: Explained) -> tuple[Condition, ...]:
    """Return an explanation's conditions; where there is none, one that names no layer."""
    if isinstance(explained.condition, tuple):
        return explained.condition
    return ({} if explained.condition is None else explained.condition,)


def words(condition: Condition) -> str:
    """Return a condition as a title.

    Examples
    --------
    >>> words({"conv1": (3, 5), "conv2": np.array([0.5, 1.0])})
    'conv1: 3, 5 & conv2: factors'
    """
    return " & ".join(f"{layer}: {_named(channels)}" for layer, channels in condition.items())


def _named(channels: Channels) -> str:
    if isinstance(channels, np.ndarray):
        return "factors"
    shown = ", ".join(map(str, channels[:SHOWN]))
    return f"{shown}, ... ({len(channels)})" if len(channels) > SHOWN else shown


def _checked(labels: Any, count: int) -> Sequence[str]:
    """Refuse labels that are not one for each class: their numbers would be off."""
    if isinstance(labels, str) or not hasattr(labels, "__len__"):
        raise InputError(f"labels is a list of class names, not {labels!r}.")
    if len(labels) != count:
        raise InputError(
            f"labels has {len(labels)} names, the model has {count} classes: give a name for each, "
            "or a dict {class number: name}."
        )
    return list(labels)


def _class(target: int, output: NDArray[Any], labels: Labels | None) -> tuple[str, float | None]:
    """Return a class's name and logit."""
    if target < 0:
        return "", None
    name = f"class {target}"
    if labels is not None:
        name = str(labels.get(target, name) if isinstance(labels, Mapping) else labels[target])
    if output.ndim > 1:
        return name, None
    return name, float(output[target] if output.ndim else output)


def class_names(labels: Labels | None, count: int) -> list[str]:
    """Return the name of each of `count` classes, "class 3" where there is none.

    Examples
    --------
    >>> class_names({1: "cat"}, 2)
    ['class 0', 'cat']
    """
    if labels is not None and not isinstance(labels, Mapping):
        labels = dict(enumerate(_checked(labels, count)))
    return [str((labels or {}).get(number, f"class {number}")) for number in range(count)]
