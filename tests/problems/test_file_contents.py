"""Data files go by what they hold, not by what they are called; what is none is said in words."""

import bz2
import gzip
import io
import json
import lzma
import pickle
import tarfile

import numpy as np
import pytest
from support.dataset_files import idx, pack, write

from jasgd.cli.main import main
from jasgd.problems.contents import read_content, recognised
from jasgd.problems.datasets import load_dataset, locate
from jasgd.problems.sources import DatasetError

NAME = "train-images-idx3-ubyte"


def zipped():
    buffer = io.BytesIO()
    np.savez(buffer, x=np.zeros(3))
    return buffer.getvalue()


def check(data, mnist_files):
    assert data.train_images.tobytes() == mnist_files[NAME][16:]


COMPRESSED = {
    "gzip without its suffix": (NAME, gzip.compress),
    "raw bytes with a suffix": (f"{NAME}.gz", bytes),
    "bzip2": (f"{NAME}.bz2", bz2.compress),
    "xz named .gz": (f"{NAME}.gz", lzma.compress),
    "gzip twice": (f"{NAME}.gz", lambda content: gzip.compress(gzip.compress(content))),
    "a dot before idx": ("train-images.idx3-ubyte", bytes),
    "a dot, compressed": ("train-images.idx3-ubyte.gz", gzip.compress),
    "in a folder of its own name": (f"{NAME}/{NAME}", bytes),
    "a dot in such a folder": ("train-images.idx3-ubyte/train-images.idx3-ubyte", bytes),
}


@pytest.mark.parametrize("kind", COMPRESSED)
def test_a_file_is_read_by_its_content_under_any_of_its_names(kind, mnist_files, nowhere):
    name, compress = COMPRESSED[kind]
    write(nowhere, mnist_files)
    (nowhere / NAME).unlink()
    write((nowhere / name).parent, {(nowhere / name).name: compress(mnist_files[NAME])})
    check(load_dataset("mnist", nowhere), mnist_files)
    assert [file.status for file in locate("mnist", nowhere, verify=True).files] == ["verified"] * 4


@pytest.mark.parametrize("inside", ["MNIST/raw", "mnist/raw", "raw", "MNIST"])
@pytest.mark.parametrize("environment", [False, True])
def test_torchvisions_folders_are_found(inside, environment, mnist_files, nowhere, monkeypatch):
    write(nowhere / "data" / inside, mnist_files)
    if environment and inside != "raw":
        monkeypatch.setenv("JASGD_DATA_DIR", str(nowhere / "data"))
        check(load_dataset("mnist", download=False), mnist_files)
    else:
        check(load_dataset("mnist", nowhere / "data"), mnist_files)


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
@pytest.mark.parametrize("compressed", [False, True])
def test_an_archive_is_read_whether_it_is_compressed_or_not(suffix, compressed, cifar_files, nowhere):
    packed = pack(cifar_files)
    write(nowhere, {f"cifar-10-binary{suffix}": packed if compressed else gzip.decompress(packed)})
    data = load_dataset("cifar10", nowhere)
    assert data.test_labels.tolist() == [cifar_files["test_batch.bin"][i] for i in (0, 3073)]


PAGE = b"\xef\xbb\xbf\n<!DOCTYPE html><html><body>Please log in</body></html>"
STRANGE = {
    "HTML": (PAGE, "an HTML page, as of a download that was redirected (it begins with '<!DOCTYPE html>"),
    "XML": (b"<?xml version='1.0'?><Error/>", "an XML document"),
    "JSON": (json.dumps({"error": 404}).encode(), "JSON, as of a server's error (it begins with '{\"error\": 404}')"),
    "text": (b"404: Not Found\n", "a text (it begins with '404: Not Found')"),
    "a pointer": (
        b"version https://git-lfs.github.com/spec/v1\noid",
        "a pointer of Git LFS, whose file was not fetched",
    ),
    "npz": (zipped(), "a zip archive or .npz file"),
    "pickle": (pickle.dumps([1]), "a pickle of Python's, which is never read"),
    "nothing": (b"", "empty"),
}


