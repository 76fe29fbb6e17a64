"""Defaults that functions and the command line share, so that one means what the other does."""

#: Workers of ``train``, ``compare`` and ``simulate``: a fixed number, so that a run is as stale on every machine, and a
#: learning rate that was found on one holds on another.
WORKERS = 8
#: Numbers of workers of ``sweep``.
WORKER_COUNTS = (1, 8, 32)
