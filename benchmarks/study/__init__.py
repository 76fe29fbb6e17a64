"""The study: does adapting to staleness help, when, and by how much? ``python -m benchmarks.study --help``.

``design`` says what is run and how it is judged; it was written down before any run that is judged. ``runner`` runs
what is missing, ``runs`` makes and keeps it, and ``reporting`` makes docs/study.md of what is there.
"""
