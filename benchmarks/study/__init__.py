"""The study: does adapting to staleness help, when, and by how much? ``python -m benchmarks.study --help``.

:mod:`design` says what is run and how it is judged; it was written down before any run that is judged. :mod:`runner`
runs what is missing, :mod:`cache` keeps it, and :mod:`report` makes docs/study.md of what is there.
"""
