"""Texts that are no certificates, or are made to hang what reads them: refused, in a short time and with a word."""

import contextlib
import json
import os
import time

import pytest
from support.forged_certificates import altered, made, put, sealed

from theory import check
from theory.certificates import checker, reading
from theory.certificates.rejection import Rejected
from theory.laws import parsing
from theory.laws.parsing import from_json

LONG = "1" * 1_000_000
NUMBERS = ["1e999999999", "1e-999999999", "1E+99999999999999", LONG, f"1/{LONG}", f"0.{LONG}", "NaN", "Infinity", "1_0",
           "١", "0x10", "1/0", "", "1 "]  # fmt: skip


@pytest.fixture(scope="module")
def base():
    return made("inverse")


def refused(path, capsys, code=3):
    """The words with which a file is refused."""
    started = time.process_time()
    assert check.main([str(path)]) == code
    assert time.process_time() - started < 2
    printed = capsys.readouterr()
    assert "Traceback" not in printed.err
    return printed.err if code == 3 else printed.out


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ('{"format": 1, "format": 2}', "twice"),
        ('{"a": [{"tau": 1, "x": 0, "tau": 2}]}', "twice"),
        ('{"a": NaN}', "NaN"),
        ('{"a": -Infinity}', "Infinity"),
        ('{"a": 1.5}', "1.5"),
        ('{"a": 1e999999999}', "1e999999999"),
        ('{"a": ' + LONG + "}", "40 digits"),
        ('{"a": -' + "9" * 41 + "}", "40 digits"),
        ("[" * 150_000, "nested"),
        ("[" * 201 + "]" * 201, "nested"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "nested"),
        ('{"a": 1} 2', "Extra data"),
        ("", "Expecting value"),
        ('{"a": 1', "Expecting"),
        ("C = 1 / (1 + tau)", "Expecting value"),
    ],
)  # fmt: skip
def test_a_text_that_is_no_such_json_is_refused(tmp_path, capsys, text, word):
    path = tmp_path / "c.json"
    path.write_text(text)
    said = refused(path, capsys)
    assert word in said
    assert len(said) < 400


@pytest.mark.parametrize("text", ["[]", "{}", "1", "null", '"x"', '{"format": "jasgd theory certificate 2"}'])
def test_json_that_is_no_certificate_is_rejected(tmp_path, capsys, text):
    path = tmp_path / "c.json"
    path.write_text(text)
    assert "REJECTED" in refused(path, capsys, 1)


def test_a_file_that_is_too_large_is_not_read(tmp_path, capsys):
    path = tmp_path / "c.json"
    with path.open("w") as file:
        file.truncate(10**12)  # a hole: it takes no room on the disk
    assert "8,000,000 bytes" in refused(path, capsys)


