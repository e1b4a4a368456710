"""Maps as text: rounded to levels that lie close near zero, compressed, in letters.

A value v of a map with the largest magnitude M is kept as the whole number
q = round(L sign(v) sqrt(|v| / M)), and read as sign(q) M (q / L)². Relevance has long tails: with
levels at equal distances, a picture whose colours end far below M would have few of them.
"""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

COARSE, FINE = 127, 32767  # levels that a signed byte, and two of them, hold


@dataclass(frozen=True)
class Coding:
    """How finely values are kept.

    Attributes
    ----------
    levels
        L: the code of a map's largest magnitude.
    """

    levels: int

    @property
    def bits(self) -> int:
        """How many bits a code takes."""
        return 8 if self.levels <= COARSE else 16

    def encode(self, maps: NDArray) -> tuple[NDArray, NDArray]:
        """Return codes, and the largest magnitude M of each map.

        Parameters
        ----------
        maps
            Finite numbers `(n, rows, columns)`.
        """
        largest = np.abs(maps).max(axis=(1, 2)).astype(float)
        unit = np.where(largest > 0, largest, 1.0)[:, None, None]
        codes = np.rint(self.levels * np.sign(maps) * np.sqrt(np.abs(maps) / unit))
        return codes.astype(f"<i{self.bits // 8}"), largest

    def decode(self, codes: NDArray, largest: NDArray) -> NDArray:
        """Undo `encode`, but for what rounding took."""
        shares: NDArray = np.sign(codes) * (codes / self.levels) ** 2.0
        return shares * largest[:, None, None]

    def error(self, codes: NDArray, largest: NDArray) -> NDArray:
        """Return how far at most a value lies from what is read of its code.

        That is the farther end of what is rounded to q: M ((|q| + ½)² - q²) / L².
        """
        steps: NDArray = (np.abs(codes.astype(float)) + 0.25) / self.levels**2
        return steps * largest[:, None, None]


def packed(codes: NDArray) -> str:
    """Return whole numbers as text: all low bytes, then all high ones, deflated, in base 64."""
    planes = codes.reshape(-1).view("u1").reshape(-1, codes.itemsize).T
    return base64.b64encode(zlib.compress(planes.tobytes(), 9)).decode("ascii")
