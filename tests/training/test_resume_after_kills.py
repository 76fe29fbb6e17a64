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


def killed(scheme, folder, count):
    """How many runs died within a save, and at any moment; of each it was seen that it goes on, and how it ends."""
    return json.loads(run_python("-W", "ignore", SCRIPT, scheme, folder / "checkpoints", count, timeout_s=2000).stdout)


@pytest.mark.parametrize("scheme", ids(SCHEMES))
def test_a_killed_run_goes_on_and_nothing_is_applied_twice(scheme, tmp_path):
    assert sum(killed(scheme, tmp_path, FEW[scheme]).values()) > 0


@pytest.mark.full
@pytest.mark.parametrize("scheme", ids(SCHEMES))
def test_a_run_goes_on_whichever_of_a_hundred_moments_it_was_killed_at(scheme, tmp_path):
    died = killed(scheme, tmp_path, 100)
    assert min(died.values()) > 25
