"""Bad options of a command are refused before a data set is looked for and before slow packages are imported.

The kind of fault: an error that can be known at once and comes after seconds of loading.
"""

import inspect
import json

import pytest
from support.python_process import run_python

import jasgd.problems.problem
from jasgd import schemes
from jasgd.cli.main import main
from jasgd.cluster.generation.scheme_names import SIMULATED
from jasgd.inputs import scheme_options

BAD = {
    "workers": (["train", "--workers", "0"], "--workers must be an integer ≥ 1, got 0"),
    "scheme": (["train", "--scheme", "leash"], "--scheme must be one of sequential, "),
    "scheme option": (["train", "--scheme", "leashed:foo=1"], "got 'foo'"),
    "scheme value": (["train", "--scheme", "leashed:persistence=-1"], "persistence must be an integer ≥ 0"),
    "scheme reading": (["train", "--scheme", "locked:reading=view"], "reading must be 'copy', "),
    "native": (["train", "--scheme", "hogwild:native=maybe"], "native must be true, false or none"),
    "native value": (["train", "--scheme", "hogwild:native=true,max_staleness=-1"], "max_staleness must be an integer"),
    "sequential": (["train", "--scheme", "sequential", "--workers", "2"], "--workers must be 1 for the scheme"),
    "rule": (["train", "--rule", "nonsense"], "rule must be one of constant, "),
    "rule option": (["train", "--rule", "tail:cfd=mid"], "got 'cfd'"),
    "rule value": (["train", "--rule", "tail:cdf=middle"], "cdf must be "),
    "law": (["train", "--law", "window:length=0"], "length must be an integer ≥ 1"),
    "rate": (["train", "--learning-rate", "nan"], "--learning-rate must be a finite number > 0, got nan"),
    "momentum": (["train", "--momentum", "1"], "--momentum must lie in [0, 1), got 1.0"),
    "adam": (["train", "--optimizer", "adam", "--momentum", "0.5"], "--momentum goes with the optimizer sgd"),
    "steps": (["train", "--steps", "0"], "--steps must be an integer ≥ 1, got 0"),
    "epochs": (["train", "--epochs", "0"], "--epochs must be an integer ≥ 1, got 0"),
    "time": (["train", "--time-limit-s", "nan"], "--time-limit-s must be > 0 seconds, got nan"),
    "target": (["train", "--target-loss", "inf"], "--target-loss must be a finite number, got inf"),
    "evaluations": (["train", "--evaluate-every-s", "0"], "--evaluate-every-s must be > 0 seconds, got 0.0"),
    "batch": (["train", "--batch-size", "0"], "--batch-size must be an integer ≥ 1, got 0"),
    "seed": (["train", "--seed", "-1"], "--seed must be an integer ≥ 0, got -1"),
    "test images": (["train", "--test-examples", "0"], "--test-examples must be an integer ≥ 1, got 0"),
    "compare workers": (["compare", "--workers", "0"], "--workers must be an integer ≥ 1, got 0"),
    "compare scheme": (["compare", "--scheme", "leashed:persistence=-1"], "persistence must be an integer ≥ 0"),
    "compare arm": (["compare", "--arms", "tail", "nonsense"], "rule must be one of constant, "),
    "compare twice": (["compare", "--arms", "tail", "tail"], "each once"),
    "compare seeds": (["compare", "--seeds", "-1"], "--seeds must be one or more integers ≥ 0"),
    "compare law": (["compare", "--law", "windows"], "--law must be one of window, "),
    "cluster": (["simulate", "--compute", "nonsense"], "a duration must be a number of seconds or one of"),
    "speeds": (["simulate", "--speeds", "gamma:mean_s=2,shape=1"], "speeds must have mean 1"),
    "simulate arm": (["simulate", "--arms", "tail:cdf=middle"], "cdf must be "),
    "simulate scheme": (["simulate", "--scheme", "k_of_n"], "needs the option k"),
    "simulated": (["simulate", "--scheme", "lokced"], "--scheme must be one of sequential, "),
    "simulate workers": (["simulate", "--workers", "0"], "--workers must be one or more integers ≥ 1"),
    "simulate steps": (["simulate", "--steps", "0"], "--steps must be an integer ≥ 1, got 0"),
    "simulate batch": (["simulate", "--batch-size", "0"], "--batch-size must be an integer ≥ 1, got 0"),
    "simulate momentum": (["simulate", "--momentum", "-1"], "--momentum must lie in [0, 1), got -1.0"),
    "replay": (["replay", "nowhere"], "folder must be one of a run of jasgd train or compare, got nowhere"),
}  # fmt: skip

