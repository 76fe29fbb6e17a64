"""When early stopping stops, and what it says."""

import math

import pytest
from support.callbacks import state_of
from support.training_runs import train

from jasgd.callbacks import EarlyStopping


def stops(callback, values, name="loss"):
    """Index of the evaluation at which a run with these values is stopped, and the reason."""
    reasons = []
    callback.on_start(state_of())
    for k, value in enumerate(values):
        evaluation = {name: value, "time_s": 0.1 * k, "version": 10 * k}
        callback.on_evaluation(state_of(version=10 * k, time_s=0.1 * k, evaluation=evaluation, stop=reasons.append))
        if reasons:
            return k, reasons[0]
    return None, ""


@pytest.mark.parametrize(
    ("options", "values", "at"),
    [
        ({"patience": 1}, [3, 2, 1, 1], 3),
        ({"patience": 2}, [3, 2, 2, 1, 1, 1], 5),
        ({"patience": 3}, [3, 4, 4, 2.9, 3, 3], None),
        ({"patience": 3}, [3, 4, 4, 4], 3),
        ({"patience": 2, "mode": "max"}, [0.1, 0.5, 0.5, 0.4], 3),
        ({"patience": 2, "min_delta": 0.5}, [3, 2.6, 2.4, 2.0, 2.0], 4),
        ({"patience": 2, "min_delta": 0.5}, [3, 2.6, 2.6], 2),
        ({"patience": 2}, [math.nan, 1, math.nan, math.nan], 3),
        ({"patience": 2}, [math.inf, 5, 4, 3], None),
        ({"patience": 2, "mode": "max"}, [-math.inf, 5, 6, 7], None),
    ],
)
def test_it_stops_at_the_evaluation_at_which_patience_is_over(options, values, at):
    assert stops(EarlyStopping(**options), values)[0] == at


def test_the_reason_says_which_value_and_since_when():
    _, reason = stops(EarlyStopping("accuracy", patience=2, mode="max"), [0.5, 0.875, 0.75, 0.8125], "accuracy")
    assert reason == (
        "the accuracy has not risen above 0.875 since version 10 (0.1 s): 2 evaluations in a row were no better, "
        "the last was 0.8125"
    )
    _, reason = stops(EarlyStopping(patience=1, min_delta=0.25), [1.0, 0.875])
    assert reason.startswith("the loss has not fallen below 1 by more than 0.25 since version 0 (0.0 s): 1 evaluation")
    _, reason = stops(EarlyStopping(patience=2), [math.nan, math.nan])
    assert reason == "the loss was NaN in 2 evaluations in a row"


def test_one_object_serves_several_runs():
    callback = EarlyStopping(patience=2)
    assert stops(callback, [1, 2, 2])[0] == 2
    assert stops(callback, [5, 4, 3])[0] is None


def test_a_run_is_stopped_by_its_evaluations():
    values = iter([3.0, 2.0, 1.0] + [1.0] * 1000)
    result = train(
        steps=None, time_limit_s=60, evaluate=lambda w: next(values), evaluate_every_s=1e-3,
        callbacks=[EarlyStopping(patience=4)],
    )  # fmt: skip
    assert result.outcome == "stopped"
    assert result.message.startswith("the loss has not fallen below 1 since version ")
    assert [evaluation["loss"] for evaluation in result.evaluations[:7]] == [3, 2, 1, 1, 1, 1, 1]


def test_a_run_is_stopped_by_its_training_loss_without_evaluations():
    result = train(steps=None, time_limit_s=60, callbacks=[EarlyStopping(patience=3, of="training", min_delta=1e-9)])
    assert result.outcome == "stopped"
    assert result.message.startswith("the training loss has not fallen below ")
    assert "3 looks at the last 100 gradients in a row were no better" in result.message
    assert result.execution.loss[-1] < 1e-6


def test_training_losses_are_looked_at_once_in_a_hundred_gradients():
    reasons, callback = [], EarlyStopping(patience=1, of="training")
    callback.on_start(state_of())
    for version, stopped in ((50, 0), (100, 0), (150, 0), (199, 0), (205, 1)):
        callback.on_progress(state_of(version=version, loss=1.0, stop=reasons.append))
        assert len(reasons) == stopped


def test_a_name_that_evaluate_does_not_give_is_named_before_anything_is_trained():
    result = train(evaluate=lambda w: {"loss": 1.0, "error": 0.5}, callbacks=[EarlyStopping("accuracy", patience=1)])
    assert result.outcome == "failed"
    assert "evaluate must give 'accuracy' for EarlyStopping('accuracy'" in result.message
    assert "got 'loss', 'error'" in result.message
    assert len(result.execution) == 0


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"patience": 0}, ValueError, "patience must be an integer ≥ 1"),
        ({"patience": 1.5}, ValueError, "patience must be an integer ≥ 1"),
        ({"patience": 1, "min_delta": -1.0}, ValueError, "min_delta must be a finite number ≥ 0, got -1.0"),
        ({"patience": 1, "min_delta": math.nan}, ValueError, "min_delta must be a finite number ≥ 0"),
        ({"patience": 1, "mode": "least"}, ValueError, "mode must be 'min' or 'max', got 'least'"),
        ({"patience": 1, "of": "test"}, ValueError, "of must be 'evaluation' or 'training', got 'test'"),
        ({"patience": 1, "name": 3}, TypeError, "name must be the name of a number"),
        ({"patience": 1, "name": "accuracy", "of": "training"}, ValueError, "name must be 'loss' where of is 'train"),
    ],
)
def test_arguments_that_cannot_work_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        EarlyStopping(**arguments)
