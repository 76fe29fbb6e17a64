"""What a run's result offers to look at: a summary in words, tables for pandas, figures of Matplotlib.

It lies beside the record, so that a result has them as its methods; comparisons and spectra are drawn in
:mod:`jasgd.report`.
"""
