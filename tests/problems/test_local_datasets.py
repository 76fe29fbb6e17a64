"""Data sets from a folder of the user's: EMNIST, KMNIST, QMNIST, CIFAR-100, and IDX files of their own."""

import dataclasses
import gzip
import json

import numpy as np
import pytest
from support.dataset_files import idx, pack, write

from jasgd import problems
from jasgd.cli.main import main
from jasgd.problems import local_datasets
from jasgd.problems.datasets import load_dataset, locate
from jasgd.problems.sources import MNIST, DatasetError

RNG = np.random.default_rng(0)


def images(count, *shape):
    return RNG.integers(0, 256, (count, *(shape or (28, 28))), np.uint8)


def labels(count, classes, first=0):
    return (np.arange(count) % classes + first).astype(np.uint8)


def typed(array, code, dtype):
    """An IDX file of other elements than unsigned bytes."""
    return bytes([0, 0, code]) + idx(array)[3 : 4 + 4 * array.ndim] + array.astype(dtype).tobytes()


def mnist_like(train=6, test=4, classes=10, first=0):
    return {
        "train-images-idx3-ubyte": idx(images(train)),
        "train-labels-idx1-ubyte": idx(labels(train, classes, first)),
        "t10k-images-idx3-ubyte": idx(images(test)),
        "t10k-labels-idx1-ubyte": idx(labels(test, classes, first)),
    }


@pytest.mark.parametrize("inside", ["", "raw", "EMNIST/raw", "gzip", "EMNIST/raw/gzip", "emnist"])
def test_emnist_is_turned_upright_and_its_letters_begin_at_0(inside, nowhere):
    contents = {
        name.replace("train-", "emnist-letters-train-").replace("t10k-", "emnist-letters-test-"): content
        for name, content in mnist_like(30, 26, 26, first=1).items()
    }
    write(nowhere / inside, contents, compress=list(contents)[:2])
    data = load_dataset("emnist:split=letters", nowhere)
    stored = np.frombuffer(contents["emnist-letters-train-images-idx3-ubyte"][16:], np.uint8).reshape(30, 28, 28)
    np.testing.assert_array_equal(data.train_images[3, :, :, 0], stored[3].T)
    assert (data.train_labels.min(), data.test_labels.max(), data.classes) == (0, 25, 26)
    assert data.name == "emnist:split=letters"
    with pytest.raises(DatasetError, match=r"emnist:split=digits was not found.*emnist-digits-train-images-idx3-ubyte"):
        load_dataset("emnist:split=digits", nowhere)


def test_kmnist_has_mnists_names_and_refuses_mnists_files(nowhere, mnist_files, monkeypatch):
    write(nowhere / "KMNIST" / "raw", mnist_like())
    assert load_dataset("kmnist", nowhere).train_images.shape == (6, 28, 28, 1)
    assert [f.status for f in locate("kmnist", nowhere, verify=True).files] == ["well formed"] * 4
    known = {"MNIST": dataclasses.replace(MNIST, files=problems.DATASETS["mnist"].source.files)}
    monkeypatch.setattr(problems.files, "_PUBLISHED", known)
    write(nowhere / "wrong", mnist_files)
    with pytest.raises(DatasetError, match=r"train-images-idx3-ubyte is not .*\(which is a file of MNIST\)"):
        load_dataset("kmnist", nowhere / "wrong")


def test_qmnist_takes_the_class_of_its_eight_columns(nowhere):
    columns = RNG.integers(0, 1000, (5, 8))
    columns[:, 0] = [3, 1, 4, 1, 5]
    write(
        nowhere / "qmnist",
        {f"qmnist-{part}-images-idx3-ubyte": idx(images(5)) for part in ("train", "test")}
        | {f"qmnist-{part}-labels-idx2-int": typed(columns, 0x0C, ">i4") for part in ("train", "test")},
    )
    data = load_dataset("qmnist", nowhere)
    assert data.train_labels.tolist() == data.test_labels.tolist() == [3, 1, 4, 1, 5]
    assert data.train_labels.dtype == np.int32


