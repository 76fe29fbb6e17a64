"""With a file, a certificate has to be about what the file says; without one its formula is printed."""

import json
import os
import subprocess
import sys

import pytest

from theory import check, verify

HEAD = "from sympy import *\nfrom theory import tau\n"
SOURCE = (
    HEAD
    + """
b = Symbol('b')
C = b / (1 + tau)
parameters = {'b': (0, 1)}
distribution = ['poisson:8', 'constant:3']
"""
)
OTHERS = {  # what was changed, and the field that is named
    "another constant": ("1 + tau", "2 + tau", "the formula is C(τ) = b/(1 + τ)"),
    "a term that nearly vanishes": ("b / (1 + tau)", "b / (1 + tau) + Rational(1, 10**30)", "the formula"),
    "another range": ("(0, 1)", "(0, 2)", "the parameters"),
    "another parameter": ("'b'", "'c'", "the formula"),
    "a parameter that is fixed": ("(0, 1)", "1/2", "question 0: the "),
    "another law": ("'poisson:8'", "'poisson:9'", "the law is ['poisson', '8']"),
    "fewer laws": (", 'constant:3'", "", "the law is ['constant', '3']"),
    "a larger amplitude": ("parameters =", "amplitude = 2\nparameters =", "the amplitude is 1"),
    "a smaller amplitude": ("parameters =", "amplitude = 0.999\nparameters =", "the amplitude is 1"),
    "what cannot be read": ("b / (1 + tau)", "b * erfc(tau)", "no formula was read"),
}


@pytest.fixture
def checked(tmp_path, capsys):
    """A function that checks the certificate of ``SOURCE``, against another text; gives code and words."""
    file, path = tmp_path / "my_fn.py", tmp_path / "c.json"
    file.write_text(SOURCE)
    assert verify.main([str(file), "--certificate", str(path)]) == 1
    capsys.readouterr()

    def of(source=None, *options):
        file.write_text(SOURCE if source is None else source)
        code = check.main([str(path), str(file), *options])
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    of.path, of.file = path, file
    return of


def test_the_file_that_it_was_made_of_is_what_it_is_about(checked):
    code, said = checked()
    assert (code, "all about what" in said) == (0, True)
    assert "under poisson:8" in said
    assert checked(SOURCE + "# a remark\nunused = 1\n")[0] == 0


@pytest.mark.parametrize(("old", "new", "named"), OTHERS.values(), ids=OTHERS)
def test_another_file_is_not(checked, old, new, named):
    assert old in SOURCE
    code, said = checked(SOURCE.replace(old, new))
    assert (code, "REJECTED" in said) == (1, True)
    assert named in said


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--distribution", "poisson:8", "--distribution", "constant:3"], 0),
        (["--distribution", "poisson:8"], 1),
        (["--set", "b=0,1"], 0),
        (["--set", "b=0,1/2"], 1),
        (["--set", "b=0.5"], 1),
        (["--set", "c=1"], 3),
        (["--distribution", "gauss:1"], 3),
    ],
)  # fmt: skip
def test_the_options_of_verify_count(checked, options, code):
    assert checked(None, *options)[0] == code


def test_the_domain_is_bound_as_well(tmp_path, capsys):
    file, path = tmp_path / "c.py", str(tmp_path / "c.json")
    file.write_text(HEAD + "C = 1 / (1 + tau)\ndomain = (0, 5)\n")
    verify.main([str(file), "--certificate", path])
    assert check.main([path, str(file)]) == 0
    file.write_text(file.read_text().replace("5", "6"))
    assert check.main([path, str(file)]) == 1
    assert "the domain is [0, 5]" in capsys.readouterr().out


def test_a_file_that_cannot_be_read_is_bad_input(checked, capsys):
    assert checked("C = (")[0] == 3
    checked.file.unlink()
    assert check.main([str(checked.path), str(checked.file)]) == 3
    assert str(checked.file) in capsys.readouterr().err


def test_without_a_file_the_formula_is_printed_as_what_was_checked(checked, capsys):
    assert check.main([str(checked.path)]) == 0
    said = capsys.readouterr().out
    assert (
        "checked: C(τ) = b/(1 + τ), under poisson:8, for τ ≥ 0, with amplitude 1, b in (0, 1): defined PROVED" in said
    )
    assert "which file says so was not asked" in said


def test_a_certificate_of_a_rule_and_of_f_is_bound_as_well(tmp_path, capsys):
    path = str(tmp_path / "c.json")
    verify.main(["jasgd.rules:tail", "--certificate", path])
    assert check.main([path, "jasgd.rules:tail"]) == 0
    assert "F the mid distribution function" in capsys.readouterr().out
    for other in ("jasgd.rules:tail:cdf=strict", "jasgd.rules:tail:amplitude=0.5", "jasgd.rules:constant"):
        assert check.main([path, other]) == 1


def test_what_is_recorded_as_source_binds_nothing(checked, tmp_path):
    from theory.formulas.writing import digest

    data = json.loads(checked.path.read_text())
    data["candidate"]["source"] = SOURCE.replace("1 + tau", "2 + tau")
    data["sha256"] = digest({key: value for key, value in data.items() if key != "sha256"})
    checked.path.write_text(json.dumps(data))
    assert checked()[0] == 0
    assert checked(data["candidate"]["source"])[0] == 1


def test_a_file_is_read_to_the_same_formula_in_every_process(checked):
    command = [sys.executable, "-m", "theory.check", str(checked.path), str(checked.file)]
    other = {**os.environ, "PYTHONHASHSEED": "1234"}  # the order of sets, which SymPy has many of
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, env=other)
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_decided_gives_a_certificate_that_does_not_pass(tmp_path, capsys):
    file, path = tmp_path / "c.py", str(tmp_path / "c.json")
    file.write_text(HEAD + "C = erfc(tau)\n")
    assert verify.main([str(file), "--certificate", path]) == 2
    assert "claims nothing" in capsys.readouterr().err
    assert check.main([path]) == 1
    assert "nothing is verified" in capsys.readouterr().out
