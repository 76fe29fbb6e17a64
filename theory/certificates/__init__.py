"""Certificates: verdicts written down with their witnesses, and verified without SymPy or the prover.

``certificate`` writes them, with the ``witnesses`` of each finding; ``reading`` and ``checker`` read and verify them,
claim by claim, with ``questions`` for what a claim is about, ``proofs`` and ``tails`` for what is proved,
``refutations`` for counterexamples, and ``enclosures`` for numbers. ``binding`` holds one against a candidate's file.
docs/certificates.md has the format.
"""
