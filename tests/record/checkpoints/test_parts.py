"""What the parts of a run were run with: whole for who asks, and kept once where a part has what the one before had."""

import json

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jasgd
from jasgd.record.checkpoints.state import parts_of, with_part


def metadata(workers, **environment):
    return {"scheme": "leashed", "workers": workers, "environment": environment}


def test_an_environment_is_kept_once_and_read_whole():
    first = metadata(1, jax="0.10", flags="a", load=[1])
    second = metadata(2, jax="0.10", flags="a", load=[2])
    third = metadata(3, jax="0.11", settings={"x": 1}, load=[2])  # of a version that knows no flags
    kept = second | {"parts": with_part(first, second, 10)}
    kept = json.loads(json.dumps(third | {"parts": with_part(kept, third, 20)}))
    assert [part["environment"] for part in kept["parts"][1:]] == [
        {"load": [2]},
        {"jax": "0.11", "flags": None, "settings": {"x": 1}},
    ]
    read = parts_of(kept)
    assert [part["from_version"] for part in read] == [0, 10, 20]
    assert [part["workers"] for part in read] == [1, 2, 3]
    assert read[0]["environment"] == first["environment"]
    assert read[1]["environment"] == second["environment"]
    assert read[2]["environment"] == third["environment"] | {"flags": None}


def test_a_part_without_a_commit_leaves_nothing_of_itself():
    first, second, third = (metadata(workers, load=[workers], jax=str(workers)) for workers in (1, 2, 3))
    kept = second | {"parts": with_part(first, second, 10)}
    assert parts_of({"parts": with_part(kept, third, 10)}) == [
        {"from_version": 0, **first},
        {"from_version": 10, **third},
    ]


def test_a_replay_sees_the_environment_of_each_part():
    def loss_fn(w, batch):
        return jnp.mean((w - batch) ** 2)

    result = None
    for steps in (5, 10, 15):
        result = jasgd.train(loss_fn, jnp.zeros(3), optax.sgd(0.1), lambda ticket: np.float32(1), scheme="sequential",
                             workers=1, steps=steps, resume=result)  # fmt: skip
    parts = result.execution.metadata["parts"]
    assert all(set(part["environment"]) <= {"load", "affinity"} for part in parts[1:])
    parts[1]["environment"]["optax"] = "0.0.1"
    parts[2]["environment"]["optax"] = optax.__version__
    with pytest.raises(jasgd.ReplayError, match=r"optax is .*, recorded was '0\.0\.1'"):
        jasgd.replay(result, loss_fn, optax.sgd(0.1), lambda ticket: np.float32(1))
