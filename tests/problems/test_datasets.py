"""Data sets: where they are looked for, what is refused, what is downloaded, and what comes out."""

import gzip
import hashlib
import io
import pickle
import sys
import tarfile
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from jasgd.problems import datasets, locations
from jasgd.problems.datasets import DATASETS, load_dataset, locate
from jasgd.problems.files import parse_cifar10, parse_idx
from jasgd.problems.sources import CIFAR10, FASHION_MNIST, MNIST, Archive, DataFile, DatasetError, Source, fetch


def idx(array):
    header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return header + array.tobytes()


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def pack(contents):
    """A .tar.gz as CIFAR-10's: a folder in front of each name."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def write(folder, contents, *, compress=()):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        if name in compress:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content, mtime=0))
        else:
            (folder / name).write_bytes(content)


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """No data set on this machine, as far as the search goes."""
    monkeypatch.delenv("JASGD_DATA_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr(locations, "SYSTEM_FOLDER", tmp_path / "system")
    return tmp_path


def small(monkeypatch, name, contents, archives, mirrors=()):
    """Has `name` stand for a data set of small files with checksums of their own."""
    files = tuple(DataFile(file, len(content), sha256(content)) for file, content in contents.items())
    info = DATASETS[name]
    source = Source(files, archives, tuple(mirrors), info.source.folders)
    monkeypatch.setitem(DATASETS, name, replace(info, source=source))
    return contents


@pytest.fixture
def mnist_files(monkeypatch, nowhere):
    rng = np.random.default_rng(0)
    contents = {}
    for prefix, count in (("train", 6), ("t10k", 4)):
        contents[f"{prefix}-images-idx3-ubyte"] = idx(rng.integers(0, 256, (count, 28, 28), np.uint8))
        contents[f"{prefix}-labels-idx1-ubyte"] = idx(rng.integers(0, 10, count, np.uint8))
    archives = tuple(
        Archive(f"{name}.gz", sha256(gzip.compress(content, mtime=0)), (name,)) for name, content in contents.items()
    )
    return small(monkeypatch, "mnist", contents, archives)


@pytest.fixture
def cifar_files(monkeypatch, nowhere):
    rng = np.random.default_rng(1)
    contents = {}
    for name in [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]:
        records = rng.integers(0, 256, (2, 3073), np.uint8)
        records[:, 0] %= 10
        contents[name] = records.tobytes()
    archive = Archive("cifar-10-binary.tar.gz", sha256(pack(contents)), tuple(contents))
    return small(monkeypatch, "cifar10", contents, (archive,))


@pytest.fixture
def real(request):
    """A real data set's name, where its files are on this machine."""
    location = locate(request.param)
    if location.folder is None:
        pytest.skip(f"{request.param} is not on this machine")
    return request.param


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


# The search


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
    found = int(message.split("found ")[1].split(";")[0])
    assert found == 1000 or (compress and 0 < found < len(content))
    assert sha256(content[:found]) in message


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
    with pytest.raises(DatasetError, match=r"t10k-labels-idx1-ubyte\.gz is truncated or damaged"):
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


# Downloads


