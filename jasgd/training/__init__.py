"""Training with threads: ``train``, the state of a run, and how it ends."""
