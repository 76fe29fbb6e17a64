"""The kind: a damaged file of a checkpoint is used, or hinders a run that could go on from the one before."""

import shutil
import warnings

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jasgd
from jasgd.record.checkpoints.layout import saves_in


def train(folder, steps, seed=0, **options):
    options = ({} if folder is None else {"checkpoint": jasgd.Checkpoints(folder), "resume": folder}) | options
    return jasgd.train(
        lambda w, b: jnp.mean((w - b) ** 2),
        jnp.full(5, float(seed)),
        optax.sgd(0.05, momentum=0.9),
        lambda ticket: np.random.default_rng(ticket).normal(size=5).astype(np.float32),
        scheme="sequential",
        workers=1,
        steps=steps,
        **options,
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with checkpoints of the versions 20 and 30, and the result of 50 steps."""
    folder = tmp_path_factory.mktemp("made") / "checkpoints"
    for steps in (10, 20, 30):
        train(folder, steps)
    return folder, train(None, 50)


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made[0], tmp_path / "checkpoints")


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:-7])


DAMAGES = [flip, cut, lambda path: path.write_bytes(b""), lambda path: path.unlink()]
NEWEST = ["checkpoint-000003/" + name for name in ("params.npz", "opt_state.npz", "checkpoint.json", "manifest.json")]


@pytest.mark.parametrize("damage", DAMAGES, ids=["flipped", "cut", "emptied", "removed"])
@pytest.mark.parametrize("name", [*NEWEST, "rows/00000/000003.npz"])
def test_a_damaged_file_is_named_and_the_checkpoint_before_is_used(folder, made, name, damage):
    damage(folder / name)
    with pytest.warns(jasgd.warning_types.CheckpointWarning) as said:
        result = train(folder, 50)
    assert f"{folder / name}" in str(said[0].message)
    assert "the checkpoint before it is used" in str(said[0].message)
    assert "checkpoint-000002, of version 20" in str(said[0].message)
    whole = made[1]
    assert result.params.tobytes() == whole.params.tobytes()
    assert result.execution.loss.tobytes() == whole.execution.loss.tobytes()
    assert [part["from_version"] for part in result.execution.metadata["parts"]] == [0, 10, 20]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert train(folder, 50).params.tobytes() == whole.params.tobytes()
    assert len(saves_in(folder)) == 2
    assert name not in NEWEST or not (folder / name).parent.exists()  # it is old by now


def test_every_file_of_a_checkpoint_is_among_those(folder):
    of_newest = {f"checkpoint-000003/{path.name}" for path in (folder / "checkpoint-000003").iterdir()}
    assert of_newest == set(NEWEST)
    others = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} - of_newest
    assert others == {
        "initial_params.npz", "manifest.json", "run.json", *(f"rows/00000/00000{i}.npz" for i in (1, 2, 3)),
        *(f"checkpoint-000002/{name.partition('/')[2]}" for name in NEWEST),
    }  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES, ids=["flipped", "cut", "emptied", "removed"])
def test_where_all_are_damaged_nothing_is_trained_and_each_is_named(folder, damage):
    names = ["checkpoint-000003/params.npz", "rows/00000/000001.npz"]
    for name in names:
        damage(folder / name)
    with pytest.raises(jasgd.SavedRunError, match=r"no checkpoint in .* is whole") as raised:
        train(folder, 50)
    assert all(str(folder / name) in str(raised.value) for name in names)


@pytest.mark.parametrize("damage", DAMAGES, ids=["flipped", "cut", "emptied", "removed"])
@pytest.mark.parametrize("name", ["initial_params.npz", "manifest.json"])
def test_without_the_initial_parameters_a_run_goes_on_and_a_replay_says_what_is_missing(folder, made, name, damage):
    damage(folder / name)
    with pytest.warns(jasgd.warning_types.CheckpointWarning, match=name):
        result = train(folder, 50, seed=1)  # whose parameters are other ones
    assert result.params.tobytes() == made[1].params.tobytes()
    assert result.initial_params is None
    with pytest.raises(ValueError, match="must have initial_params to be replayed"):
        jasgd.replay(result, lambda w, b: jnp.mean((w - b) ** 2), optax.sgd(0.05, momentum=0.9), lambda ticket: 0)


def test_initial_parameters_that_are_given_anew_take_the_place_of_damaged_ones(folder, made):
    (folder / "initial_params.npz").unlink()
    with pytest.warns(jasgd.warning_types.CheckpointWarning, match=r"initial_params\.npz"):
        result = train(folder, 50)
    assert result.initial_params.tobytes() == made[1].initial_params.tobytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": 3}, "seed must be that of the run that is gone on with, 0, got 3"),
        ({"opt_state": ()}, "opt_state and first_ticket must be left out with resume"),
        ({"first_ticket": 3}, "opt_state and first_ticket must be left out with resume"),
        ({"first_ticket": -1, "resume": None}, "first_ticket must be an integer ≥ 0, got -1"),
    ],
)
def test_what_contradicts_the_run_is_refused_by_name(folder, options, message):
    def go_on(seed=0, resume=folder, **others):
        tx = optax.sgd(0.1, momentum=0.9)
        jasgd.train(lambda w, b: w.sum(), jnp.zeros(5), tx, lambda t: 0, workers=1, steps=50, seed=seed, resume=resume,
                    **others)  # fmt: skip

    with pytest.raises(ValueError, match=message):
        go_on(**options)


def test_other_parameters_or_another_optimizer_are_refused_by_path(folder):
    def go_on(start, tx):
        jasgd.train(lambda w, b: jnp.sum(w), start, tx, lambda t: 0, workers=1, steps=50, resume=folder)

    with pytest.raises(ValueError, match=r"params.npz: leaf at the top is of shape \[5\], the given .* has \[6\]"):
        go_on(jnp.zeros(6), optax.sgd(0.05, momentum=0.9))
    with pytest.raises(ValueError, match=r"opt_state.npz"):
        go_on(jnp.zeros(5), optax.adam(0.1))
    with pytest.raises(ValueError, match=r"opt_state.*has no leaf|opt_state.*node"):
        jasgd.train(lambda w, b: jnp.sum(w), jnp.zeros(5), optax.adam(0.1), lambda t: 0, workers=1, steps=5,
                    opt_state=optax.sgd(0.1, momentum=0.9).init(jnp.zeros(5)))  # fmt: skip


def test_the_checkpoints_of_another_run_are_not_overwritten(folder):
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(FileExistsError, match=r"has the checkpoints of a run: resume=.* goes on with it"):
        train(folder, 50, resume=None)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_foreign_file_is_refused_before_training_and_never_removed(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    calls = []
    with pytest.raises(FileExistsError, match=r"mine\.txt"):
        jasgd.train(lambda w, b: jnp.sum(w), jnp.zeros(5), optax.sgd(0.1), lambda t: calls.append(t) or 0, workers=1,
                    steps=5, checkpoint=jasgd.Checkpoints(tmp_path))  # fmt: skip
    assert calls == [0]
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_a_file_of_mine_in_a_checkpoint_keeps_it(folder):
    (folder / "checkpoint-000002" / "mine.txt").write_text("mine")
    train(folder, 50)
    assert (folder / "checkpoint-000002" / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"every_s": 0}, ValueError, "every_s must be"),
        ({"every_steps": 0}, ValueError, "every_steps must be an integer ≥ 1, or None, got 0"),
        ({"keep": 0}, ValueError, "keep must be an integer ≥ 1, got 0"),
        ({"rows_on_disk": 2}, TypeError, "rows_on_disk must be"),
        ({"notes": {1, 2}}, TypeError, "notes must be a dict that JSON can hold"),
        ({"folder": 3}, TypeError, "folder must be a path, got 3"),
    ],
)
def test_checkpoints_that_cannot_be_are_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        jasgd.Checkpoints(**{"folder": "x"} | arguments)


def test_what_is_no_checkpoints_is_refused_by_name():
    for options, message in (
        ({"checkpoint": "folder"}, r"checkpoint must be a jasgd.Checkpoints, got str: jasgd.Checkpoints\('folder'\)"),
        ({"resume": 3}, "resume must be a folder or a TrainResult, got int"),
    ):
        with pytest.raises(TypeError, match=message):
            jasgd.train(
                lambda w, b: jnp.sum(w), jnp.zeros(5), optax.sgd(0.1), lambda t: 0, workers=1, steps=5, **options
            )
