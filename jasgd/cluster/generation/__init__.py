"""Executions of a cluster's model, generated without any training."""
