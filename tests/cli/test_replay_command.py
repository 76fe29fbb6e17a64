"""jasgd replay: what it says of runs that train and compare wrote, and how it ends."""

import json

import numpy as np
import pytest
from support.python_process import run_python

from jasgd.cli.main import main
from jasgd.record.saving.folder import adding

SMALL = ["--workers", "3", "--steps", "40", "--batch-size", "16", "--no-plots", "--evaluate-every-s", "60"]


def run(capsys, *arguments):
    """Exit code, standard output, standard error."""
    capsys.readouterr()
    code = main([str(a) for a in arguments])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def replayed(capsys, folder, *options):
    code, out, err = run(capsys, "replay", folder, "--json", *options)
    return code, json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} is not JSON")), err


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert main(["train", *SMALL, "--momentum", "0.9", "--learning-rate", "0.02", "--out", str(folder)]) == 0
    return folder


def altered(trained, tmp_path, name, change):
    """A copy of a run in which one JSON file is changed."""
    for file in trained.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    record = json.loads((tmp_path / name).read_text())
    change(record)
    with adding(tmp_path) as draft:  # written as jasgd writes, else it would be found to be altered
        draft.json(name, record)
    return tmp_path


@pytest.mark.newest
def test_a_run_comes_to_the_same_bits(capsys, trained):
    code, out, err = run(capsys, "replay", trained)
    assert (code, err) == (0, "")
    assert out == "version 40: the same bits (40 gradients, final parameters and optimizer state)\n"
    code, report, _ = replayed(capsys, trained, "--upto", 7)
    assert (code, report["version"], report["rows"], report["exact"], report["compared"]) == (0, 7, 7, True, [])


def test_it_does_so_in_a_process_of_its_own(trained):
    process = run_python("-W", "error", "-m", "jasgd", "replay", trained)
    assert "the same bits" in process.stdout


@pytest.mark.parametrize(
    "options",
    [
        ["--optimizer", "adam", "--learning-rate", "0.001", "--rule", "koloskova:smoothness=1"],
        ["--law", "decay:half_life=20,bins=32", "--scheme", "locked", "--preset", "published"],
        ["--rule", "tail_published", "--scheme", "synchronous"],
        pytest.param(["--model", "lenet", "--scheme", "leashed:persistence=1"], marks=pytest.mark.full),
        pytest.param(["--model", "lenet5", "--optimizer", "adam", "--scheme", "locked"], marks=pytest.mark.full),
    ],
    ids=lambda options: "-".join(options).strip("-"),
)
def test_whatever_train_was_given_is_given_again(capsys, tmp_path, options):
    assert run(capsys, "train", *SMALL, "--learning-rate", "0.01", "--out", tmp_path, *options)[0] == 0
    code, report, err = replayed(capsys, tmp_path)
    assert (code, report["compared"]) == (0, ["params", "opt_state"]), (report, err)


def test_every_run_of_a_comparison_comes_to_the_same_bits(capsys, tmp_path):
    arms = ["constant", "tail:cdf=strict", "constant@tail:cdf=strict", "tail_published"]
    common = [*SMALL, "--law", "window:length=64", "--seeds", 3, "--out", tmp_path]
    assert run(capsys, "compare", "--arms", *arms, *common)[0] == 0
    folders = sorted(path.parent for path in tmp_path.rglob("recipe.json"))
    assert len(folders) == len(arms)
    for folder in folders:
        code, report, err = replayed(capsys, folder)
        assert code == 0, (folder, report, err)
    code, _, err = run(capsys, "replay", tmp_path)
    assert code == 2
    assert f"folder must be one of a run of jasgd train or compare, got {tmp_path}; a run in it is {folders[0]}" in err


def test_other_bits_exit_with_1_and_say_where_they_part(capsys, trained, tmp_path):
    folder = altered(trained, tmp_path, "recipe.json", lambda recipe: recipe.update(momentum=0.91))
    code, out, _ = run(capsys, "replay", folder)
    assert code == 1
    assert "version 40: differs" in out
    assert "loss is" in out
    assert "final parameters differ by" in out
    code, report, _ = replayed(capsys, folder)
    assert code == 1
    assert report["difference"].startswith("row ")
    assert report["max_difference"] > 0
    assert report["rows_that_differ"] <= report["rows"] == 40


