"""The kind: a run that is killed is lost, or goes on from half of a save, or applies a gradient twice."""

import json
from pathlib import Path

import pytest
from support.every_scheme import ids
from support.python_process import run_python
from support.training_runs import SCHEMES

SCRIPT = Path(__file__).parent.parent / "support" / "killed_runs.py"
#: kills of each scheme, 20 in all
FEW = {name: 2 for name in SCHEMES} | {"leashed": 3, "locked, native": 3}
AT_ONCE = 25  # kills of one process, which takes minutes where processors are busy


def check_kills(scheme, folder, count, first=0):
    """Kills runs within a save and at any moment, in turn; of each it is seen that it goes on, and how it ends."""
    out = run_python("-W", "ignore", SCRIPT, scheme, folder / "checkpoints", count, first, timeout_s=2000).stdout
    died = json.loads(out)
    within = sum(i % 2 == 0 for i in range(first, first + count))
    assert (died["within a save"], died["at any moment"]) == (within, count - within)
    return died["going on"]


@pytest.mark.parametrize("scheme", ids(SCHEMES))
def test_a_killed_run_goes_on_and_nothing_is_applied_twice(scheme, tmp_path):
    check_kills(scheme, tmp_path, FEW[scheme])


@pytest.mark.full
@pytest.mark.parametrize("scheme", ids(SCHEMES))
def test_a_run_goes_on_whichever_of_a_hundred_moments_it_was_killed_at(scheme, tmp_path):
    assert sum(check_kills(scheme, tmp_path, AT_ONCE, first) for first in range(0, 100, AT_ONCE)) > 0
