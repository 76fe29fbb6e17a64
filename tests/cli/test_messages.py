"""Errors name the option that was typed, and what is no option by its own name."""

import os
import subprocess
import sys

import pytest

from jasgd.cli.compare import Compare
from jasgd.cli.front.messages import as_typed
from jasgd.cli.replay import Replay
from jasgd.cli.simulate import Simulate
from jasgd.cli.train import Train


@pytest.mark.parametrize(
    ("command", "message", "typed"),
    [
        (Train(), "learning_rate must be > 0", "--learning-rate must be > 0"),
        (Train(), "evaluate_every_steps must be an integer ≥ 1", "--evaluate-every-steps must be an integer ≥ 1"),
        (Train(), "momentum goes with the optimizer sgd", "--momentum goes with the optimizer sgd"),
        (Simulate(), "compute_s must have a finite mean > 0", "--compute must have a finite mean > 0"),
        (Simulate(), "learning_rates must be numbers", "--learning-rates must be numbers"),
        (Compare(), "rule must be one of constant", "rule must be one of constant"),
        (Train(), "length must be an integer ≥ 1", "length must be an integer ≥ 1"),
        (Train(), "the data set digits: steps must be", "the data set digits: steps must be"),
        (Replay(folder=None), "folder must be one of a run", "folder must be one of a run"),
        (Replay(folder=None), "upto must be an integer", "--upto must be an integer"),
        (Train(), "", ""),
    ],
)
def test_an_argument_is_named_by_its_option(command, message, typed):
    assert as_typed(message, command) == typed


@pytest.mark.parametrize("arguments", [["train", "--help"], ["--version"]])
def test_a_reader_that_has_read_enough_ends_a_command_without_a_word(arguments):
    """As head does: the pipe is closed before the command prints."""
    unread, printed = os.pipe()
    os.close(unread)
    ran = subprocess.run(
        [sys.executable, "-m", "jasgd", *arguments], stdout=printed, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(printed)
    assert (ran.returncode, ran.stderr) == (141, "")
