"""A job on Ray: actors that build the analyzer once and explain a shard at a time."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lrpkeras import targets
from lrpkeras.errors import InputError, LrpError
from lrpkeras.jobs.job import Done, Job, Part, Unreadable
from lrpkeras.jobs.samples import Checked, DatasetSamples, samples_of
from lrpkeras.jobs.work import Work, explain_shard
from lrpkeras.runner import Runner

MISSING = 'engine="ray" needs Ray: pip install "lrpkeras[ray]".'


@dataclass(frozen=True)
class Order:
    """What an actor is made of: all of it can be sent.

    Attributes
    ----------
    build
        Makes what explains, where it is called.
    data, preprocess, target
        As `explain_dataset` takes them: arrays or paths.
    input_range, job, part, folder, strict
        As in `Work`.
    root
        The folder that relative paths start from.
    """

    build: Callable[[], Runner]
    data: Any
    preprocess: Any
    target: Any
    input_range: tuple[float, float] | None
    job: Job
    part: Part
    folder: Path
    strict: bool
    root: str

    def work(self) -> Work:
        """Return the work, ready to be done here."""
        runner = self.build()
        checked = Checked(runner.intake, self.input_range)
        samples = samples_of(self.data, checked, self.preprocess, self.root)
        target = targets.parse(self.target, samples.count, runner.output_shape)
        return Work(runner, samples, target, self.job, self.part, self.folder, self.strict)


class _Explains:
    """An actor."""

    def __init__(self, orders: Sequence[Any]) -> None:
        import ray

        self._failed = ""
        try:
            self._work = ray.get(orders[0]).work()
        except LrpError as error:
            self._failed = str(error)

    def __call__(self, batch: Mapping[str, Sequence[int]]) -> dict[str, list[str]]:
        return {"done": [self._done(int(number)) for number in batch["shard"]]}

    def _done(self, number: int) -> str:
        if self._failed:
            return json.dumps({"error": self._failed})
        try:
            done = explain_shard(self._work, number)
        except LrpError as error:
            # Tried again, it would fail again: told, it ends the job at once.
            return json.dumps({"error": str(error)})
        assert done is not None  # arrays and paths are as many as was said
        return json.dumps(dataclasses.asdict(done))


def explain_shards(
    order: Order, numbers: Sequence[int], workers: int | None, gpus: float
) -> Iterator[Done]:
    """Explain shards on a Ray cluster, a local one if there is none, and yield each that is there.

    Parameters
    ----------
    workers
        How many actors; None for as many as shards and processors allow.
    gpus
        Of each actor; 0.5 lets two share one.

    Raises
    ------
    LrpError
        If Ray is not installed, or what `explain_shard` raises.
    """
    ray = _ray()
    if not numbers:
        return
    if not ray.is_initialized():
        ray.init(logging_level="ERROR", log_to_driver=False, include_dashboard=False)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    count = workers or max(1, min(len(numbers), int(ray.cluster_resources().get("CPU", 1))))
    resources = {"num_gpus": gpus} if gpus else {"num_cpus": 1}
    # Ray Data restarts actors that die, and does their shards again.
    found = ray.data.from_items([{"shard": number} for number in numbers]).map_batches(
        _Explains,
        batch_size=1,
        concurrency=count,
        fn_constructor_args=([ray.put(order)],),  # arrays are sent to each machine once
        **resources,
    )
    for row in found.iter_rows():
        told = json.loads(row["done"])
        if "error" in told:
            raise LrpError(told["error"])
        unreadable = tuple(Unreadable(**one) for one in told.pop("unreadable"))
        yield Done(**told, unreadable=unreadable)


def _ray() -> Any:
    try:
        import ray
        import ray.data
    except ImportError:
        raise LrpError(MISSING) from None
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    return ray


def check(work: Work) -> None:
    """Refuse what cannot be sent to other processes.

    Raises
    ------
    InputError
        If the samples are those of a dataset.
    """
    if isinstance(work.samples, DatasetSamples):
        raise InputError('engine="ray" takes arrays or paths, not a dataset, read from one end.')
