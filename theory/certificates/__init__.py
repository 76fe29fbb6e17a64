"""Certificates: verdicts written down with their evidence, and verified again without SymPy or the prover.

``certificate`` writes them; ``checker`` verifies them, claim by claim, with ``proofs`` for what is proved and
``refutations`` for counterexamples.
"""
