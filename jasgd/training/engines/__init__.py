"""Engines make the workers of a training run work: threads of this process, or Ray's actors on many machines."""
