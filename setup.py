"""What a package index shows of the README. All other settings are in pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from setuptools import setup

ROOT = Path(__file__).parent
# A picture or link to a file of the repository: its address has no scheme, and is no anchor.
LINK = re.compile(r"(?P<picture>!?)\[(?P<text>[^\]]*)\]\((?!\w+:|#)(?P<path>[^)\s]+)\)")


def page(readme: str, repository: str | None = None) -> str:
    """Return the README for readers who do not have the repository's files beside it.

    Links to files lead into the repository if its address is known. Otherwise their text stays, and
    pictures go.

    Examples
    --------
    >>> page("![Maps](docs/maps.png) See [the rules](docs/rules.md) and [PyPI](https://pypi.org).")
    ' See the rules and [PyPI](https://pypi.org).'
    >>> page("[the rules](docs/rules.md)", "https://example.org/lrpkeras")
    '[the rules](https://example.org/lrpkeras/blob/main/docs/rules.md)'
    """

    def absolute(link: re.Match[str]) -> str:
        picture, text, path = link.groups()
        if repository is None:
            return "" if picture else text
        return f"{picture}[{text}]({repository}/{'raw' if picture else 'blob'}/main/{path})"

    return LINK.sub(absolute, readme)


if __name__ == "__main__":
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    setup(
        long_description=page(
            (ROOT / "README.md").read_text("utf-8"), project.get("urls", {}).get("Repository")
        ),
        long_description_content_type="text/markdown",
    )
