"""Replays saved random runs and prints as JSON what each replay came to.

python tests/support/replay_script.py FOLDER INDEX [INDEX ...]
"""

import json
import sys
from pathlib import Path

import jasgd

if __name__ == "__main__":
    jasgd.configure_cpu()

from support.random_runs import Case

if __name__ == "__main__":
    folder, outcomes = Path(sys.argv[1]), {}
    for case in map(Case.of, map(int, sys.argv[2:])):
        replay = case.replay(case.load(folder))
        outcomes[case.index] = {"exact": replay.exact, "compared": replay.compared, "difference": replay.difference}
    print(json.dumps(outcomes))
