r"""Expansions of formulas for large τ, in powers of 1/τ and log τ, with a bound of what is left out.

``series`` has power series with a remainder, ``expansion`` sums of them times powers of log τ, ``of_formulas`` expands
a formula, or its logarithm, and ``steps`` what it changes by from τ to τ + 1; ``signs`` are the arguments made of that,
and ``growth_bounds`` bounds how fast a formula can grow.
"""
