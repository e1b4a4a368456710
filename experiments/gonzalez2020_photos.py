"""Section 5 of Gonzalez 2020: the three hypotheses, the flag and "why not class B" on photos.

MobileNet 0.25 stands in for VGG16. Its last convolution has 7 x 7 positions, as VGG16's last pool.
Behind it are an average and one dense layer, VGG16 has three; it is written as a convolution of
1 x 1, so that its rule is given by position ("last"). Its 27 convolutions have batch normalization,
which is folded. As in the thesis each photo is explained for the class that wins, right or wrong;
where another class is asked for, it is the second best. Flipped squares have 16 pixels a side, and
the one of the counterfactual 44; the photos' mean colour is put in.

The thesis carries the 7 x 7 map to the input by Flat in all convolutions. VGG16's convolutions have
no strides; MobileNet's have, and by Flat its 27 layers blur the map over 315 pixels. So the map of
the dense layer is taken to the photo in two ways: by Flat, and enlarged, each with its claims.
"""

from __future__ import annotations

import argparse

import numpy as np
from scipy import ndimage

import lrpkeras
from experiments.gonzalez2020_convolutions import decisions
from experiments.gonzalez2020_flag import dense_layer, enlarged, why_not
from experiments.gonzalez2020_maps import BELOW, CONVOLUTIONS, LAST, PROPOSED, Photos, normalized
from experiments.outcome import Outcome, above, judged, shown
from experiments.pattern import agreement, contrast, neighbours, variation
from lrpkeras.evaluate import Measure

ALIKE = 0.5
# Rules of convolutions with and without Flat in the first layer [figure 28].
FIRST = {
    "α1β0": (CONVOLUTIONS["α1β0"], "gonzalez_alpha1_beta0_preset_flat"),
    "α1β(-1)": (CONVOLUTIONS["α1β(-1)"], PROPOSED),
}


def run(given: argparse.Namespace, outcome: Outcome, alike: Measure) -> None:
    """Run section 5; `alike` says how alike α1β0 and Flat are on MNIST, both flat at the input."""
    photos = Photos.of(given)
    dense_layer(given, outcome, photos)
    _convolutions(given, outcome, photos)
    _first_layer(outcome, photos, alike)
    why_not(given, outcome, photos)


def _convolutions(given: argparse.Namespace, outcome: Outcome, photos: Photos) -> None:
    """Compare rules of convolutions [figure 27]."""
    edges, numbers, rows, signs, pair = _edges(photos.images), {}, {}, {}, {}
    for label, preset in CONVOLUTIONS.items():
        maps, hidden = photos.explained(preset)
        rows[label] = normalized(maps[:6, ..., None])
        if label in ("α1β0", "α0β1"):
            pair[label] = maps
        numbers[label] = (
            agreement(maps, enlarged(hidden[LAST])),
            variation(maps),
            neighbours(maps),
            agreement(np.abs(maps), edges),
            photos.gap(maps, photos.winner),
        )
        signs[label] = [agreement(hidden[name], hidden[LAST]) for name in BELOW]
    outcome.table(
        "Photos, hypothesis 2: rules of convolutions, the dense layer ε, at the input",
        ["rule", "agreement with 7 x 7", "variation", "neighbours", "agreement with edges", "gap"],
        [[label, *map(shown, row)] for label, row in numbers.items()],
    )
    outcome.table(
        "Photos: agreement with the 7 x 7 map behind one, two and three convolutions",
        ["rule", *BELOW],
        [[label, *map(shown, row)] for label, row in signs.items()],
    )
    _claims(outcome, numbers, signs["α0β1"])
    inverted = agreement(pair["α0β1"], pair["α1β0"])
    outcome.claim(
        "section 5.1.2, figure 27",
        "On photos, α0β1 has the inverted pattern of α1β0",
        judged(above(inverted) is False),
        f"rank correlation of their maps at the input {shown(inverted)}, behind 27 convolutions; "
        "VGG16 has 13, as odd a number",
    )
    decisions(outcome, "section 5.1.2", {label: row[-1] for label, row in numbers.items()})
    caption = "Figure 27 of the thesis on six photos: rules of convolutions, each map to its scale"
    figure, _ = lrpkeras.plot.grid(rows, photos.images[:6] / 255, clip=99.5, colorbar=False)
    outcome.figure(given.results, "figure27", caption, figure)


