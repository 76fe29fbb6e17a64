"""What README, pages and docstrings say is true, and complete; that their code runs, Sybil tests (conftest.py)."""

import concurrent.futures
import inspect
import re
import threading

import jax.numpy as jnp
import optax
import pytest
from support.agreement import same_bits
from support.pages import COMMENT, PAGES, ROOT, blocks
from sybil import Document
from sybil.parsers.markdown import PythonCodeBlockParser

import jasgd
from jasgd import cluster, data, fits, problems, report, rules, schemes, staleness, warning_types
from jasgd.cluster import parsing
from jasgd.experiments import arms, comparison, conclusions, spectrum
from jasgd.inputs import specs
from jasgd.record import truncation
from jasgd.replaying import nonfinite, replayer
from jasgd.rules import parsing as rules_in_text
from jasgd.schemes import factories
from jasgd.simulating import simulator


def test_the_front_page_is_short_and_its_first_screen_has_what_matters():
    text = COMMENT.sub("", (ROOT / "README.md").read_text())
    assert len(text.split()) <= 1336  # half of what it once had
    first = text.partition("## ")[0]
    assert first.count("![") == 1
    assert "pip install" in first
    (code,) = re.findall(r"```python\n(.*?)```", first, re.DOTALL)
    assert len([line for line in code.splitlines() if line]) == 5


def test_the_page_on_the_library_names_the_columns_of_an_execution():
    page = (ROOT / "docs" / "library.md").read_text()
    columns = re.findall(r"`(\w+)`", re.search(r"a row for each applied gradient \((.*?)\)", page, re.DOTALL)[1])
    assert columns == list(jasgd.Execution.__annotations__)[: len(columns)]
    assert columns[-1] == "time_s"


def test_the_page_on_callbacks_names_all_methods_and_warnings():
    page = (ROOT / "docs" / "callbacks.md").read_text()
    methods = re.findall(r"^\| `(check|on_\w+)\(", page, re.MULTILINE)
    assert methods == [name for name in vars(jasgd.callbacks.Callback) if not name.startswith("_")]
    assert all(f"{name}`" in page for name in vars(warning_types) if name.endswith("Warning"))


def test_every_block_of_python_that_a_reader_sees_is_run():
    seen, run, skipped = {}, {}, 0
    for page in PAGES:
        document = Document.parse(str(page), PythonCodeBlockParser())
        texts = [document.text[example.start : example.end] for example in document.examples()]
        seen[page.name] = len(blocks(page, r"\w*py\w*"))
        run[page.name] = sum(text.startswith("```") for text in texts)
        skipped += len(re.findall(r'^<!--- skip: next "[\w ,]+" -->$', page.read_text(), re.MULTILINE))
        assert page.read_text().count("<!--- skip") == page.read_text().count("<!--- skip: next"), page
    assert run == seen
    assert sum(run.values()) > 35
    assert skipped <= 2


def test_the_commands_of_the_readme_are_commands():
    from jasgd.cli.compare import Compare
    from jasgd.cli.datasets import Datasets
    from jasgd.cli.replay import Replay
    from jasgd.cli.report import Report
    from jasgd.cli.simulate import Simulate
    from jasgd.cli.train import Train

    known = {
        f"--{name.replace('_', '-')}"
        for command in (Train, Compare, Simulate, Replay, Report, Datasets)
        for name in inspect.signature(command).parameters
    }
    lines = [line for block in blocks(ROOT / "README.md", "sh") for line in block.splitlines()]
    ours = [line.split() for line in lines if line.startswith("jasgd")]
    assert [words[1] for words in ours] == ["train", "compare", "simulate", "replay", "report", "datasets", "verify"]
    for words in ours:
        assert {word for word in words if word.startswith("--")} <= known
    targets = [line.split()[1] for line in lines if line.startswith("make ")]
    assert all(re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE) for target in targets)
    assert targets == ["demo", "test"]


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=lambda page: page.name)
def test_every_name_of_the_package_that_a_page_mentions_exists(page):
    for name in re.findall(r"`jasgd\.(?!\w+ )([\w.]+)", page.read_text()):
        thing = jasgd
        for part in name.split("."):
            thing = getattr(thing, part)
    for path in re.findall(r"`((?:jasgd|tests|examples|docs|benchmarks)/[\w/.]*)`", page.read_text()):
        assert (ROOT / path).exists(), path


def public_functions():
    """Everything that users call: functions by name, and the classes' own public methods."""
    functions = {}
    modules = (jasgd, rules, schemes, problems, report, fits, data, comparison, specs, replayer, cluster, parsing)
    modules = (*modules, rules_in_text, factories, staleness)
    for module in (*modules, arms, conclusions, nonfinite, simulator, spectrum, truncation):
        names = getattr(module, "__all__", None) or [n for n in vars(module) if not n.startswith("_")]
        for name in names:
            thing = getattr(module, name)
            exported = hasattr(module, "__all__") or getattr(thing, "__module__", "") == module.__name__
            if inspect.isfunction(thing) and exported:
                functions[f"{thing.__module__}.{name}"] = thing
    return functions


@pytest.mark.parametrize("name", public_functions())
def test_every_public_function_says_what_it_takes_gives_and_shows(name):
    function = public_functions()[name]
    text = inspect.getdoc(function)
    assert text, name
    first = text.splitlines()[0]
    assert len(first) <= 120
    assert first.rstrip()[-1] in ".:,"
    parameters = [p for p in inspect.signature(function).parameters if p != "self"]
    if "\n" not in text:  # one line is enough for the models, which share a signature, and for what is hardly public
        assert function in {*fits.MODELS.values(), rules_in_text.canonical}
        return
    sections = re.findall(r"^(Args|Returns|Raises|Example|Source):", text, re.MULTILINE)
    assert len(sections) == len(set(sections))
    missing = [p for p in parameters if not re.search(rf"^\s+\**{p}(, |:)", text, re.MULTILINE)]
    assert missing == []
    assert "Returns:" in text
    assert "Example:" in text


def test_mini_batches_made_ahead_as_the_page_on_the_start_does_are_the_same_and_leave_no_thread():
    _, _, code = blocks(ROOT / "docs" / "start.md", "python")
    made = []

    def make(ticket):
        made.append(ticket)
        if ticket == failing:
            raise OSError(f"ticket {ticket} cannot be read")
        return jnp.float32(ticket)

    names = {
        "jasgd": jasgd, "concurrent": concurrent, "threading": threading, "make": make, "params": jnp.zeros(3),
        "loss_fn": lambda w, b: jnp.mean((w - b / 1000) ** 2), "tx": optax.sgd(0.1),
    }  # fmt: skip
    before, failing = threading.active_count(), -1
    exec(
        code.replace("jasgd.train(", "result = jasgd.train(").replace("workers=2", "workers=1, scheme='sequential'"),
        names,
    )
    plain = jasgd.train(
        *(names[name] for name in ("loss_fn", "params", "tx")), make, workers=1, scheme="sequential", steps=1_000
    )
    assert same_bits(names["result"].params, plain.params)
    assert max(made) <= 1_000 + 8
    failing = 500
    with pytest.raises(jasgd.TrainingError, match="ticket 500 cannot be read"):
        exec(code, names)
    assert threading.active_count() == before