class Mirrors:
    """A server on this machine; the first part of the path chooses how it behaves, the last is the file."""

    def __init__(self, files):
        self.requests = []
        mirrors = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                _, behaviour, name = self.path.split("/")
                wanted = self.headers["Range"]
                mirrors.requests.append((behaviour, name, wanted))
                content = files.get(name)
                if content is None or behaviour == "broken":
                    return self.answer(404, b"<html>Not found</html>")
                if behaviour == "wrong":
                    return self.answer(200, b"<html>Please log in</html>")
                if behaviour == "cut":
                    return self.answer(200, content[: len(content) // 2], len(content))
                if behaviour == "ranges" and wanted:
                    start = int(wanted.removeprefix("bytes=").removesuffix("-"))
                    return self.answer(206, content[start:]) if start < len(content) else self.answer(416, b"")
                return self.answer(200, content)

            def answer(self, status, content, length=None):
                self.send_response(status)
                self.send_header("Content-Length", str(len(content) if length is None else length))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def url(self, behaviour):
        return f"http://127.0.0.1:{self.server.server_port}/{behaviour}/"

    def close(self):
        self.server.shutdown()
        self.thread.join(timeout=10)
        self.server.server_close()


@pytest.fixture
def mirrors(mnist_files, cifar_files, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    served = {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in mnist_files.items()}
    server = Mirrors({**served, "cifar-10-binary.tar.gz": pack(cifar_files), "a.gz": b"0123456789"})
    yield server
    server.close()


def serve(monkeypatch, name, mirrors, *behaviours):
    info = DATASETS[name]
    urls = tuple(mirrors.url(behaviour) for behaviour in behaviours)
    monkeypatch.setitem(DATASETS, name, replace(info, source=replace(info.source, mirrors=urls)))


def listing(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("first", ["broken", "wrong", "cut", "unreachable"])
def test_the_second_mirror_serves_what_the_first_does_not(first, mirrors, mnist_files, nowhere, monkeypatch):
    serve(monkeypatch, "mnist", mirrors, first, "ranges")
    if first == "unreachable":
        source = DATASETS["mnist"].source
        urls = ("http://127.0.0.1:1/", source.mirrors[1])
        monkeypatch.setitem(DATASETS, "mnist", replace(DATASETS["mnist"], source=replace(source, mirrors=urls)))
    data = load_dataset("mnist")
    assert data.train_images.tobytes() == mnist_files["train-images-idx3-ubyte"][16:]
    cache = nowhere / "xdg" / "jasgd" / "datasets" / "mnist"
    assert listing(cache) == sorted(f"{name}.gz" for name in mnist_files)
    asked = len(mirrors.requests)
    assert asked == (4 if first == "unreachable" else 8)
    load_dataset("mnist")
    assert len(mirrors.requests) == asked  # from the cache


def test_an_archive_of_several_files_is_downloaded_once(mirrors, cifar_files, nowhere, monkeypatch):
    serve(monkeypatch, "cifar10", mirrors, "ranges")
    data = load_dataset("cifar10")
    assert data.test_labels.tolist() == [cifar_files["test_batch.bin"][i] for i in (0, 3073)]
    assert mirrors.requests == [("ranges", "cifar-10-binary.tar.gz", None)]


def test_only_missing_files_are_downloaded(mirrors, mnist_files, nowhere, monkeypatch):
    serve(monkeypatch, "mnist", mirrors, "ranges")
    names = list(mnist_files)
    write(nowhere / "xdg" / "jasgd" / "datasets" / "mnist", {name: mnist_files[name] for name in names[1:]})
    load_dataset("mnist")
    assert [name for _, name, _ in mirrors.requests] == [f"{names[0]}.gz"]


def test_wrong_content_is_refused_and_not_kept(mirrors, nowhere, monkeypatch):
    serve(monkeypatch, "mnist", mirrors, "wrong", "broken")
    with pytest.raises(DatasetError) as caught:
        load_dataset("mnist")
    message = str(caught.value)
    archive = DATASETS["mnist"].source.archives[0]
    assert f"{mirrors.url('wrong')}{archive.name}: expected SHA-256 {archive.sha256}" in message
    assert sha256(b"<html>Please log in</html>") in message
    assert f"{mirrors.url('broken')}{archive.name}: 404" in message
    assert "data_dir" in message
    assert listing(nowhere / "xdg" / "jasgd" / "datasets" / "mnist") == []


A = Archive("a.gz", sha256(b"0123456789"), ("a",))


@pytest.mark.parametrize(
    ("part", "behaviour", "ranges"),
    [
        (b"", "ranges", [None]),
        (b"0123", "ranges", ["bytes=4-"]),
        (b"0123", "whole", ["bytes=4-", None]),  # ignores the range
        (b"xxxx", "ranges", ["bytes=4-", None]),  # a wrong part
        (b"0123456789", "ranges", ["bytes=10-", None]),  # 416
    ],
)
def test_an_interrupted_download_is_continued(part, behaviour, ranges, mirrors, tmp_path):
    folder = tmp_path / "made"
    write(folder, {"a.gz.part": part})
    path = fetch(A, [mirrors.url(behaviour)], folder)
    assert path.read_bytes() == b"0123456789"
    assert listing(folder) == ["a.gz"]
    assert [wanted for _, _, wanted in mirrors.requests] == ranges


def test_a_mirror_that_does_not_answer_costs_no_progress(mirrors, tmp_path):
    write(tmp_path / "made", {"a.gz.part": b"0123"})
    with pytest.raises(DatasetError):
        fetch(A, [mirrors.url("broken")], tmp_path / "made")
    assert (tmp_path / "made" / "a.gz.part").read_bytes() == b"0123"


def test_a_missing_pooch_is_one_line(mirrors, nowhere, monkeypatch):
    serve(monkeypatch, "mnist", mirrors, "ranges")
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(ImportError, match=r'pooch: pip install "jasgd\[problems\]"$'):
        load_dataset("mnist")


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


def test_digits_split_has_every_class_alike():
    data = load_dataset("digits")
    assert (len(data.train_labels), len(data.test_labels)) == (1437, 360)
    share = np.bincount(data.test_labels) / np.bincount(np.r_[data.train_labels, data.test_labels])
    np.testing.assert_allclose(share, 0.2, atol=0.005)


def test_digits_without_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r'scikit-learn and SciPy: pip install "jasgd\[problems\]"$'):
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
