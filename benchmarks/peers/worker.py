"""The worker's side: answer requests, one JSON object a line. The standard library alone.

`{"do": "about"}`           -> `{"about": {package: version}}`
`{"do": "prepare", "network": "VGG16", "what": "captum epsilon", "size": 224}`
                            -> `{"first_call": s, "parameters": n, "multiply_adds": n}`
`{"do": "run", "network": ..., "what": ..., "batch": 4}` -> `{"seconds": s}`
`{"do": "memory", ...}`     -> as "run": `{"memory": bytes}`, the most on the device in one run
`{"do": "forget", "keep": []}` -> `{}`; what was prepared is gone but for ways in `keep`

What goes wrong is answered as `{"error": ...}`; the end of the input ends the worker.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Prepared:
    """A way of explaining one network: how to run it, and what tells that the network is right.

    `make_images` returns images of a batch size, `explain` their relevance; `parameters` counts
    the network's weights and statistics, `multiply_adds` those of one image's forward pass;
    `memory` explains once and returns the most bytes that the device had allocated, if it knows.
    """

    make_images: Callable[[int], Any]
    explain: Callable[[Any], Any]
    parameters: int
    multiply_adds: int
    memory: Callable[[Any], int | None] = lambda images: None


class Library(Protocol):
    """What a worker offers."""

    def about(self) -> dict[str, str]:
        """Return the versions of what takes part."""

    def prepare(self, network: str, what: str, size: int, **options: str) -> Prepared:
        """Build one way of explaining a network; options are those that a library knows."""


def serve(library: Library) -> None:
    """Answer requests until there are no more."""
    # What libraries print must not mix with the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    worker = _Worker(library)
    for line in sys.stdin:
        try:
            answer = worker.answer(json.loads(line))
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


class _Worker:
    """Holds what was prepared."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.prepared: dict[tuple[str, str], Prepared] = {}
        self.images: dict[tuple[str, str, int], Any] = {}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        return getattr(self, "_" + request.pop("do"))(**request)

    def _about(self) -> dict[str, Any]:
        return {"about": self.library.about()}

    def _prepare(self, network: str, what: str, size: int, **options: str) -> dict[str, Any]:
        start = time.perf_counter()
        prepared = self.library.prepare(network, what, size, **options)
        # The network is built in this time too, but its share is small; ours are built before.
        built = time.perf_counter() - start
        images = prepared.make_images(1)
        start = time.perf_counter()
        prepared.explain(images)
        self.prepared[network, what] = prepared
        return {
            "first_call": built + time.perf_counter() - start,
            "parameters": prepared.parameters,
            "multiply_adds": prepared.multiply_adds,
        }

    def _run(self, network: str, what: str, batch: int) -> dict[str, Any]:
        prepared = self.prepared[network, what]
        images = self._images(network, what, batch)
        gc.disable()
        start = time.perf_counter()
        prepared.explain(images)
        seconds = time.perf_counter() - start
        gc.enable()
        return {"seconds": seconds}

    def _memory(self, network: str, what: str, batch: int) -> dict[str, Any]:
        images = self._images(network, what, batch)
        return {"memory": self.prepared[network, what].memory(images)}

    def _images(self, network: str, what: str, batch: int) -> Any:
        """Return images, those of the latest request if it asked for as many."""
        key = (network, what, batch)
        if key not in self.images:
            self.images = {key: self.prepared[network, what].make_images(batch)}
        return self.images[key]

    def _forget(self, keep: list[str]) -> dict[str, Any]:
        self.prepared = {key: made for key, made in self.prepared.items() if key[1] in keep}
        self.images.clear()
        gc.collect()
        return {}
