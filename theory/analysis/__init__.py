"""Analysis: facts about a formula under a law, each shown for certain or left undecided.

``setting`` holds the parameters, the law and the kind of F that a formula is analysed in, and ``expectation`` adds
means under the law. Values at one staleness come from ``evaluation`` and ``pointwise``, bounds over many from
``bounds_over`` and ``supremum``, facts about all staleness values from some N on from ``tails``, by way of
``monotonicity``, ``dominance`` and ``expansions``; ``equality`` decides whether E[C] = 1 exactly, and ``means`` tells
other means from 1; ``long_sums`` sums over many values at once.
"""
