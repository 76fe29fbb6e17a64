"""``simulate``: training under a model of a cluster, many runs in compiled scans.

From the call downwards: the simulator checks arguments and generates executions; the preparation assembles what
the scans need (schedules of executions, mini-batches for scans, initial states); lanes run the scans side by side;
lane_results makes a :class:`jasgd.TrainResult` of each.
"""
