"""How large a report page is, and how soon it is there in a browser."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import numpy as np

import lrpkeras
from benchmarks.results import Cell

CLASSES, LAYERS = 3, (("conv1", 112), ("conv2", 56), ("conv3", 14))
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# What a page must not wait for, and what a browser does by itself.
ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
FIRST, ALL = "first map", "all maps in view"
PAINTED = {
    FIRST: "document.querySelector('.card .stage[data-painted]') !== null",
    ALL: """[...document.querySelectorAll('.card .stage')].every((stage) =>
        stage.getBoundingClientRect().top > innerHeight || 'painted' in stage.dataset)""",
}


def measure(samples: int, size: int, openings: int) -> Cell:
    """Write a page of noise, which compresses worse than maps and photos do, and open it.

    Parameters
    ----------
    samples
        Photos, each with three classes, and relevance at the input and three layers.
    size
        Their height and width, in pixels.
    openings
        How often, each in a browser window of its own.

    Returns
    -------
    The page's bytes; the seconds that writing it took; and those from asking for it until maps are
    painted.

    Raises
    ------
    ImportError
        If playwright is not there.
    """
    from playwright import sync_api

    with tempfile.TemporaryDirectory() as folder, sync_api.sync_playwright() as started:
        begin = perf_counter()
        page = noise(samples, size).report(Path(folder, "page.html"), photos(samples, size))
        cell: Cell = {"bytes": page.stat().st_size, "write": perf_counter() - begin}
        browser = started.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        seconds: dict[str, list[float]] = {name: [] for name in PAINTED}
        for _ in range(openings):
            for name, taken in opening(browser, page).items():
                seconds[name].append(taken)
        browser.close()
    return {**cell, "samples": samples, "size": size, "classes": CLASSES, "seconds": seconds}


def opening(browser: Any, page: Path) -> dict[str, float]:
    """Return how many seconds after asking for a page its maps are painted."""
    window = browser.new_page(viewport={"width": 1300, "height": 900})
    begin = perf_counter()
    window.goto(page.as_uri(), wait_until="commit")
    found = {}
    for name, condition in PAINTED.items():
        # The page's policy forbids playwright to wait inside of it.
        while not window.evaluate(f"document.readyState !== 'loading' && {condition}"):
            sleep(0.01)
        found[name] = perf_counter() - begin
    window.close()
    return found


def noise(samples: int, size: int) -> lrpkeras.Explanation:
    """Return relevance with the long tails that it has, and no structure."""
    rng = np.random.default_rng(0)

    def relevance(side: int) -> np.ndarray:
        shape = (samples, CLASSES, side, side, 1)
        return rng.standard_t(2, shape).astype("float32")

    layers = {name: relevance(side * size // 224) for name, side in LAYERS}
    target = np.tile(np.arange(CLASSES), (samples, 1))
    logits = rng.normal(size=(samples, 5))
    return lrpkeras.Explanation(relevance(size), logits, target, layers)


def photos(samples: int, size: int) -> np.ndarray:
    """Return pictures of coarse noise."""
    coarse = np.random.default_rng(1).uniform(size=(samples, 28, 28, 3)).astype("float32")
    return coarse.repeat(size // 28, axis=1).repeat(size // 28, axis=2)