@pytest.mark.parametrize("kind", STRANGE)
@pytest.mark.parametrize("name", [NAME, f"{NAME}.gz"])
def test_what_is_no_data_file_is_called_what_it_is(kind, name, mnist_files, nowhere):
    content, message = STRANGE[kind]
    write(nowhere, mnist_files)
    (nowhere / NAME).unlink()
    write(nowhere, {name: content})
    with pytest.raises(DatasetError) as caught:
        load_dataset("mnist", nowhere)
    assert f"{nowhere / name} is not the published file but {message}" in str(caught.value)


def test_an_archive_that_is_none_is_called_what_it_is(cifar_files, nowhere):
    write(nowhere, {"cifar-10-binary.tar.gz": PAGE})
    with pytest.raises(DatasetError, match=r"cifar-10-binary\.tar\.gz is truncated or damaged.*the archive is an HTML"):
        load_dataset("cifar10", nowhere)


def test_an_archive_without_a_file_says_so(cifar_files, nowhere):
    write(nowhere, {"cifar-10-binary.tar.gz": pack({k: v for k, v in cifar_files.items() if k != "test_batch.bin"})})
    with pytest.raises(DatasetError, match=r"test_batch\.bin in .* an archive that does not have it"):
        load_dataset("cifar10", nowhere)


def damaged(content):
    packed = bytearray(gzip.compress(content))
    packed[len(packed) // 2] ^= 255
    return bytes(packed)


BROKEN = {
    "cut": (lambda content: gzip.compress(content)[:-1000], "its gzip data end early"),
    "only a header": (lambda content: gzip.compress(content)[:5], "its gzip data end early"),
    "a wrong bit": (damaged, "its gzip data are damaged"),
    "cut bzip2": (lambda content: bz2.compress(content)[:-100], "its bzip2 data end early"),
    "cut xz": (lambda content: lzma.compress(content)[:-1000], "its xz data end early"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_damaged_compression_is_told_with_the_reason_and_no_traceback(kind, mnist_files, nowhere, capsys):
    compress, message = BROKEN[kind]
    write(nowhere, mnist_files)
    write(nowhere, {NAME: compress(mnist_files[NAME])})
    with pytest.raises(DatasetError) as caught:
        load_dataset("mnist", nowhere)
    assert f"{nowhere / NAME} is truncated or damaged" in str(caught.value)
    assert message in str(caught.value)
    assert main(["train", "--dataset", "mnist", "--data-dir", str(nowhere), "--out", str(nowhere / "run")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("jasgd: ")
    assert message in error
    assert "Traceback" not in error


def test_a_longer_file_is_not_read_to_its_end(mnist_files, nowhere):
    write(nowhere, {**mnist_files, NAME: mnist_files[NAME] + bytes(1 << 24)}, compress=[NAME])
    with pytest.raises(DatasetError, match="has more than the 4720 bytes expected"):
        load_dataset("mnist", nowhere)


def test_a_header_of_a_huge_shape_allocates_nothing(tmp_path):
    write(tmp_path, {"a": bytes([0, 0, 8, 3]) + b"\xff" * 12})
    assert len(read_content(tmp_path / "a", lambda head: 1 << 62).data) == 16


def test_what_is_there_is_listed_where_the_files_are_not(mnist_files, nowhere):
    write(nowhere / "mine", {"digits.csv": b"1", "archive.zip": zipped()})
    with pytest.raises(DatasetError, match=r"mine has archive\.zip, digits\.csv"):
        load_dataset("mnist", nowhere / "mine")
    with pytest.raises(DatasetError, match=r"archive\.zip is a file, not a folder"):
        load_dataset("mnist", nowhere / "mine" / "archive.zip")


@pytest.mark.parametrize("name", ["cifar-10-batches-py", "cifar-10-python.tar.gz"])
def test_pickles_are_named_and_never_read(name, nowhere):
    write(nowhere, {name: b""})
    with pytest.raises(DatasetError, match=rf"{name} \(its Python version, whose pickles are never read"):
        load_dataset("cifar10", nowhere)


def test_images_and_unknown_bytes_are_not_taken_for_texts():
    assert recognised(idx(np.zeros((2, 3, 3), np.uint8))) == ""
    assert recognised(bytes(range(256))) == ""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("a"))
    assert recognised(archive.getvalue()[:512]).startswith("a tar archive")
