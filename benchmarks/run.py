"""Time, count and weigh explanations: against a forward pass, a tape's gradient, and peers.

    make bench                                                     all of it, with --json
    python -m benchmarks.run times --models VGG16 --batch 1 4      a part of it
    python -m benchmarks.run --quick                               tiny models: does it still run?

Everything that is compared takes turns in one run, peers in processes of their own that are asked
in turn: noise from other programs then falls on all alike, and the ratios to the tape gradient,
taken round by round, hold where milliseconds do not. Weights are random; the work does not depend
on their values. What is timed is what users call, with all its checks, up to the finished array.

`make bench` sets TF_ENABLE_ONEDNN_OPTS=1: TensorFlow does not use oneDNN by itself on processors
without AVX512-VNNI, where its gradients, and ours, take twice the time; torch does.

With --json, cells that the file holds already stay unless they are measured again, and RESULTS.md
and results.png are written beside it. `make bench-peers` makes the environments of the peers; rows
of those that are absent are left out.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import lrpkeras
from benchmarks import machine, networks, plot, report, results, stages, ways

ROOT = Path(__file__).parents[1]
PYTHONS = {
    "torch": ROOT / ".venv-peers/bin/python",
    "innvestigate": ROOT / ".venv-innvestigate/bin/python",
}


def main(arguments: list[str] | None = None) -> int:
    """Measure the parts that are asked for, print them, and write them down."""
    given = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(given)
    if options.quick:
        _shrink(options)
    found = results.load(options.json)
    if options.readme:
        print(report.readme(found))
        return 0
    found.begin(machine.run("benchmarks.run", given))
    stages.run(options, found)
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
    add("parts", nargs="*", metavar="part", help=f"{', '.join(stages.STAGES)}; all if none")
    add("--models", nargs="+", choices=networks.FULL, default=list(networks.FULL))
    add("--batch", nargs="+", type=_positive, default=[1, 4, 16], help="batch sizes (1 4 16)")
    add("--presets", nargs="+", default=list(ways.PRESETS), choices=lrpkeras.presets.names())
    add("--rounds", nargs=2, type=_positive, default=(3, 15), metavar=("LEAST", "MOST"))
    add("--seconds", type=float, default=30.0, help="for all rounds of a batch size, roughly (30)")
    add("--peer-batch", type=_positive, default=4, help="largest batch size for all peers (4)")
    add("--slow-peers", action="store_true", help="also what takes a peer minutes to build")
    add("--bfloat16", choices=("auto", "yes", "no"), default="auto", help="auto: if it is fast")
    add("--quick", action="store_true", help="tiny models, three rounds: does it still run?")
    add("--json", type=Path, metavar="FILE", help="gather all numbers here; write RESULTS.md")
    add("--anew", action="store_true", help="forget what FILE holds of the parts that are run")
    add("--readme", action="store_true", help="only print the README's table of FILE's numbers")
    for name, python in PYTHONS.items():
        add(f"--{name}-python", type=Path, default=python, metavar="PYTHON")
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return number


def _shrink(options: argparse.Namespace) -> None:
    """Make everything tiny."""
    tiny = {"models": ["tiny-resnet"], "batch": [2], "rounds": (3, 3), "seconds": 0.0}
    vars(options).update(tiny)


if __name__ == "__main__":
    sys.exit(main())
