"""Decisions: the six conditions on a step-size function, each proved, refuted or left unknown.

``decision`` decides on a candidate under all its laws; ``conditions`` has one function for each condition, which asks
a ``question`` and answers with a ``verdict``. Counterexamples are looked for by ``counterexamples``.
"""
