"""Relevance for the metrics of Quantus, in the form that they ask an explanation for.

`explain` is their `explain_func`; it needs nothing of Quantus. Some metrics of Quantus 0.6.0 do not
work on Keras 3 and NumPy 2.4, whatever explains:

- A Sequential model has no `model.input`, which many metrics ask for: hand them
  `keras.Model(model.inputs[0], model.outputs[0])`. They also want the last layer to be a Dense or
  Softmax layer, not an Activation or a nested model.
- `MPRT` clones a model without its weights, so that all layers are random from its first step on.
  `layer_order="independent"` restores the others' weights, and is sound.
- `SmoothMPRT` calls `quantus.explain`, not its `explain_func`. `InputInvariance` takes
  `model.layers[0]` for a convolution, and it is the input.
- `Continuity` moves the channels of images twice, to `(n, width, channels, height)`: refused here.
- `IROF` calls `numpy.trapz`, which is gone; it and `ROAD` take images of one channel alone.
  `NonSensitivity` takes `features_in_step=1` alone.
"""

from __future__ import annotations

import inspect
from collections import deque
from typing import Any, NamedTuple

import keras
import numpy as np
import numpy.typing as npt

from lrpkeras import presets
from lrpkeras.analyzer import Analyzer
from lrpkeras.errors import InputError, ModelError, RuleError, TargetError, near_misses
from lrpkeras.options import Options

__all__ = ["explain"]

_MODEL, *SETTINGS = inspect.signature(Analyzer).parameters
OWN = ("batch_size", "channel_first", "method", "device")
DEFAULT = inspect.signature(Analyzer).parameters["preset"].default
# Where a model keeps its analyzers, and how many: those whose settings were used last.
HELD = "_lrpkeras_quantus"
KEPT = 4


def explain(
    model: keras.Model,
    inputs: npt.ArrayLike,
    targets: npt.ArrayLike | None,
    *,
    batch_size: int = 32,
    channel_first: bool | None = None,
    method: str | None = None,
    device: Any = None,
    **settings: Any,
) -> npt.NDArray[np.floating]:
    """Return relevance as the metrics of Quantus take it: one value for each pixel.

    Hand it to a metric as `explain_func`, with what follows `targets` in `explain_func_kwargs`. The
    weights are read anew at every call: a model that Quantus gave other weights is explained as it
    is now.

    Parameters
    ----------
    model
        A model of one input. It keeps its analyzers (of the four settings used last) as long as it
        lives, so that only the first call builds one.
    inputs
        `(n, height, width, channels)` or `(n, channels, height, width)`: Quantus hands over now the
        one, now the other, and the model's input shape tells which. Likewise with one spatial axis
        or three; `(n, features)` have no channels.
    targets
        One class number for each sample, `(n,)`, or one for all; None: each sample's winner.
    batch_size
        Samples at a time.
    channel_first
        Where the channels of `inputs` are, if their shape leaves it open, or if layers of the model
        have `data_format="channels_first"`. Where it leaves it open, do without `MPRT` and
        `EfficientMPRT`: they hand over both forms.
    method
        The label that `quantus.evaluate` gives to what explains; it chooses nothing.
    device
        Handed on by metrics that were given one, and without effect: Keras places the work.
    **settings
        Those of `lrpkeras.Analyzer`: `preset`, `rules`, `batch_norm`, `bias`, `input_range`,
        `output`, `initial`, `precision`, `jit_compile`, `verify`.

    Returns
    -------
    numpy.ndarray
        Relevance summed over channels, `(n, 1, height, width)`; for `(n, features)`, of that shape.

    Raises
    ------
    InputError
        If an argument is not known, or the shape of `inputs` fits the model not at all or in two
        ways.
    TargetError
        If `targets` are not class numbers, one a sample.
    RuleError
        If `method` is the name of a preset, and another one is used.
    ModelError
        If `model` is no `keras.Model`, or takes several inputs.
    LrpError
        What `Analyzer` raises.

    Notes
    -----
    Relevance shares out the logit, without a final softmax: call metrics that compare it with the
    model's output with `softmax=False`. Metrics that add noise leave an `input_range`: do without
    it. As with `Analyzer.refresh`, not for one model in several threads at once.

    The form is that of `quantus.metrics.base.Metric.explain_batch` [Hedström et al. 2023].

    Examples
    --------
    >>> import functools, lrpkeras
    >>> model = lrpkeras.datasets.shapes_model()
    >>> images, labels, masks = lrpkeras.datasets.shapes(2, seed=0)
    >>> lrpkeras.quantus.explain(model, images, labels, preset="epsilon").shape
    (2, 1, 48, 48)

    With Quantus installed, one metric, or several presets by several metrics:

    >>> import quantus  # doctest: +SKIP
    >>> data = {"model": model, "x_batch": images, "y_batch": labels, "s_batch": masks[:, None]}
    >>> quantus.PointingGame()(  # doctest: +SKIP
    ...     **data, explain_func=lrpkeras.quantus.explain, explain_func_kwargs={"preset": "epsilon"}
    ... )
    >>> quantus.evaluate(  # doctest: +SKIP
    ...     {"pointing": quantus.PointingGame(), "sparse": quantus.Sparseness()},
    ...     {
    ...         name: functools.partial(lrpkeras.quantus.explain, preset=name)
    ...         for name in ("epsilon", "gamma")
    ...     },
    ...     **data,
    ...     explain_func_kwargs={},
    ... )
    """
    _refuse_unknown(settings)
    analyzer = _analyzer(model, settings)
    _refuse_label(method, analyzer.preset.name)
    view = _view(analyzer, np.asarray(inputs), channel_first)
    explanation = analyzer.explain(view.x, _classes(targets), batch_size=batch_size, verbose=0)
    # A copy of its own: metrics write into what they get.
    relevance = np.array(explanation.relevance)
    return relevance if view.axis is None else np.expand_dims(relevance.sum(axis=view.axis), 1)


