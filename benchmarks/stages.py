"""The parts of the benchmark, in the order in which they run."""

from __future__ import annotations

import argparse
import gc
import importlib.util
import sys
from collections.abc import Callable, Iterable

import keras
import tensorflow as tf

from benchmarks import (
    classes,
    compiled,
    fresh,
    growth,
    machine,
    measures,
    networks,
    pages,
    report,
    times,
    training,
    ways,
    work,
)
from benchmarks.peers import client
from benchmarks.results import Cell, Results
from lrpkeras import datasets

Options = argparse.Namespace

# Fresh processes: what each way costs the first time, and in memory.
MEMORY = (ways.GRADIENT, "epsilon", "epsilon_plus_flat")
TARGETED = ("VGG16", "ResNet50")  # what the smaller parts are measured on
BATCHES, SIZES = (1, 2, 4, 8, 16, 32), (112, 160, 224, 320, 448)
MEMORY_BATCH, PAIRS_BATCH = 16, 4
PROCESSES = 3
SLOW_BUILDS = ("ResNet50",)
TRAINED = 6_000  # images an epoch
OPENINGS = 7  # of a report page


def run(options: Options, found: Results) -> None:
    """Measure the parts that `options` ask for, and keep their cells."""
    unknown = set(options.parts) - set(STAGES)
    if unknown:
        sys.exit(f"Unknown: {', '.join(sorted(unknown))}. Parts: {', '.join(STAGES)}.")
    tf.get_logger().setLevel("ERROR")
    parts = options.parts or [name for name in STAGES if name != "slow" or options.slow_peers]
    for name in parts:
        print(f"\n{report.HEADINGS[name]}", flush=True)
        if options.anew:
            found.forget(name)
        STAGES[name](options, found)


def _times(options: Options, found: Results) -> None:
    pythons = {name: getattr(options, f"{name}_python") for name in client.PEERS}
    with client.asking(pythons) as (workers, missing):
        about = {name: worker.about for name, worker in workers.items()}
        found.note(peers=about, missing=missing)
        for peer, why in missing.items():
            print(f"{peer} is left out: {why}")
        for name in options.models:
            _times_of(name, options, found, list(workers.values()))
            for worker in workers.values():
                worker.forget()


def _times_of(name: str, options: Options, found: Results, workers: list[client.Worker]) -> None:
    model = networks.build(name)
    workers = [worker for worker in workers if name in worker.peer.networks]
    presets = [*options.presets, *_bfloat16(options)]
    if any(client.INNVESTIGATE in worker.peer.ways for worker in workers):
        presets.append(ways.PRESET_A_FLAT)
    made, absent = ways.ways(model, presets)
    peers, first_calls, refused = times.prepare_peers(workers, name, model, made[0])
    first = {way.what: way.first_call for way in made} | first_calls
    absent |= refused | ({} if _bfloat16(options) else {ways.BFLOAT16: machine.NO_BFLOAT16})
    for batch in sorted(options.batch):
        if batch > options.peer_batch:
            peers = times.only_what_is_targeted(peers)
        runs = times.runs(name, model, made, peers, batch)
        cell, failed = times.measure(runs, options.seconds, options.rounds)
        found.put("times", name, batch, first_call=first, absent=absent | failed, **cell)
        print(report.printed(found, name, batch), flush=True)
    _forget()


def _bfloat16(options: Options) -> list[str]:
    wanted = options.bfloat16 == "yes" or (options.bfloat16 == "auto" and machine.has_bfloat16())
    return [ways.BFLOAT16] if wanted else []


def _forget() -> None:
    keras.backend.clear_session()
    gc.collect()


def _work(options: Options, found: Results) -> None:
    for name in options.models:
        cell = work.measure(networks.build(name), options.presets)
        found.put("work", name, **cell)
        wrong = [p for p, n in cell["counted"].items() if n != cell["expected"][p]]
        print(f"{name}: {'as the table says' if not wrong else f'NOT as the table says: {wrong}'}")
        _forget()


def _classes(options: Options, found: Results) -> None:
    _pairs("classes", classes.measure, options, found)


def _compiled(options: Options, found: Results) -> None:
    _pairs("compiled", compiled.measure, options, found)


