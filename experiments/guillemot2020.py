"""Guillemot et al. 2020, Breaking Batch Normalization, run again and measured.

Batch normalization is folded into the layers around it, or bypassed (relevance passes it unchanged,
their baseline), under their rules (preset "guillemot"). They judged maps by eye, and asked for a
measure: here are masks, flipping and randomization.

Their figures give no sizes. Chosen: Fc1 to Fc3 have two hidden layers of 512 and 256; Conv1 and
Conv2 four 3 x 3 convolutions of 32, 32, 64, 64 channels, a pool after each pair. Their text puts
Conv2's normalization before every convolution, their table after it: both are here, as Conv2 before
and Conv2 after. The CIFAR-10 network has seven convolutions of 32 to 128 channels and four pools.
MobileNet 0.25 stands in place of VGG16-BN, whose weights Keras does not have. Objects that are
known, in images whose backgrounds can be changed, come from `lrpkeras.datasets.shapes`.
"""

from __future__ import annotations

import argparse

from experiments import options
from experiments.guillemot2020_digits import digits
from experiments.guillemot2020_images import by_data, cifar, photos, shapes
from experiments.guillemot2020_networks import CIFAR, NETWORKS, scaled
from experiments.outcome import Outcome

__all__ = ["CIFAR", "NETWORKS", "main", "scaled"]

PAPER = "Guillemot 2020"


def main(arguments: list[str] | None = None) -> None:
    """Run all of it."""
    given = options.parser(__doc__ or "").parse_args(arguments)
    outcome = Outcome("guillemot2020", PAPER, _settings(given))
    gains = {
        "MNIST": digits(given, outcome),
        "CIFAR-10": cifar(given, outcome),
        "ImageNet": photos(given, outcome),
    }
    by_data(outcome, gains)
    shapes(given, outcome)
    _not_tested(outcome)
    outcome.save(given.results)


def _settings(given: argparse.Namespace) -> dict[str, str]:
    images, photos, shapes = (200, 40, 48) if given.quick else (1000, 500, 600)
    settings = {
        "images explained": f"{images} of MNIST, {images} of CIFAR-10, {photos} photos, "
        f"{shapes} shapes",
        "seed": str(given.seed),
    }
    return settings | ({"quick": "networks are hardly trained"} if given.quick else {})


def _not_tested(outcome: Outcome) -> None:
    for where, says, missing in (
        (
            "section 5.3",
            "VGG-16 with batch normalization has 26.63 % top-1 and 8.50 % top-5 error",
            "its weights, which Keras does not have",
        ),
        (
            "section 5.4, figures 7 and 8",
            "Image by image: nearly perfect maps of ten photos, pixels of interest almost only on "
            "the objects in complex scenes",
            "the photos, masks of their objects, and VGG-16; what is said of backgrounds is "
            "tested on generated shapes",
        ),
        (
            "section 5.4",
            "There is a strong connection between the quality of maps and network efficiency",
            "many networks that differ in nothing but their accuracy",
        ),
    ):
        outcome.claim(where, says, "not tested", f"missing: {missing}")


if __name__ == "__main__":
    main()
