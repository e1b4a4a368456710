"""What shows of training and design in relevance: channels, grids, shortcuts. A part of `hui2019`.

The abstract: "by using the epsilon-rule for BatchNorm layers we are able to detect training
artifacts for MobileNet and layer design artifacts for ResNet", without saying what they are. Our
guesses. For MobileNet: channels that training left unusual (a variance below 1e-6: the channel is
constant; a negative gamma), or that normalization amplifies, so that relevance gathers there. For
ResNet: shortcuts of 1 x 1 convolutions with stride 2, which see a quarter of the positions.
"""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np

from experiments.hui2019_rules import MODES, PRESETS, UNFOLDED, analyzer, verdict
from experiments.outcome import Outcome, shown
from lrpkeras.evaluate import Measure

Masks = dict[str, np.ndarray]  # by normalization: (channels,)
ABSTRACT = "abstract, training artifacts for MobileNet"
DETECTED = "By using the epsilon-rule for BatchNorm layers we are able to detect "
TRAINING = f"{DETECTED}training artifacts for MobileNet. Our guess at one:"
DESIGN = f"{DETECTED}... layer design artifacts for ResNet. Our guess:"
STAGES = ("stage1_input", "stage2_input", "stage3_input")


# Channels


def weights(model: keras.Model) -> dict[str, dict[str, np.ndarray]]:
    """Return gamma, beta, mean and variance of each normalization, by its layer's name."""
    return {
        layer.name: {
            name: getattr(layer, name).numpy()
            for name in ("gamma", "beta", "moving_mean", "moving_variance")
        }
        for layer in model.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    }


def unusual(model: keras.Model) -> dict[str, Masks]:
    """Return the channels that are constant, and of the others those with a negative gamma."""
    found: dict[str, Masks] = {"constant": {}, "negative gamma": {}}
    for name, values in weights(model).items():
        constant = values["moving_variance"] < 1e-6
        negative = (values["gamma"] < 0) & ~constant
        for kind, mask in (("constant", constant), ("negative gamma", negative)):
            if mask.any():
                found[kind][name] = mask
    return found


def channels(outcome: Outcome, model: keras.Model, x: np.ndarray) -> None:
    """Say where relevance is by channels of MobileNet's normalizations, under each rule."""
    sides = {
        (preset, mode): _by_channel(model, x, preset, mode)
        for preset in PRESETS
        for mode in UNFOLDED
    }
    before = {key: side[0] for key, side in sides.items()}
    for kind, masks in unusual(model).items():
        _unusual_claim(outcome, kind, masks, before)
    _concentration_claim(outcome, before)
    _amplified(outcome, model, *sides[PRESETS[0], "epsilon"])


def _by_channel(model: keras.Model, x: np.ndarray, preset: str, mode: str) -> tuple[Masks, Masks]:
    """Return the sum of absolute relevance before and behind each normalization.

    By its name; (samples, channels).
    """
    names = list(weights(model))
    # MobileNet's own names: the normalization of "conv1" is "conv1_bn".
    wanted = [part for name in names for part in (name, name.removesuffix("_bn"))]
    explaining, rows = analyzer(model, preset, mode), []
    for start in range(0, len(x), 10):
        explained = explaining.explain(x[start : start + 10], layers=wanted, verbose=0).layers
        rows.append(
            {name: np.abs(one).sum(axis=(1, 2), dtype=float) for name, one in explained.items()}
        )
    whole = {name: np.concatenate([row[name] for row in rows]) for name in wanted}
    return {name: whole[name.removesuffix("_bn")] for name in names}, {n: whole[n] for n in names}


def share(sums: Masks, masks: Masks) -> Measure:
    """Return the share of relevance in some channels, the mean over the layers that have such.

    Chance is the share of channels.
    """
    rows = [of_whole(sums[name]) @ mask for name, mask in masks.items()]
    chance = np.mean([mask.mean() for mask in masks.values()])
    values = np.mean(rows, axis=0)
    return Measure("share of relevance", values, np.full(len(values), chance))


def of_whole(sums: np.ndarray) -> np.ndarray:
    """Return sums by channel as shares of the layer's; zero where all of it is."""
    whole = sums.sum(axis=1, keepdims=True)
    return np.divide(sums, whole, out=np.zeros_like(sums), where=whole > 0)