#: Refused by ``compare`` itself, in the same order.
LATE = {
    "compare rule value": (["compare", "--arms", "tail:cdf=middle"], "cdf must be "),
    "compare rate": (["compare", "--learning-rate", "-1"], "--learning-rate must be a finite number > 0, got -1.0"),
}

SCRIPT = """
import json, sys
from jasgd.cli.main import main
answers = {}
for name, arguments in json.loads(open(sys.argv[1]).read()).items():
    answers[name] = [main(arguments), sorted({"flax", "sklearn", "matplotlib"} & set(sys.modules))]
print(json.dumps(answers))
"""


def test_bad_options_exit_with_2_before_anything_slow_is_imported(tmp_path):
    """In a process of its own, since here all is imported; in one for all, since starting one takes seconds."""
    (tmp_path / "cases.json").write_text(json.dumps({name: arguments for name, (arguments, _) in BAD.items()}))
    process = run_python("-c", SCRIPT, tmp_path / "cases.json", cwd=tmp_path, env={"JASGD_DATA_DIR": str(tmp_path)})
    assert json.loads(process.stdout) == {name: [2, []] for name in BAD}
    lines = process.stderr.splitlines()
    assert len(lines) == len(BAD), process.stderr
    for line, (name, (_, message)) in zip(lines, BAD.items(), strict=True):
        assert line.startswith("jasgd: "), name
        assert message in line, name
    assert [file.name for file in tmp_path.rglob("*") if file.is_file()] == ["cases.json"]


#: What was mistyped is refused before JAX is imported, which takes the most of a second.
MISTYPED = ["scheme", "scheme option", "rule", "rule option", "rule value", "compare arm", "simulate arm", "simulated"]
BEFORE_JAX = {name: case for name, case in BAD.items() if name in MISTYPED}
ONLY_JAX = "import json, sys; from jasgd.cli.main import main; " + (
    "print(json.dumps([[main(one), 'jax' in sys.modules] for one in json.loads(sys.argv[1])]))"
)


def test_what_is_mistyped_is_refused_before_jax_is_imported():
    assert list(BEFORE_JAX) == MISTYPED
    answer = run_python("-c", ONLY_JAX, json.dumps([arguments for arguments, _ in BEFORE_JAX.values()]))
    assert dict(zip(BEFORE_JAX, json.loads(answer.stdout), strict=True)) == {name: [2, False] for name in BEFORE_JAX}


def test_the_options_that_are_checked_early_are_those_that_schemes_have():
    def names(kind):
        return tuple(name for name in inspect.signature(kind).parameters if name not in ("setup", "run"))

    assert {name: names(kind) for name, kind in schemes.SCHEMES.items()} == scheme_options.THREADED
    assert {name: names(kind) for name, kind in SIMULATED.items()} == scheme_options.SIMULATED


@pytest.mark.parametrize("name", LATE)
def test_bad_options_are_refused_before_the_data_set_is_loaded(name, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(jasgd.problems.problem, "load_dataset", lambda *_: pytest.fail("the data set was loaded"))
    arguments, message = LATE[name]
    assert main([*arguments, "--out", str(tmp_path / "run")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["train", "compare", "simulate"])
def test_a_folder_that_cannot_be_written_is_refused_before_the_data_set_is_loaded(
    command, capsys, tmp_path, monkeypatch
):
    monkeypatch.setattr(jasgd.problems.problem, "load_dataset", lambda *_: pytest.fail("the data set was loaded"))
    (tmp_path / "file").write_text("in the way")
    assert main([command, "--no-plots", "--out", str(tmp_path / "file" / "run")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("jasgd: ")
    assert str(tmp_path / "file") in error


def test_what_is_wrong_with_the_folder_of_a_run_is_said_before_the_data_set_is_loaded(capsys, tmp_path, monkeypatch):
    run = tmp_path / "run"
    assert main(["train", "--steps", "3", "--workers", "1", "--no-plots", "--json", "--out", str(run)]) == 0
    capsys.readouterr()
    monkeypatch.setattr(jasgd.problems.problem, "load_dataset", lambda *_: pytest.fail("the data set was loaded"))
    assert main(["replay", str(run), "--upto", "4"]) == 2
    assert "--upto must be an integer in 0…3" in capsys.readouterr().err
    (run / "execution.npz").unlink()
    assert main(["replay", str(run)]) == 2
    assert "execution.npz" in capsys.readouterr().err