@pytest.mark.parametrize(("option", "classes"), [("fine", 100), ("coarse", 20)])
@pytest.mark.parametrize("layout", ["", "cifar-100-binary", "archive"])
def test_cifar100_has_fine_and_coarse_labels(option, classes, layout, nowhere, monkeypatch):
    monkeypatch.setattr(local_datasets, "_CIFAR100", {"train": 4, "test": 2})
    records = {
        name: RNG.integers(0, 256, (count, 3074), np.uint8) for name, count in (("train.bin", 4), ("test.bin", 2))
    }
    for array in records.values():
        array[:, 0] %= 20
        array[:, 1] %= 100
    contents = {name: array.tobytes() for name, array in records.items()}
    if layout == "archive":
        write(nowhere, {"cifar-100-binary.tar.gz": pack(contents)})
    else:
        write(nowhere / "cifar100" / layout, contents)
    data = load_dataset(f"cifar100:labels={option}", nowhere)
    assert data.classes == classes
    assert data.train_labels.tolist() == records["train.bin"][:, 1 if option == "fine" else 0].tolist()
    assert data.train_images[2, 7, 5, 1] == records["train.bin"][2, 2 + 1024 + 32 * 7 + 5]


OWN = {
    "as MNIST's": list(mnist_like()),
    "with dots": [name.replace("-idx", ".idx") + ".gz" for name in mnist_like()],
    "short": ["train-images.idx", "train-labels.idx", "test-images.idx", "test-labels.idx"],
    "plain": ["train_images", "train_labels.gz", "test_images.xz", "test_labels"],
}


@pytest.mark.parametrize("names", OWN)
def test_idx_files_of_ones_own_in_any_size(names, nowhere):
    contents = [idx(images(7, 16, 20)), idx(labels(7, 3)), idx(images(5, 16, 20)), typed(labels(5, 3), 0x0B, ">i2")]
    write(nowhere, dict(zip(OWN[names], contents, strict=True)))
    data = load_dataset("idx", nowhere)
    assert (data.shape, data.classes) == ((16, 20, 1), 3)
    assert data.test_labels.tolist() == [0, 1, 2, 0, 1]


def test_own_images_may_have_channels_and_be_of_another_data_set(nowhere, mnist_files):
    write(nowhere / "mine", mnist_files)
    assert load_dataset("idx", nowhere / "mine").train_images.shape == (6, 28, 28, 1)
    contents = mnist_like() | {"train-images-idx3-ubyte": idx(images(6, 16, 16, 3))}
    write(nowhere / "idx", contents | {"t10k-images-idx3-ubyte": idx(images(4, 16, 16, 3))})
    assert load_dataset("idx", nowhere).shape == (16, 16, 3)


def test_own_files_train_end_to_end_from_the_command_line(nowhere, capsys):
    write(nowhere / "mine", mnist_like(40, 10, 3), compress=["train-images-idx3-ubyte"])
    arguments = ["train", "--dataset", "idx", "--data-dir", str(nowhere / "mine"), "--workers", "1", "--steps", "3"]
    arguments += ["--scheme", "sequential"]  # no native code is compiled in a cache of its own
    arguments += ["--batch-size", "8", "--out", str(nowhere / "run"), "--no-plots", "--json"]
    assert main(arguments) == 0
    assert json.loads((nowhere / "run" / "recipe.json").read_text())["dataset"] == "idx"
    problem = problems.load("idx", data_dir=nowhere / "mine", batch_size=8)
    assert problem.name == "idx/mlp"
    assert problem.params["output"]["bias"].shape == (3,)


