"""`lrpkeras evaluate`: measures of maps, as a table, JSON and plots."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lrpkeras import evaluate, photos
from lrpkeras.cli import arguments
from lrpkeras.cli.arguments import AnyAnalyzer, Commands, command
from lrpkeras.errors import InputError
from lrpkeras.report.measures import Measured, numbers

Run = Callable[..., Any]
# By the names on the command line; those that need masks are apart.
MEASURES: dict[str, tuple[Run, dict[str, Any]]] = {
    "flipping": (
        evaluate.pixel_flipping,
        # Blurred: squares of one colour have edges that throw networks of photos off.
        {"region": 8, "steps": 10, "replacement": "blur"},
    ),
    "retention": (evaluate.retention, {"fill": "mean"}),
    "sensitivity": (evaluate.sensitivity, {"draws": 5}),
    "conservation": (evaluate.conservation, {}),
    "counterfactual": (evaluate.counterfactual, {}),
    "randomization": (evaluate.randomization, {}),
}
OF_MASKS: dict[str, Run] = {
    "mass": evaluate.relevance_mass,
    "rank": evaluate.relevance_rank,
    "pointing": evaluate.pointing_game,
}
DEFAULT = "flipping,sensitivity,conservation"


def add_measures(parser: argparse.ArgumentParser, default: str) -> None:
    """Take the names of measures, and masks."""
    add_to = parser.add_argument_group("measures").add_argument
    known, own = ", ".join((*MEASURES, *OF_MASKS)), default or "none"
    add_to("--measures", default=None, metavar="M", help=f"{known} ({own}; masks: theirs too)")
    add_to("--masks", type=Path, metavar="DIR", help="images named like the photos, white: object")


def add(commands: Commands) -> None:
    """Add the command."""
    text = "measure how good maps of photos are"
    example = "lrpkeras evaluate model.keras cats/ --preprocess mobilenet --out measures"
    parser = command(commands, "evaluate", text, example, run)
    arguments.add_model(parser)
    arguments.add_images(parser)
    add_measures(parser, DEFAULT)
    add_to = parser.add_argument_group("results").add_argument
    add_to("--out", type=Path, metavar="DIR", help="for measures.json and a plot of each")
    add_to("--quiet", action="store_true", help="no progress bars")


def run(options: argparse.Namespace) -> int:
    """Measure, print a table, write JSON and plots."""
    wanted = measures_of(options, DEFAULT)
    analyzer = arguments.analyzer(options)
    target = arguments.one_target(options.target)
    x, ids = arguments.read_photos(analyzer, options, options.out)
    masks = None if options.masks is None else read_masks(options.masks, ids, x.shape[1:3])
    found: dict[str, Measured] = {}
    for name in wanted:
        result = measured(name, analyzer, x, target, masks, options)
        found |= {f"{name}{ending}": one for ending, one in numbers(result).items()}
        if options.out is not None:
            options.out.mkdir(parents=True, exist_ok=True)
            result.plot().figure.savefig(options.out / f"{name}.png", dpi=100)
    print(table(found))
    if options.out is not None:
        text = json.dumps(_told(found, ids, analyzer), indent=1) + "\n"
        (options.out / "measures.json").write_text(text, encoding="utf-8")
    return 0


def measures_of(options: argparse.Namespace, default: str) -> list[str]:
    """Return the names of the measures that are asked for; those of masks, too, if there are any.

    Raises
    ------
    InputError
        If one is not known, or needs masks.
    """
    if options.masks:
        default = ",".join(filter(None, (default, *OF_MASKS)))
    wanted = list(filter(None, (options.measures or default).split(",")))
    for name in wanted:
        if name not in {*MEASURES, *OF_MASKS}:
            known = ", ".join((*MEASURES, *OF_MASKS))
            raise InputError(f"--measures: {name!r} is none of {known}.")
        if name in OF_MASKS and options.masks is None:
            raise InputError(f"--measures {name} needs --masks DIR.")
    return wanted


def measured(
    name: str,
    analyzer: AnyAnalyzer,
    x: np.ndarray,
    target: Any,
    masks: np.ndarray | None,
    options: argparse.Namespace,
) -> Any:
    """Take one measure."""
    settings: dict[str, Any] = {
        "batch_size": options.batch_size,
        "verbose": 0 if options.quiet else "auto",
    }
    if name in OF_MASKS:
        return OF_MASKS[name](analyzer, x, masks, target, **settings)
    function, given = MEASURES[name]
    return function(analyzer, x, target, **given, **settings)


def table(found: Mapping[str, Measured]) -> str:
    """Return means with intervals, one measure a line."""
    width = max(map(len, found))
    lines = [f"{'measure':{width}}  {'mean':>9}  95 % interval"]
    for name, measure in found.items():
        low, high = measure.interval()
        between = f"{low:.4f} to {high:.4f}" if np.isfinite(low) else "of one photo, none"
        lines.append(f"{name:{width}}  {measure.mean:9.4f}  {between}")
    return "\n".join(lines)


def _told(
    found: Mapping[str, Measured], ids: Sequence[str], analyzer: AnyAnalyzer
) -> dict[str, Any]:
    measures = {}
    for name, one in found.items():
        low, high = map(_plain, one.interval())
        values = [_plain(value) for value in one.values]
        measures[name] = {"mean": _plain(one.mean), "low": low, "high": high, "values": values}
    return {
        "photos": list(ids),
        "config": analyzer.get_config(),
        "fingerprint": analyzer.fingerprint,
        "measures": measures,
    }


def _plain(value: float) -> float | None:
    """Return a number that JSON has; None for one that is not finite."""
    return float(value) if np.isfinite(value) else None


def read_masks(folder: Path, ids: Sequence[str], size: tuple[int, int]) -> np.ndarray:
    """Return a mask for each photo: the image of its name in a folder, white on the object.

    Raises
    ------
    InputError
        If one is missing, shows no object, or may be meant for two photos.
    """
    stems = Counter(Path(name).stem for name in ids)
    twice = [stem for stem, count in stems.items() if count > 1]
    if twice:
        raise InputError(f"--masks: several photos are named {twice[0]!r}: whose is the mask?")
    masks = []
    for name in ids:
        found = [folder / f"{Path(name).stem}{ending}" for ending in photos.ENDINGS]
        file = next((file for file in found if file.is_file()), None)
        if file is None:
            raise InputError(f"--masks: {folder} has no image named {Path(name).stem!r}.")
        image = photos.read(file, 1).resize(size[::-1], Image.Resampling.NEAREST)
        masks.append(np.asarray(image) > 127)
        if not masks[-1].any():
            raise InputError(f"--masks: {file} has no white pixel.")
    return np.stack(masks)
