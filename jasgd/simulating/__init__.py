"""Training under a model of a cluster: ``simulate``."""
