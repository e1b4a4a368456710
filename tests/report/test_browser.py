"""Report pages in a real browser: what a reader sees, clicks and types."""

import base64
import re
import shutil
import time
import zlib
from contextlib import contextmanager

import numpy as np
import pytest
from report_pages import HOSTILE, about, check, explained, heavy_tailed

import lrpkeras
from lrpkeras.evaluate import Curve, Measure
from lrpkeras.plot import colours, symmetric_limits

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
if CHROMIUM is None:
    pytest.skip("there is no chromium to look at report pages with", allow_module_level=True)
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

pytestmark = pytest.mark.slow

ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
PHONE = {"width": 390, "height": 844}
SAMPLES, CLASSES, ROWS, COLUMNS = 9, 3, 12, 10
LAYERS = (("conv", (6, 5, 4)), ("dense", (8,)))


def explanation():
    return explained(SAMPLES, CLASSES, (ROWS, COLUMNS, 3), LAYERS, about=about("a note"))


def measures():
    rng = np.random.default_rng(3)
    curve = Curve("score", np.linspace(0, 1, 5), rng.normal(size=(SAMPLES, 5)), "share flipped")
    return {"mass": Measure("mass", rng.uniform(size=SAMPLES)), "flipping": curve}


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A page with all that a page can have."""
    photos = np.random.default_rng(0).uniform(size=(SAMPLES, 48, 40, 3))
    return explanation().report(
        tmp_path_factory.mktemp("report") / "page.html",
        photos,
        labels=["cat", "dog", "bird", "fish"],
        names=[f"photo {chr(ord('i') - number)}.jpg" for number in range(SAMPLES)],
        check=check(),
        measures=measures(),
        title="A report",
    )


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield opened
        opened.close()


@contextmanager
def looking_at(browser, file, address="", **options):
    """Open a page, and see to it that it neither complains, nor asks for anything from outside."""
    context = browser.new_context(offline=True, **options)
    page = context.new_page()
    page.set_default_timeout(20_000)
    complaints, requests = [], []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(file.as_uri() + address)
    page.wait_for_selector("html[data-ready]", state="attached")
    yield page
    context.close()
    assert complaints == []
    outside = [url for url in requests if not url.startswith(("file:", "data:"))]
    assert outside == []


def until(page, condition):
    """Wait from outside: the page's policy forbids playwright to do it inside."""
    end = time.monotonic() + 20
    while not page.evaluate(condition):
        assert time.monotonic() < end, condition
        time.sleep(0.02)


def painted(page, stage):
    page.wait_for_selector(f"{stage}[data-painted]")
    return page.locator(stage).first


def opened(page, number=0):
    page.click(f".card[data-sample='{number}']")
    return painted(page, "#panels .stage.live")


# Read from a copy, in one string: Chromium warns of pages that read their canvases often.
PIXELS = """canvas => {
    const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext('2d');
    copy.drawImage(canvas, 0, 0);
    const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
    let text = '';
    for (const value of data) text += String.fromCharCode(value);
    return btoa(text);
}"""


def pixels(page, selector):
    data = base64.b64decode(page.locator(selector).first.evaluate(PIXELS))
    return np.frombuffer(data, "u1").astype(float).reshape(-1, 4)[:, :3]


def number(text):
    return float(text.replace("\u2212", "-"))


def test_maps_have_the_colours_of_plots(browser, full):
    summed = explanation().relevance[0].sum(axis=-1)
    for dark in (False, True):
        scheme = "dark" if dark else "light"
        with looking_at(browser, full, color_scheme=scheme) as page:
            opened(page)
            every = explanation().relevance.sum(axis=-1)
            for name, values in (("map", summed[0]), ("image", summed), ("all", every)):
                page.select_option("#scope", name)
                limit = symmetric_limits(values, 99.5)[1]
                ends = page.locator("#panels .ends").first.locator("span").all_inner_texts()
                got = [number(end.split()[-1]) for end in (ends[0], ends[-1])]
                assert got == pytest.approx([-limit, limit], rel=5e-3)
                share = np.clip((summed[0] / limit + 1) / 2, 0, 1)
                expected = 255 * colours.signed(dark=dark)(share)[..., :3].reshape(-1, 3)
                got = pixels(page, "#panels .stage.live canvas")
                # Values are kept to 16 bits, so that a few lie on the next of 257 colours.
                assert np.abs(got - expected).max() <= 6
                assert np.abs(got - expected).mean() < 0.5


