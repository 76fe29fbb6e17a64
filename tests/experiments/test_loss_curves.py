"""Curves of simulated runs: what is kept of their losses, and that it is read back."""

import numpy as np
import pytest
from support.results import result_of

import jasgd
from jasgd.experiments.loss_curves import POINTS, Collected, LossCurves
from jasgd.experiments.spectrum_jobs import Point
from jasgd.record.saving.folder import replacing

PLACES = [Point("equal", 8, 0, "tail:cdf=strict", 0.1), Point("gamma:shape=4", 1, 3, "constant", 0.05)]


def test_a_point_is_the_mean_loss_of_the_updates_between_two():
    losses = np.arange(1000, dtype=np.float32)
    collected = Collected(steps=1000)
    collected.add(PLACES[0], result_of(losses))
    curves = collected.curves()
    assert curves.updates.tolist() == list(range(0, 1001, 5))
    np.testing.assert_allclose(curves.loss[0], losses.reshape(POINTS, 5).mean(axis=1))


def test_few_updates_are_kept_each_and_those_that_did_not_come_are_nan():
    collected = Collected(steps=4)
    collected.add(PLACES[0], result_of([3.0, 2.0]))
    np.testing.assert_array_equal(collected.curves().loss, [[3, 2, np.nan, np.nan]])


@pytest.mark.parametrize("count", [0, 2])
def test_curves_are_read_back_as_they_were_and_changes_are_seen(tmp_path, count):
    collected = Collected(steps=10)
    for place in PLACES[:count]:
        collected.add(place, result_of(np.linspace(2, 1, 10)))
    curves = collected.curves()
    with replacing(tmp_path / "s", kind="spectrum") as draft:
        curves.write(draft)
    again = LossCurves.load(tmp_path / "s")
    assert again.points == curves.points == tuple(sorted(PLACES[:count]))
    np.testing.assert_array_equal(again.updates, curves.updates)
    np.testing.assert_array_equal(again.loss, curves.loss)
    content = bytearray((tmp_path / "s" / "curves.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / "s" / "curves.npz").write_bytes(content)
    with pytest.raises(jasgd.SavedRunError, match=r"curves\.npz"):
        LossCurves.load(tmp_path / "s")


def test_a_folder_without_curves_is_said_to_have_none(tmp_path):
    with pytest.raises(FileNotFoundError):
        LossCurves.load(tmp_path)
