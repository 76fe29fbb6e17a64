"""Convergence: moments of staleness and factor, the assumptions of theorems, and the bounds that follow."""
