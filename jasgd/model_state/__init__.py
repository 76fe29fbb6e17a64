"""The model state of a run: arrays that the loss makes anew with every gradient, such as BatchNorm's statistics.

What it is among the leaves that schemes share, and how workers' new states become one, is in ``leaves``; what is
refused before anything is traced in ``arguments``, and of what the loss returns in ``returned``; ways to merge in
``merging``.
"""
