"""Executions of a cluster's model, generated without any training.

The generator chooses one of two engines that must agree: one plays the events of simulated schemes one by one, the
other sorts cumulative sums where workers never wait for each other. Draws of a law are executions without workers.
"""
