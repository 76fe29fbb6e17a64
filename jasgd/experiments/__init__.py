"""Comparisons of step-size functions: ``compare`` trains with threads, ``sweep`` on simulated clusters.

An arm is a step-size function or a control of one; measures are the numbers of a run, conclusions sentences on a table
of them. A recipe says what a run of the command line was made of, so that it can be replayed.
"""
