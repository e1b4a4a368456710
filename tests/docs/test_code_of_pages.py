"""Every code block of the README and the documentation runs as it stands.

But for weights that would be downloaded (random ones are taken) and for photos: see `code_blocks`.
"""

import code_blocks
import pytest

# Networks of keras.applications take tens of seconds; these pages five and more.
LONG = (
    "docs/faq.md",
    "docs/migration.md",
    "docs/how-to/choose-a-preset.md",
    "docs/how-to/command-line.md",
    "docs/how-to/data-sets.md",
    "docs/how-to/evaluate.md",
    "docs/how-to/notebook.md",
    "docs/how-to/pictures.md",
    "docs/how-to/report.md",
)
LARGE = ("ResNet", "VGG16", "MobileNet", "DenseNet", "EfficientNet")
# Blocks that no test can run, by page and reason. More of them are a reason to think again.
LEFT_OUT = {
    "docs/how-to/command-line.md": ["tests/test_demo.py does"],
    "docs/how-to/data-sets.md": ["it starts a Ray cluster; tests/test_jobs_on_ray.py does"],
    "docs/start.md": ["it is your model"],
}


def named(page):
    return page.relative_to(code_blocks.ROOT).as_posix()


def marked(page):
    code = "".join(block.code for block in code_blocks.blocks(page) if block.runs)
    large = any(f"applications.{name}" in code for name in LARGE)
    slow = [pytest.mark.slow] if large or named(page) in LONG else []
    return pytest.param(page, id=named(page), marks=slow)


@pytest.mark.parametrize("page", [marked(page) for page in code_blocks.pages()])
def test_the_code_of_a_page_runs_and_prints_what_the_page_says(page, tmp_path, monkeypatch):
    code_blocks.furnish(tmp_path)
    monkeypatch.chdir(tmp_path)
    code_blocks.run(page)


def every_block():
    pages = [*code_blocks.ROOT.glob("*.md"), *(code_blocks.ROOT / "docs").rglob("*.md")]
    return [(named(page), block) for page in pages for block in code_blocks.blocks(page)]


def test_blocks_that_are_not_run_say_why_and_are_few():
    found = {}
    for page, block in every_block():
        if block.left_out:
            found.setdefault(page, []).append(block.left_out)
    assert found == LEFT_OUT


def test_every_block_names_a_language_that_is_run_or_needs_no_running():
    unknown = {(page, block.language) for page, block in every_block()}
    assert {name for name in unknown if name[1] not in code_blocks.LANGUAGES} == set()


def test_a_block_that_fails_fails_its_page(tmp_path):
    page = tmp_path / "page.md"
    for text in (
        "```python\nassert 1 == 2\n```",
        "```python\n>>> 1 + 1\n3\n\n```",
        '```python\nprint("a")\n```\n```text title="prints"\nb\n```',
        "```\nlrpkeras summary no.keras\n```",
        "- in a list\n\n    ```python\n    1 / 0\n    ```",
    ):
        page.write_text(text)
        assert code_blocks.blocks(page)[0].runs
        with pytest.raises((AssertionError, ZeroDivisionError)):
            code_blocks.run(page)