def test_the_slider_changes_colours_and_not_values(browser, full):
    with looking_at(browser, full) as page:
        painted(page, ".card .stage")
        before = pixels(page, ".card canvas")
        page.locator("#clip").fill("0")
        assert (pixels(page, ".card canvas") != before).any()
        opened(page)
        page.locator("#panels .stage.live").first.press("ArrowUp")
        first = page.locator(".readout .value").first.inner_text()
        low = page.locator(".ends span").first.inner_text()
        page.locator("#clip").press("End")
        assert page.locator("#clip-value").inner_text() == "none"
        assert page.locator(".ends span").first.inner_text() != low
        assert page.locator(".readout .value").first.inner_text() == first


def test_the_value_under_the_pointer_is_that_of_the_array(browser, full):
    summed = explanation().relevance[4].sum(axis=-1)
    with looking_at(browser, full) as page:
        stage = opened(page, 4)
        for row, column in ((0, 0), (11, 9), (3, 7)):
            box = stage.locator("canvas").bounding_box()
            page.mouse.move(
                box["x"] + (column + 0.5) * box["width"] / COLUMNS,
                box["y"] + (row + 0.5) * box["height"] / ROWS,
            )
            values = page.locator(".readout .value").all_inner_texts()
            assert len(values) == CLASSES
            for text, expected in zip(values, summed[:, row, column], strict=True):
                assert number(text) == pytest.approx(expected, rel=5e-4, abs=1e-7)
            where = page.locator(".readout .where").first.inner_text()
            assert where == f"row {row}, column {column}"
        total = page.locator("#panels .sum").all_inner_texts()
        for text, expected in zip(total, summed.sum(axis=(1, 2)), strict=True):
            assert number(text.split()[1]) == pytest.approx(expected, rel=5e-4)


@pytest.mark.parametrize(("megabytes", "bits"), [(20, 16), (0.08, 8)])
def test_the_error_beside_a_value_is_not_too_small(browser, tmp_path, megabytes, bits):
    """And hardly larger than the farther half of the step that is kept, and the digits shown."""
    relevance = heavy_tailed((2, 2, 64, 64, 1))
    one = lrpkeras.Explanation(relevance, np.ones((2, 3)), np.tile([0, 1], (2, 1)))
    file = one.report(tmp_path / "page.html", megabytes=megabytes)
    assert f"kept in {bits} bits" in file.read_text("utf-8")
    near = []
    with looking_at(browser, file) as page:
        stage = opened(page)
        stage.press("ArrowUp")
        for step in range(120):
            stage.press("ArrowRight" if step % 8 else "ArrowDown")
            where = page.locator(".readout .where").first.inner_text()
            row, column = (int(part.split()[1]) for part in where.split(", "))
            words = page.locator(".readout .value, .readout .error").all_inner_texts()
            for k, (value, error) in enumerate(zip(words[::2], words[1::2], strict=True)):
                distance = abs(number(value) - relevance[0, k, row, column, 0])
                bound = number(error.split()[-1])
                assert distance <= bound
                near.append(distance / bound)
    # Steps and digits are rounded evenly, so that some values lie nearly as far off as may be.
    assert 0.4 < max(near) <= 1


