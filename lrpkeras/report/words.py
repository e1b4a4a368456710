"""Numbers as people read them."""

from __future__ import annotations

import math

MINUS = "\u2212"


def number_in_words(value: float | None, digits: int = 4) -> str:
    """Return a number with few digits; a dash for none.

    Examples
    --------
    >>> number_in_words(0.000123456), number_in_words(-12345.6), number_in_words(None)
    ('0.0001235', '−1.235e4', '–')
    """
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    text = f"{value:.{digits}g}"
    head, _, exponent = text.partition("e")
    text = f"{head}e{int(exponent)}" if exponent else head
    return text.replace("-", MINUS)


def logit_in_words(value: float) -> str:
    """Return a logit with its sign and two decimals, as titles have it; a small one with digits.

    Examples
    --------
    >>> logit_in_words(9.3712), logit_in_words(-2.5), logit_in_words(0.00123), logit_in_words(0)
    ('+9.37', '−2.50', '+0.00123', '0.00')
    """
    if 0 < abs(value) < 0.01:
        return ("+" if value > 0 else "") + number_in_words(value, 3)
    sign = "" if value == 0 else "+"
    return f"{value:{sign}.2f}".replace("-", MINUS)
