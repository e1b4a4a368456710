"""Nyiri & Gibaru 2024, Relative Layer-Wise Relevance Propagation, run again and measured.

R-LRP against LRP-0, LRP-epsilon (0.01, 0.001), LRP-gamma (0.25, one formula for every sign),
LRP-alpha-beta (2, 1 and 0.5, -0.5, which they write with the other sign of beta): which decisions
stand when only the most relevant pixels are kept, are these on the object, do networks share them,
and does LRP-epsilon overflow?

Equations 1 to 5 have no bias in their denominators, so the verdicts are about that form; numbers
with biases in them, as lrpkeras has them unless told otherwise, stand beside. The paper does not
say what it does about batch normalization; here it is folded.

Not at hand: VGG16, VGG19 and ResNet50 with ImageNet's weights, cats and dogs, Synthetic
ImageNet-1K, ImageNet with masks. In their place: MobileNet 0.25 and 100 photos of ImageNet for
retention; the shapes of lrpkeras and its small residual network for masks, beside the digits' own
strokes; three networks for the digits for figure 22; and ResNet50 with random weights for the
overflow. `modified_mnist` says how the digits are placed, of which the paper says nothing.

On photos with the rest black, MobileNet keeps next to no decision below half of the pixels,
whichever method chose them: verdicts of retention on photos tell of MobileNet as much as of R-LRP.

"Small percentages" are those of the paper's up to 25 %: the mean over them. "Partly" means for a
claim about all methods that it holds against more than half of them.
"""

from __future__ import annotations

import argparse

from experiments import (
    nyiri2024_digits,
    nyiri2024_networks,
    nyiri2024_overflow,
    nyiri2024_photos,
    nyiri2024_shapes,
    options,
)
from experiments.nyiri2024_methods import count
from experiments.outcome import Outcome

PAPER = "Nyiri & Gibaru 2024"


def main(arguments: list[str] | None = None) -> None:
    """Run all of it."""
    given = options.parser(__doc__ or "").parse_args(arguments)
    outcome = Outcome("nyiri2024", PAPER, _settings(given))
    digits = nyiri2024_digits.run(given, outcome)
    nyiri2024_networks.run(given, outcome, digits)
    nyiri2024_photos.run(given, outcome)
    nyiri2024_shapes.run(given, outcome)
    nyiri2024_overflow.run(given, outcome)
    _untested(outcome)
    outcome.save(given.results)


def _settings(given: argparse.Namespace) -> dict[str, str]:
    images = (
        f"{count(given, 1000, 60)} digits, {count(given, 100, 6)} photos, "
        f"{count(given, 600, 48)} shapes"
    )
    return {
        "images": images,
        "seed": str(given.seed),
        **({"quick": "yes: the networks are hardly trained"} if given.quick else {}),
    }


def _untested(outcome: Outcome) -> None:
    """List what cannot be tested with what is here."""
    for where, says, missing in (
        (
            "section 2.3, figure 6",
            "Without the normalization of equation 13, residual sums make artifacts",
            "`Relative` always normalizes: the form without is not in lrpkeras",
        ),
        (
            "section 3",
            "For misidentified images the results are symmetrical",
            "the paper does not say what is symmetrical to what",
        ),
        (
            "section 4.1",
            "VGG16's convolutions and two dense layers reach 98 % on cats and dogs",
            "neither VGG16's weights nor the cats and dogs are here",
        ),
        (
            "section 5.1, figure 19",
            "VGG16 and VGG19 give similar results; the whole of ImageNet-1K reaches 0.90",
            "the weights of VGG16 and VGG19 are not here",
        ),
        (
            "section 5.3",
            "ResNet uses blobs and areas, VGG protruding or curved shapes",
            "the weights are not here, and no measure tells one from the other",
        ),
        (
            "section 6, figures 24, 25, 27, 28",
            "Category 393 (anemone fish) is the best, 928 (ice cream) poor under every method",
            "no photos with masks are here",
        ),
        (
            "section 6, figures 23, 26, 29, 30",
            "On single photos R-LRP beats LRP-ab0505 (0.8662 to 0.3525 in the mask by VGG16)",
            "neither these photos and masks nor the weights are here; for shapes see section 6.1",
        ),
    ):
        outcome.claim(where, says, "not tested", missing)


if __name__ == "__main__":
    main()
