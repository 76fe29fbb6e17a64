"""Theorems as data: verdicts, largest step sizes, and algebra that the proofs rely on."""

import math
import random
from fractions import Fraction

import numpy as np
import pytest
import sympy
from flint import arb, fmpq
from hypothesis import given
from hypothesis import strategies as st

from theory.candidates.loading import loads
from theory.convergence.amplitude import best_amplitude, noise_factor, shape, shape_of
from theory.convergence.candidate_moments import moments_of
from theory.convergence.moments import Moments
from theory.convergence.theorem import NUMBERS, Case, evaluate
from theory.convergence.theorems import THEOREMS
from theory.convergence.trace import largest_scale, trace_bound, trace_condition
from theory.decisions.verdict import Verdict
from theory.laws.parsing import parse_law
from theory.numbers.rationals import as_fmpq

TAIL = "def step_size(tau, F): return 2 - 2*F"
NUMBERS_GIVEN = {
    "L": fmpq(2),
    "mu": fmpq(1, 5),
    "sigma": fmpq(1),
    "delta": fmpq(3),
    "distance": fmpq(2),
    "G": fmpq(7, 2),
    "M": fmpq(4),
    "eps": fmpq(1, 2),
    "steps": fmpq(5000),
    "workers": fmpq(9),
}
ON_LAWS = [theorem for theorem in THEOREMS.values() if "execution" not in theorem.needs]


def case_of(source=TAIL, law="poisson:8", **numbers):
    return Case(moments_of(loads(source), parse_law(law)), NUMBERS_GIVEN | numbers)


def verdicts(outcome):
    return {judged.name: judged.label for judged in outcome.assumptions}


def middle(value):
    return float(arb(value).mid()) if not isinstance(value, arb) else float(value.mid())


@pytest.mark.parametrize("theorem", THEOREMS.values(), ids=THEOREMS)
def test_a_theorem_says_what_it_needs_and_where_it_comes_from(theorem):
    assert theorem.statement
    assert theorem.title
    assert set(theorem.needs) <= NUMBERS.keys()
    assert theorem.provenance == "ours" or "Mishchenko" in theorem.provenance
    assert ("docs/convergence.md" in theorem.source) == (theorem.provenance == "ours")
    assert "ASAP" not in theorem.statement + theorem.title + theorem.source + theorem.provenance


@pytest.mark.parametrize("theorem", ON_LAWS, ids=lambda theorem: theorem.key)
def test_a_theorem_gives_a_value_for_a_constant_step_size(theorem):
    outcome = evaluate(theorem, case_of("C = 1", "uniform:0:8", workers=fmpq(5)))
    assert outcome.value is not None
    assert outcome.value > 0
    refuted = [judged.name for judged in outcome.assumptions if judged.verdict is Verdict.REFUTED]
    adaptive = theorem.key in ("mishchenko-3.1", "mishchenko-3.2", "mishchenko-3.3")
    assert refuted in ([], ["the theorem's step sizes"] if adaptive else ["enough commits"])


@pytest.mark.parametrize("law", ["poisson:8", "geometric:1/4", "uniform:0:16", "counts"])
@pytest.mark.parametrize("source", [TAIL, "C = 1", "from theory import tau\nC = 1/(1+tau)"])
def test_moments_agree_with_plain_sums(source, law, tmp_path):
    if law == "counts":
        (tmp_path / "counts.json").write_text("[5, 0, 3, 2]")
        law = f"counts:{tmp_path / 'counts.json'}"
    parsed = parse_law(law)
    moments = moments_of(loads(source), parsed)
    tau = np.arange(400 if parsed.last is None else parsed.last + 1)
    p = np.array([middle(parsed.mass(int(t))) for t in tau])
    c = {TAIL: 2 - (2 * np.cumsum(p) - p), "C = 1": np.ones(len(tau))}.get(source, 1 / (1 + tau))
    expected = {
        "mean": p @ c,
        "mean_square": p @ c**2,
        "staleness_mean": p @ (tau * c),
        "staleness_square_mean": p @ (tau**2 * c),
        "largest_factor": c.max(),
        "mean_staleness": p @ tau,
    }
    for name, value in expected.items():
        assert math.isclose(middle(getattr(moments, name)), value, rel_tol=1e-9), name
    q = fmpq(19, 20)
    with np.errstate(over="ignore"):
        discounted = tau * ((20 / 19) ** tau - 1) / (1 - 19 / 20) / (20 / 19) * (20 / 19)
    assert math.isclose(middle(moments.weighted(q)), p @ (c * discounted), rel_tol=1e-9)
    assert moments.nonnegative is Verdict.PROVED
    assert moments.largest_staleness == parsed.last


