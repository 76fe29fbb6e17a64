"""What README and docstrings say is true, and complete."""

import concurrent.futures
import inspect
import logging
import re
import threading
import warnings
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.agreement import same_bits

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

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def test_the_code_of_the_readme_runs(capsys):
    training, definitions, simulation, sweep, replay = blocks(ROOT / "README.md", "python")
    names = {}
    exec(definitions.replace("jasgd.configure_cpu()", "pass"), names)  # the tests are configured already
    exec(training, names)
    result = names["result"]
    assert result.outcome == "finished"
    assert result.execution.commits == 2000
    assert result.execution.loss[-100:].mean() < 0.01 * result.execution.loss[0]
    printed = capsys.readouterr().out
    assert f"max {result.execution.staleness.max()}" in printed
    exec(replay, names)
    said = "version 2000: the same bits (2000 gradients, final parameters and optimizer state)"
    assert said in capsys.readouterr().out

    exec(simulation, names)
    assert abs(names["many"][0].execution.staleness.mean() - 30) < 2  # "some 30 updates stale"
    assert "finished" in capsys.readouterr().out
    exec(sweep.replace("range(8)", "range(6)").replace("[0.01, 0.02, 0.04, 0.08, 0.16, 0.32]", "[0.02]"), names)
    said = capsys.readouterr().out
    assert re.match(r"unequal, 32 workers: tail (is ahead|is behind|shows no clear difference)", said)
    assert re.search(r"^inverse (is ahead|is behind|shows no clear difference)", said, re.MULTILINE)
    assert {len(names["spectrum"].seeds), len(names["spectrum"].runs)} == {6, 6 * 5}  # with the controls


def test_the_front_page_is_short_and_its_first_screen_has_what_matters():
    text = (ROOT / "README.md").read_text()
    assert len(text.split()) <= 1336  # half of what it once had
    first = text.partition("## ")[0]
    assert first.count("![") == 1
    assert "pip install" in first
    (code,) = re.findall(r"```python\n(.*?)```", first, re.DOTALL)
    assert len([line for line in code.splitlines() if line]) == 5


def test_the_code_of_the_page_on_the_library_runs(capsys):
    page = ROOT / "docs" / "library.md"
    loop, simulation = blocks(page, "python")
    names = {}
    exec(loop, names)
    np.testing.assert_allclose(names["params"], 1 - 0.01 * 2 * np.ones(3), rtol=1e-6)
    assert int(names["state"][0].law.values[0]) == 3
    exec(simulation, names)
    assert [run.execution.commits for run in names["many"]] == [3000] * 3
    assert all(run.execution.staleness.mean() > 500 for run in names["many"])
    assert len(names["execution"]) == 5000
    assert capsys.readouterr().out.startswith("finished")
    columns = re.search(r"a row for each applied gradient \((.*?)\)", page.read_text(), re.DOTALL)
    for name in re.findall(r"`(\w+)`", columns[1]):
        assert len(getattr(names["execution"], name)) == 5000


def test_the_code_of_the_page_on_callbacks_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    level, names = logging.getLogger("jasgd").level, {}
    try:
        with warnings.catch_warnings():
            for block in blocks(ROOT / "docs" / "callbacks.md", "python"):
                exec(block, names)
                assert names["result"].outcome == "stopped", names["result"].message
    finally:
        logging.getLogger("jasgd").setLevel(level)
    assert "stopped the loss has not fallen below" in capsys.readouterr().out
    assert (tmp_path / "log.jsonl").read_text().count("\n") > 10
    assert list((tmp_path / "logs" / "one").iterdir())
    page = (ROOT / "docs" / "callbacks.md").read_text()
    named = {name for name in re.findall(r"`((?:train|staleness|timings)/\w+)`", page)}
    assert [set(numbers) for _, numbers in names["seen"] if "train/loss" in numbers][-1] == named
    methods = re.findall(r"^\| `(check|on_\w+)\(", page, re.MULTILINE)
    assert methods == [name for name in vars(jasgd.callbacks.Callback) if not name.startswith("_")]
    assert all(f"{name}`" in page for name in vars(warning_types) if name.endswith("Warning"))


