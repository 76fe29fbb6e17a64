"""Data sets: what is read from files, what is refused, and what comes out."""

import gzip
import pickle
import sys

import numpy as np
import pytest
from support.dataset_files import idx, pack, sha256, small, write
from support.python_process import run_python

from jasgd.problems import datasets
from jasgd.problems.datasets import DATASETS, load_dataset, locate
from jasgd.problems.formats import parse_cifar10, parse_idx
from jasgd.problems.sources import CIFAR10, FASHION_MNIST, MNIST, DatasetError

# The table


def test_published_sizes_agree_with_published_shapes():
    for source in (MNIST, FASHION_MNIST):
        sizes = {file.name: file.size for file in source.files}
        assert sizes["train-images-idx3-ubyte"] == 16 + 60_000 * 28 * 28
        assert sizes["t10k-images-idx3-ubyte"] == 16 + 10_000 * 28 * 28
        assert sizes["train-labels-idx1-ubyte"] == 8 + 60_000
        assert sizes["t10k-labels-idx1-ubyte"] == 8 + 10_000
    assert {file.size for file in CIFAR10.files} == {10_000 * 3073}


def test_published_checksums_are_distinct_and_complete():
    sources = (MNIST, FASHION_MNIST, CIFAR10)
    sums = [file.sha256 for source in sources for file in source.files]
    sums += [archive.sha256 for source in sources for archive in source.archives]
    assert len(set(sums)) == len(sums) == 14 + 9
    assert all(len(bytes.fromhex(value)) == 32 for value in sums)
    for source in sources:
        assert sorted(n for a in source.archives for n in a.holds) == sorted(f.name for f in source.files)


# Files


@pytest.mark.parametrize("compressed", [0, 2, 4])
def test_raw_compressed_and_mixed_files_are_the_same_data(compressed, mnist_files, nowhere):
    write(nowhere, mnist_files, compress=list(mnist_files)[:compressed])
    data = load_dataset("mnist", nowhere)
    for images, labels, prefix in (
        (data.train_images, data.train_labels, "train"),
        (data.test_images, data.test_labels, "t10k"),
    ):
        assert images.tobytes() == mnist_files[f"{prefix}-images-idx3-ubyte"][16:]
        assert labels.tolist() == list(mnist_files[f"{prefix}-labels-idx1-ubyte"][8:])
        assert (images.dtype, labels.dtype, images.shape[1:]) == (np.uint8, np.int32, (28, 28, 1))
        assert not images.flags.writeable
        assert not labels.flags.writeable


@pytest.mark.parametrize("layout", ["flat", "unpacked", "archive"])
def test_cifar10_records(layout, cifar_files, nowhere):
    if layout == "archive":
        write(nowhere, {"cifar-10-binary.tar.gz": pack(cifar_files)})
    else:
        write(nowhere / ("" if layout == "flat" else "cifar-10-batches-bin"), cifar_files)
    data = load_dataset("cifar10", nowhere)
    assert data.train_images.shape == (10, 32, 32, 3)
    assert data.test_images.shape == (2, 32, 32, 3)
    third = cifar_files["data_batch_2.bin"][:3073]  # batch 2 starts with example 2
    assert data.train_labels[2] == third[0]
    for channel in range(3):
        assert data.train_images[2, 7, 5, channel] == third[1 + 1024 * channel + 32 * 7 + 5]
    assert [file.status for file in locate("cifar10", nowhere, verify=True).files] == ["verified"] * 6