@pytest.mark.parametrize(
    "key", ["nonconvex", "nonconvex-sharp", "convex", "pl", "strongly-convex", "bounded-gradients-pl"]
)
@pytest.mark.parametrize("law", ["uniform:0:16", "constant:3", "constant:0", "poisson:4", "geometric:1/3"])
def test_the_largest_step_size_is_the_edge_of_the_condition(key, law):
    if key == "nonconvex-sharp" and parse_law(law).last is None:
        return
    case = case_of(law=law)
    edge = evaluate(THEOREMS[key], case).step
    assert evaluate(THEOREMS[key], case, edge).verdict is Verdict.PROVED
    assert evaluate(THEOREMS[key], case, edge * fmpq(1_000_001, 1_000_000)).verdict is Verdict.REFUTED


@pytest.mark.parametrize(
    "key",
    [
        "nonconvex",
        "nonconvex-sharp",
        "convex",
        "pl",
        "strongly-convex",
        "bounded-gradients",
        "bounded-gradients-pl",
        "mindthestep",
    ],
)
def test_only_the_product_of_step_size_and_factor_matters(key):
    # ηC is the same for (η, C) and (η/3, 3C): an unnormalised C is nothing but another way to write it.
    pmf = {0: Fraction(1, 2), 1: Fraction(1, 3), 5: Fraction(1, 6)}
    factors = {t: Fraction(3 - t // 2, 2) for t in range(6)}
    one = Case(Moments.of_pmf(pmf, factors), NUMBERS_GIVEN)
    three = Case(Moments.of_pmf(pmf, {t: 3 * c for t, c in factors.items()}), NUMBERS_GIVEN)
    step = fmpq(1, 200)
    left, right = evaluate(THEOREMS[key], one, step), evaluate(THEOREMS[key], three, step / 3)
    assert left.value is not None
    assert arb(left.value - right.value).contains(0)
    assert left.verdict is right.verdict
    if left.largest_step is not None:
        assert middle(left.largest_step) == pytest.approx(3 * middle(right.largest_step), rel=1e-6)


def test_a_mean_factor_of_one_leaves_the_normalised_statement():
    case = Case(Moments.of_pmf({1: 1}, {0: 1, 1: 1}), NUMBERS_GIVEN)
    eta, K = fmpq(1, 8), NUMBERS_GIVEN["steps"]
    value = evaluate(THEOREMS["nonconvex"], case, eta).value
    assert value == 2 * 3 / (eta * K) + 2 * eta * (1 + 2 * 2 * eta)


@given(st.integers(0, 10**6))
def test_the_old_condition_implies_the_moment_condition_and_the_sharp_bound_is_never_worse(seed):
    draw = random.Random(seed)
    last = draw.randint(0, 20)
    counts = [draw.randint(0, 5) for _ in range(last)] + [1]
    pmf = {t: Fraction(n, sum(counts)) for t, n in enumerate(counts) if n}
    factors = {t: Fraction(draw.randint(0, 40), 10) for t in range(last + 1)}
    mean = sum(p * factors[t] for t, p in pmf.items())
    if mean == 0:
        return
    case = Case(Moments.of_pmf(pmf, {t: c / mean for t, c in factors.items()}), NUMBERS_GIVEN)
    old = evaluate(THEOREMS["nonconvex-sharp"], case)
    assert old.verdict is Verdict.PROVED
    new = evaluate(THEOREMS["nonconvex"], case, old.step)
    assert new.verdict is Verdict.PROVED
    for share in (1, 2, 10):
        sharp, plain = (evaluate(THEOREMS[k], case, old.step / share).value for k in ("nonconvex-sharp", "nonconvex"))
        assert sharp <= plain
    # √2 - 1 over max(1, R) suffices for the linear rates, for every μ ≤ L.
    cap = fmpq(41421, 100_000) / (2 * case.moments.largest_factor * max(1, last))
    steep = Case(case.moments, NUMBERS_GIVEN | {"mu": fmpq(2)})
    assert evaluate(THEOREMS["pl"], steep, cap).verdict is Verdict.PROVED


def test_what_is_wrong_is_refuted():
    negative = Case(Moments.of_pmf({0: Fraction(1, 2), 1: Fraction(1, 2)}, {0: 3, 1: -1}), NUMBERS_GIVEN)
    assert verdicts(evaluate(THEOREMS["nonconvex"], negative))["C ≥ 0"] == "REFUTED"
    assert verdicts(evaluate(THEOREMS["nonconvex-sharp"], case_of()))["bounded staleness"] == "REFUTED"
    assert verdicts(evaluate(THEOREMS["pl"], case_of(mu=fmpq(3))))["μ ≤ L"] == "REFUTED"
    assert verdicts(evaluate(THEOREMS["threshold-count"], case_of(law="uniform:0:4")))["C = 1"] == "REFUTED"
    assert verdicts(evaluate(THEOREMS["bounded-gradients-pl"], case_of(G=fmpq(1, 2))))["G large enough"] == "REFUTED"
    assert verdicts(evaluate(THEOREMS["mindthestep"], case_of(M=fmpq(1, 10))))["M large enough"] == "REFUTED"
    assert verdicts(evaluate(THEOREMS["mindthestep"], case_of(), fmpq(1)))["step condition d > 0"] == "REFUTED"
    for key in ("mishchenko-1", "mishchenko-3.3"):
        verdicts_of = verdicts(evaluate(THEOREMS[key], case_of(workers=fmpq(4))))
        assert verdicts_of["a law of m workers"] == "REFUTED"
        assert verdicts_of["the theorem's step sizes"] == "REFUTED"


def test_moments_that_do_not_exist_leave_a_theorem_undecided():
    # Under a geometric law a factor (1 - p)^{-τ/2} has E[C] finite and E[C²] infinite.
    heavy = "from theory import tau\nC = 2**(tau/2)"
    outcome = evaluate(THEOREMS["nonconvex"], case_of(heavy, "geometric:1/2"))
    assert outcome.verdict is Verdict.UNKNOWN
    assert outcome.value is None


def test_a_delay_adaptive_rule_is_recognised():
    # min{1/(4L(τ+1)), η} over η, with η = 1/(4mL): m = 5, L = 2
    rule = "from theory import tau\nimport sympy\nC = sympy.Min(1, 5/(tau + 1))"
    outcome = evaluate(THEOREMS["mishchenko-3.3"], case_of(rule, "uniform:0:8", workers=fmpq(5)), fmpq(1, 40))
    assert outcome.verdict is Verdict.PROVED


def test_the_count_is_exact_algebra():
    h, theta = sympy.symbols("h theta")
    chosen = (1 - 2 * h) * (1 + h) / (1 + 2 * h**2)
    assert sympy.simplify(h + 2 * (1 + chosen) * h**2 - (1 - chosen)) == 0  # (M) with θ
    gap = 1 + theta / 2 - 1 / (1 + 2 * h) - sympy.Rational(1, 4) - (1 + theta) * h / 2
    scaled = sympy.expand(sympy.cancel(4 * (1 + 2 * h) * (1 + 2 * h**2) * gap.subs(theta, chosen)))
    assert scaled == sympy.expand((1 - 2 * h) * (1 + 6 * h - 4 * h**2))  # ≥ 0 on [0, 1/2]


def test_mishchenkos_constants_follow_from_the_proofs_where_there_are_as_many_commits_as_workers():
    draw = random.Random(0)
    for _ in range(300):
        drawn = {n: fmpq(draw.randint(1, 1000), draw.randint(1, 1000)) for n in ("L", "sigma", "delta", "G")}
        m = draw.randint(1, 50)
        K = draw.randint(m, 100 * m)
        case = case_of("C = 1", "constant:0", **drawn, workers=fmpq(m), steps=fmpq(K))
        L, sigma, delta, G = (middle(drawn[n]) for n in ("L", "sigma", "delta", "G"))
        second = 8 * m * L * delta / K + 8 * math.sqrt(L * delta / K) * sigma + 6 * (m * L * delta * G / K) ** (2 / 3)
        third = 162 * m * L * delta / K + 105 * math.sqrt(L * delta / K) * sigma
        assert middle(evaluate(THEOREMS["mishchenko-2"], case).value) <= second * (1 + 1e-9)
        assert middle(evaluate(THEOREMS["mishchenko-3.3"], case).value) <= third * (1 + 1e-9)
    # With fewer commits than workers 105 is not enough.
    case = case_of("C = 1", "constant:0", L=fmpq(1), sigma=fmpq(1000), delta=fmpq(1), workers=fmpq(50), steps=fmpq(5))
    assert middle(evaluate(THEOREMS["mishchenko-3.3"], case).value) > 162 * 50 / 5 + 105 * math.sqrt(1 / 5) * 1000


def test_the_best_amplitude_is_the_least_of_a_grid():
    draw = random.Random(0)
    for _ in range(200):
        b, g, c = (
            Fraction(draw.randint(0, 333), 999),
            Fraction(draw.randint(0, 50), 50),
            Fraction(draw.randint(0, 300), 50),
        )
        exact = [as_fmpq(x) for x in (b, g, c)]
        best = best_amplitude(*exact)
        least = min((1 + b * a**2) * (1 + c - c * g * a) for a in (Fraction(i, 400) for i in range(401)))
        assert middle(noise_factor(best, *exact)) <= float(least) * (1 + 1e-12)
        assert 0 <= middle(best) <= 1
    with pytest.raises(ValueError, match="b must be in"):
        best_amplitude(fmpq(1, 2), fmpq(1, 2), fmpq(1))


def test_the_shape_of_a_law_gives_the_moments_of_tail():
    law = parse_law("uniform:0:6")
    b, g, mean = shape({t: Fraction(1, 7) for t in range(7)})
    moments = moments_of(loads(TAIL), law)
    assert moments.mean_square == 1 + b
    assert moments.staleness_mean == mean * (1 - g)


@pytest.mark.parametrize("spec", ["uniform:0:6", "constant:0", "constant:5", "poisson:40", "geometric:1/5"])
def test_the_shape_of_any_law_is_enclosed(spec):
    law = parse_law(spec)
    tau = np.arange(300 if law.last is None else law.last + 1)
    p = np.array([middle(law.mass(int(t))) for t in tau])
    b, g, mean = shape_of(law)
    gap = p @ abs(tau[:, None] - tau) @ p
    assert math.isclose(middle(b), (1 - (p**3).sum()) / 3, rel_tol=1e-9, abs_tol=1e-12)
    assert math.isclose(middle(mean), p @ tau, rel_tol=1e-9)
    assert math.isclose(middle(g), gap / (2 * (p @ tau)) if p @ tau else 0, rel_tol=1e-9, abs_tol=1e-12)


def brute_force(tau, alpha, L, mu, split):
    """(TR) and ΣN_k by their definitions, in fractions."""
    K = len(tau)
    windows = [range(k - min(tau[k], k), k) for k in range(K)]
    loads_, noise = [], []
    for j in range(K):
        total = Fraction(0)
        for k in range(j + 1, K):
            if j in windows[k]:
                grown = math.prod((1 - mu * alpha[i] for i in range(j + 1, k + 1)), start=Fraction(1))
                total += alpha[k] * sum(alpha[i] for i in windows[k]) / grown
        loads_.append(L * alpha[j] + split * L**2 * total if alpha[j] else Fraction(0))
    for k in range(K):
        own = alpha[k] ** 2 + split * L * alpha[k] * sum(alpha[i] ** 2 for i in windows[k])
        noise.append(own * math.prod((1 - mu * alpha[i] for i in range(k + 1, K)), start=Fraction(1)))
    return loads_, sum(noise)


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 64)), min_size=1, max_size=25), st.booleans(), st.booleans()
)
def test_the_trace_theorem_agrees_with_its_definition(commits, in_order, with_rate):
    tau, alpha = [t for t, _ in commits], [Fraction(a, 512) for _, a in commits]
    if in_order:
        tau = [2] * len(tau)
    if not any(alpha):
        return
    L, mu = Fraction(2), Fraction(1, 2) if with_rate else Fraction(0)
    reads = [k - min(t, k) for k, t in enumerate(tau)]
    split = 1 if reads == sorted(reads) else 2
    expected, noise = brute_force(tau, alpha, L, mu, split)
    arrays = np.array(tau), np.array([float(a) for a in alpha])
    constants = {"smoothness": 2.0, "mu": 0.5 if with_rate else None}
    condition = trace_condition(*arrays, **constants)
    assert condition.in_order == (split == 1)
    assert np.allclose(condition.load, np.array([float(x) for x in expected]), rtol=1e-12)
    assert all(Fraction(float(up)) >= x for up, x in zip(condition.load, expected, strict=True))
    assert set(condition.violated) == {j for j, x in enumerate(expected) if x > 1}
    assert max(expected) == expected[condition.binding[0]] or math.isclose(
        max(expected), expected[condition.binding[0]]
    )
    bound = trace_bound(*arrays, noise=3.0, gap=5.0, **constants)
    total = sum(alpha)
    start = 5 * math.prod(1 - mu * a for a in alpha) if with_rate else 10 / total
    spread = L * 9 * noise / (2 if with_rate else total)
    assert Fraction(float(bound.value)) >= start + spread
    assert math.isclose(bound.value, start + spread, rel_tol=1e-12)
    convex = trace_bound(*arrays, noise=3.0, distance=2.0, smoothness=2.0)
    plain = brute_force(tau, alpha, L, Fraction(0), split)[1]
    assert math.isclose(convex.value, (4 + 9 * plain) / (2 * total), rel_tol=1e-12)


