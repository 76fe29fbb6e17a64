"""Engines run the workers of a training run; the one there is uses threads of this process."""
