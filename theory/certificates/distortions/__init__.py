"""Claims about distortions: their questions, and how their proofs and counterexamples are verified.

What is searched for nowhere: facts about slopes come with their trees of boxes, laws with their masses.
"""