@pytest.mark.parametrize("mu", [None, 0.3, 3.0])
def test_the_largest_scale_is_where_the_trace_condition_is_tight(mu):
    random_ = np.random.default_rng(0)
    tau = random_.integers(0, 12, 300)
    alpha = random_.uniform(0.5, 1.5, 300)
    scale = largest_scale(tau, alpha, smoothness=3.0, mu=mu)
    assert trace_condition(tau, scale * alpha, smoothness=3.0, mu=mu).verdict is Verdict.PROVED
    beyond = trace_condition(tau, 1.001 * scale * alpha, smoothness=3.0, mu=mu)
    assert beyond.verdict is Verdict.REFUTED
    assert beyond.binding[0] in beyond.violated


@pytest.mark.parametrize(
    ("tau", "alpha", "constants", "message"),
    [
        ([0, 1], [1.0], {}, "shapes"),
        ([0, -1], [1.0, 1.0], {}, "integers ≥ 0"),
        ([0, 1], [1.0, math.nan], {}, "finite"),
        ([0, 1], [1.0, 1.0], {"mu": 2.0}, "mu must be"),
    ],
)
def test_a_trace_that_makes_no_sense_is_refused(tau, alpha, constants, message):
    with pytest.raises(ValueError, match=message):
        trace_condition(np.array(tau), np.array(alpha), smoothness=1.0, **constants)
