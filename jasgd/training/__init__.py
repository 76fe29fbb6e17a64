"""Training with parallel workers: ``train``, the state of a run, and how it ends."""
