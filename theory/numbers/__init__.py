"""Exact rationals, balls and ranges: the arithmetic that verdicts rest on."""
