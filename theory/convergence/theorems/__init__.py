"""The convergence theorems, one file each."""
