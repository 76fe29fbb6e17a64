"""Kind: what only shows results costs them: pictures that cannot be drawn, lines that nobody reads any more."""

import errno
import io
import json
import os
import subprocess
import sys

import pytest

from jasgd.cli.main import main

SHORT = ["--workers", "1", "--steps", "4", "--batch-size", "8"]
TRAIN = ["train", *SHORT, "--evaluate-every-s", "60"]
COMPARE = ["compare", *SHORT, "--evaluate-every-s", "60", "--arms", "constant", "inverse", "--seeds", "0"]
SIMULATE = ["simulate", *SHORT, "--arms", "constant", "--seeds", "0", "--speeds", "equal", "--learning-rates", "0.05"]


@pytest.mark.parametrize(
    ("arguments", "plots", "table"),
    [
        (TRAIN, "plot", "metrics.json"),
        (COMPARE, "plot_comparison", "comparison.json"),
        (SIMULATE, "plot_spectrum", "spectrum.json"),
    ],
)
def test_a_plot_that_fails_costs_nothing_but_the_plots(arguments, plots, table, tmp_path, capsys, monkeypatch):
    def fails(*args):
        (args[-1] / "loss.png").touch()
        raise ValueError("there are no fonts")

    monkeypatch.setattr(f"jasgd.report.{plots}", fails)
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("jasgd: there are no fonts; ")
    assert error.endswith(str(tmp_path / "out"))
    assert json.loads((tmp_path / "out" / table).read_text())["plots"] == []
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".") or path.suffix == ".png"]


class Gone(io.StringIO):
    """A terminal, or another program, that is not there any more."""

    def write(self, text):
        raise self.error


@pytest.mark.parametrize(
    ("terminal", "error"),
    [(False, BrokenPipeError(errno.EPIPE, "Broken pipe")), (True, OSError(errno.EIO, "Input/output error"))],
)
@pytest.mark.parametrize("arguments", [TRAIN, COMPARE, SIMULATE])
def test_progress_that_cannot_be_shown_ends_no_command(arguments, terminal, error, tmp_path, capsys, monkeypatch):
    gone = Gone()
    gone.error, gone.isatty = error, lambda: terminal
    monkeypatch.setattr(sys, "stderr", gone)
    assert main([*arguments, "--no-plots", "--json", "--out", str(tmp_path / "out")]) == 0
    assert json.loads(capsys.readouterr().out)["folder"] == str(tmp_path / "out")
    assert len(list((tmp_path / "out").rglob("result.json"))) == {"train": 1, "compare": 2, "simulate": 0}[arguments[0]]


@pytest.mark.parametrize("more", [[], ["--json"]])
@pytest.mark.parametrize(
    ("arguments", "table", "plots"),
    [(TRAIN, "metrics.json", 1), (COMPARE, "comparison.json", 0), (SIMULATE, "spectrum.json", 0)],
)
def test_a_table_that_nobody_reads_any_more_costs_no_file(arguments, table, plots, more, tmp_path):
    """As behind head, which closes the pipe; what is printed first is then what fails first."""
    unread, printed = os.pipe()
    os.close(unread)
    command = [sys.executable, "-m", "jasgd", *arguments, *([] if plots else ["--no-plots"]), *more]
    command += ["--out", tmp_path / "out"]
    ran = subprocess.run(command, stdout=printed, stderr=subprocess.PIPE, text=True, check=False)
    os.close(printed)
    assert ran.returncode == 0, ran.stderr
    assert (len(json.loads((tmp_path / "out" / table).read_text())["plots"]) > 0) == bool(plots)
    assert bool(list((tmp_path / "out").rglob("*.png"))) == bool(plots)
