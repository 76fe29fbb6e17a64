"""``replay``: a recorded execution, run again with the trainer's own compiled functions.

The rerun goes commit by commit and compares each with its rows; the stores hold the parameters meanwhile, as the run's
scheme did; the replayer compares the end, and nonfinite finds the first commit that made a number not finite.
"""
