"""What doctests of the package and tests share."""

import sys

import pytest


@pytest.fixture(autouse=True)
def registries():
    """Forget the rules, presets and layers that a test registered: others know nothing of them."""
    if "lrpkeras" not in sys.modules:
        yield
        return
    from lrpkeras.graph.lower import LOWERINGS
    from lrpkeras.presets import REGISTRY
    from lrpkeras.rules.registry import OWN

    before = [(known, dict(known)) for known in (LOWERINGS, REGISTRY, OWN)]
    yield
    for known, kept in before:
        known.clear()
        known.update(kept)
