"""Executions whose staleness is drawn independently from a law."""

import math

import numpy as np
import pytest

import jasgd
from jasgd import cluster

PMF = np.array([0.1, 0.4, 0.2, 0.3])


@pytest.mark.parametrize(
    "law",
    [
        PMF,
        PMF.tolist(),
        jasgd.StalenessHistogram.from_staleness([0] + [1] * 4 + [2] * 2 + [3] * 3),
        lambda rng, size: rng.choice(4, size, p=PMF),
    ],
    ids=["array", "list", "histogram", "function"],
)
def test_frequencies_are_those_of_the_law(law):
    execution = cluster.independent(law, steps=100_000, seed=3)
    execution.validate()
    frequencies = np.bincount(execution.staleness[3:], minlength=4) / (100_000 - 3)
    assert len(frequencies) == 4
    errors = np.sqrt(PMF * (1 - PMF) / 100_000)
    assert np.all(np.abs(frequencies - PMF) <= 5 * errors)
    # Independent: neighbours are uncorrelated.
    tau = execution.staleness[3:] - execution.staleness[3:].mean()
    assert abs(np.mean(tau[1:] * tau[:-1]) / np.mean(tau**2)) < 5 / math.sqrt(len(tau))


def test_no_version_is_staler_than_it_can_be():
    execution = cluster.independent(lambda rng, size: np.full(size, 3), steps=6)
    assert execution.staleness.tolist() == [0, 1, 2, 3, 3, 3]
    assert execution.version_read.tolist() == [0, 0, 0, 0, 1, 2]
    assert execution.worker.tolist() == [-1] * 6
    assert execution.ticket.tolist() == execution.version.tolist() == list(range(6))
    assert np.all(np.isnan(execution.time_s) & np.isnan(execution.loss) & np.isnan(execution.factor))


def test_it_is_saved_and_says_what_it_is_of(tmp_path):
    execution = cluster.independent([0.5, 0.5], steps=20, seed=2)
    execution.save(tmp_path / "execution.npz")
    again = jasgd.Execution.load(tmp_path / "execution.npz")
    assert again.hashes() == execution.hashes() == cluster.independent([0.5, 0.5], steps=20, seed=2).hashes()
    assert again.metadata["generated"] == {"law": {"pmf": [0.5, 0.5]}}
    assert again.metadata["scheme"] == "independent"
    assert cluster.independent([0.5, 0.5], steps=20, seed=1).hashes() != execution.hashes()
