"""Write the names of iNNvestigate's analyzers and of their parameters: `innvestigate_names.json`.

    .venv-innvestigate/bin/python tests/peers/innvestigate_names.py

in the environment that `make bench-peers` makes.
"""

import importlib.metadata
import inspect
import json
from pathlib import Path

import innvestigate
from innvestigate.analyzer import analyzers

GIVEN = {"self", "model", "args", "kwargs", "subanalyzer"}


def parameters(cls):
    """The parameters of all constructors that are called for a class."""
    constructors = [base.__init__ for base in cls.__mro__ if "__init__" in vars(base)]
    names = {name for c in constructors[:-1] for name in inspect.signature(c).parameters}
    return sorted(name for name in names - GIVEN if not name.startswith("_"))


if __name__ == "__main__":
    module = Path(inspect.getfile(innvestigate.analyzer)).relative_to(
        Path(innvestigate.__file__).parents[1]
    )
    found = {
        "source": f"innvestigate {importlib.metadata.version('innvestigate')}, {module}",
        "analyzers": {name: parameters(cls) for name, cls in analyzers.items()},
    }
    out = Path(__file__).with_suffix(".json")
    out.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
