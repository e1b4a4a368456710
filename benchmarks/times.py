"""Times of one network, ours and peers', at one batch size: all in turn."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence

import keras

from benchmarks import multiply_adds, ways
from benchmarks.peers import client
from benchmarks.results import Cell
from benchmarks.turns import Run, take_turns
from benchmarks.ways import Way

# At large batches a round of all peers takes minutes and much memory: only what has a target.
ALWAYS = ("zennit EpsilonPlusFlat",)

PeerWay = tuple[client.Worker, str]


def prepare_peers(
    workers: Iterable[client.Worker], name: str, model: keras.Model, forward: Way
) -> tuple[list[PeerWay], dict[str, float], dict[str, str]]:
    """Have peers build the same network; return their ways, first calls, and what is absent."""
    found: list[PeerWay] = []
    first_calls: dict[str, float] = {}
    absent: dict[str, str] = {}
    work = multiply_adds.total(forward.graph(1))
    for worker in workers:
        for what in worker.peer.ways:
            try:
                first_calls[what] = worker.prepare(
                    name, what, model.input_shape[1], parameters=model.count_params(), work=work
                )
                found.append((worker, what))
            except client.PeerError as error:
                absent[what] = str(error)
    return found, first_calls, absent


def only_what_is_targeted(peers: Sequence[PeerWay]) -> list[PeerWay]:
    """Have peers forget all other ways; return those that are left."""
    for worker in {id(worker): worker for worker, _ in peers}.values():
        worker.forget(keep=ALWAYS)
    return [(worker, what) for worker, what in peers if what in ALWAYS]


def runs(
    name: str, model: keras.Model, made: Sequence[Way], peers: Sequence[PeerWay], batch: int
) -> dict[str, Run]:
    """Return what is run in turn, on one batch."""
    images = ways.images(model, batch)
    ours = {way.what: ways.run(way, images) for way in made}
    return ours | {what: worker.run(name, what, batch) for worker, what in peers}


def measure(
    runs: Mapping[str, Run], budget: float, rounds: tuple[int, int]
) -> tuple[Cell, dict[str, str]]:
    """Return the seconds of every round, by way, and which peers failed, with the reason.

    A short first round goes before: at a new batch size libraries choose their kernels, which is
    nothing beside runs of seconds.
    """
    failed: dict[str, str] = {}

    def guarded(what: str) -> Run:
        def run() -> float:
            try:
                return math.nan if what in failed else runs[what]()
            except client.PeerError as error:
                failed[what] = str(error)
                return math.nan

        return run

    tried = {what: guarded(what) for what in runs}
    start = time.perf_counter()
    for run in tried.values():
        if time.perf_counter() < start + budget:
            run()
    seconds = take_turns(tried, budget, *rounds)
    kept = {what: [round(s, 6) for s in row] for what, row in seconds.items() if what not in failed}
    return {"seconds": kept}, failed
