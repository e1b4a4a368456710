"""The README's code runs as it stands, but for weights and photo, which no test may download."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"


def code_of(page):
    blocks = re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), flags=re.DOTALL)
    return "\n".join(blocks)


@pytest.mark.slow
def test_the_code_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    code = code_of(README)
    assert 'weights="imagenet"' in code
    assert "cat.jpg" in code
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (240, 320, 3)).astype("uint8")
    keras.utils.save_img("cat.jpg", pixels)
    names = {}
    exec(compile(code.replace('"imagenet"', "None"), str(README), "exec"), names)
    assert names["analyzer"](names["images"]).shape == (1, 224, 224, 3)
    assert "closes" in capsys.readouterr().out


def test_the_code_of_the_page_on_measures_tells_two_presets_apart(capsys):
    """Relevance of both signs, that of epsilon, misses the object more often."""
    names = {}
    exec(code_of(ROOT / "docs" / "evaluation.md"), names)
    low, _ = names["one"].minus(names["other"]).interval()
    assert low > 0
    assert "60 samples" in capsys.readouterr().out
