"""What the command line says before a command runs: help, versions, and the commands of the checker."""

import dataclasses
import importlib.metadata
import platform
import re
import sys

import pytest
from support.python_process import run_python, start_python

import jasgd
from jasgd.cli.front import checker
from jasgd.cli.front.listed import epilogue
from jasgd.cli.main import Compare, Datasets, Replay, Simulate, Train, main
from jasgd.cluster.generation.scheme_names import SIMULATED
from jasgd.rules.table import RULES
from jasgd.schemes.factories import SCHEMES

COMMANDS = {"train": Train, "compare": Compare, "simulate": Simulate, "replay": Replay, "datasets": Datasets}
WAITS = "import sys, time\nprint('reading', file=sys.stderr, flush=True)\ntime.sleep(60)\n"
CANDIDATE = "from theory import tau\nC = 1 / (1 + tau)\n"


def help_of(capsys, *arguments):
    with pytest.raises(SystemExit) as left:
        main([*arguments, "--help"])
    assert left.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_versions_are_those_that_run(capsys, option):
    assert main([option]) == 0
    said = f"jasgd {jasgd.__version__}, JAX {importlib.metadata.version('jax')}, Python {platform.python_version()}\n"
    assert capsys.readouterr().out == said


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_has_a_phrase_that_stands_alone(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    text = re.sub(r"\x1b\[[0-9;]*m", "", help_of(capsys, command))
    fields = [field for field in dataclasses.fields(COMMANDS[command]) if "Positional" not in str(field.type)]
    for field in fields:
        option = f"--{field.name.replace('_', '-')}"
        found = re.search(rf"{option}[ ,].*?(?:\s{{2,}}|│\s*\n│\s+)([A-Z][^│]*)", text)
        assert found, (option, text)
        phrase = re.sub(r"\(default: .*", "", found[1]).strip()
        assert len(phrase.split()) > 2, (option, phrase)
        assert phrase.endswith("."), (option, phrase)
        assert not phrase.startswith(("Of ", "Such ", "The same", "Between ")), (option, phrase)


@pytest.mark.parametrize(
    ("command", "tables"),
    [("train", (RULES, SCHEMES)), ("compare", (RULES, SCHEMES)), ("simulate", (RULES, SIMULATED)), ("replay", ())],
)
def test_the_help_lists_the_rules_and_schemes_that_there_are(capsys, command, tables):
    text = help_of(capsys, command)
    for table in tables:
        for name in table:
            assert re.search(rf"^  {name} +[^ ]", text, re.MULTILINE), name
    assert "\\" not in text.partition("Rules,")[2]
    assert "Exit codes:" in text


def test_a_new_rule_appears_by_itself(monkeypatch):
    def freshest(share: float = 0.5):
        """Applies the freshest gradients alone.

        More.
        """

    monkeypatch.setitem(RULES, "freshest", freshest)
    assert "  freshest            Applies the freshest gradients alone [share]" in epilogue("train")
    assert max(map(len, epilogue("train").splitlines())) < 80


def test_the_help_names_the_commands_of_the_checker(capsys):
    text = help_of(capsys)
    for command in (*COMMANDS, *checker.COMMANDS):
        assert f"• {command} " in text
    assert "--version" in text


def test_a_bad_rule_is_refused_without_jax(tmp_path):
    script = (
        "import sys\n"
        "from jasgd.cli.main import main\n"
        "for command in (['train', '--rule', 'tale'], ['compare', '--arms', 'tale'], ['simulate', '--arms', 'tale'],\n"
        "                ['train', '--rule', 'tail:cdf=middle'], ['compare', '--arms', 'constant@tale']):\n"
        "    assert main(command) == 2\n"
        "assert 'jax' not in sys.modules\n"
    )
    process = run_python("-c", script, cwd=tmp_path)
    lines = process.stderr.splitlines()
    assert len(lines) == 5
    assert all(line.startswith("jasgd: rule '") for line in lines), lines


def jasgd_command(*arguments, **options):
    return run_python("-m", "jasgd", *arguments, check=False, **options)


def test_commands_of_the_checker_are_the_checker(tmp_path):
    (tmp_path / "mine.py").write_text(CANDIDATE)
    arguments = ["mine.py", "--distribution", "uniform:0:3", "--json", "--certificate", "c.json"]
    ours = jasgd_command("verify", *arguments, cwd=tmp_path)
    theirs = run_python("-m", "theory.verify", *arguments, cwd=tmp_path, check=False)
    seconds = r'"\w*seconds\w*": [\d.e-]+|"\w+_s": [\d.e-]+'
    assert ours.returncode == theirs.returncode == 1
    assert re.sub(seconds, "", ours.stdout) == re.sub(seconds, "", theirs.stdout)
    verified = jasgd_command("check", "c.json", cwd=tmp_path)
    assert (verified.returncode, "claims verified" in verified.stdout) == (0, True), verified.stderr
    assert jasgd_command("bounds", cwd=tmp_path).returncode == 3
    assert jasgd_command("audit", "nowhere", cwd=tmp_path).returncode == 3


def test_an_audit_takes_the_run_first_and_has_the_help_of_the_checker():
    assert checker.python_arguments(["audit", "run", "--json"])[2:] == ["theory.verify", "--execution", "run", "--json"]
    assert checker.python_arguments(["audit", "--help"])[2:] == ["theory.verify", "--help"]


def test_called_from_python_the_checker_has_a_process_of_its_own(capfd, tmp_path):
    assert main(["check", str(tmp_path / "nothing.json")]) == 3
    assert "nothing.json: cannot be read" in capfd.readouterr().err


@pytest.mark.parametrize("command", checker.COMMANDS)
def test_without_its_extra_a_command_of_the_checker_says_which_it_needs(command, monkeypatch, capsys):
    find_spec = checker.importlib.util.find_spec
    monkeypatch.setattr(
        checker.importlib.util, "find_spec", lambda name, *more: None if name == "flint" else find_spec(name, *more)
    )
    assert main([command, "x"]) == 2
    assert capsys.readouterr().err == f'jasgd: jasgd {command} needs flint, of an extra: pip install "jasgd[theory]"\n'
    monkeypatch.setattr(sys, "argv", ["jasgd", command, "x"])
    from jasgd.cli.main import command as entry

    with pytest.raises(SystemExit) as left:
        entry()
    assert left.value.code == 2


def test_signals_reach_the_checker(tmp_path):
    """It is the process itself, so that whoever started ``jasgd verify`` ends the checker, and nothing else."""
    (tmp_path / "waits.py").write_text(
        "import sys, time\nprint('reading', file=sys.stderr, flush=True)\ntime.sleep(60)\n"
    )
    with start_python("-m", "jasgd", "verify", "waits.py", "--limit-s", "100", cwd=tmp_path) as process:
        assert "reading" in process.stderr.readline()
        process.terminate()
        assert process.wait(30) == -15


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completions_are_printed(capsys, shell):
    with pytest.raises(SystemExit) as left:
        main(["--tyro-print-completion", shell])
    assert not left.value.code
    script = capsys.readouterr().out
    for word in ("train", "--learning-rate", "simulate", "verify"):
        assert word in script
