"""Report pages for tests, and what a reader finds in them."""

import base64
import json
import zlib
from dataclasses import dataclass, field
from html.parser import HTMLParser

import numpy as np

import lrpkeras
from lrpkeras.ledger import Check, Entry
from lrpkeras.summary import About, Row, Summary

HOSTILE = (
    "<script>window.hacked = 1</script>",
    '"><img src=x onerror="window.hacked = 2">',
    "'; window.hacked = 3; '",
    "</script><!-- \u2028 ]]> &lt;b&gt; {{ 7 * 7 }} ${window.hacked = 4}",
    "a\udcff name that is no text\x00\u202e",
)


def heavy_tailed(shape, seed=0):
    """Relevance of both signs, a few values of which are far larger than the others."""
    return np.random.default_rng(seed).standard_t(2, size=shape)


def explained(samples=3, k=2, shape=(12, 10, 3), layers=(), **more):
    """An explanation of `k` classes, the logits of the second one negative."""
    rng = np.random.default_rng(1)
    logits = rng.uniform(1, 9, (samples, 4)) * [1, -1, 1, 1]
    return lrpkeras.Explanation(
        heavy_tailed((samples, k, *shape)),
        logits,
        np.tile(np.arange(k), (samples, 1)),
        {name: heavy_tailed((samples, k, *size), 2) for name, size in layers},
        **more,
    )


def about(*notes):
    rule = "Flat()" if "Flat()" in notes else "ZPlus()"
    rows = [Row(f"conv{i}", "Linear", "(None, 4)", rule, "preset", "") for i in range(3)]
    summary = Summary("epsilon_plus", tuple(rows), notes or ("3 nodes",))
    return About({"bias": None, "initial": "logit"}, "0123456789abcdef", {"lrpkeras": "1"}, summary)


def check(name="conv1"):
    entry = Entry(
        name=name,
        kind="Linear",
        rule="ZPlus()",
        incoming=3.0,
        outgoing=2.0,
        sinks={"bias": 1.25, "epsilon": -0.25},
        imbalance=0.0,
        inputs=("x",),
        sent=(2.0,),
    )
    return Check(fidelity=1e-7, entries=(entry,), start=3.0, inputs=2.0, tolerance=1e-4)


@dataclass
class Page(HTMLParser):
    """What a browser makes of a page: elements with their attributes, and texts of some."""

    path: object
    elements: list = field(default_factory=list)
    texts: dict = field(default_factory=dict)

    def __post_init__(self):
        super().__init__(convert_charrefs=True)
        self._key = None
        self.text = self.path.read_bytes().decode("utf-8")
        self.feed(self.text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        key = dict(attributes).get("id", tag)
        self._key = key if tag in ("script", "style", "title") else None
        if self._key:
            self.texts[self._key] = ""

    def handle_data(self, data):
        if self._key:
            self.texts[self._key] += data

    def handle_endtag(self, tag):
        self._key = None

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def data(self):
        return json.loads(self.texts["page-data"])

    def sample(self, number):
        return json.loads(self.texts[f"data-{number}"])

    def maps(self, number, position=0):
        """Values of a sample at a place, as the page's own words say that they are kept."""
        place, held = self.data["places"][position], self.sample(number)["places"][position]
        planes = np.frombuffer(zlib.decompress(base64.b64decode(held["codes"])), "u1")
        planes = planes.reshape(1 if place["levels"] <= 127 else 2, -1)
        codes = planes[0].astype("i1").astype(int)
        if len(planes) == 2:
            codes = planes[0] + 256 * planes[1].astype("i1").astype(int)
        codes = codes.reshape(-1, place["rows"], place["columns"])
        largest = np.array(held["largest"])[:, None, None]
        return np.sign(codes) * (codes / place["levels"]) ** 2 * largest
