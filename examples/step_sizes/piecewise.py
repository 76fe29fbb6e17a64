"""Fresh gradients count double, and the others what is left: E[C] = 1 exactly under this law."""

from sympy import Piecewise, Rational

from theory import tau

p = Rational(1, 4)  # the chance that a gradient is fresh
C = Piecewise((2, tau < 1), ((1 - 2 * p) / (1 - p), True))
distribution = "geometric:1/4"
