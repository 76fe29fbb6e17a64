"""One that fails: it forgives what is very stale, so it increases at one place, far out."""

from sympy import Piecewise

from theory import tau

C = Piecewise((1 / (1 + tau), tau < 1000), (1 / 900, True))
