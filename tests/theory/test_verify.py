"""The commands: tables and JSON, exit codes, certificates, repairs, parameters."""

import json
import subprocess
import sys

import pytest

from theory import check, verify

pytestmark = pytest.mark.newest

HEAD = "from theory import tau\nimport sympy\n"
CONDITIONS = ["defined", "positive", "decreasing", "magnitude", "amplitude", "moments"]


@pytest.fixture
def file(tmp_path):
    def write(source):
        path = tmp_path / "my_fn.py"
        path.write_text(HEAD + source)
        return str(path)

    return write


def decided(capsys, *arguments):
    code = verify.main([*arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_json_has_the_six_conditions_with_verdict_and_evidence(file, capsys):
    code, data = decided(capsys, file("C = 1 / (1 + tau)"), "--distribution", "poisson:8")
    assert code == 1
    assert list(data["conditions"]) == CONDITIONS
    assert data["conditions"]["magnitude"]["verdict"] == "REFUTED"
    assert data["conditions"]["decreasing"]["verdict"] == "PROVED"
    assert all(entry["evidence"] for entry in data["conditions"].values())


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("C = 1 + 0 * tau", 0),
        ("C = 1 / (1 + tau)", 1),
        ("C = sympy.erfc(tau)", 2),
        ("C = 1 / (1 + sympy.Symbol('q'))", 3),
    ],
)
def test_exit_codes(file, source, code, capsys):
    assert verify.main([file(source)]) == code
    printed = capsys.readouterr()
    assert bool(printed.err) == (code == 3)


def test_bad_options_are_bad_input(file, capsys):
    assert verify.main([]) == 3
    assert verify.main([file("C = 1"), "--distribution", "gauss:1"]) == 3
    assert verify.main([file("C = 1"), "--set", "beta"]) == 3
    assert verify.main([file("C = 1"), "--set", "beta=2"]) == 3
    assert verify.main(["--help"]) == 0
    assert "is run" in capsys.readouterr().out  # that a candidate is code is said


def test_several_laws_give_the_worst_verdict_and_each_laws_own(file, capsys):
    source = "C = sympy.Piecewise((2, tau < 1), (sympy.Rational(2, 3), True))"
    _, data = decided(capsys, file(source), "--distribution", "geometric:1/4", "--distribution", "geometric:1/2")
    magnitude = data["conditions"]["magnitude"]
    assert [law["verdict"] for law in magnitude["laws"]] == ["PROVED", "REFUTED"]
    assert magnitude["verdict"] == "REFUTED"
    assert magnitude["evidence"].startswith("under geometric:1/2")


def test_where_only_magnitude_fails_the_normalised_function_is_offered_with_its_verdicts(file, capsys):
    _, data = decided(capsys, file("C = 1 / (1 + tau)\namplitude = 8"), "--distribution", "poisson:8")
    (repair,) = data["repairs"]
    low, high = map(float, repair["divide_by"])
    assert low <= (1 - 2.718281828459045**-8) / 8 <= high
    assert {entry["verdict"] for entry in repair["conditions"].values()} == {"PROVED"}


def test_parameters_come_from_file_and_command(file, tmp_path, capsys):
    path = file("C = sympy.exp(-sympy.Symbol('beta') * tau)\nparameters = {'beta': (None, None)}")
    _, data = decided(capsys, path)
    assert data["conditions"]["decreasing"]["verdict"] == "REFUTED"  # not for every real beta
    _, data = decided(capsys, path, "--set", "beta=0,")
    assert data["conditions"]["decreasing"]["verdict"] == "PROVED"
    (tmp_path / "p.json").write_text('{"beta": "-1/2"}')
    _, data = decided(capsys, path, "--parameters", str(tmp_path / "p.json"))
    assert data["conditions"]["decreasing"]["verdict"] == "REFUTED"
    _, data = decided(capsys, path, "--parameters", str(tmp_path / "p.json"), "--set", "beta=0.5")
    assert data["conditions"]["decreasing"]["verdict"] == "PROVED"


def test_a_time_limit_gives_unknown(file, capsys):
    one_by_one = file("C = 1 / (1 + tau % 7)")  # it has no Taylor series on a stretch
    code, data = decided(capsys, one_by_one, "--distribution", "uniform:0:2000000", "--limit-s", "0.05")
    assert data["conditions"]["magnitude"]["verdict"] == "UNKNOWN"
    assert "0.05 s" in data["conditions"]["magnitude"]["evidence"]
    assert code in (1, 2)  # that it rises from τ = 6 to 7 is found in time, or not


def test_the_table_names_verdicts_and_laws(file, capsys):
    verify.main([file("C = 1 / (1 + tau)"), "--distribution", "poisson:8"])
    printed = capsys.readouterr().out
    for word in ("1/(1 + τ)", "poisson:8", "PROVED", "REFUTED", "magnitude", "Repair"):
        assert word in printed


def test_a_certificate_is_verified_by_another_process_without_sympy(file, tmp_path):
    certificate = str(tmp_path / "c.json")
    verify.main([file("C = 1 / (1 + tau)"), "--distribution", "poisson:8", "--certificate", certificate])
    program = (
        "import sys; from theory import check; code = check.main(sys.argv[1:]);"
        "bad = {'sympy', 'theory.decisions.conditions', 'theory.candidates.candidate', 'theory.formulas.from_sympy'};"
        "bad &= set(sys.modules);"
        "print(sorted(bad)); sys.exit(code)"
    )
    ran = subprocess.run([sys.executable, "-c", program, certificate], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "12 claims verified" in ran.stdout
    assert ran.stdout.strip().endswith("[]")


def test_a_certificate_that_was_changed_is_rejected(file, tmp_path, capsys):
    certificate = tmp_path / "c.json"
    verify.main([file("C = 1 / (1 + tau)"), "--certificate", str(certificate)])
    certificate.write_text(certificate.read_text().replace("bounds", "composition"))
    assert check.main([str(certificate)]) == 1
    assert "REJECTED" in capsys.readouterr().out
    certificate.write_text("{")
    assert check.main([str(certificate)]) == 3


@pytest.mark.parametrize("name", ["inverse", "exponential", "tail", "piecewise", "jumps_back"])
def test_the_example_files_are_decided_as_they_say(name, capsys):
    code, data = decided(capsys, f"examples/step_sizes/{name}.py")
    verdicts = {key: entry["verdict"] for key, entry in data["conditions"].items()}
    refuted = {
        "inverse": {"magnitude"},
        "exponential": {"magnitude"},
        "tail": set(),
        "piecewise": set(),
        "jumps_back": {"decreasing", "magnitude"},
    }[name]
    assert verdicts == {key: "REFUTED" if key in refuted else "PROVED" for key in CONDITIONS}
    assert code == (1 if refuted else 0)
