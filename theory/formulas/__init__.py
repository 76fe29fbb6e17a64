"""Formulas: step-size functions as plain trees, read from SymPy, written as JSON, and computed with exactly.

``formula`` defines them; ``from_sympy`` reads and ``writing`` writes them; ``algebra`` and ``monomials`` decide
equality; ``to_jax`` evaluates them while training.
"""
