"""What a save that was killed has left does not hinder the next start, and goes."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jasgd
from jasgd.record.checkpoints.layout import saves_in
from jasgd.record.saving.files import temporary_name


def train(folder, steps):
    return jasgd.train(lambda w, b: jnp.sum((w - b) ** 2), jnp.zeros(3), optax.sgd(0.1), lambda ticket: np.float32(1),
                       workers=1, steps=steps, checkpoint=jasgd.Checkpoints(folder), resume=folder)  # fmt: skip


@pytest.mark.parametrize("first", [True, False], ids=["the first save", "a later save"])
def test_a_segment_that_was_being_written_goes(tmp_path, first):
    train(tmp_path, 5)
    number = 1 if first else 2
    part = tmp_path / "rows" / "00000" / temporary_name(f".{number:06d}.npz.part-")
    part.write_bytes(b"half a segm")
    if first:  # of a run whose first save was killed there are its beginning and this
        for _, folder in saves_in(tmp_path):
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()
        (tmp_path / "rows" / "00000" / "000001.npz").unlink()
    result = train(tmp_path, 9)
    assert result.execution.commits == 9
    assert not part.exists()
    assert len(result.execution.metadata.get("parts", [0])) == (1 if first else 2)


def test_what_others_have_put_there_is_never_removed(tmp_path):
    train(tmp_path, 5)
    mine = tmp_path / "rows" / "00000" / ".mine.npz.part-1"
    mine.write_text("mine")
    train(tmp_path, 9)
    assert mine.read_text() == "mine"


def test_a_file_with_the_name_of_a_checkpoint_keeps_no_save_from_being_made(tmp_path):
    for steps in (3, 5):
        train(tmp_path, steps)
    (tmp_path / "checkpoint-000009").write_text("mine")
    for steps in (7, 9, 11):
        train(tmp_path, steps)  # where a checkpoint that cannot be saved would be a warning, which is an error here
    assert (tmp_path / "checkpoint-000009").read_text() == "mine"
    assert [number for number, _ in saves_in(tmp_path)] == [12, 11]
