"""MNIST: dense and convolutional networks, without normalization and with. Of `guillemot2020`."""

from __future__ import annotations

import argparse

import numpy as np

from experiments import data, pattern
from experiments.guillemot2020_maps import MODES, analyzer, draw, gap, listed, mass, size
from experiments.guillemot2020_networks import NETWORKS, THEIRS, scaled
from experiments.outcome import Outcome, Verdict, above, judged, shown
from experiments.trained import Trained, Training, trained
from lrpkeras.evaluate import Measure

Key = tuple[str, str]  # network, mode
Measures = dict[Key, Measure]
PLAIN = ("Fc1", "Conv1")
DENSE = ("Fc2", "Fc3")
CONVOLUTIONAL = ("Conv2 after", "Conv2 before")
SMALL = 0.05  # of a probability, or of a share: what counts as no big difference
HOLE = 10  # pixels: smaller ones are no loops


def digits(given: argparse.Namespace, outcome: Outcome) -> Measure:
    """Train the six networks, and measure their maps; returns what folding gains in Conv2 after."""
    networks, images = _learned(given)
    _accuracies(outcome, networks)
    x = scaled(images)
    _fused(outcome, networks, x[:200])
    keys = [(name, mode) for name in networks for mode in _modes(name)]
    maps = {(name, mode): _maps(networks[name], x, mode) for name, mode in keys}
    ink = images[..., 0] > 0
    masses = {key: mass(one, ink) for key, one in maps.items()}
    gaps = {key: _gap(networks[key[0]], one, x) for key, one in maps.items()}
    centres = {key: _same_for_all(one) for key, one in maps.items() if key[0].startswith("Fc")}
    own_masses = {key: masses[key].minus(mass(one, ink)) for key, one in centres.items()}
    own_gaps = {
        key: gaps[key].minus(_gap(networks[key[0]], one, x)) for key, one in centres.items()
    }
    outcome.table(
        "MNIST: relevance on the strokes, and the gap of flipping to random order; both less what "
        "the mean of all maps gets, the same for every image",
        ["network", "batch normalization", "mass", "gap", "mass less mean's", "gap less mean's"],
        [
            [*key, shown(masses[key]), shown(gaps[key])]
            + [shown(own[key]) if key in own else "" for own in (own_masses, own_gaps)]
            for key in maps
        ],
    )
    convolutional_or_dense(outcome, masses)
    dense_with_normalization(outcome, (masses, own_masses), (gaps, own_gaps))
    _small_differences(outcome, maps, masses, gaps)
    _loops(outcome, maps, ink)
    _contours(outcome, maps, ink)
    draw(given, outcome, "MNIST", images / 255, maps)
    return gaps["Conv2 after", "folded"].minus(gaps["Conv2 after", "bypassed"])


def _learned(given: argparse.Namespace) -> tuple[dict[str, Trained], np.ndarray]:
    """Return the networks, and the test images that are explained."""
    train, test = data.mnist(given.data)
    images = test.images[: size(given, 1000, 200)]
    used, training = train.first(size(given, None, 6000)), Training(size(given, 4, 2))
    networks = {
        name: trained(given.cache, name, build, training, used, test, scaled, given.seed)
        for name, build in NETWORKS.items()
    }
    return networks, images


def _modes(name: str) -> tuple[str, ...]:
    """Return the modes that differ: without normalization there is nothing to bypass."""
    return ("folded",) if name in PLAIN else tuple(MODES)


def _maps(network: Trained, x: np.ndarray, mode: str) -> np.ndarray:
    return analyzer(network.model, mode).explain(x, verbose=0).relevance


def _gap(network: Trained, relevance: np.ndarray, x: np.ndarray) -> Measure:
    return gap(analyzer(network.model, "folded"), relevance, x)


def _same_for_all(maps: np.ndarray) -> np.ndarray:
    """Return the mean map, in place of every one: what needs no look at the image."""
    return np.broadcast_to(maps.mean(axis=0), maps.shape)


def _accuracies(outcome: Outcome, networks: dict[str, Trained]) -> None:
    rows = [
        [name, f"{THEIRS[name.split()[0]]:.4f}", f"{network.accuracy:.4f}"]
        for name, network in networks.items()
    ]
    outcome.table("MNIST: accuracy", ["network", "theirs", "ours"], rows)
    best = {
        kind: max(n.accuracy for name, n in networks.items() if name.startswith(kind))
        for kind in ("Fc", "Conv")
    }
    worst = min(network.accuracy for network in networks.values())
    outcome.claim(
        "table 1",
        "All networks are between 0.97 and 0.9924; convolutional ones are the best",
        judged(worst >= 0.97, best["Conv"] > best["Fc"]),
        f"{worst:.4f} to {best['Conv']:.4f}; the best dense one {best['Fc']:.4f}. Criterion: all "
        "reach 0.97",
    )


def _fused(outcome: Outcome, networks: dict[str, Trained], x: np.ndarray) -> None:
    """Say whether the fused network computes what the network does."""
    off = {}
    for name in (*DENSE, *CONVOLUTIONAL):
        logits = np.asarray(analyzer(networks[name].model, "folded").logits(x), dtype=float)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        computed = networks[name].model.predict(x, verbose=0)
        off[name] = float(np.abs(powers / powers.sum(axis=1, keepdims=True) - computed).max())
    outcome.claim(
        "section 3, equations 8 to 16",
        "A normalization and the layer beside it are equivalent to one layer",
        judged(*(one < 1e-4 for one in off.values())),
        "largest difference of a probability: "
        + ", ".join(f"{name} {one:.1e}" for name, one in off.items())
        + ". In front of a convolution that pads (Conv2 before), equation 14's bias is a map here: "
        "one number a channel is wrong at the border",
    )


