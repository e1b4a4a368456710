"""The widget: what is chosen above, what explains it below."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import ipywidgets
import numpy as np

from lrpkeras.errors import LrpError
from lrpkeras.explore import looks, markup
from lrpkeras.explore.looks import Choice, Looks
from lrpkeras.plot import explained, pixels
from lrpkeras.plot.explained import Explained, Labels
from lrpkeras.plot.scale import Scale, read_scale
from lrpkeras.plot.views import View, grey, view

INPUT, WINNER = "input", "winner"
TOP = 5  # classes that are offered at once, those with the largest logits
BESIDE = 3  # images that are shown to either side of the chosen one
SIDE = 336  # pixels of a picture
NARROW, WIDE = {"width": "200px"}, {"width": "380px"}
FROM_TOP = {"align_items": "flex-start"}  # stretched, the image would grow with the bar beside it


class Explorer(ipywidgets.VBox):
    """Shows explanations of images, one at a time; `Analyzer.explore` makes it.

    A hidden layer that is called "input" is not on offer.

    Attributes
    ----------
    image, target, search, preset, layer, clip, overlay
        The controls, widgets whose `value` is what is chosen: the image's number; the class, or
        "winner"; the name of any class; the preset; the layer, or "input"; a percentile, 100 for
        none; whether the image lies below.
    photo, picture
        The image, and its relevance: image widgets that hold PNG files.
    title, bar, message
        Class and logit, the colours, and what went wrong or is under way, as HTML.
    """

    def __init__(self, shown: Looks, labels: Labels | None = None) -> None:
        self._looks, self._is_quiet = shown, False
        self._names = explained.class_names(labels, len(shown.logits(0)))
        self._numbers = _numbers(self._names)
        self._labels = labels
        self._explanation: Explained | None = None
        self._make_controls()
        self._make_views()
        super().__init__(self._arranged())
        self._look()
        self._watch()

    @property
    def choice(self) -> Choice:
        """What is looked at."""
        number = self.image.value
        target = self.target.value
        winner = int(self._looks.logits(number).argmax())
        layer = None if self.layer.value == INPUT else self.layer.value
        return Choice(number, winner if target == WINNER else target, self.preset.value, layer)

    @property
    def explanation(self) -> Explained | None:
        """The explanation of what is looked at; None where there is none, as `message` says."""
        return self._explanation

    def _make_controls(self) -> None:
        offer = self._looks.offer
        presets = [(_told(name, reason), name) for name, reason in offer.refused.items()]
        last = len(self._looks.images) - 1
        self.image = ipywidgets.IntSlider(
            0, 0, last, description="image", continuous_update=False, disabled=last == 0
        )
        self.target = ipywidgets.Dropdown(options=[WINNER], description="class", layout=WIDE)
        self.search = ipywidgets.Combobox(
            placeholder="any class", options=list(self._numbers), ensure_option=True, layout=NARROW
        )
        self.preset = ipywidgets.Dropdown(
            options=presets, value=offer.preset, description="preset", layout=WIDE
        )
        self.layer = ipywidgets.Dropdown(options=[INPUT], description="layer", layout=WIDE)
        self.clip = ipywidgets.FloatSlider(
            100, min=90, max=100, step=0.5, description="clip at", readout_format=".1f"
        )
        self.clip.continuous_update = False
        self.overlay = ipywidgets.Checkbox(True, description="over the image", indent=False)

    def _make_views(self) -> None:
        self.message, self.title = ipywidgets.HTML(), ipywidgets.HTML()
        self.photo, self.picture = ipywidgets.Image(), ipywidgets.Image()
        self.bar, self._strip = ipywidgets.HTML(), ipywidgets.HTML()

    def _arranged(self) -> list[Any]:
        row, column = ipywidgets.HBox, ipywidgets.VBox
        controls = [
            [self.image, self._strip],
            [self.target, self.search],
            [self.preset, self.layer],
            [self.clip, self.overlay],
        ]
        pictures = row([self.photo, column([self.picture, self.bar])], layout=FROM_TOP)
        return [*map(row, controls), self.message, self.title, pictures]

    def _watch(self) -> None:
        for control in (self.image, self.target, self.preset, self.layer):
            control.observe(self._on_choice, "value")
        for control in (self.clip, self.overlay):
            control.observe(self._on_style, "value")
        self.search.observe(self._on_search, "value")

    def _on_choice(self, change: Mapping[str, Any]) -> None:
        if not self._is_quiet:
            self._look()

    def _on_style(self, change: Mapping[str, Any]) -> None:
        if self._explanation is not None:
            with self._telling():
                self._draw(self._explanation)

    def _on_search(self, change: Mapping[str, Any]) -> None:
        number = self._numbers.get(change["new"])
        if number is None:
            return
        with self._quietly():
            self._offer_classes(number)
            self.search.value = ""
        self._look()

    def _look(self) -> None:
        """Explain and show what is chosen."""
        self._explanation = None
        with self._telling():
            self._show_photo()
            with self._quietly():
                self._offer_classes(self.target.value)
            self._say(self._under_way())
            missing = self._offer_layers()
            self._explanation = explanation = self._looks.explanation(self.choice)
            self._draw(explanation)
            self._say("\n".join(filter(None, (missing, self._looks.offer.note))))

    def _under_way(self) -> str:
        preset = self.preset.value
        is_built = self._looks.is_built(preset)
        return "Explaining ..." if is_built else f"Building an analyzer with {preset} ..."

    def _offer_classes(self, chosen: int | str) -> None:
        """Offer the winner, the classes with the largest logits, and the chosen one."""
        logits = self._looks.logits(self.image.value)
        first = np.argsort(-logits, kind="stable")[:TOP].tolist()
        if chosen not in [WINNER, *first]:
            first.append(chosen)
        options = [(f"{self._names[n]}: {logits[n]:.2f}", n) for n in first]
        self.target.options = [(f"winner, {options[0][0]}", WINNER), *options]
        self.target.value = chosen

    def _offer_layers(self) -> str:
        """Offer the layers that the preset's analyzer has; tell if the chosen one is not there."""
        layers = self._looks.layers(self.preset.value)
        chosen = self.layer.value
        with self._quietly():
            named = [(told, name) for name, told in layers.items() if name != INPUT]
            self.layer.options = [(INPUT, INPUT), *named]
            is_there = chosen == INPUT or chosen in layers
            self.layer.value = chosen if is_there else INPUT
        missing = f"With preset {self.preset.value} there is no relevance at {chosen}: "
        return "" if is_there else missing + "that of the input is shown."

    def _show_photo(self) -> None:
        number, count = self.image.value, len(self._looks.images)
        photo = self._looks.photo(number)
        if photo is None:
            _show(self.photo, None)
            return
        _show(self.photo, pixels.enlarged(np.rint(255 * photo).astype(np.uint8), SIDE))
        near = range(max(0, number - BESIDE), min(count, number + BESIDE + 1))
        photos = {n: self._looks.photo(n) for n in near}
        shown = {n: photo for n, photo in photos.items() if photo is not None}
        self._strip.value = markup.strip(shown, number)

    def _draw(self, explanation: Explained) -> None:
        """Show the relevance that was chosen."""
        seen = view(looks.relevance(explanation, self.choice.layer))
        clip = None if self.clip.value == self.clip.max else self.clip.value
        scale = read_scale(seen.values, clip=clip)
        _show(self.picture, self._drawn(seen, scale))
        self.bar.value = markup.scale_bar(scale)
        (title,) = explained.titles(explanation, self._labels)
        where = f"relevance of the {INPUT}" if self.layer.value == INPUT else self.layer.value
        self.title.value = markup.message(f"{title}\n{'; '.join(filter(None, (where, seen.note)))}")

    def _drawn(self, seen: View, scale: Scale) -> pixels.Pixels:
        if not seen.is_plane:
            return pixels.palette(scale)[pixels.drawn(seen, scale, SIDE)]
        photo = self._looks.photo(self.image.value) if self.overlay.value else None
        return pixels.enlarged(pixels.painted(seen.values, scale, grey(photo)), SIDE)

    def _say(self, text: str) -> None:
        self.message.value = markup.message(text)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Show errors, and no picture that is not of what is chosen; mistakes of ours go on."""
        try:
            yield
        except Exception as error:
            expected = isinstance(error, LrpError)
            told = str(error) if expected else f"{type(error).__name__}: {error}"
            self.message.value = markup.error(told)
            self.title.value = self.bar.value = ""
            _show(self.picture, None)
            if not expected:
                raise

    @contextmanager
    def _quietly(self) -> Iterator[None]:
        """Change controls without another look."""
        before, self._is_quiet = self._is_quiet, True
        try:
            yield
        finally:
            self._is_quiet = before


def _show(picture: Any, shown: pixels.Pixels | None) -> None:
    picture.layout.display = "none" if shown is None else None
    picture.value = b"" if shown is None else pixels.as_png(shown)


def _told(preset: str, reason: str) -> str:
    return f"{preset} (not available)" if reason else preset


def _numbers(names: list[str]) -> dict[str, int]:
    """Return the classes by name; names that several have come with the number."""
    times = Counter(names)
    told = (f"{name} ({n})" if times[name] > 1 else name for n, name in enumerate(names))
    return {name: n for n, name in enumerate(told)}
