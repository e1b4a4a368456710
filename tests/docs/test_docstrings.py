"""Every public docstring is complete: parameters, what is returned and raised, source, example."""

import inspect
import re
import tomllib

from code_blocks import ROOT
from numpydoc.validate import get_doc_object, validate
from public_surface import fields, surface

from lrpkeras import evaluate, presets, rules

SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"][
    "numpydoc_validation"
]
PUBLIC = list(surface())
# A paper or a library, as "[Bach et al. 2015, eq. 60]" or "[zennit's EpsilonPlus]".
SOURCE = re.compile(r"\[[^\]]*(\d{4}|zennit|iNNvestigate)[^\]]*\]|References\n-----")
# Rules of no paper's: what every implementation does, and what is left when none fits.
CONVENTIONS = {"Adjoint", "Equal", "Proportional", "Ties", "Uniform", "Winner"}


def problems(public):
    """What numpydoc has against a docstring, but for the checks that pyproject.toml turns off."""
    found = dict(validate(get_doc_object(public.object))["errors"])
    assert "all" in SETTINGS["checks"]
    for code in SETTINGS["checks"]:
        found.pop(code, None)
    if public.member or public.is_error:
        # The example of a class shows its methods.
        found.pop("EX01", None)
    if fields(public.object) and "Attributes\n" in public.doc:
        # What a result is made of are attributes to users, who do not make it.
        found.pop("PR01", None)
    if found.get("PR02") == "Unknown parameters {'cls'}":
        # numpydoc takes every first parameter of this name for that of a class method.
        del found["PR02"]
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


def test_every_rule_preset_and_measure_says_where_it_is_from():
    measures = [name for name in evaluate.__all__ if inspect.isfunction(getattr(evaluate, name))]
    kinds = [name for name in rules.__all__ if getattr(getattr(rules, name), "kinds", ())]
    own = {name: getattr(evaluate, name) for name in measures}
    own |= {name: getattr(rules, name) for name in kinds} | presets.REGISTRY
    texts = {name: inspect.getdoc(found) for name, found in own.items()}
    assert {name for name, text in texts.items() if not SOURCE.search(text)} == CONVENTIONS


def test_the_api_pages_show_all_that_is_public():
    pages = (ROOT / "docs" / "api").glob("*.md")
    shown = {name for page in pages for name in re.findall(r"^::: (\S+)", page.read_text(), re.M)}
    places = {
        p.name: {p.name, p.name.rpartition(".")[0], p.object.__module__}
        for p in PUBLIC
        if not p.member
    }
    assert [name for name, where in places.items() if not where & shown] == []