def test_what_is_no_regular_file_is_not_read(tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe")
    assert "regular file" in refused(tmp_path / "pipe", capsys)
    assert "regular file" in refused(tmp_path, capsys)
    assert "No such file" in refused(tmp_path / "nowhere", capsys)


def test_as_deep_as_allowed_is_read():
    assert reading.parse("[" * 200 + "]" * 200)
    assert reading.parse('{"a": [1, "x", null, true]}') == {"a": [1, "x", None, True]}


@pytest.mark.parametrize("number", NUMBERS, ids=[repr(number[:12]) for number in NUMBERS])
@pytest.mark.parametrize(
    "place",
    ["question.formula.1.1.1", "question.amplitude", "question.law.1", "positive.mass.least", "magnitude.mean.0",
     "amplitude.sup.most", "question.cdf", "claims.0.evidence.argument"],
)  # fmt: skip
def test_a_number_that_is_none_or_too_long_is_rejected(base, tmp_path, capsys, place, number):
    path = tmp_path / "c.json"
    path.write_text(json.dumps(altered(base, put(place, number))))
    assert len(refused(path, capsys, 1)) < 600


@pytest.mark.parametrize(
    "value", [None, True, -1, 10**39, [], {}, "x", ["poisson"], ["mean", ["mean"]]], ids=repr
)  # fmt: skip
@pytest.mark.parametrize(
    "place",
    ["file.versions", "file.candidate", "file.questions", "file.claims", "question.formula", "question.cdf",
     "question.domain", "question.amplitude", "question.parameters", "question.law", "claims.0.question",
     "claims.0.condition", "claims.0.verdict", "claims.0.evidence", "defined.start", "positive.mass",
     "decreasing.tail", "magnitude.mean", "amplitude.sup", "moments.mean"],
)  # fmt: skip
def test_data_of_another_kind_is_rejected_and_nothing_else_is_raised(base, tmp_path, capsys, place, value):
    if (place, value) == ("question.parameters", {}):
        return  # as it is
    path = tmp_path / "c.json"
    path.write_text(json.dumps(altered(base, put(place, value))))
    refused(path, capsys, 1)


@pytest.mark.parametrize(
    "law",
    [
        ["counts:{}"], ["counts", "{}"], ["counts", ["{}"]], ["mixture:1/2*counts:{}+1/2*poisson:8"],
        ["mixture", [["1/2", ["counts:{}"]], ["1/2", ["poisson", "8"]]]],
        ["mixture", [["1/2", ["counts", "{}"]], ["1/2", ["poisson", "8"]]]],
        ["constant:0", "counts:{}"], ["constant", "counts:{}"], ["poisson", "8:counts:{}"],
    ],
    ids=str,
)  # fmt: skip
def test_no_law_of_a_certificate_makes_the_checker_read_a_file(base, tmp_path, monkeypatch, capsys, law):
    counts = tmp_path / "counts.json"
    counts.write_text("[1, 2]")
    assert parsing.parse_law(f"counts:{counts}").to_json() == ["counts", [1, 2]]
    monkeypatch.setattr(parsing, "_read_counts", lambda file: pytest.fail(f"{file} was read"))
    law = json.loads(json.dumps(law).replace("{}", str(counts)))
    with pytest.raises((ValueError, TypeError)):
        from_json(law)
    path = tmp_path / "c.json"
    path.write_text(json.dumps(altered(base, put("question.law", law))))
    refused(path, capsys, 1)


def test_a_claim_has_a_time_limit(base, tmp_path, capsys):
    data = altered(base, put("question.law", ["negative_binomial", "1000000000000", "1/2"]))
    data["questions"], data["claims"] = data["questions"][:1], data["claims"][3:4]  # a mean, over millions of points
    data = sealed(data)
    path = tmp_path / "c.json"
    path.write_text(json.dumps(data))
    started = time.process_time()
    assert check.main([str(path), "--limit-s", "0.3"]) == 1
    assert time.process_time() - started < 2
    assert "not verified within 0.3 s" in capsys.readouterr().out
    assert check.main([str(path), "--limit-s", "0"]) == 3


def power(base, exponent):
    return ["power", base, exponent]


def nested(operation, depth):
    formula = ["tau"]
    for _ in range(depth):
        formula = [*operation, formula]
    return formula


def squared(depth):
    formula = ["sum", ["number", "1"], ["tau"]]
    for _ in range(depth):
        formula = power(formula, ["number", "2"])
    return formula


NINE = ["number", "9"]
FORMULAS = {  # numbers that would fill the memory if they were computed exactly
    "a tower of powers": power(NINE, power(NINE, power(NINE, NINE))),
    "a high power": power(["sum", ["number", "1"], ["tau"]], ["number", "1000000000"]),
    "a deep one": power(["sum", ["number", "1/3"], ["tau"]], ["number", "-1000000000000000000"]),
    "squares of squares": squared(60),
    "exponentials of exponentials": nested(["exp"], 150),
    "factorials of factorials": nested(["factorial"], 20),
    "a root of a long number": power(["number", "9" * 3_900], ["number", "1/1000000007"]),
    "a remainder of a power": ["modulo", power(["number", "2"], ["tau"]), ["number", "1000000000000000001"]],
}
CLAIMS = [
    ("defined", "PROVED", {"argument": "parts", "start": 4}),
    (
        "positive",
        "PROVED",
        {"mass": {"argument": "dominant term", "start": 64, "period": 1, "signs": [1], "share": "1"}},
    ),
    ("decreasing", "PROVED", {"tail": {"argument": "elasticity", "start": 64, "most": "0"}}),
    ("decreasing", "PROVED", {"tail": {"argument": "composition", "start": 9}}),
    ("decreasing", "REFUTED", {"tau": 10**39, "value": [None, "1"], "next": ["2", None]}),
    ("magnitude", "PROVED", {"argument": "generating function"}),
    ("moments", "REFUTED", {"diverges": {"of": "mean_square", "start": 4}}),
]


@pytest.mark.parametrize("formula", FORMULAS.values(), ids=FORMULAS)
def test_a_formula_of_enormous_numbers_takes_no_longer(base, formula):
    question = {**base["questions"][0], "formula": formula}
    for condition, verdict, evidence in CLAIMS:
        claim = {"question": 0, "condition": condition, "verdict": verdict, "evidence": evidence}
        started = time.process_time()
        with contextlib.suppress(Rejected):  # some may hold
            checker.check(sealed({**base, "questions": [question], "claims": [claim]}))
        assert time.process_time() - started < 2
