"""The evidence of a claim, verified again: of proofs, and of counterexamples."""
