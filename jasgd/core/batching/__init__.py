"""Mini-batches as gradients take them: rows that are gathered, and several for one gradient."""
