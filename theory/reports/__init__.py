"""Verdicts written for people and for other programs.

``terminal`` prints them, ``data`` makes JSON of them, ``junit`` XML for continuous integration, ``side_by_side`` one
table of several candidates, and ``picture`` draws C and E[C].
"""