def test_the_error_is_that_of_the_farther_end(browser, tmp_path):
    """In 8 bits, a code q stands for the square of q / 127: half a step up is farthest."""
    halves = ((np.arange(40) + 0.499) / 127) ** 2
    relevance = np.append(halves, 1.0).reshape(1, 1, 41)
    one = lrpkeras.Explanation(relevance, np.ones((1, 1)), np.zeros((1, 1), int))
    file = one.report(tmp_path / "page.html", megabytes=20)
    script = file.read_text("utf-8")
    coarse = script.replace('"levels":32767', '"levels":127')
    assert coarse != script
    codes = np.rint(127 * np.sqrt(relevance[0])).astype("i1")
    held = base64.b64encode(zlib.compress(codes.tobytes(), 9)).decode()
    [kept] = re.findall('"codes":"([^"]*)"', coarse)
    file.write_text(coarse.replace(kept, held), "utf-8")
    with looking_at(browser, file) as page:
        stage = opened(page)
        stage.press("ArrowRight")
        for _ in range(60):
            stage.press("ArrowLeft")
        for entry in range(40):
            value, error = page.locator(".readout .value, .readout .error").all_inner_texts()
            assert abs(number(value) - halves[entry]) <= number(error.split()[-1])
            stage.press("ArrowRight")


def test_a_sample_opens_to_its_classes_and_closes(browser, full):
    with looking_at(browser, full) as page:
        opened(page, 2)
        names = page.locator("#panels .class-name").all_inner_texts()
        assert names == ["What was explained", "cat", "dog", "bird"]
        logits = page.locator("#panels .logit").all_inner_texts()
        assert [number(text.split()[1]) for text in logits] == pytest.approx(
            explanation().output[2, :3], abs=0.005
        )
        assert page.locator("#opened-name").inner_text() == "photo g.jpg"
        assert not page.locator("#grid").is_visible()
        mass = measures()["mass"].values[2]
        assert number(page.locator(".measured dd").first.inner_text()) == pytest.approx(mass, 1e-3)
        page.click("#next")
        until(page, "document.querySelector('#opened-name').innerText == 'photo f.jpg'")
        page.click("#back")
        assert page.locator("#grid").is_visible()
        assert not page.locator("#opened").is_visible()
    with looking_at(browser, full, "#sample-9") as page:
        assert page.locator("#opened-name").inner_text() == "photo a.jpg"


def test_relevance_of_layers_can_be_chosen(browser, full):
    layer = explanation().layers["conv"][1].sum(axis=-1)
    with looking_at(browser, full) as page:
        options = page.locator("#place option").all_inner_texts()
        assert options == ["input", "layer conv", "layer dense"]
        opened(page, 1)
        page.select_option("#place", "1")
        page.wait_for_selector("#panels figure:nth-child(4) .stage[data-painted]")
        page.locator("#panels .stage.live").first.press("ArrowUp")
        values = page.locator(".readout .value").all_inner_texts()
        assert [number(text) for text in values] == pytest.approx(layer[:, 3, 2], rel=5e-4)
        page.click("#flow button >> nth=2")
        page.wait_for_selector("#panels figure:nth-child(3) .stage[data-painted]")
        page.locator("#panels .stage.live").first.press("ArrowLeft")
        values = page.locator(".readout .value").all_inner_texts()
        dense = explanation().layers["dense"][1]
        assert [number(text) for text in values] == pytest.approx(dense[:, 4], rel=5e-4)
        assert page.locator("#place").input_value() == "2"


def focused(page):
    return page.evaluate("document.activeElement.id || document.activeElement.dataset.sample")


