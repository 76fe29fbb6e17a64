"""Downloads of data sets from mirrors on this machine: what is fetched, continued, refused and kept."""

import gzip
import sys
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from support.dataset_files import pack, sha256, write

from jasgd.problems.datasets import DATASETS, load_dataset
from jasgd.problems.sources import Archive, DatasetError, fetch


class Mirrors:
    """A server on this machine; the first part of the path chooses how it behaves, the last is the file."""

    def __init__(self, files):
        self.requests = []
        mirrors = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                _, behaviour, name = self.path.split("/")
                requested_range = self.headers["Range"]
                mirrors.requests.append((behaviour, name, requested_range))
                content = files.get(name)
                if content is None or behaviour == "broken":
                    return self.answer(404, b"<html>Not found</html>")
                if behaviour == "wrong":
                    return self.answer(200, b"<html>Please log in</html>")
                if behaviour == "cut":
                    return self.answer(200, content[: len(content) // 2], len(content))
                if behaviour == "ranges" and requested_range:
                    start = int(requested_range.removeprefix("bytes=").removesuffix("-"))
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
    requests = len(mirrors.requests)
    assert requests == (4 if first == "unreachable" else 8)
    load_dataset("mnist")
    assert len(mirrors.requests) == requests  # from the cache


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
    assert f"{sha256(b'<html>Please log in</html>')}, of an HTML page" in message
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
    assert [requested for _, _, requested in mirrors.requests] == ranges


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
