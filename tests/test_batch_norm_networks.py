"""The ways to treat batch normalization, on the networks of Hui & Binder 2019."""

import numpy as np
import pytest
from explained import run

from benchmarks import architectures
from lrpkeras import presets
from lrpkeras.canonize import canonize
from lrpkeras.graph import keras_reader
from lrpkeras.graph.facts import with_facts

NETWORKS = ("MobileNetV2", "ResNet50", "DenseNet121", "InceptionResNetV2")


def relevance(graph, mode, images):
    """Relevance at every node's output, of a logit of one sample, in one mode."""
    preset = presets.get("epsilon_plus").with_overrides(presets.UNFOLDED.get(mode))
    explained = run(graph, preset, images)
    start = np.zeros((1, *explained.output.shape))
    start[0, 0, explained.output[0].argmax()] = 1.0
    norms = [node for node in graph if getattr(node, "batch_norm", False)]
    names = tuple(dict.fromkeys(name for node in norms for name in (node.name, *node.inputs)))
    image, *hidden = explained.back(start, layers=names)
    return image, dict(zip(names, hidden, strict=True)), norms


def factor(before, behind):
    """By how much one entry grew at most."""
    alive = behind != 0
    return float(np.max(np.abs(before[alive]) / np.abs(behind[alive]), initial=0.0))


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_abs_never_amplifies_and_epsilon_does(name, capsys):
    """`R_in = |s x| / (|s x| + |t|) R`, so that no entry grows; `Epsilon` divides by s x + t."""
    model, images = architectures.calibrated(name)
    read = keras_reader.read(model)
    folded, plain = (with_facts(canonize(read, fold=fold)) for fold in (True, False))
    consumers = plain.consumers()
    told, largest = [], {}
    for mode in ("fold", "identity", "epsilon", "abs"):
        graph = folded if mode == "fold" else plain
        image, hidden, norms = relevance(graph, mode, images[:1])
        assert np.isfinite(image).all()
        told.append(f"{mode} {np.abs(image).sum():.0e}")
        if mode in ("epsilon", "abs"):
            alone = [node for node in norms if len(consumers[node.inputs[0]]) == 1]
            factors = [factor(hidden[node.inputs[0]], hidden[node.name]) for node in alone]
            largest[mode] = max(factors)
    # Units in the last place of float32.
    assert largest["abs"] <= 1 + 1e-5
    assert largest["epsilon"] > 100
    with capsys.disabled():
        print(f"\n{name}: sum |R| at the image, 1 at the logit: {', '.join(told)}")
        print(f"largest factor of one entry at one normalization: {largest}")
