"""Measuring along a replayed run: estimates with errors, the mini-batches and versions they are from, and curvature.

``estimates`` has numbers with their errors, ``mini_batches`` the pool that f is the mean loss of, ``versions`` the plan
of where to measure, ``curvature`` the local smoothness and noise.
"""
