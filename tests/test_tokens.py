"""Text on a ground of its relevance."""

import numpy as np
import pytest
from matplotlib import style
from matplotlib.figure import Figure
from pictures import picture

import lrpkeras
from lrpkeras.errors import InputError
from lrpkeras.plot import tokens
from lrpkeras.plot.colours import luminance, signed

TEXT = "This is an un ##believ ##ably good film , and costs $5 to $8 ."
WORDS = TEXT.split(" ")
RELEVANCE = np.where(np.array(WORDS) == "good", 2.0, np.linspace(-1, 1, len(WORDS)))


@picture
def test_words_in_lines():
    return tokens(RELEVANCE, WORDS, width=3)


def written(panel):
    return [text.get_text() for text in panel.texts]


def grounds(panel):
    return [patch.get_facecolor() for patch in panel.patches]


def test_the_colour_of_a_token_is_that_of_its_relevance():
    panel = tokens([-2.0, 0.0, 2.0, 1.0], ["a", "b", "c", "d"]).axes
    palette = signed()
    expected = [palette(0.0), palette(0.5), palette(1.0), palette(0.75)]
    np.testing.assert_allclose(grounds(panel), expected)


@pytest.mark.parametrize(
    ("words", "pieces", "joined"),
    [
        (["un", "##believ", "##ably"], ["un", "believ", "ably"], [False, True, True]),
        (["▁the", "▁film", "s"], ["the", "film", "s"], [False, False, True]),
        (["The", "Ġfilm", "s"], ["The", "film", "s"], [True, False, True]),
        (["The", "ĠĠ", "film", "Ċ"], ["The", "␣", "film", "⏎"], [False, False, True, True]),
        (["a", "##", " ", "", "\n"], ["a", "##", "␣", "␣", "⏎"], [False] * 5),
    ],
)
def test_parts_of_words_are_joined_and_their_marks_are_gone(words, pieces, joined):
    panel = tokens(np.ones(len(words)), words, width=20).axes
    assert written(panel) == pieces
    ends = [patch.get_x() + patch.get_width() for patch in panel.patches]
    starts = [patch.get_x() for patch in panel.patches]
    touching = [start - end < 0.01 for end, start in zip(ends, starts[1:], strict=False)]
    assert touching == joined[1:]


def test_tokens_are_written_as_they_are_where_no_marks_are_meant():
    words = ["Ġorġ", "##", "x", "##y"]
    assert written(tokens(np.ones(4), words, subwords=False).axes) == words


def test_a_new_line_begins_behind_a_line_break():
    panel = tokens(np.ones(4), ["a", "\n", "b", "c"]).axes
    first, second, third, fourth = (patch.get_y() for patch in panel.patches)
    assert first == second < third == fourth
    assert panel.patches[2].get_x() == 0


def test_a_token_longer_than_a_line_goes_on_in_the_next_one():
    word = "Donaudampfschifffahrtsgesellschaft"
    panel = tokens([2.0, -1.0], [word, "x"], width=1).axes
    assert "".join(written(panel)) == f"{word}x"
    ends = [patch.get_x() + patch.get_width() for patch in panel.patches]
    assert max(ends) <= panel.get_xlim()[1] + 1e-9
    lines = [patch.get_y() for patch in panel.patches[:-1]]
    assert len({*lines}) == len(lines) > 1
    assert len(set(grounds(panel)[:-1])) == 1


def test_text_is_no_mathematics(tmp_path):
    drawn = tokens([1.0, 2.0, 3.0], ["$x_", "costs", "$5"], titles="$5 and $6_")
    assert not any(text.get_parse_math() for text in drawn.axes.texts)
    drawn.figure.savefig(tmp_path / "dollars.png")