def _refuse_unknown(settings: dict[str, Any]) -> None:
    known = (*OWN, *SETTINGS)
    for name in settings:
        if name not in SETTINGS:
            raise InputError(
                f"explain_func_kwargs holds {name!r}, which lrpkeras does not know"
                f"{near_misses(name, known) or '.'} It takes {', '.join(known)}."
            )


def _refuse_label(method: str | None, used: str) -> None:
    """Refuse to file the maps of one preset under the name of another one."""
    if method != used and method in presets.names():
        raise RuleError(
            f"method={method!r} is the name of a preset, but {used!r} is used: what Quantus calls "
            "method is only a label here. Choose with preset=; for quantus.evaluate, with "
            f"{{{method!r}: functools.partial(lrpkeras.quantus.explain, preset={method!r})}}."
        )


def _classes(targets: Any) -> npt.NDArray[np.integer] | None:
    if targets is None:
        return None
    array = np.asarray(targets)
    if array.ndim > 1 or array.dtype.kind not in "iu":
        # Of a column, as in CIFAR-10's labels, the largest in each row is always number 0.
        column = array.ndim == 2 and array.shape[1] == 1
        helps = (
            "of a column give targets[:, 0]"
            if column
            else "of one-hot rows give targets.argmax(axis=-1)"
        )
        raise TargetError(
            f"targets are one class number for each sample, (n,), not {array.dtype} of shape "
            f"{array.shape}: {helps}."
        )
    return array


class _View(NamedTuple):
    """The inputs as the model takes them.

    Attributes
    ----------
    x
        The inputs, with their channels moved if need be.
    axis
        That of the channels in `x`; None if there are none.
    first
        Whether the channels came first; None if there are none.
    """

    x: npt.NDArray[Any]
    axis: int | None
    first: bool | None