def test_all_of_it_can_be_done_with_keys(browser, full):
    with looking_at(browser, full) as page:
        painted(page, ".card .stage")
        order = []
        while not order or (order[-1] != "0" and len(order) < 30):
            page.keyboard.press("Tab")
            order.append(focused(page))
        expected = ["theme", "place", "clip", "photo", "scope", "sort", "reverse", "0"]
        assert [name for name in order if name in expected] == expected
        for key, card in (("ArrowRight", "1"), ("End", "8"), ("ArrowLeft", "7"), ("Home", "0")):
            page.keyboard.press(key)
            assert focused(page) == card
        page.keyboard.press("ArrowDown")
        below = int(focused(page))
        tops = page.locator(".card").evaluate_all("cards => cards.map(card => card.offsetTop)")
        assert tops[below] > tops[0]
        assert tops[below - 1] == tops[0]
        page.keyboard.press("Enter")
        painted(page, "#panels .stage.live")
        assert focused(page) == "opened-name"
        page.keyboard.press("ArrowRight")
        title = f"{below + 2} of {SAMPLES}"
        until(page, f"document.querySelector('#opened-count').innerText == '{title}'")
        painted(page, "#panels .stage.live")
        for _ in range(4):  # both buttons, then the first map
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.matches('.stage.live')"):
                break
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Shift+ArrowLeft")
        where = page.locator(".readout .where").first.inner_text()
        assert where == "row 6, column 0"
        assert page.locator("#spoken").inner_text().startswith("row 6, column 0: cat ")
        page.keyboard.press("Escape")
        until(page, "!document.body.dataset.view")
        assert focused(page) == str(below + 1)


def test_what_has_the_focus_is_seen_and_has_a_name(browser, full):
    outline = "getComputedStyle(document.activeElement)"
    with looking_at(browser, full) as page:
        painted(page, ".card .stage")
        opened(page)
        seen = 0
        page.keyboard.press("Tab")
        while page.evaluate("document.activeElement !== document.body") and seen < 60:
            seen += 1
            assert page.evaluate(f"{outline}.outlineStyle") != "none"
            assert page.evaluate(f"parseFloat({outline}.outlineWidth)") >= 2
            page.keyboard.press("Tab")
        assert 10 <= seen < 60
        for role in ("button", "combobox", "slider", "link", "application", "img", "region"):
            for one in page.get_by_role(role).all():
                snapshot = one.aria_snapshot().splitlines()[0]
                assert '"' in snapshot, snapshot


