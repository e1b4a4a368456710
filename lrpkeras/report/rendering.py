"""The page itself: HTML from templates, with its styles and scripts inside."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from lrpkeras.errors import LrpError
from lrpkeras.report.budget import Fineness
from lrpkeras.report.facts import Frame, for_scripts, for_templates
from lrpkeras.report.samples import Content, json_in_page
from lrpkeras.report.words import logit_in_words, number_in_words

SCRIPTS = ("values", "colours", "stage", "overview", "opened", "cursor", "main")


def needed() -> Any:
    """Import the templates' library.

    Raises
    ------
    LrpError
        If it is not there, with what installs it.
    """
    try:
        import jinja2
    except ImportError as error:
        raise LrpError("A report needs jinja2: pip install 'lrpkeras[report]'.") from error
    return jinja2


def rendered(
    frame: Frame, content: Content, fineness: Fineness | None, texts: Sequence[str]
) -> str:
    """Return the page.

    Parameters
    ----------
    frame, content
        What it shows.
    fineness
        How finely `texts` keep it; None for a page without samples.
    texts
        JSON of each sample.
    """
    jinja2 = needed()
    from markupsafe import Markup  # of jinja2: what it marks is not escaped

    folder = files("lrpkeras.report") / "page"
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (folder / name).read_text("utf-8")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number_in_words, logit=logit_in_words)
    style = (folder / "style.css").read_text("utf-8")
    parts = [(folder / f"{name}.js").read_text("utf-8") for name in SCRIPTS]
    script = '(() => {\n"use strict";\n' + "\n".join(parts) + "\n})();"
    page: str = environment.get_template("page.html").render(
        **for_templates(frame, content, fineness),
        policy=_policy(style, script),
        style=Markup(style),
        script=Markup(script),
        data=Markup(json_in_page(for_scripts(frame, content, fineness))),
        texts=list(map(Markup, texts)),
    )
    # Names of files need not be text.
    return page.encode("utf-8", "backslashreplace").decode("utf-8")


def _policy(style: str, script: str) -> str:
    """Return what the page may do: run these styles and scripts, and show images in itself."""
    allowed = {
        "default-src": "'none'",
        "img-src": "data:",
        "style-src": _digest(style),
        "script-src": _digest(script),
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {sources}" for name, sources in allowed.items())


def _digest(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"