def test_the_code_of_the_devices_page_runs(capsys):
    names = {}
    for block in blocks(ROOT / "docs" / "devices.md", "python"):
        exec(block, names)
        comments = re.findall(r"print\(.*\)  # (all .*)", block)
        assert capsys.readouterr().out.splitlines()[-1:] == comments


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


def test_the_page_on_checkpoints_runs(tmp_path, monkeypatch, capsys, caplog):
    monkeypatch.chdir(tmp_path)
    names = {}
    for code in blocks(ROOT / "docs" / "checkpoints.md", "python"):
        exec(code.replace("jasgd.configure_cpu()", "pass"), names)  # the tests are configured already
    assert capsys.readouterr().out == "[0, 1000]\n"
    assert "there is nothing in runs/mine to go on with: the run begins anew" in caplog.text
    assert names["longer"].execution.commits == 1500
    assert names["by_hand"].execution.ticket.min() == 1000
    assert jasgd.Checkpoints("runs/mine").path.is_dir()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_to_it(page):
    targets = [t for t in re.findall(r"\]\(([^)#]+)\)", page.read_text()) if "://" not in t]
    assert [t for t in targets if not (page.parent / t).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_name_of_the_package_that_a_page_mentions_exists(page):
    for name in re.findall(r"`jasgd\.(?!\w+ )([\w.]+)", page.read_text()):
        thing = jasgd
        for part in name.split("."):
            thing = getattr(thing, part)
    for path in re.findall(r"`((?:jasgd|tests|examples|docs|benchmarks)/[\w/.]*)`", page.read_text()):
        assert (ROOT / path).exists(), path


def test_the_code_of_the_page_on_simulation_says_what_32_workers_would_do(capsys):
    (code,) = blocks(ROOT / "docs" / "simulation.md", "python")
    names = {}
    exec(code, names)
    assert [run.execution.workers for run in names["many"]] == [32] * 3
    assert [run.execution.commits for run in names["many"]] == [1000] * 3
    assert all(run.execution.staleness.mean() > names["result"].execution.staleness.mean() for run in names["many"])
    first, second = [text for text in capsys.readouterr().out.split("finished: ") if text]
    assert "2 workers" in first
    assert "32 workers" in second


def test_the_scheme_of_the_contributing_page_trains():
    (code,) = [block for block in blocks(ROOT / "CONTRIBUTING.md", "python") if "class Newest" in block]
    names = {"jasgd": jasgd, "threading": threading}
    exec(code, names)
    tx = optax.chain(jasgd.staleness_adaptive(jasgd.rules.tail()), optax.sgd(0.1))
    result = jasgd.train(
        lambda w, batch: jnp.mean((w - batch) ** 2), jnp.zeros(3), tx, lambda ticket: np.ones(3, np.float32),
        scheme=names["Newest"], workers=3, steps=200,
    )  # fmt: skip
    assert result.outcome == "finished"
    assert result.execution.metadata["scheme"] == "newest"
    assert result.execution.loss[-1] < 0.01


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


def test_the_code_of_the_page_on_models_runs(capsys):
    names = {}
    for code in blocks(ROOT / "docs" / "models.md", "python"):
        exec(code, names)
    assert (
        names["result"].remarks[0].startswith("params are those that the optimizer updates; others are in opt_state[2]")
    )
    assert [int(names[name].model_state["count"]) for name in ("result", "averaged")] == [1000, 1000]
    first, last = names["result"].evaluations[0], names["result"].evaluations[-1]
    assert last["loss"] < 0.05 * first["loss"]
    assert last["newest"] != last["loss"]
    assert int(names["trained"].model_state["calls"]) == 50
    assert "1000\n" in capsys.readouterr().out


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