def _view(analyzer: Analyzer, x: npt.NDArray[Any], channel_first: bool | None) -> _View:
    """Return the one way in which the inputs fit the model."""
    names = analyzer.graph.inputs
    if len(names) != 1:
        raise ModelError(
            f"Quantus hands over one array, and the model takes {len(names)} inputs "
            f"({', '.join(names)}): hold all but one fixed, in a model of one input."
        )
    shape = analyzer.graph[names[0]].shape
    views = _views(x, shape, _has_channels_first(analyzer.model))
    chosen = [view for view in views if channel_first in (None, view.first)]
    if len(chosen) != 1:
        raise InputError(_misfit(x.shape, shape, channel_first, several=bool(chosen)))
    return chosen[0]


def _views(x: npt.NDArray[Any], shape: tuple[int | None, ...], has_first: bool) -> list[_View]:
    """Return every way in which the inputs fit the model."""
    if len(shape) < 3 or x.ndim < 3:
        views = [_View(x, None, None)]
    else:
        views = [_View(x, -1, False), _View(np.moveaxis(x, 1, -1), -1, True)]
        # Where some layer has its channels first, the model's input may have them there as well.
        views += [_View(x, 1, True)] if has_first else []
    return [view for view in views if _fits(view.x, shape)]


def _fits(x: npt.NDArray[Any], shape: tuple[int | None, ...]) -> bool:
    return x.ndim == len(shape) and all(
        size in (None, given) for size, given in zip(shape[1:], x.shape[1:], strict=True)
    )


def _has_channels_first(model: keras.Model) -> bool:
    layers: list[Any] = model._flatten_layers()
    return any(getattr(layer, "data_format", None) == "channels_first" for layer in layers)


def _misfit(
    given: tuple[int, ...],
    shape: tuple[int | None, ...],
    channel_first: bool | None,
    several: bool,
) -> str:
    told = "" if channel_first is None else f" with channel_first={channel_first}"
    wanted = f"({', '.join(['n', *('any' if size is None else str(size) for size in shape[1:])])})"
    if several:
        helps = "say which with channel_first=True or False in explain_func_kwargs."
        return (
            f"The model takes {wanted}; inputs of shape {given} fit with their channels first and "
            f"last{told}: {'give the model sizes that differ.' if told else helps}"
        )
    return (
        f"The model takes {wanted}, which inputs of shape {given} do not fit{told}: give them as "
        "to model.predict, or with their channels at axis 1; leave channel_first out where the "
        "shape tells."
    )


def _analyzer(model: keras.Model, settings: dict[str, Any]) -> Analyzer:
    """Return an analyzer of the model as it is now, built if none is kept.

    An analyzer refers to its model: a dictionary with weak keys would hold both for ever. Held by
    the model itself it makes a cycle, which is collected like any other.
    """
    if not isinstance(model, keras.Model):
        raise ModelError(f"Quantus explains a keras.Model, not {type(model).__name__}.")
    wanted = _comparable(**settings)
    kept = vars(model).setdefault(HELD, deque(maxlen=KEPT))
    found = next((pair for pair in kept if pair[0] == wanted), None)
    if found is not None:
        kept.remove(found)
    analyzer = Analyzer(model, **settings) if found is None else _refreshed(found[1], settings)
    kept.append((wanted, analyzer))
    return analyzer


def _comparable(preset: Any = DEFAULT, rules: Any = None, **options: Any) -> tuple[Any, ...]:
    """Return settings as values that compare, and do not change when a dict of rules does."""
    checked = Options(**options)
    overrides = rules if isinstance(rules, presets.Preset) else presets.as_entries(rules)
    return presets.named(preset, checked.input_range), overrides, checked


def _refreshed(analyzer: Analyzer, settings: dict[str, Any]) -> Analyzer:
    """Read the weights again; build anew where the model's structure is another one."""
    try:
        analyzer.refresh()
    except ModelError:
        return Analyzer(analyzer.model, **settings)
    return analyzer
