"""What is changed in one place is caught: a good function that is no longer good, and a certificate."""

import copy
import hashlib
import json
import subprocess
import sys
from fractions import Fraction

import pytest

from theory.candidates.loading import loads
from theory.certificates.certificate import certificate
from theory.certificates.checker import check
from theory.certificates.rejection import Rejected
from theory.decisions.decision import decide
from theory.formulas.writing import digest
from theory.laws.parsing import from_json, parse_law

HEAD = "from sympy import *\nfrom theory import tau\n"

MUTATIONS = [  # what was flipped, the good function, the condition that changes, the law
    ("sign of a power", "C = (1 + tau) ** (-1)", "C = (1 + tau) ** (+1)", "decreasing", None),
    ("sign of a rate", "C = exp(-tau / 8)", "C = exp(+tau / 8)", "decreasing", "poisson:8"),
    ("sign before F", "def step_size(tau, F): return 1 + (1 - 2 * F)", "def step_size(tau, F): return 1 - (1 - 2 * F)",
     "decreasing", None),
    ("a constant in the 20th digit", "def step_size(tau, F): return 2 - 2 * F",
     "def step_size(tau, F): return 2 - (2 + 1e-20) * F", "magnitude", None),
    ("an inequality", "C = Piecewise((1, tau <= 5), (5 / tau, True))", "C = Piecewise((1, tau >= 5), (5 / tau, True))",
     "defined", None),
    ("an inequality far out", "C = Piecewise((2, tau < 5000), (1, True)) / 2",
     "C = Piecewise((2, tau > 5000), (1, True)) / 2", "decreasing", None),
    ("a constant in an exponent", "C = exp(4) / 2**tau", "C = exp(5) / 2**tau", "magnitude", "poisson:8"),
    ("a constant in front", "C = 9 * 5**(-tau) / 5", "C = 9 * 5**(-tau) / 4", "magnitude", "geometric:1/2"),
    ("a constant in a logarithm", "C = log(2 + tau) / (1 + tau)", "C = log(1 + tau) / (1 + tau)", "positive", None),
    ("a constant at the amplitude", "C = 1 + 1 / (1 + tau)", "C = 1 + 1.001 / (1 + tau)", "amplitude", None),
    ("a base just over the radius", "C = (7 / 5) ** tau", "C = (10 / 7) ** tau", "moments", "geometric:1/2"),
    ("a power of a parity term", "C = 1 / (1 + tau) + (-1)**tau / (10 * (1 + tau) ** 3)",
     "C = 1 / (1 + tau) + (-1)**tau / (10 * (1 + tau) ** 1)", "decreasing", None),
    ("the kind of F", "cdf = 'mid'\ndef step_size(tau, F): return 2 - 2 * F",
     "cdf = 'strict'\ndef step_size(tau, F): return 2 - 2 * F", "magnitude", "counts:[3, 0, 5]"),
    ("the end of a domain", "C = sqrt(5 - tau)\ndomain = (0, 4)", "C = sqrt(5 - tau)\ndomain = (0, 5)", "positive",
     None),
    ("a sum that is 1 but for rounding", "C = tau / 8", "C = tau / (8 + 1e-25)", "magnitude", "poisson:8"),
]  # fmt: skip
NAMES = [m[0] for m in MUTATIONS]
CERTIFIED = {
    "a tail and what lies before": ("C = Piecewise((1, tau < 9), (1 / 2, True))", ["constant:12"]),
    "TAIL, and a repair": ("cdf = 'strict'\ndef step_size(tau, F): return 3 / 2 - F", ["counts:[1, 0, 2]"]),
    "an open parameter": ("b = Symbol('b')\nC = exp(-b * tau)\nparameters = {'b': (0, None)}", []),
}


def law_of(spec):
    return from_json(["counts", json.loads(spec[7:])]) if spec.startswith("counts:") else parse_law(spec)


def verdict(source, condition, law):
    return decide(loads(HEAD + source), [law_of(law)] if law else [], limit_s=5)[condition].verdict.value


@pytest.mark.parametrize(("good", "condition", "law"), [m[1:2] + m[3:] for m in MUTATIONS], ids=NAMES)
def test_the_good_function_is_proved(good, condition, law):
    assert verdict(good, condition, law) == "PROVED"


@pytest.mark.parametrize(("bad", "condition", "law"), [m[2:] for m in MUTATIONS], ids=NAMES)
def test_the_changed_function_is_not_proved(bad, condition, law):
    assert verdict(bad, condition, law) != "PROVED"


def test_four_in_five_changes_are_refuted():
    refuted = [verdict(bad, condition, law) == "REFUTED" for _, _, bad, condition, law in MUTATIONS]
    assert sum(refuted) >= 0.8 * len(MUTATIONS)


