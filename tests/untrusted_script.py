"""Read files that strangers might send: `python tests/untrusted_script.py FILE...`.

Prints a line for each: what it came to, seconds, and megabytes of memory more than before. Another
process, since what this is about might end it.
"""

import resource
import sys
import time
from pathlib import Path

import lrpkeras
from lrpkeras import photos
from lrpkeras.errors import LrpError


def read(path: Path) -> None:
    if path.suffix in photos.ENDINGS:
        photos.read(path)
    else:
        lrpkeras.Analyzer(path, "epsilon", verify=False)


def megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    for word in sys.argv[1:]:
        begin, before = time.perf_counter(), megabytes()
        print(word, end=" ", flush=True)
        try:
            read(Path(word))
            outcome = "read"
        except LrpError as error:
            outcome = "LrpError" if str(error) else "empty"
        except BaseException as error:
            outcome = f"{type(error).__name__}:{error}".replace(" ", "_").replace("\n", "_")
        more = megabytes() - before
        print(outcome, f"{time.perf_counter() - begin:.1f} {more:.0f}", flush=True)