def _pairs(part: str, measure: Callable[..., Cell], options: Options, found: Results) -> None:
    """Measure what compares two ways of having the same maps."""
    for name in _targeted(options):
        batch = min(PAIRS_BATCH, max(options.batch))
        cell = measure(networks.build(name), "epsilon_plus_flat", batch, options.rounds[0])
        found.put(part, name, **cell)
        print(report.pair_line(name, cell), flush=True)
        _forget()


def _fresh(options: Options, found: Results) -> None:
    batch, whats = MEMORY_BATCH, (*MEMORY, *_bfloat16(options))
    if options.quick:
        batch, whats = 2, ("epsilon_plus_flat",)
    processes = 1 if options.quick else PROCESSES
    for name in _targeted(options):
        taken: dict[str, list[Cell]] = {what: [] for what in whats}
        for what in whats * processes:
            try:
                taken[what].append(fresh.in_a_process(name, what, batch))
            except RuntimeError as error:
                print(f"{name} {what} is left out: {error}", flush=True)
        for what, cells in taken.items():
            if not cells:
                continue
            cell = fresh.medians(cells)
            found.put("fresh", name, what, **cell)
            print(report.fresh_line(name, what, cell), flush=True)


def _growth(options: Options, found: Results) -> None:
    name = next((name for name in networks.OF_ANY_SIZE if name in options.models), None)
    if name is None:
        return
    batches, sizes = ((1, 2), (16, 24)) if options.quick else (BATCHES, SIZES)
    rounds = options.rounds[0]
    found.put("growth", name, "batch", **growth.over_batches(networks.build(name), batches, rounds))
    _forget()
    found.put("growth", name, "pixels", **growth.over_sizes(name, sizes, rounds))
    _forget()
    print("\n".join(report.growth_lines(found)), flush=True)


def _measures(options: Options, found: Results) -> None:
    name = next((name for name in networks.OF_ANY_SIZE if name in options.models), None)
    if name is None:
        return
    batch = max(options.batch)
    cell = measures.measure(networks.build(name), "epsilon_plus_flat", batch, options.rounds[0])
    found.put("measures", name, **cell)
    print("\n".join(report.measure_lines(found)), flush=True)
    _forget()


def _training(options: Options, found: Results) -> None:
    if options.quick:
        name, network, images = "tiny-resnet", networks.build("tiny-resnet", 48), 64
    else:
        name, network, images = "shapes", datasets.shapes_model(), TRAINED
    found.put("training", name, **training.measure(network, images, options.rounds[0]))
    print("\n".join(report.training_lines(found)), flush=True)
    _forget()


def _pages(options: Options, found: Results) -> None:
    """Open report pages, where there is a browser."""
    if pages.CHROMIUM is None or importlib.util.find_spec("playwright") is None:
        print("Report pages are left out: there is no chromium, or no playwright.", flush=True)
        return
    samples, size, openings = (6, 56, 3) if options.quick else (200, 224, OPENINGS)
    found.put("pages", f"{samples}", **pages.measure(samples, size, openings))
    print("\n".join(report.page_lines(found)), flush=True)


def _slow_builds(options: Options, found: Results) -> None:
    """Build what takes a peer minutes; part of all only if asked for."""
    pythons = {"innvestigate": options.innvestigate_python}
    with client.asking(pythons) as (workers, _):
        for worker in workers.values():
            for name in SLOW_BUILDS:
                place = {"network": name, "what": client.INNVESTIGATE, "size": networks.SIZE}
                try:
                    seconds = worker.ask(do="prepare", **place)["first_call"]
                except client.PeerError as error:
                    print(f"{name} {client.INNVESTIGATE} is left out: {error}", flush=True)
                    continue
                found.put("slow", name, client.INNVESTIGATE, seconds=seconds)
                print(f"{name} {client.INNVESTIGATE}: {seconds:.0f} s", flush=True)


def _targeted(options: Options) -> Iterable[str]:
    return [name for name in options.models if name in TARGETED or options.quick]


STAGES: dict[str, Callable[[Options, Results], None]] = {
    "work": _work,
    "times": _times,
    "classes": _classes,
    "compiled": _compiled,
    "fresh": _fresh,
    "growth": _growth,
    "measures": _measures,
    "training": _training,
    "pages": _pages,
    "slow": _slow_builds,
}
