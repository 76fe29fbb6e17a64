"""Where data sets are looked for, in which order, and what is said where there are none."""

import numpy as np
import pytest
from support.dataset_files import write

from jasgd.problems import datasets
from jasgd.problems.datasets import load_dataset, locate
from jasgd.problems.sources import FASHION_MNIST, DatasetError


@pytest.mark.parametrize(
    ("present", "origin"),
    [
        (("env", "cache", "system"), "$JASGD_DATA_DIR"),
        (("cache", "system"), "cache"),
        (("system",), "system"),
    ],
)
def test_search_order(present, origin, mnist_files, nowhere, monkeypatch):
    monkeypatch.setenv("JASGD_DATA_DIR", str(nowhere / "env"))
    roots = {
        "env": nowhere / "env",
        "cache": nowhere / "xdg" / "jasgd" / "datasets",
        "system": nowhere / "system",
    }
    for name in present:
        write(roots[name] / "mnist", mnist_files)
    location = locate("mnist")
    assert (location.origin, location.folder) == (origin, roots[present[0]] / "mnist")
    assert location.searched == tuple(root / "mnist" for root in roots.values())
    assert load_dataset("mnist", download=False).train_images.shape == (6, 28, 28, 1)


def test_a_folder_with_all_files_comes_before_one_with_some(mnist_files, nowhere, monkeypatch):
    monkeypatch.setenv("JASGD_DATA_DIR", str(nowhere / "env"))
    write(nowhere / "env" / "mnist", dict(list(mnist_files.items())[:3]))
    write(nowhere / "system" / "mnist", mnist_files)
    assert locate("mnist").origin == "system"


def test_the_cache_is_in_the_home_folder_without_xdg(nowhere, monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(nowhere))
    assert locate("mnist").searched[0] == nowhere / ".cache" / "jasgd" / "datasets" / "mnist"


@pytest.mark.parametrize("inside", ["", "mnist"])
def test_explicit_folder_or_its_subfolder(inside, mnist_files, nowhere):
    write(nowhere / "mine" / inside, mnist_files)
    location = locate("mnist", nowhere / "mine")
    assert (location.origin, location.folder) == ("data_dir", nowhere / "mine" / inside)
    data = load_dataset("mnist", str(nowhere / "mine"))
    np.testing.assert_array_equal(data.test_labels, list(mnist_files["t10k-labels-idx1-ubyte"][8:]))


def test_subfolder_wins_over_a_namesake_in_the_folder_itself(mnist_files, nowhere):
    write(nowhere / "mine", dict.fromkeys(mnist_files, b"Fashion-MNIST's, say"))
    write(nowhere / "mine" / "mnist", mnist_files)
    assert load_dataset("mnist", nowhere / "mine").train_images.shape == (6, 28, 28, 1)


def test_debian_spells_fashion_mnist_with_a_hyphen(nowhere):
    write(nowhere / "system" / "fashion-mnist", {f"{f.name}.gz": b"" for f in FASHION_MNIST.files})
    assert locate("fashion_mnist").folder == nowhere / "system" / "fashion-mnist"


def test_explicit_folder_is_the_only_one_looked_at(mnist_files, nowhere, monkeypatch):
    write(nowhere / "system" / "mnist", mnist_files)
    monkeypatch.setattr(datasets, "fetch", lambda *_: pytest.fail("went to the net"))
    write(nowhere / "mine", dict(list(mnist_files.items())[:1]))
    with pytest.raises(DatasetError) as caught:
        load_dataset("mnist", nowhere / "mine")
    message = str(caught.value)
    assert repr(str(nowhere / "mine")) in message
    assert str(nowhere / "mine" / "mnist") in message
    assert "t10k-labels-idx1-ubyte" in message
    assert f"there is only {nowhere / 'mine' / 'train-images-idx3-ubyte'}" in message
    assert "system" not in message


def test_nothing_found_and_no_download(nowhere, monkeypatch):
    monkeypatch.setenv("JASGD_DATA_DIR", str(nowhere / "env"))
    monkeypatch.setattr(datasets, "fetch", lambda *_: pytest.fail("went to the net"))
    with pytest.raises(DatasetError, match="download=False") as caught:
        load_dataset("cifar10", download=False)
    for folder in ("env/cifar10", "xdg/jasgd/datasets/cifar10", "system/cifar-10"):
        assert str(nowhere / folder) in str(caught.value)


def test_unknown_name():
    with pytest.raises(ValueError, match=r"dataset must be one of mnist, fashion_mnist, cifar10, digits, got 'svhn'"):
        load_dataset("svhn")
    with pytest.raises(ValueError, match="svhn"):
        locate("svhn")


def test_locate_tells_each_files_status(mnist_files, nowhere):
    names = list(mnist_files)
    write(nowhere / names[0], {})  # a folder is not a file
    write(nowhere, {names[1]: mnist_files[names[1]], names[2]: mnist_files[names[2]][:-1]}, compress=names[1])
    unread = locate("mnist", nowhere)
    assert unread.origin == "nowhere"
    assert [file.status for file in unread.files] == ["missing", "present", "present", "missing"]
    assert unread.files[1].path == nowhere / f"{names[1]}.gz"
    read = locate("mnist", nowhere, verify=True)
    assert [file.status for file in read.files] == ["missing", "verified", "wrong", "missing"]
    assert str(nowhere / names[2]) in read.files[2].problem
