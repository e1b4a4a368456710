"""`lrpkeras explain`: photos in, pictures and arrays out."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lrpkeras import photos, plot
from lrpkeras.cli import arguments
from lrpkeras.cli.arguments import Commands, command
from lrpkeras.errors import InputError
from lrpkeras.jobs import Results
from lrpkeras.jobs.job import STORAGES, part_of
from lrpkeras.report.area import at_size

FORMATS = ("png", "npy", "h5")
SHEET = 40  # photos on the contact sheet
CLIP = 99.5  # percentile of relevance beyond which colours are the same


def add(commands: Commands) -> None:
    """Add the command."""
    text = "explain photos: a picture of each, a contact sheet, arrays"
    example = "lrpkeras explain model.keras cats/ --preprocess mobilenet --out maps"
    parser = command(commands, "explain", text, example, run)
    arguments.add_model(parser)
    arguments.add_images(parser)
    add_to = parser.add_argument_group("results").add_argument
    add_to("--out", type=Path, required=True, metavar="DIR", help="where they go")
    add_to("--format", default="png", metavar="F", help="png, npy, h5, or several: png,h5 (png)")
    add_to("--size", choices=("model", "photo"), default="model", help="of maps in npy (model)")
    add_to("--labels", metavar="FILE", help="class names, a line each, or JSON")
    add_to("--storage", choices=STORAGES, default="full", help="of maps in h5 (full)")
    add_to("--shard-size", type=int, default=256, metavar="N", help="photos in a file (256)")
    add_to("--shard", metavar="I/N", help="only this part, for N machines that share the folder")
    add_to("--engine", choices=["ray"], help="explain on a Ray cluster")
    add_to("--strict", action="store_true", help="stop at what cannot be explained")
    add_to("--quiet", action="store_true", help="no progress bar")


def run(options: argparse.Namespace) -> int:
    """Explain, write, and list what could not be explained."""
    formats = _formats(options.format)
    names = arguments.labels(options.labels)
    part, target = part_of(options.shard), arguments.target(options.target)
    files = arguments.image_files(options.images, options.out)
    made = arguments.preprocess(options.preprocess)
    analyzer = arguments.analyzer(options)
    with _folder(options.out, "h5" in formats) as folder:
        results = analyzer.explain_dataset(
            files,
            folder,
            target=[target] * len(files) if isinstance(target, list) else target,
            preprocess=made,
            batch_size=options.batch_size,
            shard_size=options.shard_size,
            storage=options.storage,
            shard=options.shard,
            strict=options.strict,
            engine=options.engine,
            verbose=0 if options.quiet else "auto",
        )
        mine = [
            i
            for i, number in enumerate(results.index[:])
            if part.takes(int(number) // options.shard_size)
        ]
        if formats != ["h5"]:
            rows = (_row(results, number, names) for number in mine)
            _write(rows, _places(files), options, formats)
    print(f"{len(mine)} explained: {options.out.resolve()}")
    for one in results.unreadable:
        print(f"lrpkeras: not explained: {one.id}: {one.why}", file=sys.stderr)
    return 1 if results.unreadable and not len(results) else 0


def _formats(given: str) -> list[str]:
    formats = given.split(",")
    if not set(formats) <= set(FORMATS):
        raise InputError(f"--format is {', '.join(FORMATS)}, or several of them; not {given!r}.")
    return formats


@contextmanager
def _folder(out: Path, kept: bool) -> Iterator[Path]:
    """Yield where relevance is kept: for good, or while pictures are drawn of it."""
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out}: that is a file; a folder is needed.")
    if kept:
        yield out
        return
    aside = out / ".relevance"
    aside.mkdir(parents=True, exist_ok=True)
    yield aside  # after an interruption, what is done is here
    shutil.rmtree(aside)


def _places(files: Sequence[str]) -> dict[str, Path]:
    """Return where results of each file go: as the files are in the folder that has them all."""
    within = arguments.within_common(files)
    stems = {path.with_suffix("") for path in within.values()}
    # Of cat.jpg and cat.png, neither is just "cat".
    if len(stems) < len(within):
        return within
    return {file: path.with_suffix("") for file, path in within.items()}


@dataclass(frozen=True)
class Row:
    """Results of one photo.

    Attributes
    ----------
    file
        Of the photo.
    relevance
        `(height, width, channels)`, or `(k, ...)` of several classes.
    titles
        What is written above each map: the class and its logit.
    """

    file: str
    relevance: np.ndarray
    titles: list[str]

    @property
    def pixels(self) -> np.ndarray:
        """The photo, `(height, width, 3)`."""
        return np.asarray(photos.read(self.file, 3))

    @property
    def maps(self) -> np.ndarray:
        """Relevance `(k, height, width, channels)`."""
        return self.relevance if self.relevance.ndim == 4 else self.relevance[None]


def _row(results: Results, number: int, names: Mapping[int, str]) -> Row:
    assert not isinstance(results.relevance, dict)  # photos are for models with one input
    targets, output = np.atleast_1d(results.target[number]), results.output[number]
    titles = []
    for target in map(int, targets):
        name = names.get(target, f"class {target}")
        titles.append(f"{name}: {output[target]:.2f}" if output.ndim == 1 else name)
    return Row(str(results.ids[number]), results.relevance[number], titles)


def _write(
    rows: Iterable[Row],
    places: Mapping[str, Path],
    options: argparse.Namespace,
    formats: Sequence[str],
) -> None:
    """Write pictures and arrays, one photo at a time, and the contact sheet."""
    sheet: list[Row] = []
    for row in rows:
        place = options.out / places[row.file]
        place.parent.mkdir(parents=True, exist_ok=True)
        if "npy" in formats:
            size = row.pixels.shape[:2] if options.size == "photo" else row.maps.shape[1:3]
            np.save(f"{place}.npy", at_size(row.relevance, size))
        if "png" in formats:
            photo = np.repeat(row.pixels[None], len(row.maps), axis=0)
            drawn = plot.heatmap(row.maps, photo, titles=row.titles, clip=CLIP)
            _save(drawn, Path(f"{place}.heatmap.png"), 150)
            sheet += [row] if len(sheet) < SHEET else []
    if sheet:
        part = part_of(options.shard)
        name = "contact_sheet" if part.count == 1 else f"contact_sheet-{part}"
        _save(_sheet(sheet), options.out / f"{name}.png", 100)


def _sheet(rows: Sequence[Row]) -> plot.Drawn:
    """Draw the first map of some photos, each in colours of its own range."""
    maps = np.stack([row.maps[0] for row in rows])
    height, width = maps.shape[1:3]
    small = [np.asarray(Image.fromarray(row.pixels).resize((width, height))) for row in rows]
    titles = [row.titles[0] for row in rows]
    options: Any = {"clip": CLIP, "shared_scale": False, "colorbar": False}
    return plot.heatmap(maps, np.stack(small), titles=titles, **options)


def _save(drawn: plot.Drawn, file: Path, dpi: int) -> None:
    figure: Any = drawn.figure
    figure.savefig(file, dpi=dpi)
