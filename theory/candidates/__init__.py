"""Candidates: step-size functions to decide on, from a user's file or from the library's rules.

``loading`` has ``load()``; ``file`` runs a candidate file, ``declarations`` reads what it declares beside C, and
``library_rules`` makes candidates of the rules of ``jasgd.rules``. ``branches`` runs a file once for each answer to
what it asks about τ, ``arithmetic`` is what it computes with, ``divisors`` finds where it divides by 0,
``second_reading`` reads it again at integers, and ``assumptions`` are those of its symbols.
"""