def test_the_label_of_a_clipped_scale_is_within_the_figure():
    figure = tokens(RELEVANCE, WORDS, clip=90).figure
    (bar,) = [axes for axes in figure.axes if axes.get_label() == "<colorbar>"]
    box, page = bar.get_tightbbox(), figure.bbox
    assert page.x0 <= box.x0 < box.x1 <= page.x1
    assert page.y0 <= box.y0 < box.y1 <= page.y1


@pytest.mark.parametrize("page", ["default", "dark_background"])
def test_text_is_readable_on_every_colour(page):
    """A contrast of 4.5 to 1, as WCAG 2.1 asks for."""
    with style.context(page):
        panel = tokens(np.linspace(-1, 1, 101), ["x"] * 101).axes
    for text, ground in zip(panel.texts, grounds(panel), strict=True):
        one, other = luminance(text.get_color()), luminance(ground)
        assert (max(one, other) + 0.05) / (min(one, other) + 0.05) >= 4.5


def test_padding_is_left_out_and_told():
    panel = tokens([1.0, 2.0, 7.0, -0.5], ["a", "b", "[PAD]", "[PAD]"], padding="[PAD]").axes
    assert written(panel) == ["a", "b"]
    assert panel.get_title(loc="left") == "2 of '[PAD]' left out, Σ|R| 7.5"
    # The scale is that of what is seen.
    np.testing.assert_allclose(grounds(panel)[1], signed()(1.0))


def test_five_hundred_tokens_stay_within_their_axes_and_apart():
    panel = tokens(np.resize(RELEVANCE, 500), [*np.resize(WORDS, 500)]).axes
    boxes = np.array([[p.get_x(), p.get_y(), p.get_width(), p.get_height()] for p in panel.patches])
    assert boxes[:, 0].min() >= 0
    assert (boxes[:, 0] + boxes[:, 2]).max() <= panel.get_xlim()[1]
    assert (boxes[:, 1] + boxes[:, 3]).max() <= panel.get_ylim()[0]
    following = boxes[1:, 1] == boxes[:-1, 1]
    assert (boxes[1:, 0] >= boxes[:-1, 0] + boxes[:-1, 2] - 1e-9)[following].all()
    assert len(set(boxes[:, 1])) > 20


def test_dimensions_of_embeddings_are_summed_and_explanations_bring_titles():
    relevance = np.arange(12.0).reshape(1, 2, 3, 2)
    explanation = lrpkeras.Explanation(relevance, np.array([[0.5, 3.0]]), np.array([[1, 0]]))
    drawn = tokens(explanation, [["a", "b", "c"]], labels=["bad", "good"])
    assert [panel.get_title(loc="left") for panel in drawn.axes] == ["good: 3.00", "bad: 0.50"]
    # The largest sum of two dimensions is 10 + 11.
    np.testing.assert_allclose(grounds(drawn.axes[1])[2][:3], [132 / 255, 0, 18 / 255], atol=0.01)


def test_the_caller_s_axes_are_drawn_into():
    figure = Figure()
    drawn = tokens(RELEVANCE, WORDS, axes=figure.subplots(), colorbar=False)
    assert drawn.figure is figure
    assert len(figure.axes) == 1


@pytest.mark.parametrize(
    ("arguments", "options", "said"),
    [
        (([1.0, 2.0], ["a"]), {}, "1 tokens for 2"),
        (([1.0, 2.0], "ab"), {}, "lists of tokens"),
        (([1.0, np.nan], ["a", "b"]), {}, "NaN"),
        ((np.zeros((1, 2, 3, 4)), ["a"]), {}, "that of a text"),
        (([1.0], ["a"]), {"padding": "a"}, "nothing but padding"),
        (([1.0], ["a"]), {"width": 0}, "inches"),
        (([1.0], ["a"]), {"axes": [1]}, "1 matplotlib Axes"),
        ((np.zeros((2, 1, 1)), [["a"]]), {}, "1 texts for 2"),
    ],
)
def test_what_does_not_fit_is_refused(arguments, options, said):
    with pytest.raises(InputError, match=said):
        tokens(*arguments, **options)
