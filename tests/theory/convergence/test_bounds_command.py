"""``python -m theory.bounds``: exit codes, tables, JSON and messages."""

import json

import pytest

from theory import bounds
from theory.convergence.theorem import NUMBERS
from theory.convergence.theorems import THEOREMS

TAIL = "def step_size(tau, F): return 2 - 2*F\n"
GIVEN = ["--L", "1", "--mu", "0.1", "--sigma", "1", "--delta", "1", "--steps", "1000"]


@pytest.fixture
def candidate(tmp_path):
    path = tmp_path / "tail.py"
    path.write_text(TAIL)
    return str(path)


def test_a_proved_bound_exits_with_0_and_prints_all_there_is(candidate, capsys):
    assert bounds.main([candidate, "--theorem", "pl", "--distribution", "poisson:8", *GIVEN]) == 0
    out = capsys.readouterr().out
    for part in ("E[C] = 1", "ASSUMED", "PROVED", "largest admissible step size", "value at η", "ours"):
        assert part in out


def test_json_has_enclosures_that_contain_the_value(candidate, capsys):
    argv = [candidate, "--theorem", "nonconvex", "--distribution", "constant:1", "--json", *GIVEN]
    assert bounds.main([*argv, "--step-size", "1/4"]) == 0
    theorem = json.loads(capsys.readouterr().out)["theorems"][0]
    # C = 1 under a constant law: 2/(K/4) + (1 + 1/2)/4
    assert theorem["value"] == ["383/1000", "383/1000"]
    # C(0) = 2 counts for C_max: commit 0 has staleness 0. 2/(2(1 + √5)) = 0.30901699437494742…
    assert theorem["largest_step_size"] == ["0.309016994374947", "0.309016994374948"]
    assert {a["verdict"] for a in theorem["assumptions"]} == {"ASSUMED", "PROVED"}


def test_a_step_size_above_the_largest_exits_with_1(candidate, capsys):
    argv = [candidate, "--theorem", "nonconvex", "--distribution", "constant:1", *GIVEN, "--step-size", "0.51"]
    assert bounds.main(argv) == 1
    assert "REFUTED" in capsys.readouterr().out


def test_infinite_moments_exit_with_2(tmp_path, capsys):
    path = tmp_path / "heavy.py"
    path.write_text("from theory import tau\nC = 2**(tau/2)\n")
    assert (
        bounds.main([str(path), "--theorem", "convex", "--distance", "1", "--distribution", "geometric:1/2", *GIVEN])
        == 2
    )
    assert "UNKNOWN" in capsys.readouterr().out


def test_all_applies_what_the_numbers_allow_and_names_what_is_missing(candidate, capsys):
    assert bounds.main([candidate, "--distribution", "uniform:0:4", "--json", *GIVEN]) == 0
    output = json.loads(capsys.readouterr().out)
    assert [t["theorem"] for t in output["theorems"]] == ["nonconvex", "nonconvex-sharp", "pl"]
    assert output["not_applied"]["convex"] == ["distance"]
    assert output["not_applied"]["trace"] == ["execution"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--theorem", "convex"], "convex needs --distance"),
        (["--theorem", "trace"], "evaluated on an execution"),
        (["--theorem", "asap"], "the keys are all, nonconvex"),
        (["--theorem", "pl", "--L", "zero"], "--L must be a decimal"),
        (["--theorem", "pl", "--mu", "0"], "--mu must be > 0"),
        (["--theorem", "pl", "--steps", "1.5"], "whole number"),
        (["--theorem", "pl", "--set", "a=1"], "a"),
        (["--theorem", "pl", "--distribution", "zipf:2"], "zipf"),
        (["--no-such-option"], "--no-such-option"),
    ],
)
def test_bad_input_exits_with_3_and_one_line(candidate, capsys, argv, message):
    assert bounds.main([candidate, "--distribution", "poisson:8", *GIVEN, *argv]) == 3
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize("law", ["poisson:3", "uniform:1:3", "constant:0", "geometric:1/2"])
@pytest.mark.parametrize(
    ("source", "codes"), [("C = 0", {1}), ("C = 1 - tau", {1}), ("C = 1/tau", {1, 3}), ("C = tau**2 + 1", {1})]
)
def test_what_no_theorem_covers_is_reported_and_does_not_crash(source, codes, law, tmp_path, capsys):
    path = tmp_path / "odd.py"
    path.write_text(f"from theory import tau\n{source}\n")
    zero = ["--sigma", "0", "--delta", "0", "--distance", "0"]
    rest = ["--L", "1", "--mu", "1", "--G", "1", "--M", "1", "--eps", "1", "--steps", "1000000000", "--workers", "1"]
    assert bounds.main([str(path), "--distribution", law, *zero, *rest, "--json"]) in codes
    printed = capsys.readouterr()
    if not printed.err:
        theorems = json.loads(printed.out)["theorems"]
        assert all("inf" not in t["largest_step_size"][0] for t in theorems if t["largest_step_size"])


def test_a_law_is_needed(candidate, capsys):
    assert bounds.main([candidate, "--theorem", "pl", *GIVEN]) == 3
    assert "a law is needed" in capsys.readouterr().err


def test_the_file_may_name_the_law(tmp_path, capsys):
    path = tmp_path / "named.py"
    path.write_text(TAIL + "distribution = 'uniform:0:3'\n")
    assert bounds.main([str(path), "--theorem", "pl", *GIVEN]) == 0
    assert "uniform:0:3" in capsys.readouterr().out


def test_beside_tails_best_amplitude_stands_the_best_truncated_line(candidate, capsys):
    argv = [candidate, "--theorem", "convex", "--distribution", "geometric:1/8", "--distance", "1", *GIVEN]
    bounds.main([*argv, "--step-size", "1/20"])
    out = " ".join(capsys.readouterr().out.split())
    # 1/20 with E[τ] = 7: constant has V = 1.7
    assert "the truncated line (1 − τ/θ)₊/E[(1 − T/θ)₊] with θ ≈ 35.3776 has the least: ≈ 1.6089505" in out
    assert "94.64 % of the constant's" in out


def test_without_numbers_each_theorem_says_in_a_line_what_it_needs_and_each_number_once_what_it_is(candidate, capsys):
    assert bounds.main([candidate, "--distribution", "poisson:8"]) == 3
    text = capsys.readouterr().err
    assert max(map(len, text.splitlines())) <= 100
    needs, _, meanings = text.partition("where\n")
    for key, theorem in THEOREMS.items():
        (line,) = [line for line in needs.splitlines() if line.split()[0] == key]
        named = {word.removeprefix("--") for word in line.split() if word.startswith("--")}
        assert named == {name for name in theorem.missing({}) if "execution" not in theorem.missing({})}
    assert meanings.count("smoothness L") == 1
    options = [line.split()[0] for line in meanings.splitlines()]
    assert options == [f"--{name}" for name in NUMBERS if name != "execution"]
