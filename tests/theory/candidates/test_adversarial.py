"""Candidate files that were written to be decided wrongly, in tables: no verdict is, none crashes, most are decided.

The tables are in ``adversarial/``. Of each file they say what is true of each condition under each law, in six letters
as in ``test_corpus``, with the reason, and ``C`` once more for brute force, which finds each failure by itself unless
it is named ``by hand``. Or they say with which error the file is refused; or ``truth: none``, where no verdict would be
right, since the file says something else at each run.
"""

import functools
import json
import os
import pathlib
import subprocess
import sys

import pytest
from support.brute_force import judged
from support.candidate_tables import CONDITIONS, entries

from theory.candidates import second_reading
from theory.candidates.candidate import CandidateError
from theory.candidates.loading import load
from theory.certificates.certificate import certificate, confirmed
from theory.certificates.checker import check
from theory.decisions.decision import decide

ENTRIES = {entry.name: entry for entry in entries(pathlib.Path(__file__).parent / "adversarial")}
READ = [name for name, entry in ENTRIES.items() if entry.refused is None]
LETTERS = {"PROVED": "P", "REFUTED": "R", "UNKNOWN": "?"}
LIMIT_S = 1.0
FEWEST_FILES, FEWEST_VERDICTS, LEAST_DECIDED = 375, 2_650, 0.93


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("candidates")


def written(entry, folder):
    file = folder / entry.name
    file.write_text(entry.source, encoding="utf-8")
    return str(file)


@functools.cache
def findings(name, folder):
    """By law, for each condition the verdict's letter and the reason; the certificates are checked on the way."""
    entry = ENTRIES[name]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(second_reading, "NEAR", 60)  # in place of 200, for the time that it takes
        candidate = load(written(entry, folder))
    said = {}
    for spec, laws in entry.laws().items():
        report = confirmed(decide(candidate, laws, limit_s=LIMIT_S), limit_s=LIMIT_S)
        claims = certificate(report)
        if claims["claims"]:
            assert len(check(json.loads(json.dumps(claims))).claims) == len(claims["claims"])
        said[spec] = [(LETTERS[report[c].verdict.value], c, report[c].because) for c in CONDITIONS]
    return candidate.domain, said


@pytest.mark.parametrize("name", READ)
def test_no_verdict_on_a_file_is_wrong(name, folder):
    _, said = findings(name, folder)
    wrong = [
        f"{condition} under {spec}: {letter}, in truth {true}: {because}"
        for spec, of_law in said.items()
        for true, (letter, condition, because) in zip(ENTRIES[name].truths.get(spec, "######"), of_law, strict=True)
        if letter not in (true, "?")
    ]
    assert not wrong


@pytest.mark.filterwarnings("ignore:coroutine")
@pytest.mark.parametrize("name", [name for name in ENTRIES if name not in READ])
def test_a_file_that_is_no_candidate_is_refused_with_the_reason(name, folder):
    with pytest.raises(CandidateError, match=ENTRIES[name].refused):
        load(written(ENTRIES[name], folder))


@pytest.mark.parametrize("name", [name for name in READ if ENTRIES[name].truths])
def test_brute_force_agrees_with_what_the_tables_say(name, folder):
    entry = ENTRIES[name]
    domain, _ = findings(name, folder)
    wrong = []
    for spec, letters in entry.truths.items():
        found = judged(entry.fields, spec, domain)
        for condition, letter in zip(CONDITIONS, letters, strict=True):
            if condition in entry.fields.get("by hand", ""):
                continue
            contradicted = {letter, found[condition]} == {"P", "R"}
            if contradicted or (letter == "R" and found[condition] == "?" and condition != "moments"):
                wrong.append(f"{condition} under {spec}: {letter}, brute force says {found[condition]}")
    assert not wrong


def test_most_are_decided(folder, record_property, capsys):
    cells = [
        (name, spec, *cell)
        for name in READ
        for spec, of_law in (findings(name, folder)[1].items() if ENTRIES[name].truths else ())
        for cell in of_law
    ]
    open_ones = [
        f"{name} | {spec} | {condition}: {why}" for name, spec, letter, condition, why in cells if letter == "?"
    ]
    record_property("undecided", open_ones)
    with capsys.disabled():
        decided = len(cells) - len(open_ones)
        print(
            f"\n{len(ENTRIES)} files, {decided} of {len(cells)} verdicts decided; undecided:\n  "
            + "\n  ".join(open_ones)
        )
    assert len(ENTRIES) >= FEWEST_FILES
    assert len(cells) >= FEWEST_VERDICTS
    stopped = [one for one in open_ones if "not decided within" in one]  # on a busy machine more than else
    assert 1 - (len(open_ones) - len(stopped)) / len(cells) >= LEAST_DECIDED


@pytest.mark.parametrize(("name", "code"), [("equal_to_a_million.py", 1), ("an_error_of_its_own.py", 3)])
def test_a_whole_process_ends_with_the_code_of_its_verdict(name, code, folder):
    command = [sys.executable, "-m", "theory.verify", written(ENTRIES[name], folder), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, cwd=os.getcwd())
    assert done.returncode == code, done.stderr
    if code != 3:
        assert set(json.loads(done.stdout)["conditions"]) == set(CONDITIONS)


def test_a_thread_that_a_file_leaves_running_does_not_hold_the_verdict(tmp_path):
    file = tmp_path / "waits.py"
    file.write_text("import threading\nthreading.Thread(target=threading.Event().wait).start()\nC = 1\n")
    command = [sys.executable, "-m", "theory.verify", str(file)]
    assert subprocess.run(command, capture_output=True, timeout=240, cwd=os.getcwd()).returncode == 0
