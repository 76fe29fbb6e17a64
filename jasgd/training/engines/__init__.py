"""Who makes the workers of a run work; today threads of this process."""