GOOD, TEST_LABELS = mnist_like(), "t10k-labels-idx1-ubyte"
DAMAGED = {
    "truncated": ({"train-images-idx3-ubyte": GOOD["train-images-idx3-ubyte"][:-1]}, "states shape .* found 4719"),
    "a truncated gzip": (
        {"train-images-idx3-ubyte": gzip.compress(GOOD["train-images-idx3-ubyte"])[:-1000]},
        "train-images-idx3-ubyte is damaged: its gzip data end early, after",
    ),
    "a longer file": ({TEST_LABELS: GOOD[TEST_LABELS] + b"\0"}, "so 12 bytes, found 13 or more"),
    "a web page": ({TEST_LABELS: b"<html>Not found"}, f"{TEST_LABELS} is no data file but an HTML"),
    "a huge header": ({"train-images-idx3-ubyte": bytes([0, 0, 8, 3]) + b"\xff" * 12}, "found 16"),
    "no axes": ({"train-labels-idx1-ubyte": bytes([0, 0, 8, 0, 5])}, "1…8 axes, and its header states 0"),
    "200 axes": ({TEST_LABELS: bytes([0, 0, 8, 200]) + bytes(800)}, "1…8 axes, and its header states 200"),
    "real numbers": (
        {"train-images-idx3-ubyte": typed(np.zeros((6, 2, 2)), 0x0D, ">f4")},
        "no IDX file of unsigned bytes: it starts with '00000d03'",
    ),
    "fewer labels": ({"train-labels-idx1-ubyte": idx(labels(5, 3))}, r"got \(6, 28, 28\) and \(5,\)"),
    "no images": (
        {"t10k-images-idx3-ubyte": idx(images(0)), "t10k-labels-idx1-ubyte": idx(labels(0, 1))},
        r"t10k: images must be .* got \(0, 28, 28\)",
    ),
    "negative labels": (
        {"train-labels-idx1-ubyte": typed(np.array([0, 1, -3, 0, 1, 2]), 0x09, ">i1")},
        "train-labels-idx1-ubyte: labels must lie in 0…999, found -3",
    ),
    "a label far above": (
        {"train-labels-idx1-ubyte": typed(np.array([0, 1, 2**30, 0, 1, 2]), 0x0C, ">i4")},
        "labels must lie in 0…999, found 1073741824",
    ),
    "other sizes": ({"t10k-images-idx3-ubyte": idx(images(4, 9, 9))}, r"\(28, 28, 1\) for training and \(9, 9, 1\)"),
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_files_are_told_with_their_folder(kind, nowhere):
    changed, message = DAMAGED[kind]
    write(nowhere / "mine", GOOD | changed)
    with pytest.raises(DatasetError, match=message) as caught:
        load_dataset("idx", nowhere / "mine")
    assert str(nowhere / "mine") in str(caught.value)


def test_labels_out_of_the_range_of_a_data_set(nowhere):
    write(nowhere, mnist_like(classes=11, train=11))
    with pytest.raises(DatasetError, match="labels must lie in 0…9, found 10"):
        load_dataset("kmnist", nowhere)


@pytest.mark.parametrize("name", ["emnist:split=letters", "kmnist", "qmnist", "cifar100", "idx"])
@pytest.mark.parametrize("download", [False, True])
def test_they_are_never_downloaded_and_it_is_said_where_to_put_them(name, download, nowhere):
    folder = nowhere / "xdg" / "jasgd" / "datasets" / name.partition(":")[0]
    with pytest.raises(DatasetError, match="they are not downloaded") as caught:
        load_dataset(name, download=download)
    assert f"put them into {folder}, or name their folder as data_dir" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("emnist:split=capitals", "split must be one of balanced, byclass, .* got 'capitals'"),
        ("cifar100:labels=all", "labels must be one of fine, coarse, got 'all'"),
        ("emnist:part=letters", "dataset 'emnist' has the options split; got 'part'"),
        ("mnist:split=letters", "dataset 'mnist' has no options; got 'split'"),
        ("svhn", "got 'svhn'; from a folder of yours also emnist, kmnist, qmnist, cifar100, idx"),
        (None, "got None"),
    ],
)
def test_bad_names_and_options(name, message):
    with pytest.raises(ValueError, match=message):
        load_dataset(name)


def test_the_command_lists_those_that_have_a_folder(nowhere, capsys):
    write(nowhere / "data" / "kmnist", mnist_like())
    write(nowhere / "data" / "mine", mnist_like())
    assert main(["datasets", "--json", "--verify", "--data-dir", str(nowhere / "data")]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert set(printed) == {"mnist", "fashion_mnist", "cifar10", "digits", "kmnist"}
    assert {file["status"] for file in printed["kmnist"]["files"]} == {"well formed"}
    assert main(["datasets", "--verify", "--data-dir", str(nowhere / "data")]) == 0
    assert "4 well formed" in capsys.readouterr().out
