"""Distortions: functions g on [0, 1] that make a step-size function of every law, C = (g(F(τ)) - g(F(τ⁻)))/p(τ).

Theorem F (docs/distortions.md): these are the functions of the law that preserve the step size under every law, and
what C is like follows from the slopes of g. ``conditions`` decides a ``question``; ``slopes`` shows facts about g on an
interval from the ``signs`` of its derivatives, and ``witnesses`` finds laws that violate a condition.
"""
