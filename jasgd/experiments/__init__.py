"""Comparisons of step-size functions: ``compare`` trains with threads, ``sweep`` on simulated clusters.

Arms are what is compared; measures are the numbers of one run, conclusions the sentences about a table of them. A
recipe is what a run of the command line was made of, from which its replay is made.
"""
