"""Convergence theorems applied to a step-size function: their assumptions, step sizes and bounds.

``theorem`` says what a theorem is and evaluates one; ``theorems`` holds one file each. They share ``assumptions``, the
moments of staleness and factor (``moments``, ``candidate_moments``), and step conditions (``moment_condition``,
``discounted_condition``). ``trace`` and ``windows`` are about one execution, with no law.
"""
