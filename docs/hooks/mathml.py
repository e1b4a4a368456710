"""Formulas as MathML, which browsers draw by themselves: no script, no font, no network."""

from __future__ import annotations

import re
from html import unescape

from latex2mathml.converter import convert

# What pymdownx.arithmatex makes of `$...$` and of a paragraph `$$...$$`.
FORMULA = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<latex>.*?)\\[)\]]</(?P=tag)>', re.DOTALL
)


def on_page_content(html: str, **_: object) -> str:
    """Draw the formulas of a page."""
    return FORMULA.sub(drawn, html)


def drawn(formula: re.Match[str]) -> str:
    """Return a formula as MathML; a wide one can be scrolled."""
    latex = unescape(formula["latex"]).strip()
    if formula["tag"] == "span":
        return convert(latex)
    return f'<div class="formula" tabindex="0">{convert(latex, display="block")}</div>'
