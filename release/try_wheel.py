"""Install a wheel as a user would, in a clean environment for each Python, and run its demo.

python release/try_wheel.py dist/*.whl --python python3.11 python3.12 python3.13
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Run in the new environment, far from the repository: what is imported must be what was installed.
LOOK = """
import sys, keras, lrpkeras, tensorflow
assert lrpkeras.__file__.startswith(sys.prefix), lrpkeras.__file__
print("Python", sys.version.split()[0], "TensorFlow", tensorflow.__version__, end=" ")
print("Keras", keras.__version__, "lrpkeras", lrpkeras.__version__)
"""


def main() -> None:
    """Try the wheel with every Python; any failure ends it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--python", nargs="+", default=[sys.executable], metavar="PYTHON")
    parser.add_argument("--extra", default="cpu", help="the extra to install (%(default)s)")
    options = parser.parse_args()
    for python in options.python:
        print(tried(options.wheel.resolve(), options.extra, python), flush=True)


def tried(wheel: Path, extra: str, python: str) -> str:
    """Return a line about the versions that ran, and how long it took.

    Raises
    ------
    subprocess.CalledProcessError
        If the wheel cannot be installed, or what it installs does not work.
    """
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        run([python, "-m", "venv", "--without-pip", "env"], folder)
        inside = Path(folder, "env", "bin")
        pip = [sys.executable, "-m", "pip", "--python", str(inside / "python")]
        run([*pip, "install", "--quiet", f"{wheel}[{extra}]"], folder)
        run([*pip, "check"], folder)
        versions = run([str(inside / "python"), "-c", LOOK], folder)
        run([str(inside / "lrpkeras"), "demo", "--out", "demo.png"], folder)
        picture = Path(folder, "demo.png").stat().st_size
    seconds = time.perf_counter() - start
    return f"{versions.strip()}: the demo drew {picture:,} bytes, {seconds:.0f} s in all"


def run(command: list[str], folder: str) -> str:
    """Run a command in a folder, without what points to other packages; return what it printed."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment = {**kept, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        command, cwd=folder, env=environment, check=False, text=True, stdout=subprocess.PIPE
    )
    if done.returncode:
        print(done.stdout)
        done.check_returncode()
    return done.stdout


if __name__ == "__main__":
    main()
