"""Every public docstring is complete: parameters, what is returned and raised, source, example."""

import re
import tomllib

import pytest
from code_blocks import ROOT
from numpydoc.validate import validate
from public_surface import fields, surface

SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"][
    "numpydoc_validation"
]
PUBLIC = list(surface())
# A paper or a library, as "[Bach et al. 2015, eq. 60]" or "[zennit's EpsilonPlus]".
SOURCE = re.compile(r"\[[^\]]*(\d{4}|zennit|iNNvestigate)[^\]]*\]")


def problems(public):
    """What numpydoc has against a docstring, but for the checks that pyproject.toml turns off."""
    found = {code: text for code, text in validate(public.name)["errors"]}
    assert "all" in SETTINGS["checks"]
    for code in SETTINGS["checks"]:
        found.pop(code, None)
    if public.member or public.is_error:
        # The example of a class shows its methods.
        found.pop("EX01", None)
    if fields(public.object) and "Attributes\n" in public.doc:
        # What a result is made of are attributes to users, who do not make it.
        found.pop("PR01", None)
    return found


def test_the_surface_is_all_there():
    names = {public.name for public in PUBLIC}
    assert {"lrpkeras.Analyzer.explain", "lrpkeras.rules.Epsilon", "lrpkeras.presets.get"} <= names
    assert len(names) == len(PUBLIC)


def test_no_public_docstring_lacks_a_section():
    found = {public.name: problems(public) for public in PUBLIC}
    assert {name: why for name, why in found.items() if why} == {}


def test_what_a_function_raises_is_documented():
    missing = {}
    for public in PUBLIC:
        section = public.doc.partition("Raises\n------\n")[2]
        named = set(re.findall(r"\w+", section.split("\n\n")[0]))
        lacking = public.raised - named - {"NotImplementedError"}
        if lacking and "LrpError" not in named:
            missing[public.name] = lacking
    assert missing == {}
