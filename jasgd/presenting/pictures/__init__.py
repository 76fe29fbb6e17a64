"""Pictures of runs: one style, what all pictures share, and a module for each kind."""
