"""Delayed SGD on functions of one variable, simulated: problems, laws and what bounds bound."""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction

import numpy as np
from flint import arb

from theory.convergence.moments import Moments
from theory.convergence.theorem import Case
from theory.numbers.rationals import as_fmpq

REPLICATIONS, STEPS, START = 256, 150, 3.0


@dataclasses.dataclass(frozen=True)
class Problem:
    """A function of one variable with its least value 0 at 0."""

    value: object
    gradient: object
    L: Fraction
    mu: Fraction | None = None
    G: Fraction | None = None


PROBLEMS = {
    "quadratic": Problem(lambda x: x**2 / 2, lambda x: x, Fraction(1), Fraction(1)),
    # not convex, Polyak-Łojasiewicz: its best constant is 0.1755
    "wave": Problem(
        lambda x: x**2 + 3 * np.sin(x) ** 2, lambda x: 2 * x + 3 * np.sin(2 * x), Fraction(8), Fraction(7, 40)
    ),
    "logcosh": Problem(lambda x: np.logaddexp(x, -x) - math.log(2), np.tanh, Fraction(1), None, Fraction(1)),
    "huber": Problem(
        lambda x: np.where(abs(x) <= 1, x**2 / 2, abs(x) - 0.5),
        lambda x: np.clip(x, -1, 1),
        Fraction(1),
        None,
        Fraction(1),
    ),
    "cosine": Problem(lambda x: 1 - np.cos(x), np.sin, Fraction(1), None, Fraction(1)),
    "ridge": Problem(
        lambda x: np.logaddexp(x, -x) - math.log(2) + x**2 / 20,
        lambda x: np.tanh(x) + x / 10,
        Fraction(11, 10),
        Fraction(1, 10),
    ),
    "logistic": Problem(  # two examples of opposite labels, and a ridge
        lambda x: np.logaddexp(x / 2, -x / 2) - math.log(2) + x**2 / 20,
        lambda x: np.tanh(x / 2) / 2 + x / 10,
        Fraction(7, 20),
        Fraction(1, 10),
    ),
    "quadratic-slopes": Problem(abs, np.sign, Fraction(1), None, Fraction(1)),  # |x|: convex, not smooth
}


def geometric(chance, last):
    weights = [chance * (1 - chance) ** i for i in range(last + 1)]
    return {i: weight / sum(weights) for i, weight in enumerate(weights)}


FRESH = {0: Fraction(1)}


LAWS = {
    "constant": {4: Fraction(1)},
    "uniform": {i: Fraction(1, 9) for i in range(9)},
    "geometric": geometric(Fraction(1, 5), 16),
}


AMPLITUDES = (Fraction(0), Fraction(1, 2), Fraction(1))


def tail(law, amplitude):
    """C = 1 + A(1 - 2F_mid) at every staleness up to the largest."""
    factors, below = {}, Fraction(0)
    for tau in range(max(law) + 1):
        mass = law.get(tau, Fraction(0))
        factors[tau] = 1 + amplitude * (1 - 2 * below - mass)
        below += mass
    return factors


def simulate(gradient, start, reads, alphas, noise):
    """x_{k+1} = x_k - α_k(f'(x_{r_k}) + ξ_k), one column a replication; returns x_0..x_K."""
    steps, replications = noise.shape
    path = np.empty((steps + 1, replications))
    path[0] = start
    columns = np.arange(replications)
    for k in range(steps):
        path[k + 1] = path[k] - alphas[k] * (gradient(path[reads[k], columns]) + noise[k])
    return path


@dataclasses.dataclass(frozen=True)
class Run:
    """Replications of one setting; ``reads`` are the versions that gradients were computed on."""

    problem: Problem
    path: np.ndarray
    reads: np.ndarray
    alphas: np.ndarray
    sigma: float

    def gradients(self):
        return self.problem.gradient(self.path)

    def views(self):
        return np.take_along_axis(self.path, self.reads, axis=0)


