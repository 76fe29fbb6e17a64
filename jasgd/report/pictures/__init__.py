"""The pictures of :mod:`jasgd.report`: those of comparisons over learning rates and numbers of workers."""
