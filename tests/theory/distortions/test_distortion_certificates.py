"""Certificates about distortions: they hold, and no false or altered claim does."""

import copy
import json
import random

import pytest
from support.distortions import CONVEX_FIRST, EVERY_LAW, NAMES, candidate_of, report_on

from theory import check as check_command
from theory import verify
from theory.certificates.certificate import certificate, confirmed
from theory.certificates.checker import check, question_of, verify_claim
from theory.certificates.rejection import Rejected
from theory.formulas.writing import digest
from theory.laws.parsing import parse_law

UNDER_ONE_LAW = [
    ("u**2", "", "uniform:0:3"),
    ("sympy.Min(2*u, 1)", "", "constant:4"),
    ("sympy.Min(u/q, 1)", "q=0,1", "geometric:1/8"),
    ("2*u", "", "geometric:1/8"),
    ("P((u/2, u < 1), (1, True))", "", "geometric:1/2"),
    (CONVEX_FIRST, "", "geometric:1/8"),
]


@pytest.fixture(scope="module")
def certificates():
    """Certificates of many distortions, by what they say: verdicts and data."""
    found = []
    for expression, ranges, verdicts in EVERY_LAW:
        if verdicts is not None:
            found.append((verdicts, json.loads(json.dumps(certificate(report_on(expression, ranges))))))
    return found


def sealed(data):
    body = {key: value for key, value in data.items() if key != "sha256"}
    return {**body, "sha256": digest(body)}


def test_every_certificate_holds_and_claims_all_that_was_decided(certificates):
    for verdicts, data in certificates:
        assert len(check(data)) == sum(verdict != "U" for verdict in verdicts)


@pytest.mark.parametrize(("expression", "ranges", "law"), UNDER_ONE_LAW)
def test_certificates_under_one_law_hold_and_confirming_changes_nothing(expression, ranges, law):
    report = report_on(expression, ranges, law)
    assert [confirmed(report)[name].verdict for name in NAMES] == [report[name].verdict for name in NAMES]
    data = json.loads(json.dumps(certificate(report)))
    assert len(check(data)) == sum(report[name].verdict.value != "UNKNOWN" for name in NAMES)


def test_no_evidence_about_one_distortion_shows_what_is_false_of_another(certificates):
    rng = random.Random(0)
    tried = 0
    defined = [one for one in certificates if one[0][0] == "P"]  # else a claim counts for nothing by itself
    for about, data in rng.sample(defined, 12):
        question = question_of(data["questions"][0], {})
        for _, other in certificates:
            for claim in other["claims"]:
                truth = about[NAMES.index(claim["condition"])]
                if truth == "U" or truth == claim["verdict"][0]:
                    continue
                tried += 1
                with pytest.raises(Rejected):
                    verify_claim(question, claim["condition"], claim["verdict"], claim["evidence"])
    assert tried > 400


TREES = ([], ["roots"], ["split", "u", "1/2", [], []], ["split", "u", "1/2", ["end", "low", []], ["end", "high", []]])


def test_no_guessed_witness_shows_what_is_false(certificates):
    for verdicts, data in certificates:
        if verdicts[0] == "R":  # a claim counts for nothing by itself
            continue
        question = question_of(data["questions"][0], {})
        for tree in TREES:
            for parts in (1, 16):
                for start in (None, [tree], [[]]):
                    shape = {"parts": [parts], "start": start, "signs": [[tree]]}
                    facts = {
                        "positive": {"rises": shape}, "decreasing": {"concave": shape},
                        "amplitude": {"above": shape, "below": shape},
                    }  # fmt: skip
                    for condition, evidence in facts.items():
                        if verdicts[NAMES.index(condition)] == "R":
                            with pytest.raises(Rejected):
                                verify_claim(question, condition, "PROVED", {"slopes": evidence})
        for at in ("0", "1/2", "1023/1024"):
            for condition in ("magnitude", "moments"):
                if verdicts[NAMES.index(condition)] == "R":
                    with pytest.raises(Rejected):
                        verify_claim(question, condition, "PROVED", {"slopes": {"bounded": {"from": at}}})


def altered(data, change):
    data = copy.deepcopy(data)
    change(data)
    return sealed(data)


def claim(data, condition):
    return next(one for one in data["claims"] if one["condition"] == condition)


def set_evidence(condition, **fields):
    return lambda data: claim(data, condition)["evidence"].update(fields)


def set_question(**fields):
    return lambda data: data["questions"][0].update(fields)