def _unusual_claim(
    outcome: Outcome, kind: str, masks: Masks, before: Mapping[tuple[str, str], Masks]
) -> None:
    shares = {key: share(sums, masks) for key, sums in before.items()}
    chance = next(iter(shares.values())).chance
    assert chance is not None
    over = [
        difference
        for preset in PRESETS
        for difference in (
            shares[preset, "epsilon"].minus(Measure("chance", chance)),
            shares[preset, "epsilon"].minus(shares[preset, "identity"]),
        )
    ]
    count = sum(int(mask.sum()) for mask in masks.values())
    outcome.claim(
        ABSTRACT,
        f"{TRAINING} relevance gathers in unusual channels ({kind})",
        verdict(over),
        f"criterion: the share of relevance in these {count} channels, before normalization, is "
        f"above their share of all channels of the {len(masks)} layers that have such, "
        f"{chance[0]:.3f}, and above identity's. " + _listed(shares),
    )


def _concentration_claim(outcome: Outcome, before: Mapping[tuple[str, str], Masks]) -> None:
    largest = {
        key: Measure(
            "largest", np.mean([of_whole(one).max(axis=1) for one in sums.values()], axis=0)
        )
        for key, sums in before.items()
    }
    outcome.claim(
        ABSTRACT,
        f"{TRAINING} relevance gathers in single channels",
        verdict(largest[p, "epsilon"].minus(largest[p, "identity"]) for p in PRESETS),
        "criterion: the share of a layer's relevance in its most relevant channel, before "
        f"normalization, the mean over all layers, is above identity's. {_listed(largest)}",
    )


def _amplified(outcome: Outcome, model: keras.Model, before: Masks, behind: Masks) -> None:
    """Tell what the ten channels are like in which the epsilon-rule amplifies the most."""
    from scipy import stats

    found = []
    for name, values in weights(model).items():
        shares, factors = of_whole(before[name]).mean(axis=0), _factors(before[name], behind[name])
        deviation = np.sqrt(values["moving_variance"])
        found += [
            (shares[i], factors[i], abs(values["moving_mean"][i]) / deviation[i], name, i)
            for i in np.flatnonzero((factors > 0) & (values["moving_variance"] >= 1e-6))
        ]
    told = stats.spearmanr([one[1] for one in found], [one[2] for one in found])
    rows = []
    for part, factor, off, name, i in sorted(found, reverse=True, key=lambda one: one[1])[:10]:
        of = weights(model)[name]
        numbers = f"{of['gamma'][i]:.2f}", f"{of['beta'][i]:.2f}", f"{off:.2f}"
        rows.append([name, str(i), f"{factor:.3g}", f"{part:.3f}", *numbers])
    outcome.table(
        f"MobileNet, {PRESETS[0]}, epsilon: channels in which |relevance| grows the most through "
        f"normalization. Spearman's correlation of growth and |mean| / deviation over "
        f"{len(found)} channels: {told.statistic:.3f}, p = {told.pvalue:.2g}",
        ["layer", "channel", "growth", "share of the layer", "gamma", "beta", "|mean| / deviation"],
        rows,
    )


def _factors(before: np.ndarray, behind: np.ndarray) -> np.ndarray:
    """Return how many times the relevance behind a normalization is before it; zero for none."""
    into, out = before.sum(axis=0), behind.sum(axis=0)
    return np.divide(into, out, out=np.zeros_like(into), where=out > 0)


# Positions


def over_quarter(relevance: np.ndarray) -> Measure:
    """Return the share of absolute relevance in even rows and columns, less 1/4.

    These are the positions that a 1 x 1 convolution with stride 2 sees.
    """
    size = np.abs(relevance).sum(axis=-1, dtype=float)
    whole = size.sum(axis=(1, 2))
    seen = size[:, ::2, ::2].sum(axis=(1, 2))
    shares = np.divide(seen, whole, out=np.full_like(whole, 0.25), where=whole > 0)
    return Measure("share of even positions less 1/4", shares - 0.25)