def _edges(images: np.ndarray) -> np.ndarray:
    """Return the gradient's size in grey photos."""
    grey = images.mean(axis=-1)
    return np.stack([ndimage.gaussian_gradient_magnitude(one, 1.0) for one in grey])


def _claims(outcome: Outcome, numbers: dict[str, tuple], signs: list[Measure]) -> None:
    """Say what figure 27 does of each rule."""
    for label, other in (("ε", "α1β(-1)"), ("α2β1", "α1β0"), ("α2β1", "α1β(-1)")):
        more, less = (numbers[label][i].minus(numbers[other][i]) for i in (1, 2))
        outcome.claim(
            "section 5.1.2, figure 27",
            f"On photos, {label} in convolutions is noisier than {other}",
            judged(above(more), above(less) is False),
            f"{label} less {other}: variation {shown(more)}, correlation of neighbours "
            f"{shown(less)}",
        )
    one, two, three = signs
    outcome.claim(
        "section 5.1.2, figure 27",
        "On photos, α0β1 inverts the pattern in odd layers",
        judged(above(one) is False, above(two), above(three) is False),
        f"agreement with the 7 x 7 map behind one, two, three convolutions: {shown(one)}, "
        f"{shown(two)}, {shown(three)}; at the input, behind 27, {shown(numbers['α0β1'][0])}",
    )
    flat, others = numbers["flat"], ("ε", "α1β0", "α2β1", "α1β(-1)")
    outcome.claim(
        "section 5.1.2, figure 27",
        "Flat enlarges the 7 x 7 map without changing it; other rules colour edges",
        judged(
            *(above(flat[0].minus(numbers[label][0])) for label in others),
            *(above(numbers[label][3].minus(flat[3])) for label in others),
        ),
        "agreement with the 7 x 7 map, and with edges: "
        + "; ".join(f"{n} {shown(numbers[n][0])}, {shown(numbers[n][3])}" for n in numbers),
    )


def _first_layer(outcome: Outcome, photos: Photos, alike: Measure) -> None:
    """Compare maps with and without Flat in the first layer [figure 28]."""
    numbers: dict[tuple[str, str], tuple] = {}
    everywhere, _ = photos.explained(CONVOLUTIONS["flat"])
    for label, presets in FIRST.items():
        for first, preset in zip(("as all", "flat"), presets, strict=True):
            maps, _ = photos.explained(preset)
            numbers[label, first] = (variation(maps), neighbours(maps), contrast(maps))
            if (label, first) == ("α1β0", "flat"):
                _similar(outcome, alike, agreement(maps, everywhere))
    outcome.table(
        "Photos, hypothesis 3: rules of the first layer",
        ["rule of convolutions", "first layer", "variation", "neighbours", "contrast"],
        [[*key, *map(shown, row)] for key, row in numbers.items()],
    )
    for label in FIRST:
        plain, flat = numbers[label, "as all"], numbers[label, "flat"]
        more, less, clear = (after.minus(one) for one, after in zip(plain, flat, strict=True))
        outcome.claim(
            "section 5.1.3, figure 28",
            f"With {label}, Flat in the first layer reduces noise, and adds contrast",
            judged(above(more) is False, above(less), above(clear)),
            f"flat less not: variation {shown(more)}, correlation of neighbours {shown(less)}, "
            f"contrast {shown(clear)}",
        )
    clear = numbers["α1β(-1)", "flat"][2].minus(numbers["α1β0", "flat"][2])
    outcome.claim(
        "section 5.2",
        "α1β(-1) has slightly higher contrast than α1β0, both with Flat in the first layer",
        judged(above(clear)),
        f"standard deviation of maps scaled to a largest value of 1, the difference: "
        f"{shown(clear)}",
    )


def _similar(outcome: Outcome, digits: Measure, photos: Measure) -> None:
    """Say whether Flat in all convolutions changes more on photos than on digits."""
    outcome.claim(
        "section 5.1.2",
        "Flat in all convolutions is similar to other rules on MNIST, on photos very different",
        judged(digits.interval()[0] > ALIKE, photos.interval()[1] < ALIKE),
        "rank correlation of the maps by Flat and by α1β0, both Flat in the first layer: MNIST "
        f"{shown(digits)}, photos {shown(photos)} (similar: above {ALIKE}; very different: below)",
    )
