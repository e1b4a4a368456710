"""The notebooks as pages, with the outputs that they were saved with, and each as a file."""

from __future__ import annotations

import posixpath
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from nbconvert import MarkdownExporter

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
AFTER = "How to"  # in the nav


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the notebooks into the nav, by their own titles."""
    names = [next(iter(entry)) for entry in config.nav or []]
    if AFTER in names:
        pages = [f"notebooks/{notebook.stem}.md" for notebook in NOTEBOOKS]
        config.nav.insert(names.index(AFTER) + 1, {"Notebooks": pages})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add pages, pictures and the notebooks themselves."""
    for notebook in NOTEBOOKS:
        text, pictures = page(notebook)
        files.append(File.generated(config, f"notebooks/{notebook.stem}.md", content=text))
        files.append(
            File.generated(config, f"notebooks/{notebook.name}", abs_src_path=str(notebook))
        )
        for name, picture in pictures.items():
            files.append(File.generated(config, f"notebooks/{name}", content=picture))
    return files


def page(notebook: Path) -> tuple[str, dict[str, bytes]]:
    """Return a notebook as Markdown, and its pictures by their names beside it."""
    folder = f"{notebook.stem}_files"
    resources = {"output_files_dir": folder, "unique_key": notebook.stem}
    text, made = MarkdownExporter().from_filename(str(notebook), resources)
    title, _, rest = text.strip().partition("\n")
    # As HTML, since links to notebooks lead to their pages.
    link = f'<a href="{notebook.name}" download>This page as a notebook</a>'
    pictures = {posixpath.normpath(name): data for name, data in made["outputs"].items()}
    return f"{title}\n\n{link}\n\n{rest}", pictures
