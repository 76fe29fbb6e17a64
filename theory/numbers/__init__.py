"""Numbers: the arithmetic that verdicts rest on, which is exact or rounded outward.

``rationals`` are exact, ``balls`` contain one number for certain, ``ranges`` contain every value of a formula, and
``decimals`` writes them for people and certificates.
"""