def run(
    problem,
    law,
    amplitude,
    step,
    *,
    sigma=1.0,
    start=START,
    steps=STEPS,
    replications=REPLICATIONS,
    seed=0,
    clipped=False,
):
    """``clipped``: C is evaluated at min(τ_k, k), as a real run has to."""
    random = np.random.default_rng(seed)
    staleness = np.array(list(law))
    factors = {tau: float(c) for tau, c in tail(law, amplitude).items()}
    tau = random.choice(staleness, size=(steps, replications), p=np.array([float(law[i]) for i in law]))
    within = np.minimum(tau, np.arange(steps)[:, None])
    alphas = float(step) * np.array([factors[i] for i in range(max(law) + 1)])[within if clipped else tau]
    reads = np.arange(steps)[:, None] - within
    noise = sigma * random.choice([-1.0, 1.0], size=(steps, replications))
    return Run(problem, simulate(problem.gradient, start, reads, alphas, noise), reads, alphas, sigma)


def mean_square_gradient(done):
    return (done.gradients()[:-1] ** 2).mean(axis=0)


def mean_value(done):
    return done.problem.value(done.path[:-1]).mean(axis=0)


def last_value(done):
    return done.problem.value(done.path[-1])


def last_distance(done):
    return done.path[-1] ** 2


#: theorem → its problems, and what it bounds, of each replication
STEADY = {
    "nonconvex": (("quadratic", "wave", "logcosh"), mean_square_gradient),
    "nonconvex-sharp": (("quadratic", "wave", "logcosh"), mean_square_gradient),
    "convex": (("quadratic", "logcosh", "huber"), mean_value),
    "pl": (("quadratic", "wave", "ridge"), last_value),
    "strongly-convex": (("quadratic", "ridge", "logistic"), last_distance),
}


def numbers(problem, *, sigma=1, start=START, steps=STEPS, **more):
    """What theorems ask of a problem, started at ``start``."""
    exact = {
        "L": problem.L,
        "mu": problem.mu,
        "G": problem.G,
        "sigma": Fraction(sigma),
        "delta": Fraction(float(problem.value(np.float64(start)))),
        "distance": abs(Fraction(start)),
        "steps": Fraction(steps),
        **more,
    }
    return {name: as_fmpq(f) for name, f in exact.items() if f is not None}


def case_of(problem, law, amplitude, **more):
    return Case(Moments.of_pmf(law, tail(law, amplitude)), numbers(problem, **more))


def upper(value):
    return float(arb(value).upper()) if not isinstance(value, arb) else float(value.upper())


def exceeds(measured, bound):
    """Whether the mean over replications is above the bound by more than three standard errors."""
    error = measured.std(ddof=1) / math.sqrt(len(measured)) if len(measured) > 1 else 0.0
    return measured.mean() - 3 * error > bound * (1 + 1e-9)


def halved(theorem, name):
    """The theorem with a number halved in its bound, as if one of its constants were wrong."""

    def bound(case, step):
        return theorem.bound(Case(case.moments, {**case.numbers, name: case[name] / 2}), step)

    return dataclasses.replace(theorem, bound=bound)


def with_bounds_along(done, case):
    """The case with G and M as the runs had them: |f'(x_k)| ≤ G, E|g_k|² = f'(z_k)² + σ² ≤ M²."""
    largest = float(abs(done.gradients()[:-1]).max())
    second = math.sqrt(float((done.problem.gradient(done.views()) ** 2).max()) + done.sigma**2)
    exact = {"G": Fraction(largest), "M": Fraction(second) * (1 + Fraction(1, 10**12))}
    return Case(case.moments, case.numbers | {k: as_fmpq(v) for k, v in exact.items()})


def schedule(workers, speeds, steps, seed):
    """The staleness of each commit of workers that always compute; ``speeds`` are mean times, None for round robin."""
    random = np.random.default_rng(seed)
    if speeds is None:
        return np.minimum(np.arange(steps), workers - 1)
    ends, read = random.exponential(speeds), np.zeros(workers, int)
    staleness = np.empty(steps, int)
    for k in range(steps):
        worker = int(ends.argmin())
        staleness[k] = k - read[worker]
        read[worker] = k + 1
        ends[worker] += random.exponential(speeds[worker])
    return staleness


SPEEDS = {"equal": np.ones(4), "unequal": np.array([1.0, 2.0, 4.0, 16.0]), "round robin": None}


def run_schedule(problem, tau, alphas, sigma, replications=REPLICATIONS, start=START, seed=1):
    random = np.random.default_rng(seed)
    reads = np.repeat((np.arange(len(tau)) - tau)[:, None], replications, axis=1)
    noise = sigma * random.choice([-1.0, 1.0], size=(len(tau), replications))
    steps = np.repeat(alphas[:, None], replications, axis=1)
    return Run(problem, simulate(problem.gradient, start, reads, steps, noise), reads, steps, sigma)
