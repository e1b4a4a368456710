"""Ask worker processes in turn."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import turns

ROOT = Path(__file__).parents[2]
PATHS = [str(ROOT)]  # where workers find their modules
# torch's threads otherwise wait by spinning: whatever else then runs on the machine, our own
# process too, makes torch many times slower (ResNet50's gradient 10 s for 0.4 s, on a busy one).
PATIENT = {"OMP_WAIT_POLICY": "PASSIVE"}


class PeerError(RuntimeError):
    """A peer is not there, or cannot do what it was asked for."""


@dataclass(frozen=True)
class Peer:
    """An environment with other libraries, what asks them, and what they explain.

    `ways` are named as in the tables, the library's name first.
    """

    name: str
    module: str
    ways: tuple[str, ...]
    networks: tuple[str, ...]


ZENNIT = ("zennit EpsilonPlusFlat", "zennit EpsilonAlpha2Beta1Flat", "zennit EpsilonGammaBox")
CAPTUM = "captum epsilon"
TORCH_GRADIENT = "torch gradient"
INNVESTIGATE = "iNNvestigate lrp.sequential_preset_a_flat"
PEERS = {
    "torch": Peer(
        "torch",
        "benchmarks.peers.torch_worker",
        (TORCH_GRADIENT, *ZENNIT, CAPTUM),
        ("VGG16", "ResNet50", "MobileNetV2", "tiny-resnet"),
    ),
    "innvestigate": Peer(
        "innvestigate", "benchmarks.peers.innvestigate_worker", (INNVESTIGATE,), ("VGG16",)
    ),
}


class Worker:
    """A process that explains on request; `asking` starts and ends it.

    Raises
    ------
    PeerError
        If the process cannot be started, or has no answer.
    """

    def __init__(self, peer: Peer, python: Path) -> None:
        self.peer, self._python = peer, python
        self._process = self._started()
        try:
            self.about: dict[str, str] = self.ask(do="about")["about"]
        except PeerError:
            self.close()
            raise

    def _started(self) -> subprocess.Popen:
        quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": os.pathsep.join(PATHS)}
        try:
            return subprocess.Popen(
                [self._python, "-m", self.peer.module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                cwd=ROOT,
                env={**PATIENT, **os.environ, **quiet},
            )
        except OSError as error:
            raise PeerError("its environment is not there; `make bench-peers` makes it") from error

    @property
    def is_over(self) -> bool:
        """Whether the process has ended: one that took all memory was killed, for one."""
        return self._process.poll() is not None

    def another(self) -> Worker:
        """Return another worker of the same environment."""
        return Worker(self.peer, self._python)

    def ask(self, **request: Any) -> dict[str, Any]:
        """Return the answer to a request."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except BrokenPipeError:
            line = ""
        answer = json.loads(line) if line else {"error": f"{self.peer.module} ended"}
        if "error" in answer:
            raise PeerError(answer["error"].splitlines()[0])
        return answer

    def prepare(
        self, network: str, what: str, size: int, *, parameters: int, work: int, **options: str
    ) -> float:
        """Build a way of explaining; return the seconds of building and of the first call.

        A process that has ended is started anew.

        `options` are the worker's own, such as the device.

        Raises
        ------
        PeerError
            If it cannot be built, or the network is not ours: `parameters` and multiply-adds
            (`work`) of one image are those of the Keras model.
        """
        if self.is_over:
            self.close()
            self._process = self._started()
        answer = self.ask(do="prepare", network=network, what=what, size=size, **options)
        found = (answer["parameters"], answer["multiply_adds"])
        if found != (parameters, work):
            raise PeerError(
                f"its {network} has {found[0]} parameters and takes {found[1]} multiply-adds, "
                f"the Keras model {parameters} and {work}"
            )
        return answer["first_call"]

    def run(self, network: str, what: str, batch: int) -> turns.Run:
        """Return what explains a batch and returns the seconds that it took there."""
        return lambda: self.ask(do="run", network=network, what=what, batch=batch)["seconds"]

    def forget(self, keep: Sequence[str] = ()) -> None:
        """Have it free what it prepared, but for some ways."""
        if not self.is_over:
            self.ask(do="forget", keep=list(keep))

    def close(self) -> None:
        """End the process: it ends when its input does."""
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.close()
        self._process.wait(timeout=60)
        if self._process.stdout is not None:
            self._process.stdout.close()


@contextmanager
def asking(pythons: Mapping[str, Path]) -> Iterator[tuple[dict[str, Worker], dict[str, str]]]:
    """Start a worker in each environment; return those that answer, and why others do not."""
    workers: dict[str, Worker] = {}
    absent: dict[str, str] = {}
    for name, python in pythons.items():
        try:
            workers[name] = Worker(PEERS[name], python)
        except PeerError as error:
            absent[name] = str(error)
    try:
        yield workers, absent
    finally:
        for worker in workers.values():
            worker.close()
