"""Pictures are compared with ones that somebody has looked at: `tests/baseline/NAME_OF_TEST.png`.

A test draws from fixed arrays, returns what was drawn, and bears `picture`, which takes all words
away, or `picture_with_words` where they are what it is about. A new baseline is written by

    python -m pytest tests/test_pictures.py -k NAME --mpl-generate-path=tests/baseline

Look at it before it is committed.
"""

import functools

import pytest
from matplotlib import ft2font
from matplotlib.testing.compare import compare_images
from matplotlib.testing.decorators import remove_ticks_and_titles
from matplotlib.testing.exceptions import ImageComparisonFailure
from matplotlib.text import Text

from lrpkeras.plot.sheet import Sheet

DPI = 60

# Root mean square over pixels and colours, of 255. matplotlib 3.8 and 3.10 place pixels of a map
# otherwise than 3.11 at edges, which is up to 9.5 here; a map that is moved by one cell, inverted,
# or of another scale differs by more than 28 (tests/test_pictures.py shows that it fails).
TOLERANCE = 12
# With words, of the same FreeType: a missing word of a small figure is about 5.
TOLERANCE_OF_WORDS = 3
BASELINES_FREETYPE = "2.14.3"


def picture(test):
    """Compare what a test draws, without words: versions of FreeType do not agree on them."""

    @functools.wraps(test)
    def wordless_test(*arguments, **options):
        return wordless(test(*arguments, **options))

    return _compared(wordless_test, TOLERANCE)


def picture_with_words(test):
    """Compare what a test draws, words included, where FreeType is the baselines' own."""
    other = ft2font.__freetype_version__ != BASELINES_FREETYPE
    reason = f"the baselines' words are drawn by FreeType {BASELINES_FREETYPE}"

    @functools.wraps(test)
    def figure_of_test(*arguments, **options):
        return _figure(test(*arguments, **options))

    return pytest.mark.skipif(other, reason=reason)(_compared(figure_of_test, TOLERANCE_OF_WORDS))


def _compared(test, tolerance):
    return pytest.mark.mpl_image_compare(
        style="default",
        backend="agg",
        baseline_dir="baseline",
        tolerance=tolerance,
        savefig_kwargs={"dpi": DPI},
    )(test)


def _figure(drawn):
    return getattr(drawn, "figure", drawn)


def wordless(drawn):
    """Take every word and number off a figure, which then has the size of its panels alone."""
    figure = _figure(drawn)
    remove_ticks_and_titles(figure)
    for text in figure.findobj(Text):
        text.set_text("")
    if isinstance(figure.get_layout_engine(), Sheet):
        figure.get_layout_engine().fit(figure)
    return figure


def differs(baseline, figure, folder):
    """Whether a figure would fail against a baseline, compared as the plugin does it."""
    figure.savefig(folder / "drawn.png", dpi=DPI)
    paths = str(baseline), str(folder / "drawn.png")
    try:
        return compare_images(*paths, TOLERANCE, in_decorator=True) is not None
    except ImageComparisonFailure:  # of another size
        return True