@pytest.fixture(scope="module")
def certificates():
    return {
        name: certificate(decide(loads(HEAD + source), [law_of(law) for law in laws]))
        for name, (source, laws) in CERTIFIED.items()
    }


def leaves(data, path=()):
    """The places of all that is neither list nor object, and of what is empty."""
    if isinstance(data, dict | list) and data:
        for key, inner in data.items() if isinstance(data, dict) else enumerate(data):
            yield from leaves(inner, (*path, key))
    else:
        yield path


def altered(leaf):
    """Another leaf that reads as well as it did."""
    if isinstance(leaf, bool):
        return not leaf
    if isinstance(leaf, int):
        return leaf + 1
    if isinstance(leaf, str):
        try:
            return str(Fraction(leaf) + 1) if "e" not in leaf and "." not in leaf else leaf + "1"
        except ValueError:
            swapped = {"PROVED": "REFUTED", "REFUTED": "PROVED", "mid": "strict", "strict": "mid"}
            return swapped.get(leaf, leaf + "0")
    return 0


def with_altered(data, path):
    changed = copy.deepcopy(data)
    place = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = altered(place[path[-1]])
    return changed


def sealed(data):
    """With the outer hash that fits."""
    return {**data, "sha256": digest({key: value for key, value in data.items() if key != "sha256"})}


@pytest.mark.parametrize("name", CERTIFIED)
def test_a_certificate_with_any_leaf_altered_is_rejected(certificates, name):
    data = certificates[name]
    assert check(data) == len(data["claims"]) > 3
    accepted = []
    for path in leaves(data):
        changed = with_altered(data, path)
        if path != ("sha256",):
            changed = sealed(changed)
        try:
            check(changed)
            accepted.append(path)
        except Rejected:
            pass
    assert not accepted


@pytest.mark.parametrize("name", CERTIFIED)
def test_altered_evidence_is_rejected_even_where_every_hash_fits(certificates, name):
    data = certificates[name]
    accepted = []
    for path in leaves(data):
        if path[0] != "claims" or path[2] not in ("evidence", "verdict", "condition"):
            continue
        changed = with_altered(data, path)
        claim = changed["claims"][path[1]]
        claim["evidence_sha256"] = digest(claim["evidence"])
        try:
            check(sealed(changed))
            accepted.append(path)
        except Rejected:
            pass
    assert not accepted


@pytest.mark.parametrize("name", CERTIFIED)
def test_a_claim_taken_out_or_put_in_twice_is_noticed_where_others_need_it(certificates, name):
    claims = certificates[name]["claims"]
    twice = {**certificates[name], "claims": [*claims, claims[0]]}
    with pytest.raises(Rejected, match="twice"):
        check(sealed(twice))
    without = [claim for claim in claims if claim["condition"] != "defined"]
    with pytest.raises(Rejected, match="undefined"):
        check(sealed({**certificates[name], "claims": without}))


def test_the_source_stands_under_its_own_hash(certificates):
    data = next(iter(certificates.values()))
    assert data["source_sha256"] == hashlib.sha256(data["source"].encode()).hexdigest()


def test_verifying_needs_neither_sympy_nor_the_prover(certificates, tmp_path):
    paths = []
    for place, data in enumerate(certificates.values()):
        paths.append(str(tmp_path / f"{place}.json"))
        (tmp_path / f"{place}.json").write_text(json.dumps(data))
    code = (
        "import sys, theory.check\n"
        f"assert theory.check.main({paths}) == 0\n"
        "banned = {'sympy', 'theory.decisions.conditions', 'theory.decisions.decision',\n"
        "          'theory.candidates.candidate', 'theory.formulas.from_sympy'}\n"
        "print(sorted(banned & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("source", "condition", "evidence"),
    [
        ("Piecewise((Rational(1, 2), tau < 1), (1, True))", "decreasing", {"tail": ["composition", 1, 1]}),
        ("Piecewise((-1, tau < 1), (1, True))", "positive", {"mass": ["bounds", 1, 1]}),
        ("Piecewise((5, tau < 1), (1, True))", "amplitude", {"tails": [["bounds", 1, 1], ["bounds", 1, 0]]}),
    ],
)
def test_a_forged_proof_whose_tail_holds_is_rejected_for_the_points_before(source, condition, evidence):
    data = certificate(decide(loads(f"from sympy import *\nfrom theory import tau\nC = {source}")))
    claim = next(claim for claim in data["claims"] if claim["condition"] == condition)
    assert claim["verdict"] == "REFUTED"
    if condition == "amplitude":
        evidence = {**evidence, "sup": ["4", "4"]}
    claim |= {"verdict": "PROVED", "evidence": evidence, "evidence_sha256": digest(evidence)}
    data["sha256"] = digest({key: value for key, value in data.items() if key != "sha256"})
    with pytest.raises(Rejected, match="every point before the tail"):
        check(data)
