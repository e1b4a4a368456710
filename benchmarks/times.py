"""Times of one network, ours and peers', at one batch size: all in turn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import keras

from benchmarks import multiply_adds, ways
from benchmarks.peers import client
from benchmarks.results import Cell
from benchmarks.turns import take_turns
from benchmarks.ways import Way

# At large batches a round of all peers takes minutes: there only what a target is set for.
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
                size = model.input_shape[1]
                parameters = model.count_params()
                first_calls[what] = worker.prepare(name, what, size, parameters, work)
                found.append((worker, what))
            except client.PeerError as error:
                absent[what] = str(error)
    return found, first_calls, absent


def measure(
    name: str,
    model: keras.Model,
    made: Sequence[Way],
    peers: Sequence[PeerWay],
    *,
    batch: int,
    budget: float,
    rounds: tuple[int, int],
    all_peers: bool,
) -> Cell:
    """Return the seconds of every round, by way."""
    images = ways.images(model, batch)
    runs = {way.what: ways.run(way, images) for way in made}
    asked = [(worker, what) for worker, what in peers if all_peers or what in ALWAYS]
    runs |= {what: worker.run(name, what, batch) for worker, what in asked}
    for run in runs.values():
        run()  # the first one at a batch size: libraries choose their kernels
    seconds = take_turns(runs, budget, *rounds)
    return {"seconds": {what: [round(s, 6) for s in row] for what, row in seconds.items()}}