# Claims about maps


def convolutional_or_dense(outcome: Outcome, masses: Measures) -> None:
    """Compare networks of the same normalization, explained in the same way."""
    pairs = [(("Conv1", "folded"), ("Fc1", "folded"))]
    pairs += [((conv, mode), ("Fc2", mode)) for conv in CONVOLUTIONAL for mode in MODES]
    apart = {
        f"{', '.join(one)} less {', '.join(other)}": masses[one].minus(masses[other])
        for one, other in pairs
    }
    outcome.claim(
        "section 5.4",
        "Globally, convolutional layers give better results than fully connected ones: relevance "
        "marks more the difference between background and figures",
        judged(*map(above, apart.values())),
        "share of relevance on the strokes: " + listed(apart),
    )


def dense_with_normalization(
    outcome: Outcome, masses: tuple[Measures, Measures], gaps: tuple[Measures, Measures]
) -> None:
    """State whether maps of Fc2 and Fc3 are worth less than Fc1's, and more than their mean's.

    Parameters
    ----------
    masses, gaps
        By network and mode, and the same less that of the mean map.
    """
    keys = [(name, mode) for name in DENSE for mode in MODES]
    known = {key: [above(own[key]) is True for _, own in (masses, gaps)] for key in gaps[1]}
    worse = [above(one["Fc1", "folded"].minus(one[k])) for one, _ in (masses, gaps) for k in keys]
    outcome.claim(
        "section 5.4",
        "With batch normalization, before or after activation, folded or bypassed, maps of fully "
        "connected networks are unusable: they highlight all pixels of the image center; without "
        "it they capture good information",
        _unusable([not any(known[key]) for key in keys], any(known["Fc1", "folded"]), all(worse)),
        "criterion: neither in flipping nor on the strokes an image's own map is better than one "
        "that is the same for all images, the mean one, and Fc1's is; partly if that holds for "
        "some, or if all are worse than Fc1's. Own map less mean map: "
        + "; ".join(
            f"{', '.join(key)}: flipping {shown(gaps[1][key])}, mass {shown(masses[1][key])}"
            for key in known
        ),
    )


def _unusable(useless: list[bool], plain: bool, worse: bool) -> Verdict:
    if all(useless) and plain:
        return "reproduced"
    return "partly" if any(useless) or worse else "not reproduced"


def _small_differences(
    outcome: Outcome, maps: dict[Key, np.ndarray], masses: Measures, gaps: Measures
) -> None:
    for name in CONVOLUTIONAL:
        both = [(name, mode) for mode in MODES]
        gain, more = (one[both[0]].minus(one[both[1]]) for one in (gaps, masses))
        alike = pattern.agreement(*(pattern.summed(maps[key]) for key in both))
        outcome.claim(
            f"section 5.4, figure 5, {name}",
            "Concerning MNIST data, there are no big differences",
            judged(*map(is_small, (gain, more))),
            f"criterion: both intervals within {SMALL} of 0. Folded less bypassed: flipping gap "
            f"{shown(gain)}, share on the strokes {shown(more)}; rank correlation of the maps "
            f"{shown(alike)}",
        )


def is_small(difference: Measure) -> bool:
    """Whether a mean is known to be near 0; one that is not known well is not."""
    low, high = difference.interval()
    return low > -SMALL and high < SMALL


def _loops(outcome: Outcome, maps: dict[Key, np.ndarray], ink: np.ndarray) -> None:
    """Say whether folding takes relevance out of the loops of 0, 6, 8 and 9."""
    inside = loops(ink)
    has = inside.sum(axis=(1, 2)) >= HOLE
    shares = {key: mass(maps[key][has], inside[has]) for key in maps if key[0] in CONVOLUTIONAL}
    eased = {name: shares[name, "folded"].minus(shares[name, "bypassed"]) for name in CONVOLUTIONAL}
    outcome.claim(
        "section 5.4, figure 5",
        "Inside the loop of figures like 0 or 9, the red color is eased by folding",
        judged(*(above(one) is False for one in eased.values())),
        f"share of relevance inside loops, {has.sum()} images, folded less bypassed: "
        + listed(eased)
        + ". Of that: "
        + listed({", ".join(key): one for key, one in shares.items()}),
    )


def loops(ink: np.ndarray) -> np.ndarray:
    """Return what strokes enclose, `(n, height, width)`."""
    from scipy import ndimage

    return np.stack([ndimage.binary_fill_holes(one) & ~one for one in ink])


def _contours(outcome: Outcome, maps: dict[Key, np.ndarray], ink: np.ndarray) -> None:
    """Say whether relevance is on contours with batch normalization, and inside without."""
    from scipy import ndimage

    inside = np.stack([ndimage.binary_erosion(one) for one in ink])
    has = inside.any(axis=(1, 2))
    names = ("Conv1", *CONVOLUTIONAL)
    shares = {name: mass(maps[name, "folded"][has], inside[has]) for name in names}
    away = {name: shares["Conv1"].minus(shares[name]) for name in CONVOLUTIONAL}
    outcome.claim(
        "section 5.4",
        "Without batch normalization all pixels of the object are highlighted; with it, folded, "
        "the edges are",
        judged(*map(above, away.values())),
        "share of relevance inside the strokes (eroded by a pixel): "
        + listed(shares)
        + ". Conv1 less: "
        + listed(away),
    )
