"""Pages of the site that lie elsewhere in the repository, and links between the two.

Links in the repository's pages work where its files are read; on the site the same links lead to
the site's pages.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
# Path in the repository: path of the page in the site.
PAGES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "benchmarks/RESULTS.md": "benchmarks.md",
    "benchmarks/avx512_bf16/RESULTS.md": "benchmarks_avx512_bf16.md",
}
PAGES |= {
    f"notebooks/{path.name}": f"notebooks/{path.stem}.md"
    for path in (ROOT / "notebooks").glob("*.ipynb")
}
PICTURES = ("benchmarks/**/*.png", "experiments/results/*.png")
SOURCES = {site: repository for repository, site in PAGES.items()}
# The target of a link or picture, without a title, that is no address and no anchor.
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and pictures to the site."""
    pictures = [path.relative_to(ROOT) for glob in PICTURES for path in ROOT.glob(glob)]
    for repository, site in (*PAGES.items(), *((p.as_posix(),) * 2 for p in pictures)):
        if not repository.endswith(".ipynb"):  # those are written anew: see `notebooks`
            path = str(ROOT / repository)
            files.append(File.generated(config, site, abs_src_path=path))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Make the links of a page lead to the site's pages."""
    return relinked(markdown, page.file.src_uri)


def relinked(markdown: str, site: str) -> str:
    """Return the text of a page of the site with links to files of the site.

    Examples
    --------
    >>> relinked("[all](benchmarks/RESULTS.md#memory), [API](docs/api/plot.md)", "changelog.md")
    '[all](benchmarks.md#memory), [API](api/plot.md)'
    >>> relinked("![map](../../experiments/results/map.png)", "experiments/binder2016.md")
    '![map](results/map.png)'
    """
    source = SOURCES.get(site, f"docs/{site}")

    def target(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[0]))
        found = PAGES.get(path, path.removeprefix("docs/"))
        return posixpath.relpath(found, posixpath.dirname(site) or ".")

    return LINK.sub(target, markdown)