def grid_contrast(relevance: np.ndarray, stride: int) -> Measure:
    """Return by how much the power at a stride's frequencies is above that beside them.

    `(P - Q) / (P + Q)`: P is the mean power of the map (channels summed, in a Hann window) where
    both frequencies are multiples of 1 / stride, but for 0; Q that two steps away, on all sides.
    1 for nothing but a grid; 0 for noise, but at stride 2, where P is the mean of only three
    frequencies, -0.1.
    """
    maps = relevance.sum(axis=-1, dtype=float)
    height, width = maps.shape[1:]
    window = np.hanning(height + 1)[:-1, None] * np.hanning(width + 1)[:-1]
    mean = (maps * window).sum(axis=(1, 2), keepdims=True) / window.sum()
    power = np.abs(np.fft.fft2((maps - mean) * window)) ** 2
    rows, columns = (np.arange(stride) * size // stride for size in (height, width))
    at = np.array([(u, v) for u in rows for v in columns if u or v]).T
    steps = ((2, 0), (-2, 0), (0, 2), (0, -2))
    beside = [((at[0] + down) % height, (at[1] + right) % width) for down, right in steps]
    p = power[:, at[0], at[1]].mean(axis=1)
    q = np.mean([power[:, u, v].mean(axis=1) for u, v in beside], axis=0)
    return Measure(f"grid of {stride}", np.divide(p - q, p + q, out=np.zeros_like(p), where=p > 0))


def grids(outcome: Outcome, maps: Mapping[tuple[str, str], np.ndarray]) -> None:
    """Tell how strong the grids of MobileNet's strides are in maps of photos."""
    strides, rows = (2, 4, 8, 16, 32), []
    for key, relevance in maps.items():
        found = [over_quarter(relevance), *(grid_contrast(relevance, n) for n in strides)]
        rows.append([*key, *map(shown, found)])
    outcome.table(
        "MobileNet, photos: grids in maps. Share of even positions less 1/4; contrast of the power "
        "at a stride's frequencies to that beside them (0: no grid, 1: nothing else)",
        ["preset", "batch normalization", "even", *(f"stride {stride}" for stride in strides)],
        rows,
    )


def shortcuts(
    outcome: Outcome, models: Mapping[str, keras.Model], x: np.ndarray
) -> dict[tuple[str, str], np.ndarray]:
    """Say whether relevance is where strided shortcuts look; returns maps, by shortcut and mode."""
    even: dict[tuple[str, str, str], list[Measure]] = {}
    maps, rows = {}, []
    for preset in PRESETS:
        for kind, model in models.items():
            for mode in MODES:
                explained = analyzer(model, preset, mode).explain(x, layers=STAGES, verbose=0)
                even[preset, kind, mode] = [over_quarter(explained.layers[one]) for one in STAGES]
                contrast = grid_contrast(explained.relevance, 2)
                numbers = [*even[preset, kind, mode], over_quarter(explained.relevance), contrast]
                rows.append([preset, kind, mode, *map(shown, numbers)])
                maps.setdefault((kind, mode), explained.relevance)
    outcome.table(
        "ResNet-like, CIFAR-10: share of even positions less 1/4 (0.75: all relevance is where a "
        "strided shortcut sees), at the input of each stage and in the image",
        ["preset", "shortcut", "batch normalization", *STAGES, "image", "contrast of stride 2"],
        rows,
    )
    _shortcut_claims(outcome, even)
    return maps


def _shortcut_claims(outcome: Outcome, even: Mapping[tuple[str, str, str], list[Measure]]) -> None:
    """State whether the artifact is there under epsilon, and whether the others hide it."""
    found = {(p, kind): even[p, kind, "epsilon"] for p in PRESETS for kind in ("stride", "pool")}
    alone = [one for p in PRESETS for one in found[p, "stride"]]
    less = [
        one.minus(other)
        for p in PRESETS
        for one, other in zip(found[p, "stride"], found[p, "pool"], strict=True)
    ]
    outcome.claim(
        "abstract, layer design artifacts for ResNet",
        f"{DESIGN} relevance is where the strided shortcuts look",
        verdict([*alone, *less]),
        "criterion: at the input of every stage, the share of even positions is above 1/4, and "
        "above that of the network with pooling in its shortcuts. Less 1/4, by stage: "
        + "; ".join(f"{p}, {kind}: {_row(ones)}" for (p, kind), ones in found.items()),
    )
    modes = (
        [even[p, "stride", "epsilon"] for p in PRESETS],
        [even[p, "stride", "identity"] for p in PRESETS],
    )
    more = [
        one.minus(other)
        for pair in zip(*modes, strict=True)
        for one, other in zip(*pair, strict=True)
    ]
    outcome.claim(
        "abstract, layer design artifacts for ResNet",
        f"{DESIGN} relevance is there more than under identity",
        verdict(more),
        f"share of even positions, epsilon less identity, by stage and preset: {_row(more)}",
    )


def _row(measures: list[Measure]) -> str:
    return ", ".join(map(shown, measures))


def _listed(measures: Mapping[tuple[str, str], Measure]) -> str:
    return "; ".join(f"{preset}, {mode} {shown(one)}" for (preset, mode), one in measures.items())