SQUARE, LINE = ["power", ["u"], ["number", "2"]], ["u"]
FORGERIES = {
    "another verdict": lambda data: claim(data, "decreasing").update(verdict="PROVED"),
    "another distortion": set_question(distortion=LINE),
    "a step-size function in its place": set_question(distortion=["tau"]),
    "a mean in a distortion": set_question(distortion=["mean", ["u"]]),
    "the distribution function in a distortion": set_question(distortion=["F"]),
    "a field that no question has": set_question(domain=[0, None]),
    "a parameter that is u": set_question(parameters={"u": ["0", "1", True, True]}),
    "a negative amplitude": set_question(amplitude="-1"),
    "another law": set_evidence("decreasing", law=["constant", "3"]),
    "a law that violates less": set_evidence("decreasing", law=["counts", [1, 3]]),
    "another staleness": set_evidence("decreasing", tau=1),
    "a staleness without mass": set_evidence("decreasing", tau=7),
    "true for a staleness": set_evidence("decreasing", tau=False),
    "another value": set_evidence("decreasing", value=["1/3", "1/3"]),
    "an enclosure that decides nothing": set_evidence("decreasing", value=["0", "2"]),
    "another next value": set_evidence("decreasing", next=["5/3", "5/3"]),
    "a field that no evidence has": set_evidence("decreasing", note="1"),
    "undefined where it is defined": lambda data: claim(data, "decreasing").update(
        evidence={"law": ["constant", "0"], "tau": 0, "undefined": True}
    ),
    "parts that are not tried": lambda data: claim(data, "defined")["evidence"]["slopes"]["defined"].update(parts=[3]),
    "too few pieces": lambda data: claim(data, "positive")["evidence"]["slopes"]["rises"].update(parts=[]),
    "a tree that shows nothing": lambda data: claim(data, "positive")["evidence"]["slopes"]["rises"].update(
        signs=[[["end", "high", []]]]
    ),
    "a split outside": lambda data: claim(data, "positive")["evidence"]["slopes"]["rises"].update(
        signs=[[["split", "u", "2", [], []]]]
    ),
    "a split of no parameter": lambda data: claim(data, "positive")["evidence"]["slopes"]["rises"].update(
        signs=[[["split", "A", "1/2", [], []]]]
    ),
    "another end of the slopes": lambda data: claim(data, "moments")["evidence"]["slopes"]["bounded"].update(
        {"from": "1"}
    ),
    "points without a law": lambda data: claim(data, "positive").update(evidence={"points": 2}),
    "no claim that it is defined": lambda data: data["claims"].remove(claim(data, "defined")),
    "a claim that there is none of": lambda data: claim(data, "moments").update(condition="smooth"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_certificate_that_was_altered_is_rejected(name):
    data = json.loads(json.dumps(certificate(report_on("u**2"))))
    assert data["questions"][0]["distortion"] == SQUARE
    with pytest.raises(Rejected):
        check(altered(data, FORGERIES[name]))


def test_other_witnesses_of_what_is_true_are_accepted():
    data = json.loads(json.dumps(certificate(report_on("u**2"))))
    for change in (
        lambda data: claim(data, "positive")["evidence"]["slopes"]["rises"].update(
            signs=[[["split", "u", "1/3", [], []]]]
        ),
        lambda data: claim(data, "moments")["evidence"]["slopes"]["bounded"].update({"from": "1/7"}),
        set_evidence("decreasing", law=["counts", [3, 1]], value=["0.74", "3/4"], next=["7/4", "2"]),
    ):
        assert len(check(altered(data, change))) == 6


def test_under_one_law_the_start_is_verified():
    data = json.loads(json.dumps(certificate(report_on(CONVEX_FIRST, "", "geometric:1/8"))))
    evidence = claim(data, "decreasing")["evidence"]
    assert set(evidence) == {"slopes", "start", "from"}
    check(data)
    for changed in ({"from": "1/2"}, {"from": "1/100"}, {"start": 0}, {"start": True}, {"from": "0.2"}):
        with pytest.raises(Rejected):
            check(altered(data, lambda data, changed=changed: claim(data, "decreasing")["evidence"].update(changed)))


@pytest.mark.parametrize("name", ["tail", "freshest_share", "power", "exponential"])
def test_the_examples_are_decided_by_the_command_and_checked_about_their_file(name, tmp_path, capsys):
    path, source = str(tmp_path / "c.json"), f"examples/distortions/{name}.py"
    code = verify.main([source, "--certificate", path])
    out = capsys.readouterr().out
    assert code == (0 if name in ("tail", "exponential") else 1)
    assert "g(u) = " in out
    assert "C(τ) = (g(F(τ)) - g(F(τ⁻)))/p(τ)" in out
    assert check_command.main([path, source]) == 0
    assert "6 claims verified" in capsys.readouterr().out
    assert check_command.main([path, "examples/step_sizes/tail.py"]) == 1
    assert "it is about a distortion" in capsys.readouterr().out


def test_json_says_what_the_distortion_is(capsys):
    assert verify.main(["examples/distortions/tail.py", "--set", "A=1/2", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["formula"], data["distortion"]) == (None, "u + A·u·(1 - u)")
    assert {one["verdict"] for one in data["conditions"].values()} == {"PROVED"}


def test_a_distortion_is_no_step_size_function_of_the_staleness():
    import theory
    from theory.convergence.candidate_moments import moments_of

    candidate = candidate_of("u**2")
    with pytest.raises(ValueError, match="is a distortion"):
        theory.to_rule(candidate)
    with pytest.raises(ValueError, match="is a distortion"):
        moments_of(candidate, parse_law("poisson:8"))
