"""Every public name is on a page of the reference, with words that say what it is."""

import importlib
import inspect
import re
import sys
import types

import pytest
from support.pages import ROOT

sys.path.insert(0, str(ROOT / "docs" / "_site"))
from public_names import comment_on, exported, members, modules

METHODS = (property, classmethod, staticmethod, types.FunctionType)


def test_the_reference_has_a_page_for_every_public_module():
    listed = re.findall(r"^   ((?:jasgd|theory)[\w.]*)$", (ROOT / "docs" / "api.rst").read_text(), re.MULTILINE)
    assert listed == modules()
    assert len(listed) > 10


@pytest.mark.parametrize("module", modules())
def test_every_public_name_is_described(module):
    assert members(module)
    assert [member["name"] for member in members(module) if not member["text"].strip()] == []


@pytest.mark.parametrize("module", modules())
def test_every_public_method_is_described(module):
    silent = []
    for name in exported(module):
        value = getattr(importlib.import_module(module), name)
        for method, function in vars(value).items() if inspect.isclass(value) else ():
            if method.startswith("_") or not isinstance(
                function, property | classmethod | staticmethod | type(exported)
            ):
                continue
            if not inspect.getdoc(function if isinstance(function, property) else getattr(value, method)):
                silent.append(f"{name}.{method}")
    assert silent == []


def test_a_name_is_described_on_the_page_of_the_first_module_that_exports_it():
    where = {module: {member["name"]: member["where"] for member in members(module)} for module in modules()}
    assert where["jasgd.cluster"]["Cluster"] == "jasgd"
    assert all(set(names.values()) == {"jasgd"} for module, names in where.items() if module == "jasgd")


def test_what_has_no_docstring_is_described_by_the_comment_above_it():
    assert comment_on("jasgd.rules", "RULES").startswith("Every rule that can be asked for by name")
    assert comment_on("jasgd.rules", "tail") == ""
