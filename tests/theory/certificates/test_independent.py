"""The second checker: it stands alone, confirms what holds, and never what does not."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.forged_certificates import BASES, VARIANTS, altered, made

from theory import check
from theory.candidates.loading import loads
from theory.certificates import independent
from theory.certificates.certificate import certificate as certified
from theory.certificates.independent import CONFIRMED, CONTRADICTED, NOT_FOLLOWED, Question, judge
from theory.decisions.decision import decide

FOLDER = Path(independent.__file__).parent
FILES = [FOLDER / "independent.py", *sorted((FOLDER / "second_checker").glob("*.py"))]
FALSE = [  # a formula, and a condition that it does not meet
    ("tau", "positive"),
    ("2 - Piecewise((tau, tau < 3), (2, True))", "positive"),
    ("Piecewise((1, tau < 2500), (2, True))", "decreasing"),
    ("(tau - 2000)**2", "decreasing"),
    ("1 / (1 + tau) + (-1)**tau / 10**4", "decreasing"),
    ("1 / (tau - 2500)", "defined"),
    ("tau / tau - tau / (tau**2)", "defined"),
    ("2 + 1 / (1 + tau)", "amplitude"),
    ("1 - 1 / 10**9", "magnitude"),
    ("log(2 + tau)", "moments"),
    ("tau**2 / (1 + tau)", "moments"),
]


def question(formula, law=None, **other):
    fixed = {"cdf": "mid", "domain": [0, None], "amplitude": "1", "parameters": {}, "law": law}
    return Question({"formula": formula, **fixed, **other})


def formula_of(text):
    from theory.formulas.writing import to_json

    return to_json(loads(f"from sympy import *\nfrom theory import tau\nC = {text} + 0 * tau").formula)


def claim(condition, verdict="PROVED", **evidence):
    return {"condition": condition, "verdict": verdict, "evidence": evidence}


@pytest.mark.parametrize("path", FILES, ids=[path.name for path in FILES])
def test_it_imports_the_standard_library_and_mpmath_alone(path):
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module)
    own = ("second_checker.", "theory.certificates.second_checker.")
    others = {name.partition(".")[0] for name in names if not name.startswith(own)}
    assert others - set(sys.stdlib_module_names) <= {"mpmath"}
    assert "importlib" not in others
    assert "__import__" not in path.read_text()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """Certificates on disk, by their names."""
    folder = tmp_path_factory.mktemp("certificates")
    paths = {}
    for name in BASES:
        paths[name] = folder / f"{name}.json"
        paths[name].write_text(json.dumps(made(name)))
    return paths


def test_it_runs_as_a_file_where_nothing_of_the_prover_can_be_imported(certificates, tmp_path):
    blocked = (
        "import runpy, sys\n"
        "class Blocked:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name.partition('.')[0] in ('theory', 'jasgd', 'sympy', 'flint', 'jax', 'numpy'):\n"
        "            raise AssertionError(name)\n"
        "sys.meta_path.insert(0, Blocked())\n"
        f"sys.path[0] = {str(FOLDER)!r}\n"
        f"sys.argv = ['independent.py', *{[str(path) for path in certificates.values()]!r}]\n"
        "runpy.run_path(sys.path[0] + '/independent.py', run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", blocked], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    firsts = [line for line in done.stdout.splitlines() if line.startswith(str(tmp_path.parent))]
    assert len(firsts) == len(certificates)
    assert all(line.endswith(" 0 contradicted") for line in firsts)


@pytest.mark.parametrize(("text", "condition"), FALSE, ids=[" ".join(row[::-1]) for row in FALSE])
@pytest.mark.parametrize("probed", [True, False])
def test_what_does_not_hold_is_not_confirmed(monkeypatch, text, condition, probed):
    if not probed:  # the arguments alone have to be sound
        monkeypatch.setattr(independent, "probe", lambda *_: None)
    assert judge(question(formula_of(text)), claim(condition))[0] != CONFIRMED


def test_what_cancels_is_undefined_all_the_same():
    to_minus_one = [["number", "-1"]]
    twice = ["power", ["power", ["sum", ["number", "-5"], ["tau"]], *to_minus_one], *to_minus_one]
    assert judge(question(twice), claim("defined"))[0] == CONTRADICTED


@pytest.mark.parametrize(("name", "alteration"), [row[1:] for row in VARIANTS], ids=[row[0] for row in VARIANTS])
def test_other_witnesses_of_what_is_true_are_not_contradicted(certificates, name, alteration):
    said = independent.check(altered(json.loads(certificates[name].read_text()), alteration))
    assert CONTRADICTED not in [answer for answer, _ in said]


def test_what_was_confirmed_leaves_nothing_behind():
    """Looks where a law has mass are for one claim: F = 1 is a value of F all the same."""
    asked = question(["sum", ["number", "1"], ["product", ["number", "-1"], ["F"]]], cdf="strict")
    assert judge(asked, claim("positive"))[0] == CONFIRMED
    below = question(["sum", ["number", "0"], ["product", ["number", "-1"], ["F"]]], cdf="strict")
    assert judge(below, claim("positive"))[0] != CONFIRMED
    assert not asked.on_support
    assert not below.on_support


def test_f_at_the_next_staleness_is_not_f(monkeypatch):
    monkeypatch.setattr(independent, "probe", lambda *_: None)
    bump = ["product", ["F"], ["sum", ["number", "1"], ["product", ["number", "-1"], ["F"]]]]
    for law in (None, ["constant", "3"], ["poisson", "8"]):
        assert judge(question(bump, law), claim("decreasing"))[0] != CONFIRMED


@pytest.mark.parametrize(
    ("condition", "evidence", "answer"),
    [
        ("positive", {"tau": 3, "value": ["0", "0"]}, CONFIRMED),
        ("positive", {"tau": 2, "value": ["1", "1"]}, CONTRADICTED),
        ("positive", {"tau": 3, "value": ["-2", "-1"]}, CONTRADICTED),
        ("decreasing", {"tau": 0, "value": ["3", "3"], "next": ["2", "2"]}, CONTRADICTED),
        ("amplitude", {"tau": 0, "value": ["3", "3"]}, CONFIRMED),
        ("defined", {"tau": 0, "undefined": True}, CONTRADICTED),
        ("magnitude", {"law": ["constant", "2"], "mean": ["1", "1"]}, CONTRADICTED),
        ("magnitude", {"law": ["constant", "1"], "mean": ["2", "2"]}, CONFIRMED),
        ("moments", {"unbounded": {"start": 1}}, CONFIRMED),
        ("positive", {"tau": 3, "value": ["0", "0"], "parameters": {"a": "1"}}, CONTRADICTED),
    ],
)
def test_counterexamples_are_evaluated_again(condition, evidence, answer):
    formula = ["sum", ["number", "3"], ["product", ["number", "-1"], ["tau"]]]
    assert judge(question(formula), claim(condition, "REFUTED", **evidence))[0] == answer


def test_what_it_does_not_know_it_does_not_follow():
    certificate = {"format": independent.FORMAT, "questions": [{"formula": ["zeta", ["tau"]]}], "claims": []}
    certificate["claims"] = [{"question": 0, **claim("positive")}, {"question": 7, **claim("positive")}]
    assert [answer for answer, _ in independent.check(certificate)] == [NOT_FOLLOWED, NOT_FOLLOWED]


def test_the_command_counts_and_has_a_code_for_contradictions(certificates, capsys, tmp_path):
    path = certificates["inverse"]
    assert check.main(["--independent", str(path)]) == 0
    assert " confirmed, 0 not followed, 0 contradicted" in capsys.readouterr().out
    data = json.loads(path.read_text())
    data["questions"][0]["formula"] = ["tau"]
    wrong = tmp_path / "wrong.json"
    wrong.write_text(json.dumps(data))
    assert check.main(["--independent", str(wrong)]) == 1
    assert "contradicted: decreasing PROVED under" in capsys.readouterr().out
    wrong.write_text("{}")
    assert check.main(["--independent", str(wrong)]) == 3
    assert check.main(["--independent", str(path), "my_fn.py"]) == 3


def test_it_says_that_it_does_not_read_distortions():
    report = decide(loads("def distortion(u):\n    return u"))
    certificate = json.loads(json.dumps(certified(report)))
    said = independent.check(certificate)
    assert {answer for answer, _ in said} == {NOT_FOLLOWED}
    assert all("distortion" in why for _, why in said)


def test_a_claim_that_takes_too_long_is_not_followed(certificates, capsys, monkeypatch):
    def for_ever(*_):
        while True:
            pass

    monkeypatch.setattr(independent, "prove", for_ever)
    assert check.main(["--independent", "--limit-s", "0.05", str(certificates["bounded"])]) == 0
    said = capsys.readouterr().out
    assert said.count("not within 0.05 s") == said.count("PROVED under") > 2
