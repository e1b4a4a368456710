"""`lrpkeras evaluate`: measures of maps, as a table, JSON and plots."""

from __future__ import annotations

import argparse
import json
import sys
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
from lrpkeras.evaluate import Curve, Flipping, Measure

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


def add(commands: Commands) -> None:
    """Add the command."""
    text = "measure how good maps of photos are"
    example = "lrpkeras evaluate model.keras cats/ --preprocess mobilenet --out measures"
    parser = command(commands, "evaluate", text, example, run)
    arguments.add_model(parser)
    arguments.add_images(parser)
    add_to = parser.add_argument_group("measures").add_argument
    known = ", ".join((*MEASURES, *OF_MASKS))
    add_to("--measures", default=None, metavar="M", help=f"{known} ({DEFAULT}; masks: theirs too)")
    add_to("--masks", type=Path, metavar="DIR", help="images named like the photos, white: object")
    add_to("--out", type=Path, metavar="DIR", help="for measures.json and a plot of each")
    add_to("--quiet", action="store_true", help="no progress bars")


def run(options: argparse.Namespace) -> int:
    """Measure, print a table, write JSON and plots."""
    wanted = _wanted(options)
    analyzer = arguments.analyzer(options)
    files = arguments.image_files(options.images, options.out)
    batch = analyzer.photos(files, arguments.preprocess(options.preprocess)).read(0, len(files))
    for position, why in batch.unreadable.items():
        print(f"lrpkeras: left out: {batch.ids[position]}: {why}", file=sys.stderr)
    if batch.arrays is None:
        raise InputError("No photo can be explained.")
    kept = batch.readable
    x, ids = batch.arrays[0][kept], [batch.ids[i] for i in kept]
    masks = None if options.masks is None else read_masks(options.masks, ids, x.shape[1:3])
    found: dict[str, Measure] = {}
    for name in wanted:
        result = measured(name, analyzer, x, masks, options)
        found |= {f"{name}{ending}": one for ending, one in numbers(result).items()}
        if options.out is not None:
            options.out.mkdir(parents=True, exist_ok=True)
            result.plot().figure.savefig(options.out / f"{name}.png", dpi=100)
    print(table(found))
    if options.out is not None:
        text = json.dumps(_told(found, ids, analyzer), indent=1) + "\n"
        (options.out / "measures.json").write_text(text, encoding="utf-8")
    return 0


def _wanted(options: argparse.Namespace) -> list[str]:
    default = f"{DEFAULT},{','.join(OF_MASKS)}" if options.masks else DEFAULT
    wanted = (options.measures or default).split(",")
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
    masks: np.ndarray | None,
    options: argparse.Namespace,
) -> Any:
    """Take one measure."""
    target = arguments.one_target(options.target)
    settings: dict[str, Any] = {
        "batch_size": options.batch_size,
        "verbose": 0 if options.quiet else "auto",
    }
    if name in OF_MASKS:
        return OF_MASKS[name](analyzer, x, masks, target, **settings)
    function, given = MEASURES[name]
    return function(analyzer, x, target, **given, **settings)


def numbers(result: Any) -> dict[str, Measure]:
    """Return the one number of each sample that a result comes to, by an ending of its name."""
    if isinstance(result, Flipping):
        return {" gap": result.gap}
    if isinstance(result, Curve):
        return {" area": result.area}
    if isinstance(result, Measure):
        return {"": result}
    return {"": result.change if hasattr(result, "change") else result.area}


def table(found: Mapping[str, Measure]) -> str:
    """Return means with intervals, one measure a line."""
    width = max(map(len, found))
    lines = [f"{'measure':{width}}  {'mean':>9}  95 % interval"]
    for name, measure in found.items():
        low, high = measure.interval()
        between = f"{low:.4f} to {high:.4f}" if np.isfinite(low) else "of one photo, none"
        lines.append(f"{name:{width}}  {measure.mean:9.4f}  {between}")
    return "\n".join(lines)


def _told(
    found: Mapping[str, Measure], ids: Sequence[str], analyzer: AnyAnalyzer
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
