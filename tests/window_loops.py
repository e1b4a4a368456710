"""What a window reads, written out as loops in NumPy, and geometries to try."""

import numpy as np

WINDOW = (3, 2, 3)

PADS = {
    "valid": ((0, 0), (0, 0), (0, 0)),
    "same": "same",
    "uneven": ((1, 0), (0, 2), (1, 1)),
    "wider than the window": ((4, 1), (3, 3), (0, 5)),
}

SIZES = {"odd": (7, 9, 5), "even": (8, 6, 6), "mixed": (7, 8, 6)}

STRIDES = {"1": (1, 1, 1), "2": (2, 2, 2), "unequal": (1, 2, 3)}


def normal(*sizes, dtype="float64"):
    return np.random.default_rng(len(sizes)).normal(size=sizes).astype(dtype)


def geometry(rank, stride="1", dilation=1, padding="valid"):
    pads = PADS[padding]
    return {
        "strides": STRIDES[stride][:rank],
        "padding": pads if pads == "same" else pads[:rank],
        "dilation": (dilation,) * rank,
    }


def same_pads(sizes, window, strides, dilation=(1, 1, 1)):
    """SAME as TensorFlow documents it: ceil(size / stride) outputs, the odd zero at the end."""
    pads = []
    for size, width, stride, step in zip(sizes, window, strides, dilation, strict=False):
        outputs = int(np.ceil(size / stride))
        total = max((outputs - 1) * stride + (width - 1) * step + 1 - size, 0)
        pads.append((total // 2, total - total // 2))
    return tuple(pads)


def windows(x, window, strides, pads, dilation, fill):
    """Yield every output position and what its window reads, `(batch, *window, channels)`."""
    x = np.pad(x, ((0, 0), *pads, (0, 0)), constant_values=fill)
    reach = [(width - 1) * step + 1 for width, step in zip(window, dilation, strict=True)]
    outputs = [(n - r) // s + 1 for n, r, s in zip(x.shape[1:-1], reach, strides, strict=True)]
    for position in np.ndindex(*outputs):
        starts = [p * s for p, s in zip(position, strides, strict=True)]
        cuts = [
            slice(start, start + r, step)
            for start, r, step in zip(starts, reach, dilation, strict=True)
        ]
        yield position, x[(slice(None), *cuts, slice(None))]


def collect(values, batch, channels):
    """Arrange (position, (batch, channels)) pairs as `(batch, *out_spatial, channels)`."""
    values = dict(values)
    sizes = [n + 1 for n in max(values)]
    out = np.zeros((batch, *sizes, channels))
    for position, value in values.items():
        out[(slice(None), *position)] = value
    return out


def loop_convolve(x, kernel, strides, padding, dilation, groups):
    window, (per_group, outputs) = kernel.shape[:-2], kernel.shape[-2:]
    if padding == "same":
        padding = same_pads(x.shape[1:-1], window, strides, dilation)

    def at(seen):
        out = np.zeros((len(x), outputs))
        for o in range(outputs):
            first = o // (outputs // groups) * per_group
            part = seen[..., first : first + per_group] * kernel[..., o]
            out[:, o] = part.reshape(len(x), -1).sum(1)
        return out

    reads = windows(x, window, strides, padding, dilation, 0)
    return collect(((position, at(seen)) for position, seen in reads), len(x), outputs)


def assert_adjoint(x, y, s, back, tolerance=1e-12):
    """<L x, s> = <x, L* s>, up to rounding in the terms of the sum."""
    y, s, back = (np.asarray(each, "float64") for each in (y, s, back))
    assert back.shape == x.shape
    scale = np.abs(y * s).sum()
    assert abs((y * s).sum() - (x * back).sum()) <= tolerance * scale
