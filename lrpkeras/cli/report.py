"""`lrpkeras report`: photos in, one page to look at out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import lrpkeras
from lrpkeras import backend, ledger, photos
from lrpkeras.batching import positive
from lrpkeras.cli import arguments, evaluate
from lrpkeras.cli.arguments import AnyAnalyzer, Commands, command
from lrpkeras.errors import InputError
from lrpkeras.report import check_page

LARGEST = 448  # pixels of a photo's longer side: more are not seen


def add(commands: Commands) -> None:
    """Add the command."""
    text = "explain photos on one page, to look at in a browser"
    example = "lrpkeras report model.keras cats/ --preprocess mobilenet --classes 3 --out page.html"
    parser = command(commands, "report", text, example, run)
    arguments.add_model(parser)
    arguments.add_images(parser)
    evaluate.add_measures(parser, "")
    add_to = parser.add_argument_group("page").add_argument
    add_to("--out", type=Path, required=True, metavar="FILE", help="the page")
    add_to("--classes", type=int, metavar="K", help="the K classes with the largest logits (1)")
    add_to("--layers", metavar="GLOB", help="relevance at hidden layers too: names, or 'conv*'")
    add_to("--check", action="store_true", help="with the ledger: where all relevance went")
    add_to("--labels", metavar="FILE", help="class names, a line each, or JSON")
    add_to("--title", help="of the page")
    add_to("--megabytes", type=float, default=20, metavar="MB", help="at most (%(default)s)")
    add_to("--quiet", action="store_true", help="no progress bars")


def run(options: argparse.Namespace) -> int:
    """Explain, measure, and write the page."""
    check_page(options.out, options.megabytes)
    wanted, labels = evaluate.measures_of(options, ""), arguments.labels(options.labels)
    if options.classes is not None and options.target is not None:
        raise InputError("--classes chooses by logits: leave out --target.")
    given = arguments.target(options.target)
    analyzer = arguments.built(options) if options.check else arguments.analyzer(options)
    _check_classes(analyzer, options)
    x, files = arguments.read_photos(analyzer, options, None)
    explanation = analyzer.explain(
        x,
        _target(analyzer, x, given, options),
        batch_size=options.batch_size,
        layers=options.layers.split(",") if options.layers else None,
        verbose=0 if options.quiet else "auto",
    )
    # Of several classes, the first is measured; of all, the winner.
    first = None if given in (None, "all") else explanation.target.reshape(len(x), -1)[:, 0]
    masks = None
    if options.masks is not None:
        masks = evaluate.read_masks(options.masks, files, x.shape[1:3])
    page = explanation.report(
        options.out,
        [_picture(file) for file in files],
        labels=labels or None,
        names=[str(path) for path in arguments.within_common(files).values()],
        check=_check(analyzer, x, first, options) if options.check else None,
        measures={
            name: evaluate.measured(name, analyzer, x, first, masks, options) for name in wanted
        },
        title=options.title,
        megabytes=options.megabytes,
    )
    print(f"{len(files)} explained: {page.resolve()}")
    return 0


def _check_classes(analyzer: AnyAnalyzer, options: argparse.Namespace) -> None:
    shape = analyzer.output_shape
    if options.classes is None:
        return
    if len(shape) != 2 or not 1 <= options.classes <= (shape[-1] or 0):
        raise InputError(
            f"--classes {options.classes}: the output has shape {shape}, and K is from 1 to its "
            "number of classes."
        )


def _target(analyzer: AnyAnalyzer, x: np.ndarray, given: Any, options: argparse.Namespace) -> Any:
    """Return what is explained: the classes that are named, or those with the largest logits."""
    if options.classes is None:
        return [given] * len(x) if isinstance(given, list) else given
    size = positive(options.batch_size)
    parts = [analyzer.logits(x[start : start + size]) for start in range(0, len(x), size)]
    logits = np.concatenate([backend.to_numpy(part) for part in parts])
    largest = np.argsort(-logits, axis=1, kind="stable")[:, : options.classes]
    return largest.tolist()


def _check(
    analyzer: AnyAnalyzer, x: np.ndarray, target: Any, options: argparse.Namespace
) -> ledger.Check:
    """Account for all relevance, batch by batch."""
    assert isinstance(analyzer, lrpkeras.Analyzer)
    size = positive(options.batch_size)
    parts = [slice(start, start + size) for start in range(0, len(x), size)]
    return ledger.joined(
        [analyzer.check(x[part], None if target is None else target[part]) for part in parts]
    )


def _picture(file: str) -> np.ndarray:
    """Return a photo, not larger than is seen."""
    image = photos.read(file, 3)
    image.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    return np.asarray(image)
