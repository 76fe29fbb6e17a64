"""What a run leaves behind: the execution, timings, evaluations, the environment, and the result that saves them."""