def test_truncated_archive(cifar_files, nowhere):
    packed = pack(cifar_files)
    write(nowhere, {"cifar-10-binary.tar.gz": packed[: len(packed) // 2]})
    with pytest.raises(DatasetError, match=r"\.bin in .*cifar-10-binary\.tar\.gz is truncated or damaged"):
        load_dataset("cifar10", nowhere)


def test_pickles_are_not_looked_at(nowhere):
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    write(nowhere / "cifar-10-batches-py", dict.fromkeys(names, pickle.dumps({b"data": 0})))
    write(nowhere, dict.fromkeys(names, pickle.dumps({b"data": 0})))
    with pytest.raises(DatasetError, match="not found"):
        load_dataset("cifar10", nowhere)


@pytest.mark.parametrize("compress", [False, True])
def test_truncated_file_is_told_with_its_sizes(compress, mnist_files, nowhere):
    name = "train-images-idx3-ubyte"
    write(nowhere, mnist_files)
    content = mnist_files[name]
    path = nowhere / name
    if compress:
        path.unlink()
        path = nowhere / f"{name}.gz"
        path.write_bytes(gzip.compress(content)[:-1000])
    else:
        path.write_bytes(content[:1000])
    with pytest.raises(DatasetError) as caught:
        load_dataset("mnist", nowhere)
    message = str(caught.value)
    assert f"{path} is truncated" in message
    assert f"expected {len(content)} bytes" in message
    assert sha256(content) in message
    length = int(message.split("found ")[1].split(";")[0])
    assert length == 1000 or (compress and 0 < length < len(content))
    assert sha256(content[:length]) in message


@pytest.mark.parametrize("compress", [False, True])
def test_one_wrong_byte_is_told_with_both_checksums(compress, mnist_files, nowhere):
    name = "t10k-images-idx3-ubyte"
    wrong = bytearray(mnist_files[name])
    wrong[500] ^= 1
    write(nowhere, {**mnist_files, name: bytes(wrong)}, compress=[name] if compress else [])
    path = nowhere / (f"{name}.gz" if compress else name)
    with pytest.raises(DatasetError) as caught:
        load_dataset("mnist", nowhere)
    expected = f"{path} is not the published file: expected SHA-256 {sha256(mnist_files[name])}, found {sha256(wrong)}"
    assert str(caught.value) == expected


def test_a_longer_file_is_refused(mnist_files, nowhere):
    name = "t10k-labels-idx1-ubyte"
    write(nowhere, {**mnist_files, name: mnist_files[name] + b"\0"}, compress=[name])
    with pytest.raises(DatasetError, match="not the published file"):
        load_dataset("mnist", nowhere)


def test_a_gz_that_is_none(mnist_files, nowhere):
    name = "t10k-labels-idx1-ubyte"
    write(nowhere, {**mnist_files, f"{name}.gz": b"<html>Not found</html>"})
    (nowhere / name).unlink()
    with pytest.raises(DatasetError, match=r"t10k-labels-idx1-ubyte\.gz is not .* but an HTML page.*<html>Not found"):
        load_dataset("mnist", nowhere)


def test_a_small_file_under_a_published_name(nowhere):
    write(nowhere, {file.name: idx(np.zeros((1, 28, 28), np.uint8)) for file in MNIST.files})
    with pytest.raises(DatasetError) as caught:
        load_dataset("mnist", nowhere)
    assert "expected 47040016 bytes, found 800" in str(caught.value)
    assert "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db" in str(caught.value)


def test_a_wrong_file_in_the_cache_is_told_rather_than_replaced(mnist_files, nowhere, monkeypatch):
    monkeypatch.setattr(datasets, "fetch", lambda *_: pytest.fail("went to the net"))
    name = "t10k-labels-idx1-ubyte"
    write(nowhere / "xdg" / "jasgd" / "datasets" / "mnist", {**mnist_files, name: b"x" * len(mnist_files[name])})
    with pytest.raises(DatasetError, match="not the published file"):
        load_dataset("mnist")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no IDX file"),
        (b"\x1f\x8b\x08\x00", "no IDX file"),
        (bytes([0, 0, 0x0D, 1, 0, 0, 0, 0]), "no IDX file of unsigned bytes: it starts with '00000d01'"),
        (bytes([0, 0, 8, 3, 0, 0]), "header of 3 axes takes 16 bytes, found 6"),
        (bytes([0, 0, 8, 1, 0, 0, 0, 2, 7]), r"states shape \(2,\), so 10 bytes, found 9"),
        (bytes([0, 0, 8, 1, 0, 0, 0, 1, 7, 7]), r"states shape \(1,\), so 9 bytes, found 10"),
        (bytes([0, 0, 8, 4] + [255] * 16), "bytes, found 20"),
    ],
)
def test_bad_idx(content, message):
    with pytest.raises(DatasetError, match=message):
        parse_idx(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "multiple of 3073"), (bytes(3072), "multiple of 3073"), (b"\n" + bytes(3072), "in 0…9, found 10")],
)
def test_bad_cifar10(content, message):
    with pytest.raises(DatasetError, match=message):
        parse_cifar10(content)


def test_labels_that_do_not_match_the_images(mnist_files, nowhere, monkeypatch):
    contents = {**mnist_files, "train-labels-idx1-ubyte": idx(np.zeros(5, np.uint8))}
    small(monkeypatch, "mnist", contents, ())
    write(nowhere, contents)
    with pytest.raises(DatasetError, match=r"train: .* got \(6, 28, 28\) and \(5,\)"):
        load_dataset("mnist", nowhere)


# Digits


