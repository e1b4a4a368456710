"""A job on this machine."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import keras
import numpy as np

from lrpkeras import batching, targets
from lrpkeras.errors import InputError, TargetError
from lrpkeras.jobs import on_ray
from lrpkeras.jobs.job import (
    STORAGES,
    Done,
    Job,
    begin,
    half_manifests,
    part_of,
    write_manifest,
)
from lrpkeras.jobs.results import Results, open_results
from lrpkeras.jobs.samples import Checked, samples_of
from lrpkeras.jobs.shard import leftovers, refuse
from lrpkeras.jobs.work import Work, done_before, explain_shards, missing
from lrpkeras.runner import Runner

Explain: TypeAlias = Callable[[Work, Iterable[int], Any], Iterator[Done]]


@dataclass(frozen=True)
class Explains:
    """What explains, and what is written down of it.

    Attributes
    ----------
    runner
        One that has explained nothing yet.
    about
        `fingerprint`, `config` and `versions`.
    input_range
        Outside of which inputs are refused.
    build
        Returns a function that makes such a runner in another process.
    """

    runner: Runner
    about: Mapping[str, Any]
    input_range: tuple[float, float] | None
    build: Callable[[], Callable[[], Runner]]


@dataclass(frozen=True)
class Request:
    """What is asked for: the arguments of `Analyzer.explain_dataset`."""

    data: Any
    out: str | os.PathLike
    target: Any
    preprocess: Any
    batch_size: int
    shard_size: int
    storage: str
    shard: str | tuple[int, int] | None
    strict: bool
    engine: str | None
    workers: int | None
    gpus: float
    verbose: str | int


def explain_dataset(explains: Explains, request: Request) -> Results:
    """Explain a data set into a folder; see `Analyzer.explain_dataset`."""
    if request.engine not in (None, "ray"):
        raise InputError(f"engine is None or 'ray', not {request.engine!r}.")
    work = _work(explains, request)
    explain: Explain = explain_shards
    if request.engine == "ray":
        on_ray.check(work)
        explain = partial(_on_ray, _order(explains, request, work), request.workers, request.gpus)
    try:
        run(work, explain, request.verbose)
    except OSError as error:
        raise refuse(error, work.folder) from error
    whole = work.part.count == 1
    results = open_results(work.folder, partial=not whole)
    if whole and not len(results) and not results.unreadable:
        raise InputError("The dataset is empty: there is no sample to explain.")
    return results


def _work(explains: Explains, request: Request) -> Work:
    """Return what is to be done here, having checked every argument."""
    runner, target, preprocess = explains.runner, request.target, request.preprocess
    if request.storage not in STORAGES:
        known = ", ".join(map(repr, STORAGES))
        raise InputError(f"storage is {known}, not {request.storage!r}.")
    samples = samples_of(request.data, Checked(runner.intake, explains.input_range), preprocess)
    if samples.count == 0:
        raise InputError("There is no sample to explain.")
    parsed = targets.parse(target, samples.count, runner.output_shape)
    if samples.count is None and parsed.counts_samples:
        raise TargetError("For a dataset, give one target for all samples, or None.")
    job = Job(
        samples=samples.count,
        ids=samples.digest,
        shard_size=batching.positive(request.shard_size),
        batch_size=batching.positive(request.batch_size),
        storage=request.storage,
        target=described(target, preprocess),
        **explains.about,
    )
    part = part_of(request.shard)
    return Work(runner, samples, parsed, job, part, Path(request.out), request.strict)


def _order(explains: Explains, request: Request, work: Work) -> on_ray.Order:
    """Return what an actor needs to do the work elsewhere."""
    return on_ray.Order(
        build=explains.build(),
        data=request.data,
        preprocess=request.preprocess,
        target=request.target,
        input_range=explains.input_range,
        job=work.job,
        part=work.part,
        folder=work.folder.absolute(),
        strict=work.strict,
        root=os.getcwd(),
    )


def run(work: Work, explain: Explain, verbose: str | int) -> None:
    """Explain what is not done yet, and keep the manifest."""
    begin(work.folder, work.job, work.part)
    _sweep(work)
    done = done_before(work)
    unreadable = [one for shard in done.values() for one in shard.unreadable]
    if work.strict and unreadable:
        raise InputError(f"Sample {unreadable[0].id!r} could not be explained: {unreadable[0].why}")
    bar = batching.progress(_batches(work, done), verbose)
    for one in explain(work, missing(work, dict(done)), bar):
        done[one.shard] = one
        write_manifest(work.folder, work.job, work.part, list(done.values()), complete=False)
    write_manifest(work.folder, work.job, work.part, list(done.values()), complete=True)
    _sweep(work)


def _sweep(work: Work) -> None:
    """Remove what killed processes of this part have left."""
    for file in (*leftovers(work.folder, work.part), *half_manifests(work.folder, work.part)):
        file.unlink(missing_ok=True)


def _on_ray(
    order: on_ray.Order,
    workers: int | None,
    gpus: float,
    work: Work,
    numbers: Iterable[int],
    bar: Any,
) -> Iterator[Done]:
    for done in on_ray.explain_shards(order, list(numbers), workers, gpus):
        if bar is not None:
            bar.add(math.ceil((done.samples + len(done.unreadable)) / work.job.batch_size))
        yield done


def _batches(work: Work, done: Mapping[int, Any]) -> int | None:
    """Return how many batches there are to explain."""
    job = work.job
    if job.samples is None:
        return None
    sizes = (
        min(job.shard_size, job.samples - number * job.shard_size) for number in missing(work, done)
    )
    return sum(math.ceil(size / job.batch_size) for size in sizes)


def described(target: Any, preprocess: Any) -> str:
    """Return target and preprocessing as text that tells them from others."""
    made = "" if preprocess is None else f"; preprocess {_named(preprocess)}"
    return f"target {_named(target)}{made}"


def _function(value: Any) -> str:
    """Return a function's name, with a digest of what it does as far as that can be told."""
    if isinstance(value, partial):
        return f"partial {_named(value.func)} {value.args!r} {value.keywords!r}"
    kind = value if hasattr(value, "__qualname__") else type(value)
    name = f"{kind.__module__}.{kind.__qualname__}"
    code = getattr(value, "__code__", None)
    if code is None:
        return name
    held = [cell.cell_contents for cell in value.__closure__ or ()]
    does = repr((code.co_code, code.co_consts, code.co_names, value.__defaults__, held))
    return f"{name} {hashlib.sha256(does.encode()).hexdigest()[:16]}"


def _named(value: Any) -> str:
    if callable(value):
        return _function(value)
    if value is None or isinstance(value, str | int):
        return repr(value)
    if isinstance(value, np.integer):
        return repr(int(value))
    array = np.asarray(keras.ops.convert_to_numpy(value) if hasattr(value, "numpy") else value)
    digest = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]
    return f"{array.dtype}{array.shape} {digest}"