CONTRASTS = """() => {
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const over = ([r, g, b, a = 1], under) => [r, g, b].map((c, i) => c * a + under[i] * (1 - a));
  const light = (colour) => {
    const [r, g, b] = colour.map((c) => (c /= 255) <= 0.04045 ? c / 12.92
      : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    if (!element) return [255, 255, 255];
    const colour = parse(getComputedStyle(element).backgroundColor);
    return colour[3] === 0 ? ground(element.parentElement)
      : over(colour, ground(element.parentElement));
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !element.checkVisibility()) continue;
    if (element.closest('script, style, noscript, option')) continue;
    const style = getComputedStyle(element);
    const isDrawn = element instanceof SVGElement;
    const below = ground(element);
    const colour = over(parse(isDrawn ? style.fill : style.color), below);
    const [dark, bright] = [light(colour), light(below)].sort((a, b) => a - b);
    found.push([(bright + 0.05) / (dark + 0.05), walker.currentNode.textContent.trim()]);
  }
  return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_have_contrast(browser, full, scheme):
    with looking_at(browser, full, color_scheme=scheme) as page:
        painted(page, ".card .stage")
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        found = page.evaluate(CONTRASTS)
        opened(page)
        found += page.evaluate(CONTRASTS)
    assert len(found) > 100
    assert [pair for pair in found if pair[0] < 4.5] == []


def test_the_theme_is_the_system_s_until_it_is_chosen(browser, full):
    ground = "getComputedStyle(document.body).backgroundColor"
    with looking_at(browser, full, color_scheme="light") as page:
        light = page.evaluate(ground)
        painted(page, ".card .stage")
        before = pixels(page, "#legend-colours")
        page.emulate_media(color_scheme="dark")
        dark = page.evaluate(ground)
        assert dark != light
        assert (pixels(page, "#legend-colours") != before).any()
        middle = pixels(page, "#legend-colours")[128]
        np.testing.assert_array_equal(
            middle, np.rint(255 * np.array(colours.signed(dark=True)(0.5)[:3]))
        )
        assert page.get_attribute("#theme", "aria-pressed") == "true"
        page.click("#theme")
        assert page.evaluate(ground) == light
        np.testing.assert_array_equal(pixels(page, "#legend-colours"), before)
        page.emulate_media(color_scheme="light")
        page.emulate_media(color_scheme="dark")
        assert page.evaluate(ground) == light


def test_samples_can_be_sorted(browser, full):
    def order(page):
        return page.locator(".card").evaluate_all("all => all.map(card => +card.dataset.sample)")

    with looking_at(browser, full) as page:
        assert order(page) == list(range(SAMPLES))
        page.select_option("#sort", label="name")
        assert order(page) == list(range(SAMPLES))[::-1]
        page.select_option("#sort", label="mass")
        by_mass = np.argsort(measures()["mass"].values).tolist()
        assert order(page) == by_mass
        page.click("#reverse")
        assert order(page) == by_mass[::-1]


def test_the_next_sample_is_the_next_in_the_order_that_was_chosen(browser, tmp_path):
    one = explained(12)
    file = one.report(tmp_path / "page.html")
    by_logit = np.argsort(one.output[:, 0]).tolist()
    with looking_at(browser, file) as page:
        page.select_option("#sort", label="name")  # Image 2 before Image 10
        order = page.locator(".card").evaluate_all("all => all.map(card => +card.dataset.sample)")
        assert order == list(range(12))
        page.select_option("#sort", label="logit")
        opened(page, by_logit[0])
        for place, sample in enumerate(by_logit):
            until(page, f"document.querySelector('#opened-name').innerText == 'Image {sample + 1}'")
            assert page.locator("#opened-count").inner_text() == f"{place + 1} of 12"
            page.click("#next")
        until(
            page, f"document.querySelector('#opened-name').innerText == 'Image {by_logit[0] + 1}'"
        )


# The longest of ImageNet's names, and worse.
NAMES = ["West_Highland_white_terrier", "American_Staffordshire_terrier", "n" * 3000, "cat"]


@pytest.mark.parametrize("width", [390, 1300])
def test_long_names_stay_within_their_cards(browser, tmp_path, width):
    wide = "all => all.map(one => one.scrollWidth - one.clientWidth)"
    file = explained(4).report(tmp_path / "page.html", labels=NAMES, names=NAMES[::-1])
    with looking_at(browser, file, viewport={"width": width, "height": 900}) as page:
        painted(page, ".card .stage")
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert max(page.locator(".card").evaluate_all(wide)) <= 0
        boxes = page.locator(".card").evaluate_all(
            "all => all.map(card => card.querySelector('.stage').getBoundingClientRect().width"
            " - card.clientWidth)"
        )
        assert max(boxes) < 0
        opened(page)
        assert max(page.locator(".panel").evaluate_all(wide)) <= 0


def test_signals_of_many_channels_are_drawn(browser, tmp_path):
    relevance = heavy_tailed((1, 1, 4096, 1))
    one = lrpkeras.Explanation(relevance, np.ones((1, 1)), np.zeros((1, 1), int))
    signal = np.random.default_rng(0).normal(size=(1, 4096, 64))
    file = one.report(tmp_path / "page.html", signal)
    with looking_at(browser, file) as page:
        stage = opened(page)
        assert not page.locator("#trouble").is_visible()
        stage.press("ArrowRight")
        readout = page.locator(".readout").first.inner_text()
        assert "(64 channels)" in readout
        assert readout.count(",") < 10
        height = stage.locator("canvas").evaluate("canvas => canvas.height")
        assert (pixels(page, "#panels .stage.live canvas").reshape(height, -1, 3).std() > 0).all()


def test_nothing_is_cut_off_on_a_phone(browser, full):
    wide = "document.documentElement.scrollWidth"
    with looking_at(browser, full, viewport=PHONE, is_mobile=True, has_touch=True) as page:
        painted(page, ".card .stage")
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert page.evaluate(wide) == PHONE["width"]
        page.tap(".card >> nth=3")
        stage = painted(page, "#panels .stage.live")
        stage.scroll_into_view_if_needed()
        assert page.evaluate(wide) == PHONE["width"]
        stage.tap(position={"x": 5, "y": 5})
        assert page.locator(".readout .where").first.inner_text() == "row 0, column 0"
        small = page.locator("button:visible, select:visible").evaluate_all(
            "all => all.filter(one => one.getBoundingClientRect().height < 24).length"
        )
        assert small == 0


@pytest.mark.parametrize("viewport", [PHONE, {"width": 1280, "height": 900}])
def test_hostile_names_do_not_run_and_are_shown_as_they_are(browser, tmp_path, viewport):
    first, second, third, fourth, _ = HOSTILE
    one = explained(
        5, layers=[(first, (4, 4, 2)), (third, (5,))], condition={second: (1, 2)},
        about=about(first, fourth),
    )  # fmt: skip
    file = one.report(
        tmp_path / "#?% page.html",
        labels={0: first, 1: fourth},
        names=HOSTILE,
        title=fourth,
        check=check(second),
        measures={third: Measure(third, np.arange(5.0))},
    )
    with looking_at(browser, file, viewport=viewport) as page:
        assert page.title().split() == fourth.split()
        assert page.locator(".card .name").first.inner_text() == first
        opened(page, 1)
        assert page.locator("#opened-name").inner_text() == second
        assert page.locator("#panels .class-name").first.inner_text() == first
        page.select_option("#place", "2")
        page.locator("#panels .stage.live").first.press("ArrowRight")
        page.wait_for_timeout(300)
        assert page.evaluate("window.hacked") is None
        assert page.evaluate("document.documentElement.scrollWidth") == viewport["width"]
        assert page.locator("main img").count() == 0


def test_the_policy_stops_what_escaping_let_through(browser, full, tmp_path):
    """The second wall, alone: markup put into a finished page."""
    bad = """<script>window.hacked = 1</script><img src="https://example.org/a.png"
        onerror="window.hacked = 2"><button id="bad" onclick="window.hacked = 3">x</button>
        <script src="data:text/javascript,window.hacked=4"></script>
        <link rel="stylesheet" href="https://example.org/a.css">"""
    page_with_bad = full.read_text("utf-8").replace("</body>", f"{bad}</body>")
    (tmp_path / "bad.html").write_text(page_with_bad, "utf-8")
    page = browser.new_page()
    page.goto((tmp_path / "bad.html").as_uri())
    page.wait_for_selector("html[data-ready]", state="attached")
    page.click("#bad")
    assert page.evaluate("window.hacked") is None
    page.close()


def test_series_and_vectors_are_bars(browser, tmp_path):
    """A value at half height is drawn half as far, up or down."""
    relevance = np.zeros((2, 1, 4))
    relevance[:, 0] = [[1.0, -0.5, 0.0, 0.25], [0, 0, 0, 0]]
    one = lrpkeras.Explanation(relevance, np.ones((2, 1)), np.zeros((2, 1), int))
    file = one.report(tmp_path / "page.html", np.arange(8.0).reshape(2, 4), clip=100)
    with looking_at(browser, file) as page:
        stage = opened(page)
        height, width = stage.locator("canvas").evaluate("canvas => [canvas.height, canvas.width]")
        shown = pixels(page, "#panels .stage.live canvas").reshape(height, width, 3)
        ground = np.rint(255 * np.array(colours.signed()(0.5)[:3]))
        drawn = (shown != ground).any(axis=2)[:, (np.arange(4) * width + width // 2) // 4]
        above, below = drawn[: height // 2], drawn[height // 2 + 1 :]
        for part, expected in ((above, [1, 0, 0, 0.25]), (below, [0, 0.5, 0, 0])):
            np.testing.assert_allclose(part.mean(axis=0), expected, atol=0.03)
        stage.press("ArrowRight")
        stage.press("ArrowLeft")
        readout = page.locator(".readout").first.inner_text()
        assert "\u22120.5" in readout
        assert "entry 1" in readout
        assert "x = 1" in readout
        page.keyboard.press("Escape")
        opened(page, 1)
        assert page.locator("#panels .sum").first.inner_text() == "sum 0"
