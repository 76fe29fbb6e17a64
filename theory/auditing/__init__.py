"""Auditing a recorded run: whether the assumptions of convergence theorems held on it.

``auditor`` has ``audit()``; what it reads is in ``recorded_run``, its statistical tests in ``dependence``, its
estimates of smoothness and noise in ``curvature``, the theorems in ``theorems_on_record``; findings are ``remarks``.
"""
