"""An exponential with an open parameter: what is proved holds for every beta > 0. Try --set beta=1/10."""

import sympy

from theory import tau

beta = sympy.Symbol("beta")
C = sympy.exp(-beta * tau)
parameters = {"beta": (0, None)}
distribution = "poisson:8"
