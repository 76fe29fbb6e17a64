"""Auditing a recorded run: whether the assumptions of convergence theorems held on it, and what they say of it.

``auditor`` has ``audit()``. What it reads is in ``recorded_run``; what a record says by itself in ``record_findings``,
with the statistical tests of ``dependence``; what a replay shows of each step in ``replayed_steps`` and ``step_sizes``;
numbers of the problem in ``problem_numbers``, how anything is measured in ``measuring``; the theorems in
``execution_theorems`` (E and H) and ``law_theorems``. Findings are ``remarks``.
"""
