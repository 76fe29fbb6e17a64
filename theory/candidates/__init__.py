"""Candidate files: what they declare, and how they are read."""
