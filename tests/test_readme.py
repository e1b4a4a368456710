"""The README's code runs as it stands, but for weights and photo, which no test may download."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.slow
def test_the_code_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), flags=re.DOTALL)
    code = "\n".join(blocks)
    assert 'weights="imagenet"' in code
    assert "cat.jpg" in code
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (240, 320, 3)).astype("uint8")
    keras.utils.save_img("cat.jpg", pixels)
    names = {}
    exec(compile(code.replace('"imagenet"', "None"), str(README), "exec"), names)
    assert names["analyzer"](names["images"]).shape == (1, 224, 224, 3)
    assert "closes" in capsys.readouterr().out
