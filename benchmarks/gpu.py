"""Images a second on a GPU: gradient and explanations, beside zennit on the same card.

    pip install "lrpkeras[tensorflow]" "tensorflow[and-cuda]"      in an environment of its own
    make bench-peers                                               torch with CUDA, and zennit
    python -m benchmarks.gpu --json benchmarks/results.json        VGG16, ResNet50; batch 64

Run it from the repository's root, on a card that nothing else uses; it takes some minutes, and an
hour for the largest batches (`--no-largest` leaves them out; `--models`, `--precisions` and
`--ways` choose parts, which gather in one JSON file). RESULTS.md is written beside that file, its
section "On a GPU" among the rest. zennit takes part where `--torch-python` has torch that sees the
card. The card's matrix peak is known for some (`cards.py`), or given, in 10^12 operations a second
for the one precision that is asked for: `--precisions tf32 --peak 494.7`.

"float32" has TensorFloat-32 off, "tf32" on; in "bfloat16" the gradient is that of a Keras model
of policy mixed_bfloat16, explanations have `precision="bfloat16"`, and zennit's network is in
bfloat16 as a whole. `--device cpu --quick` only shows that the script still runs.
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Mapping
from pathlib import Path

import keras
import tensorflow as tf

import lrpkeras
from benchmarks import cards, machine, networks, on_card, plot, report, results, turns, ways
from benchmarks.on_card import Contender, Setting
from benchmarks.peers import client
from benchmarks.run import PYTHONS

WAYS = (
    ways.GRADIENT,
    ways.COMPILED_GRADIENT,
    "epsilon",
    "epsilon_plus_flat",
    "epsilon_gamma_box",
)
PEERS = ("zennit EpsilonPlusFlat", "zennit EpsilonGammaBox")
Workers = Mapping[str, client.Worker]


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and write down."""
    given = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(given)
    if options.quick:
        tiny = {"models": ["tiny-resnet"], "batch": 2, "most": 2, "rounds": (2, 2), "seconds": 0.0}
        vars(options).update(tiny)
    card = on_card.card(options.device)
    if card is None:
        print("TensorFlow sees no GPU: nothing is measured.", file=sys.stderr)
        return 1
    tf.get_logger().setLevel("ERROR")
    found = results.load(options.json)
    found.begin(machine.run("benchmarks.gpu", given))
    with client.asking({"torch": options.torch_python}) as (workers, missing):
        about = {name: worker.about for name, worker in workers.items()}
        found.note(peers=about, missing=missing)
        for model in options.models:
            for precision in options.precisions:
                setting = Setting(model, precision, options.batch, options.device)
                _measure(setting, card, options, found, workers)
    print(cards.section(found))
    if options.json is not None:
        plot.write(found, options.json.with_name("results.png"))
        report.write(found, options.json.with_name("RESULTS.md"))
    return 0


def _parser() -> argparse.ArgumentParser:
    heading, _, text = __doc__.partition("\n\n")
    parser = argparse.ArgumentParser(
        description=heading, epilog=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--models", nargs="+", choices=networks.FULL, default=["VGG16", "ResNet50"])
    add("--precisions", nargs="+", choices=cards.PRECISIONS, default=list(cards.PRECISIONS))
    add("--ways", nargs="+", default=list(WAYS), help=f"presets too ({', '.join(WAYS)})")
    add("--batch", type=int, default=64, help="images at a time (64)")
    add("--most", type=int, default=4096, help="where the search for the largest batch ends (4096)")
    add("--no-largest", action="store_true", help="leave the largest batches out")
    add("--rounds", nargs=2, type=int, default=(5, 30), metavar=("LEAST", "MOST"))
    add("--seconds", type=float, default=20.0, help="for all rounds of a network (20)")
    add("--peak", type=float, help="of the card's matrix units, 10^12 operations a second")
    add("--device", choices=on_card.DEVICES, default="gpu")
    add("--quick", action="store_true", help="a tiny network, two rounds: does it still run?")
    add("--json", type=Path, metavar="FILE", help="gather all numbers here; write RESULTS.md")
    add("--torch-python", type=Path, default=PYTHONS["torch"], metavar="PYTHON")
    return parser


def _measure(
    setting: Setting,
    card: str,
    options: argparse.Namespace,
    found: results.Results,
    workers: Workers,
) -> None:
    """Measure all ways of one network in one precision, in turn."""
    contenders = _contenders(setting, options.ways, workers)
    runs = {what: contender.run for what, contender in contenders.items()}
    for run in runs.values():
        run()  # traced, and compiled for this batch size
    seconds = turns.take_turns(runs, options.seconds, *options.rounds)
    peak = options.peak or cards.peak(card, setting.precision)
    cells = {
        what: {
            "card": card,
            "batch": setting.batch,
            "seconds": seconds[what],
            "multiply_adds": contender.multiply_adds,
            "peak": peak,
            "memory": contender.memory(),
        }
        for what, contender in contenders.items()
    }
    tries = {what: contender.fits for what, contender in contenders.items()}
    _make_room(contenders, runs, workers)
    for what, cell in cells.items():
        most = 0 if options.no_largest else options.most
        largest = on_card.largest(tries[what], setting.batch, most)
        found.put("gpu", setting.network, setting.precision, what, largest=largest, **cell)
    print(f"{setting.network}, {setting.precision}: measured", flush=True)


def _contenders(setting: Setting, whats: list[str], workers: Workers) -> dict[str, Contender]:
    """Build all ways; what cannot be built is left out with a message."""
    made: dict[str, Contender] = {}
    builders = {what: lambda what=what: on_card.ours(setting, what) for what in whats}
    for worker in workers.values():
        for what in PEERS if setting.network in worker.peer.networks else ():
            builders[what] = lambda what=what, worker=worker: on_card.peers(worker, setting, what)
    for what, build in builders.items():
        try:
            made[what] = build()
        except (lrpkeras.LrpError, client.PeerError) as error:
            print(f"{setting.network}, {setting.precision}, {what} is left out: {error}")
    return made


def _make_room(contenders: dict, runs: dict, workers: Workers) -> None:
    """Free what is held on the card: other processes try how much fits."""
    contenders.clear()
    runs.clear()
    for worker in workers.values():
        worker.forget()
    keras.backend.clear_session()
    gc.collect()


if __name__ == "__main__":
    sys.exit(main())
