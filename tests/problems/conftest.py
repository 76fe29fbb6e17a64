"""Data sets of small files, a machine without any, and the real ones where they are on this machine."""

import gzip

import numpy as np
import pytest
from support.dataset_files import idx, pack, sha256, small

from jasgd.problems import locations
from jasgd.problems.datasets import locate
from jasgd.problems.sources import Archive


@pytest.fixture
def nowhere(tmp_path, monkeypatch):
    """No data set on this machine, as far as the search goes."""
    monkeypatch.delenv("JASGD_DATA_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr(locations, "SYSTEM_FOLDER", tmp_path / "system")
    return tmp_path


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
