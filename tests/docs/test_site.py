"""The built site, in a browser: `make docs` builds it, then runs this."""

import contextlib
import doctest
import functools
import http.server
import importlib.util
import shutil
import sys
import threading

import pytest
from code_blocks import ROOT

pytest.importorskip("mkdocs", reason="the extra docs is not installed")
SITE = ROOT / "site"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
SIZES = {"desktop": (1400, 900), "phone": (390, 844)}
PAGES = (
    "index",
    "start",
    "concepts/rules",
    "rules",
    "presets",
    "api/analyzer",
    "notebooks/1_first_heatmap",
    "notebooks/9_clever_hans",
    "changelog",
)


def hook(name):
    path = ROOT / "docs" / "hooks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"hook_{name}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["outside", "self_contained"])
def test_the_examples_of_a_hook_run(name):
    result = doctest.testmod(hook(name))
    assert result.attempted
    assert not result.failed


def test_formulas_become_mathml():
    html = hook("mathml").on_page_content(
        r'<p><span class="arithmatex">\(a &lt; b\)</span></p><div class="arithmatex">\[x\]</div>'
    )
    assert "arithmatex" not in html
    assert html.count("<math") == 2
    assert "&#x0003C;" in html  # less than
    assert 'display="block"' in html


@pytest.mark.parametrize(
    ("page", "asked"),
    [
        ('<script src="https://cdn.org/a.js"></script>', ["https://cdn.org/a.js"]),
        ('<link rel="stylesheet" href="//cdn.org/a.css">', ["//cdn.org/a.css"]),
        (
            "<style>@font-face { src: url(https://cdn.org/a.woff) }</style>",
            ["https://cdn.org/a.woff"],
        ),
        ('<img src="https://cdn.org/a.png">', ["https://cdn.org/a.png"]),
        ('<a href="https://cdn.org">link</a><script src="../a.js"></script>', []),
        ('<link rel="canonical" href="https://here.org/">', []),
    ],
)
def test_what_a_page_would_fetch_from_elsewhere_is_found(page, asked):
    assert hook("self_contained").asked(page) == asked


@pytest.fixture(scope="module")
def server():
    """The site's address; skips where nobody has built it."""
    if not (SITE / "index.html").exists():
        pytest.skip("make docs builds the site")
    handler = functools.partial(Quiet, directory=str(SITE))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}/"
        running.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("there is no chromium to look at the site with")
    with sync_api.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield opened
        opened.close()


@contextlib.contextmanager
def opened(browser, server, page, size="desktop"):
    """A page, and what went wrong on it: errors in its console, and requests to elsewhere."""
    width, height = SIZES[size]
    tab, wrong = browser.new_page(viewport={"width": width, "height": height}), []
    tab.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    tab.on("pageerror", lambda error: wrong.append(str(error)))
    tab.on("requestfailed", lambda request: wrong.append(request.url))
    local = (server, "data:", "blob:")
    tab.on("request", lambda r: None if r.url.startswith(local) else wrong.append(r.url))
    tab.goto(f"{server}{page}.html", wait_until="load")
    try:
        yield tab, wrong
    finally:
        tab.close()


@pytest.mark.parametrize("page", PAGES)
def test_a_page_opens_without_an_error_and_asks_nobody_else(browser, server, page):
    with opened(browser, server, page) as (tab, wrong):
        assert tab.locator("h1").first.is_visible()
        assert not tab.locator("img").evaluate_all("all => all.filter(i => !i.naturalWidth).length")
        assert wrong == []


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_no_wider_than_a_phone(browser, server, page):
    with opened(browser, server, page, "phone") as (tab, _):
        assert tab.evaluate("document.documentElement.scrollWidth") <= SIZES["phone"][0]


def test_formulas_are_drawn(browser, server):
    with opened(browser, server, "concepts/rules") as (tab, _):
        fraction = tab.locator(".formula mfrac").first.bounding_box()
        assert fraction["height"] > 20  # numerator above denominator


def test_the_search_finds_a_rule(browser, server):
    with opened(browser, server, "index") as (tab, wrong):
        tab.locator("[data-md-component=search-query]").fill("AlphaBeta")
        found = tab.locator(".md-search-result__link").first
        found.wait_for(timeout=10_000)
        assert "html" in found.get_attribute("href")
        assert wrong == []
