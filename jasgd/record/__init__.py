"""What is kept of a run: the execution, timings, evaluations, the environment, and the result that saves them."""
