"""Distortions with their verdicts, and what the checker says of each, decided once."""

import functools

from theory.candidates.loading import loads
from theory.decisions.decision import decide
from theory.laws.parsing import parse_law

NAMES = ("defined", "positive", "decreasing", "magnitude", "amplitude", "moments")
KINKED = "P((2*u, u <= R(2, 5)), (R(4, 5) + R(2, 5)*(u - R(2, 5)), u <= R(1, 2)), (R(21, 25) + (u - R(1, 2))/2, u <= R(3, 5)), (R(89, 100) + R(11, 40)*(u - R(3, 5)), True))"  # fmt: skip # noqa: E501

W = "(u - R(1, 16))*R(16, 15)"
CONVEX_FIRST = f"P((64*u**2, u <= R(1, 16)), (R(1, 4) + R(3, 4)*(R(6, 5)*{W} - R(1, 5)*({W})**2), True))"

#: What g is, the ranges of its parameters, and the verdicts in the order of NAMES: P, R, U.
EVERY_LAW = [
    ("u", "", "PPPPPP"),
    ("u + A*u*(1 - u)", "A=0,1", "PPPPPP"),
    ("u + A*u*(1 - u)", "A=-1,1", "PPRPPP"),
    ("u + A*u*(1 - u)", "A=0,3", "PRPPRP"),
    ("u + A*u - A*u**2", "A=0,1", "PPPPPP"),
    ("sympy.Min(u/q, 1)", "q=0,1", "PRPPRP"),
    ("sympy.Min(2*u, 1)", "", "PRPPPP"),
    ("(u + sympy.Min(u/q, 1))/2", "q=0,1", "PPPPRP"),
    ("(u + sympy.Min(u, 1 - u))/2 + sympy.Max(0, u - R(1, 2))", "", "PPPPPP"),
    ("1 - (1 - u)**k", "k=1,", "PPPPRP"),
    ("1 - (1 - u)**k", "k=1,2", "PPPPPP"),
    ("1 - sympy.sqrt(1 - u)", "", "PPRPRR"),
    ("(1 - sympy.exp(-k*u))/(1 - sympy.exp(-k))", "k=0,", "PPPPRP"),
    ("sympy.log(1 + k*u)/sympy.log(1 + k)", "k=0,", "PPPPRP"),
    ("(1 + k)*u/(1 + k*u)", "k=0,", "PPPPRP"),
    ("u**a", "a=0,1", "PPPPRP"),
    ("u**a", "a=0,", "PPRPRP"),
    ("u**2", "", "PPRPPP"),
    ("u**3", "", "PPRPRP"),
    ("sympy.sin(sympy.pi*u/2)", "", "PPPPPP"),
    ("1 - sympy.cos(sympy.pi*u/2)", "", "PPRPPP"),
    ("4*sympy.atan(u)/sympy.pi", "", "PPPPPP"),
    ("sympy.tanh(2*u)/sympy.tanh(2)", "", "PPPPRP"),
    ("sympy.sqrt(1 - (1 - u)**2)", "", "PPPPRP"),
    ("3*u**2 - 2*u**3", "", "PPRPPP"),
    ("u - u*sympy.log(u) if u else 0", "", None),
    ("P((0, u <= 0), (u - u*sympy.log(u), True))", "", "PPPPRP"),
    ("P((0, u <= 0), ((1 + u)/2, True))", "", "PPPPRP"),
    ("P((u/2, u <= R(1, 2)), ((1 + u)/2, True))", "", "PPRPRP"),
    ("P((2*u/3, u < R(1, 2)), ((1 + u)/3, u <= R(1, 2)), (u, True))", "", "PPRPRP"),
    ("P(((1 + u)/2, u <= R(1, 2)), (u, True))", "", "PRRRRP"),
    ("P((2*u, u <= R(1, 4)), (R(1, 3) + 2*u/3, True))", "", "PPPPPP"),
    ("P((u/2, u <= R(1, 2)), (R(1, 4) + 3*(u - R(1, 2))/2, True))", "", "PPRPPP"),
    (KINKED, "", "PPRPPP"),
    ("P((u/2, u < 1), (1, True))", "", "PPRRRU"),
    ("sympy.floor(2*u)/2", "", "PRRRRU"),
    ("2*u", "", "PPPRPP"),
    ("u + R(1, 3)", "", "PPPPPP"),
    ("u**2 + R(1, 3)", "", "PPRPPP"),
    ("1 - u", "", "PRPRRP"),
    ("R(1, 2) - sympy.Abs(u - R(1, 2))", "", "PRPRRP"),
    ("u/(2*u - 1)", "", "RRRRRR"),
    ("2*u - u**2 + sympy.sin(10*sympy.pi*u)*u*(1 - u)/50", "", "PPRPPP"),
]


def candidate_of(expression, ranges=""):
    ranges = [one.partition("=") for one in ranges.split()]
    text = "import sympy\nP, R = sympy.Piecewise, sympy.Rational\n"
    text += "parameters = {" + ", ".join(f"{name!r}: {known(of)}" for name, _, of in ranges) + "}\n"
    arguments = ", ".join(["u", *(name for name, *_ in ranges)])
    return loads(f"{text}def distortion({arguments}):\n    return {expression}\n")


def known(text):
    return "(" + ", ".join(f"'{end}'" if end else "None" for end in text.split(",")) + ")"


@functools.cache
def report_on(expression, ranges="", law=None):
    """What the checker says of a distortion."""
    return decide(candidate_of(expression, ranges), [] if law is None else [parse_law(law)])