def test_digits_are_resized_bilinearly():
    from sklearn.datasets import load_digits

    raw = load_digits()
    data = load_dataset("digits")
    test = np.zeros(len(raw.target), bool)
    test[np.argsort(raw.target, kind="stable")[::5]] = True
    grid, points = np.arange(8.0), np.linspace(0, 7, 28)
    for images, labels, rows in (
        (data.train_images, data.train_labels, ~test),
        (data.test_images, data.test_labels, test),
    ):
        np.testing.assert_array_equal(labels, raw.target[rows])
        for image, small_image in list(zip(images, raw.images[rows], strict=True))[::50]:
            wide = np.array([np.interp(points, grid, row) for row in small_image])
            full = np.array([np.interp(points, grid, column) for column in wide.T]).T
            np.testing.assert_allclose(image[..., 0], full * 255 / 16, atol=0.5 + 1e-6)
    assert max(data.train_images.max(), data.test_images.max()) == 255


def test_digits_are_those_that_scipy_s_zoom_makes_and_need_no_import_of_it():
    from scipy.ndimage import zoom
    from sklearn.datasets import load_digits

    expected = np.rint(zoom(load_digits().images, [1, 3.5, 3.5], order=1) * (255 / 16)).astype(np.uint8)
    digits = load_dataset("digits")
    made = np.concatenate([digits.train_images, digits.test_images])[..., 0]
    in_order = [np.unique(images.reshape(len(images), -1), axis=0) for images in (expected, made)]
    np.testing.assert_array_equal(*in_order)
    code = "import sys\nfrom jasgd import problems\nproblems.load('digits')\nsys.exit('scipy.ndimage' in sys.modules)"
    run_python("-c", code)


def test_digits_split_has_every_class_alike():
    data = load_dataset("digits")
    assert (len(data.train_labels), len(data.test_labels)) == (1437, 360)
    share = np.bincount(data.test_labels) / np.bincount(np.r_[data.train_labels, data.test_labels])
    np.testing.assert_allclose(share, 0.2, atol=0.005)


def test_digits_without_scikit_learn(monkeypatch):
    for name in ("sklearn", "sklearn.datasets"):  # whose file is read where it lies
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r'scikit-learn: pip install "jasgd\[problems\]"$'):
        load_dataset("digits")


def test_pixel_statistics_are_those_of_the_training_set():
    rng = np.random.default_rng(2)
    images = rng.integers(0, 256, (5_100, 2, 3, 2), np.uint8)  # more than one chunk
    images[..., 1] //= 3
    labels = np.zeros(5_100, np.int32)
    mean, std = datasets.Dataset("made", images, labels, images[:1], labels[:1]).pixel_statistics()
    np.testing.assert_allclose(mean, (images / 255).mean(axis=(0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(std, (images / 255).std(axis=(0, 1, 2)), rtol=1e-12)


# The real files


@pytest.mark.data
@pytest.mark.parametrize(
    ("real", "shape", "first", "means", "stds"),
    [
        ("mnist", (28, 28, 1), [5, 0, 4, 1, 9], [0.1307], [0.3081]),
        ("fashion_mnist", (28, 28, 1), [9, 0, 0, 3, 0], [0.2860], [0.3530]),
        ("cifar10", (32, 32, 3), [6, 9, 9, 4, 1], [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]),
    ],
    indirect=["real"],
)
def test_real_data(real, shape, first, means, stds):
    data = load_dataset(real, download=False)
    count = 50_000 if real == "cifar10" else 60_000
    assert data.train_images.shape == (count, *shape)
    assert data.test_images.shape == (10_000, *shape)
    assert data.train_labels[:5].tolist() == first
    assert set(data.train_labels) == set(data.test_labels) == set(range(10))
    mean, std = data.pixel_statistics()
    np.testing.assert_allclose(mean, means, atol=5.1e-5)
    np.testing.assert_allclose(std, stds, atol=5.1e-5)


@pytest.mark.data
@pytest.mark.parametrize("real", ["mnist", "fashion_mnist"], indirect=True)
def test_one_wrong_byte_in_a_real_file(real, tmp_path):
    for file in locate(real).files:
        (tmp_path / file.path.name).symlink_to(file.path)
    (link,) = tmp_path.glob("t10k-labels*")
    content = bytearray(link.read_bytes())
    link.unlink()
    content = bytearray(gzip.decompress(content)) if link.suffix == ".gz" else content
    content[-1] ^= 1
    path = tmp_path / "t10k-labels-idx1-ubyte"
    path.write_bytes(content)
    with pytest.raises(DatasetError) as caught:
        load_dataset(real, tmp_path)
    assert f"{path} is not the published file" in str(caught.value)
    assert DATASETS[real].source.files[3].sha256 in str(caught.value)
    assert sha256(content) in str(caught.value)


@pytest.mark.data
@pytest.mark.parametrize("real", ["fashion_mnist"], indirect=True)
def test_the_other_data_sets_files_are_recognised(real):
    folder = locate(real).folder
    with pytest.raises(DatasetError, match="which is a file of Fashion-MNIST"):
        load_dataset("mnist", folder)
