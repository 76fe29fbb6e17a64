"""Deciding on a candidate's conditions: proofs and counterexamples."""