def test_what_cannot_be_replayed_exits_with_2_in_one_line(capsys, trained, tmp_path):
    for arguments, message in (
        ([tmp_path / "nowhere"], "folder must be one of a run of jasgd train or compare"),
        ([trained, "--upto", 41], "upto must be an integer in 0…40 (the run's commits), or None for all, got 41"),
    ):
        code, out, err = run(capsys, "replay", *arguments)
        assert (code, out) == (2, "")
        assert err.startswith("jasgd: ")
        assert message in err
        assert len(err.splitlines()) == 1
    path = altered(trained, tmp_path, "recipe.json", lambda recipe: recipe.pop("rule")) / "recipe.json"
    code, _, err = run(capsys, "replay", tmp_path)
    assert code == 2
    assert f"{path} is not what jasgd wrote" in err


def test_a_file_that_was_altered_exits_with_2(capsys, trained, tmp_path):
    folder = altered(trained, tmp_path, "recipe.json", lambda recipe: None)
    path = folder / "initial_params.npz"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    code, _, err = run(capsys, "replay", folder)
    assert code == 2
    assert "altered" in err


def test_another_environment_is_refused_by_name_and_allowed_without_strict(capsys, trained, tmp_path):
    folder = altered(trained, tmp_path, "recipe.json", lambda recipe: None)
    with np.load(folder / "execution.npz") as file:
        arrays = dict(file)
    header = json.loads(str(arrays["header"]))
    header["metadata"]["environment"]["jaxlib"] = "0.0.1"
    with adding(folder) as draft:
        np.savez(draft.path / "execution.npz", **arrays | {"header": np.array(json.dumps(header))})
    code, _, err = run(capsys, "replay", folder)
    assert code == 2
    installed = json.loads(str(arrays["header"]))["metadata"]["environment"]["jaxlib"]
    assert f"jaxlib is '{installed}', recorded was '0.0.1'" in err
    code, out, err = run(capsys, "replay", folder, "--no-strict")
    assert (code, err) == (0, "")
    assert "the same bits" in out
    assert f"jaxlib is '{installed}', recorded was '0.0.1'" in out
    _, report, _ = replayed(capsys, folder, "--no-strict")
    assert report["environment"] == [{"name": "jaxlib", "recorded": "0.0.1", "found": installed}]


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
def test_a_divergence_is_found(capsys, trained, tmp_path):
    code, out, _ = run(capsys, "replay", trained, "--bisect-nonfinite")
    assert code == 0
    assert out == "every version up to 40 is finite; the run: all 40 steps were taken\n"
    train = ["train", *SMALL, "--scheme", "locked", "--learning-rate", "1e39", "--out", tmp_path]
    assert run(capsys, *train)[0] == 1
    code, out, err = run(capsys, "replay", tmp_path)
    assert (code, err) == (0, "")  # the bits of a diverged run are the same as well
    # As float32 this rate is infinite, so the first commit spoils it all.
    code, report, _ = replayed(capsys, tmp_path, "--bisect-nonfinite")
    assert code == 1
    assert report["first_nonfinite"]["version"] == 0
    assert report["first_nonfinite"]["where"][0].startswith("params[")
    assert not report["first_nonfinite"]["gradient"]
    code, text, _ = run(capsys, "replay", tmp_path, "--bisect-nonfinite")
    assert code == 1
    assert "--upto 0 is the last finite version" in text
    code, text, _ = run(capsys, "replay", tmp_path, "--bisect-nonfinite", "--upto", 0)
    assert (code, text) == (0, "every version up to 0 is finite\n")


@pytest.mark.filterwarnings("ignore:overflow encountered in")
def test_a_loss_that_ended_a_run_is_found_though_all_its_parameters_are_finite(capsys, tmp_path):
    """Kind: a tool that says all is well, and has not looked at what ended the run."""
    train = ["train", *SMALL, "--scheme", "leashed", "--learning-rate", "1e30", "--out", tmp_path]
    assert run(capsys, *train)[0] == 1
    code, report, _ = replayed(capsys, tmp_path, "--bisect-nonfinite")
    assert code == 1
    found = report["first_nonfinite"]
    assert found["recorded"] in ("inf", "nan")
    assert found["version"] > 0
    code, text, _ = run(capsys, "replay", tmp_path, "--bisect-nonfinite")
    assert code == 1
    assert f"the loss of ticket {found['ticket']} at version {found['version']} (worker" in text


def test_hogwild_says_what_it_cannot_reproduce(capsys, tmp_path):
    assert run(capsys, "train", *SMALL, "--scheme", "hogwild", "--out", tmp_path)[0] == 0
    code, report, _ = replayed(capsys, tmp_path)
    assert code == (0 if report["exact"] else 1)
    assert set(report["irreproducible"]) == {"overlapped_reads", "lost_state_updates", "unfinished_commits"}
    _, text, _ = run(capsys, "replay", tmp_path)
    assert "torn reads and lost additions leave no record" in text
