"""How much of the explained value arrives at the inputs."""

from __future__ import annotations

from typing import Any

import numpy as np

from lrpkeras.errors import InputError
from lrpkeras.evaluate import subject
from lrpkeras.evaluate.result import Measure


def conservation(
    explainer: Any,
    x: Any,
    target: Any = None,
    *,
    model: Any = None,
    batch_size: int = 32,
    verbose: str | int = "auto",
) -> Measure:
    """Return the sum of relevance over the logit that is explained: 1 where all of it arrives.

    `Analyzer.check` says where the rest goes.

    Parameters
    ----------
    explainer, x, target, model, batch_size, verbose
        As for `pixel_flipping`.

    Returns
    -------
    Measure
        Shares; below 0 where the sum has the other sign. Rules that do not conserve (`Relative`,
        gradients) have other values than 1 by design.

    Raises
    ------
    InputError
        If a logit is zero, of which there are no shares, or the analyzer starts from another value
        (`initial=`), or the arguments do not fit together.

    References
    ----------
    Bach et al. 2015, eq. 2.

    Examples
    --------
    >>> import lrpkeras, numpy as np, keras
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model.set_weights([np.array([[3.0]]), np.array([1.0])])
    >>> analyzer = lrpkeras.Analyzer(model, "zero")
    >>> lrpkeras.evaluate.conservation(analyzer, np.ones((2, 1), "float32")).mean
    0.75
    """
    options = getattr(explainer, "options", None)
    if options is not None and options.initial != "logit":
        raise InputError(
            f"Relevance starts from initial={options.initial!r} here, not from the logit: build "
            "the analyzer with initial='logit'."
        )
    about = subject.subject(explainer, x, target, model, pixels=False, batch_size=batch_size)
    judge, rows = about.scorer(), []
    for batch in about.batches(batch_size, verbose):
        values = subject.logits(judge, batch.x, len(batch.x)).astype(float)
        logits = subject.scores(judge, values, batch.target, "logit")
        if not logits.all():
            zero = batch.start + np.flatnonzero(logits == 0)
            raise InputError(f"The logits of samples {zero.tolist()} are 0: explain other classes.")
        total = batch.relevance.reshape(len(logits), -1).sum(axis=1, dtype=float)
        rows.append(total / logits)
    return Measure("sum of relevance / logit", np.concatenate(rows))
