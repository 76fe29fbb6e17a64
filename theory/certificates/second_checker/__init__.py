"""What the second checker stands on: its own arithmetic, formulas, laws, and looks at a formula over many τ at once.

Nothing here imports the prover, SymPy or python-flint: the standard library and mpmath are enough.
"""
