"""Every network of `keras.applications` is read, verified and explained: the table of the docs."""

import pytest

from benchmarks import architectures

# Normalizations that a sum reads, beside nothing that could take them over.
UNFOLDED = {"NASNetMobile": 3, "NASNetLarge": 3}


@pytest.mark.slow
@pytest.mark.parametrize("name", architectures.NAMES)
def test_an_architecture_is_explained(name, capsys):
    row = architectures.measure(name)
    with capsys.disabled():
        print(f"\n{architectures.line(row)}")
    # A float32 model is itself as far from float64.
    assert row.fidelity <= 1e-4
    assert row.closes
    assert row.norms - row.folded == UNFOLDED.get(name, 0)


def test_all_forty_are_in_the_table():
    assert len(architectures.NAMES) == 40
    page = architectures.PAGE.read_text()
    assert all(f"| {name} |" in page for name in architectures.NAMES)
