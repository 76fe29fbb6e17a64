"""Checkpoints of a training run: where they lie, what is in one, and how the newest whole one is found."""
