"""The networks of `keras.applications` are read, verified and explained: the table of the docs.

Of a family whose larger members have more of the same blocks, the smaller ones are tested here.
`LRPKERAS_ALL=1` tests all forty, half an hour more; `python -m benchmarks.architectures` measures
them for the table.
"""

import os

import pytest

from benchmarks import architectures

# Normalizations that a sum reads, beside nothing that could take them over.
UNFOLDED = {"NASNetMobile": 3, "NASNetLarge": 3}


MORE_OF_THE_SAME = {
    "ResNet101", "ResNet152", "ResNet101V2", "ResNet152V2", "DenseNet169", "DenseNet201",
    "NASNetLarge", "EfficientNetB1", "EfficientNetB2", "EfficientNetB3", "EfficientNetB4",
    "EfficientNetB5", "EfficientNetB6", "EfficientNetB7", "EfficientNetV2B1", "EfficientNetV2B2",
    "EfficientNetV2B3", "EfficientNetV2M", "EfficientNetV2L", "ConvNeXtSmall", "ConvNeXtBase",
    "ConvNeXtLarge", "ConvNeXtXLarge",
}  # fmt: skip
TESTED = [
    name
    for name in architectures.NAMES
    if name not in MORE_OF_THE_SAME or os.environ.get("LRPKERAS_ALL")
]


@pytest.mark.slow
@pytest.mark.parametrize("name", TESTED)
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
    assert set(architectures.NAMES) > MORE_OF_THE_SAME
    page = architectures.PAGE.read_text()
    assert all(f"| {name} |" in page for name in architectures.NAMES)
