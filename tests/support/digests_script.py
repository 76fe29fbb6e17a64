"""Prints digests of simulations as JSON: what a simulation comes to, bit by bit.

python tests/support/digests_script.py LANES
"""

import json
import sys

import jasgd

if __name__ == "__main__":
    jasgd.configure_cpu()

from support.simulations import digests

if __name__ == "__main__":
    json.dump(digests(lanes=sys.argv[1]), sys.stdout)
