"""The unit of work, a list of samples in and one shard out, and the loop over many of them.

Three things go on at the same time: the next batch is read, one is explained, and the one before it
is written.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from lrpkeras import backend, batching
from lrpkeras.errors import InputError
from lrpkeras.jobs.job import Done, Job, Part, Unreadable
from lrpkeras.jobs.samples import Batch, Samples, digest_of, ranges
from lrpkeras.jobs.shard import Rows, ShardWriter, inspect, refuse
from lrpkeras.runner import Runner
from lrpkeras.targets import Target

OTHERS = (
    "These are not the samples that this job began with: sample {number} differs. A dataset must "
    "come in the same order every time; for other samples give results a new folder."
)


@dataclass(frozen=True)
class Work:
    """All that explaining a shard takes.

    Attributes
    ----------
    runner
        Explains batches. It has explained nothing else: which graph a batch runs in, and so its
        last bits, depends on the sizes of batches before it.
    samples, target
        What is explained.
    job, part, folder
        How and where it is written.
    strict
        Whether a sample that cannot be explained ends the job.
    """

    runner: Runner
    samples: Samples
    target: Target
    job: Job
    part: Part
    folder: Path
    strict: bool = False


def explain_shard(work: Work, number: int) -> Done | None:
    """Explain one shard; None if the dataset has ended before it."""
    return next(explain_shards(work, [number]), None)


def explain_shards(work: Work, numbers: Iterable[int], bar: Any = None) -> Iterator[Done]:
    """Explain shards, one after the other, and yield each when it is there.

    A dataset that does not know its length ends them.

    Raises
    ------
    LrpError
        If the disk is full, or (InputError) a sample cannot be explained and `work.strict`.
    """
    writing = _Writing(work)
    with ThreadPoolExecutor(1) as thread, closing(batching.ahead(_read(work, numbers))) as steps:
        waiting: Future[Done | None] | None = None
        try:
            for step in steps:
                rows, unreadable = _explained(work, step.batch)
                if waiting is not None and (done := waiting.result()):
                    yield done
                waiting = thread.submit(writing.write, step, rows, unreadable)
                if bar is not None:
                    bar.add(1)
            if waiting is not None and (done := waiting.result()):
                yield done
        except OSError as error:
            raise refuse(error, work.folder) from error
        finally:
            thread.submit(writing.abandon).result()


class Step(NamedTuple):
    """A batch of a shard, and whether it is the last one."""

    shard: int
    batch: Batch
    last: bool


def _read(work: Work, numbers: Iterable[int]) -> Generator[Step, None, None]:
    """Yield the batches of shards."""
    size, count = work.job.shard_size, work.samples.count
    for number in numbers:
        begin = number * size
        end = begin + size if count is None else min(begin + size, count)
        waiting: Step | None = None
        ended = False
        for start, stop in ranges(end - begin, work.job.batch_size):
            batch = work.samples.read(begin + start, begin + stop)
            ended = len(batch.ids) < stop - start
            if batch.ids:
                if waiting is not None:
                    yield waiting
                waiting = Step(number, batch, False)
            if ended:
                break
        if waiting is not None:
            yield waiting._replace(last=True)
        if ended:
            return


def _explained(work: Work, batch: Batch) -> tuple[Rows | None, list[Unreadable]]:
    """Return the results of a batch, and what could not be explained."""
    why = dict(batch.unreadable)
    rows = None
    if batch.arrays is not None:
        found = work.runner.run(
            batch.arrays,
            work.target,
            batch.start,
            (),
            batch_size=work.job.batch_size,
            devices=backend.devices(),
        )
        arrays: Any = keras.tree.map_structure(backend.to_numpy, found)
        why.update(_infinite(arrays["relevance"], batch))
        rows = _kept(work, batch, arrays, [i for i in range(len(batch.ids)) if i not in why])
    unreadable = [Unreadable(batch.start + i, batch.ids[i], why[i]) for i in sorted(why)]
    if unreadable and work.strict:
        first = unreadable[0]
        raise InputError(f"Sample {first.id!r} cannot be explained: {first.why}")
    return rows, unreadable


def _infinite(relevance: list[np.ndarray], batch: Batch) -> dict[int, str]:
    """Say which samples have relevance that is not finite."""
    finite = np.all([np.isfinite(x).reshape(len(x), -1).all(axis=1) for x in relevance], axis=0)
    said = "the relevance is not finite; analyzer.check(x) tells where it is lost"
    return {int(i): said for i in np.flatnonzero(~finite) if i not in batch.unreadable}


def _kept(work: Work, batch: Batch, arrays: Mapping[str, Any], kept: list[int]) -> Rows:
    names = work.runner.intake.names
    maps = zip(names, arrays["relevance"], strict=True)
    return Rows(
        relevance={name: relevance[kept] for name, relevance in maps},
        output=arrays["output"][kept],
        target=arrays["target"][kept],
        index=np.array([batch.start + i for i in kept], "int64"),
        ids=[batch.ids[i] for i in kept],
    )


@dataclass
class _Writing:
    """The shard that is being written, in a thread of its own."""

    work: Work
    writer: ShardWriter | None = None
    unreadable: list[Unreadable] = field(default_factory=list)
    first: str = ""

    def write(self, step: Step, rows: Rows | None, unreadable: list[Unreadable]) -> Done | None:
        """Write a batch; return what is done if it is a shard's last."""
        if self.writer is None:
            work = self.work
            self.writer = ShardWriter(work.folder, step.shard, work.job, work.part)
            self.unreadable, self.first = [], _first(step.batch)
        if rows is not None:
            self.writer.append(rows)
        self.unreadable += unreadable
        if not step.last:
            return None
        done = self.writer.finish(self.unreadable, self.first)
        self.writer = None
        return done

    def abandon(self) -> None:
        """Leave nothing half-written."""
        if self.writer is not None:
            self.writer.abandon()


def _first(batch: Batch) -> str:
    """Return a digest of a batch's first sample; nothing where that cannot be explained."""
    return "" if batch.arrays is None or 0 in batch.unreadable else digest_of(batch.arrays)


def done_before(work: Work) -> dict[int, Done]:
    """Return the shards of this part that are there, once their first samples are seen to be alike.

    A shard that is damaged, or that another analyzer wrote, is none.

    Raises
    ------
    InputError
        If a shard is of other samples.
    """
    found = {}
    for file in sorted(work.folder.glob("shard-*.h5")):
        shard = inspect(file, work.job)
        if shard is None or not work.part.takes(shard.done.shard):
            continue
        number = shard.done.shard
        held = shard.done.samples + len(shard.done.unreadable)
        if work.job.samples is None and held < work.job.shard_size:
            continue  # the end of a dataset, which may have grown
        start = number * work.job.shard_size
        if shard.first:
            now = _first(work.samples.read(start, start + 1))
            if now != shard.first:
                raise InputError(OTHERS.format(number=start))
        found[number] = shard.done
    return found


def missing(work: Work, done: Mapping[int, Done]) -> Iterator[int]:
    """Yield the shards of this part that are still to do; without end where that is not known."""
    number = 0
    while work.job.shards is None or number < work.job.shards:
        if work.part.takes(number) and number not in done:
            yield number
        number += 1
