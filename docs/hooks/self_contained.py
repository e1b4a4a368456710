"""The built site asks nothing of any other place: no script, style, font or picture."""

from __future__ import annotations

import logging
import re
from html.parser import HTMLParser
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig

# Attributes that a browser follows by itself, by tag; `link` only of these kinds.
FETCHED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
INERT = {"canonical", "next", "prev", "alternate"}
STYLE = re.compile(r"(?:url\(\s*['\"]?|@import\s*['\"])((?:https?:)?//[^'\")\s]+)")
log = logging.getLogger("mkdocs.hooks.self_contained")


def on_post_build(config: MkDocsConfig, **_: object) -> None:
    """Warn, which `--strict` makes an error, of whatever a browser would fetch."""
    site = Path(config.site_dir)
    for path in sorted(site.rglob("*")):
        if path.suffix in (".html", ".css"):
            text = path.read_text("utf-8")
            found = asked(text) if path.suffix == ".html" else STYLE.findall(text)
            for address in found:
                log.warning("%s asks for %s", path.relative_to(site), address)


def asked(page: str) -> list[str]:
    """Return the addresses elsewhere that a browser fetches to show a page.

    Examples
    --------
    >>> asked('<a href="https://a.org">a</a><script src="//b.org/x.js"></script>')
    ['//b.org/x.js']
    """
    parser = Asked()
    parser.feed(page)
    return [*parser.found, *STYLE.findall(page)]


class Asked(HTMLParser):
    """Collects what a page fetches from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the address that a tag fetches."""
        values = dict(attrs)
        address = values.get(FETCHED.get(tag, "")) or ""
        inert = tag == "link" and set((values.get("rel") or "").split()) & INERT
        if not inert and re.match(r"(https?:)?//", address):
            self.found.append(address)
