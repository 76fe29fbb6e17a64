"""The kind: a verdict that rests on the prover alone. Proofs are held against values, claims against the checker."""

import dataclasses
import subprocess
import sys

import pytest

from theory import check, verify
from theory.candidates.loading import loads
from theory.certificates.certificate import confirmed
from theory.decisions import conditions, decision
from theory.decisions.decision import decide
from theory.decisions.verdict import proved
from theory.laws.parsing import parse_law

HEAD = "from sympy import *\nfrom theory import tau\n"
JUMP = HEAD + "C = Piecewise((1, tau < 10**6), ({}, True))"


def said(source, *laws):
    report = decide(loads(HEAD + source), [parse_law(law) for law in laws])
    return {one.condition: one.verdict.value for one in report.decisions}


@pytest.mark.parametrize(
    ("condition", "after", "evidence"),
    [
        ("defined", "1 / (tau - tau**2 / tau)", {"start": 0}),
        ("positive", "-1", {"mass": ["bounds", 1, 0]}),
        ("decreasing", "2", {"tail": ["composition", 1, 0]}),
        ("amplitude", "3", {"tails": []}),
    ],
)
def test_a_proof_that_a_value_contradicts_is_no_verdict(monkeypatch, condition, after, evidence):
    if condition == "defined":
        source = HEAD + "C = Piecewise((1, tau < 10**6), (1 / (tau - 10**6), True))"
    else:
        source = JUMP.format(after)
    wrong = {**conditions.CONDITIONS, condition: lambda question: proved("a wrong argument", **evidence)}
    monkeypatch.setattr(decision, "CONDITIONS", wrong)
    found = decide(loads(source))[condition]
    assert found.verdict.value == "UNKNOWN"
    assert "contradicted" in found.because


@pytest.mark.parametrize("condition", ["magnitude", "moments", "decreasing"])
def test_a_claim_that_the_checker_rejects_is_no_verdict(condition):
    report = decide(loads(HEAD + "C = 1 + 0 * tau"), [parse_law("poisson:8")])
    evidence = {
        "magnitude": {"argument": "finite sum"},
        "moments": {"mean": ["1", "1"], "mean_square": ["2", "2"], "staleness_mean": ["8", "8"]},
        "decreasing": {"tail": ["composition", 2, 64]},
    }[condition]
    wrong = tuple(
        dataclasses.replace(one, findings=tuple((law, proved("wrong", **evidence)) for law, _ in one.findings))
        if one.condition == condition
        else one
        for one in report.decisions
    )
    after = confirmed(dataclasses.replace(report, decisions=wrong))
    assert after[condition].verdict.value == "UNKNOWN"
    assert "rejected" in after[condition].because
    others = {one.condition: one.verdict for one in after.decisions if one.condition != condition}
    assert others == {one.condition: one.verdict for one in report.decisions if one.condition != condition}


def test_an_undefined_value_refutes_a_mean_only_where_the_law_has_mass():
    # Undefined where F = 0, below every value that occurs; E[2 - 2F] = 1 all the same.
    found = said("def step_size(tau, F): return Piecewise((2 - 2 * F, F > 0))")
    assert found["defined"] == "REFUTED"
    assert "REFUTED" not in (found["magnitude"], found["moments"])
    assert said("def step_size(tau, F): return -log(F)")["moments"] != "REFUTED"


def test_nothing_times_what_diverges_is_nothing():
    found = said("a = Symbol('a')\nC = a * 3**tau\nparameters = {'a': 0}", "geometric:1/2")
    assert found["moments"] == "PROVED"


def test_a_generating_function_has_a_value_where_the_sum_has_none(capsys, tmp_path):
    # Σ (1/2)^{i+1} (-5/2)^i diverges, and the algebra says 2/9.
    file = tmp_path / "c.py"
    file.write_text(HEAD + "C = (-Rational(5, 2))**tau\n")
    from theory import bounds

    numbers = ["--L", "1", "--sigma", "1", "--delta", "1", "--steps", "100"]
    bounds.main([str(file), "--theorem", "nonconvex", *numbers, "--distribution", "geometric:1/2"])
    assert "2/9" not in capsys.readouterr().out


@pytest.mark.parametrize("source", ["C = 2**tau // 4", "C = tau * (1 - (-1)**tau)", "C = floor(exp(exp(tau)))"])
@pytest.mark.parametrize("law", [(), ("geometric:1/2",)])
def test_no_candidate_ends_the_process(source, law):
    code = (
        f"from theory.candidates.loading import loads\nfrom theory.decisions.decision import decide\n"
        f"from theory.laws.parsing import parse_law\n"
        f"print(decide(loads({HEAD + source!r}), [parse_law(one) for one in {law!r}]).verdict)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_failure_of_the_checker_has_a_code_of_its_own(monkeypatch, capsys, tmp_path):
    file = tmp_path / "c.py"
    file.write_text(HEAD + "C = 1 + 0 * tau\n")
    monkeypatch.setattr(verify, "decide", lambda *_, **__: [][0])
    assert verify.main([str(file)]) == 4
    assert "decides nothing" in capsys.readouterr().err
    certificate = tmp_path / "c.json"
    certificate.write_text("{}")
    monkeypatch.setattr(check, "check", lambda data, **_: [][0])
    assert check.main([str(certificate)]) == 4


def test_what_is_no_certificate_has_the_code_of_bad_input(capsys, tmp_path):
    nested = tmp_path / "nested.json"
    nested.write_text("[" * 200_000)
    assert check.main([str(nested)]) == 3
    assert check.main([]) == check.main(["--bogus", "x"]) == 3
    assert check.main(["--help"]) == 0


@pytest.mark.parametrize("source", ["while True: pass", "def step_size(tau):\n    while True: pass"])
def test_reading_a_file_has_a_limit(monkeypatch, capsys, tmp_path, source):
    file = tmp_path / "c.py"
    file.write_text(source)
    monkeypatch.setattr(verify, "READING_S", 0.2)
    assert verify.main([str(file), "--limit-s", "0.2"]) == 3
    assert f"{file}: not read within 0.2 s" in capsys.readouterr().err


def test_a_certificate_that_cannot_be_written_is_told_before_the_work(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(verify, "candidate_and_laws", lambda *_: pytest.fail("the work began"))
    for place in (tmp_path, tmp_path / "nowhere" / "c.json"):
        assert verify.main(["my_fn.py", "--certificate", str(place)]) == 3
        assert str(place) in capsys.readouterr().err
