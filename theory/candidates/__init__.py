"""Candidates: step-size functions to decide on, from a user's file or from the library's rules.

``loading`` has ``load()``; ``file`` runs a candidate file, ``declarations`` reads what it declares beside C, and
``library_rules`` makes candidates of the rules of ``jasgd.rules``.
"""
