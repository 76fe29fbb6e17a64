"""Files of data sets: small ones in the published formats, with checksums of their own."""

import gzip
import hashlib
import io
import tarfile
from dataclasses import replace

from jasgd.problems.datasets import DATASETS
from jasgd.problems.sources import DataFile


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


def small(monkeypatch, name, contents, archives, mirrors=()):
    """Has `name` stand for a data set of small files with checksums of their own."""
    files = tuple(DataFile(file, len(content), sha256(content)) for file, content in contents.items())
    info = DATASETS[name]
    source = replace(info.source, files=files, archives=archives, mirrors=tuple(mirrors))
    monkeypatch.setitem(DATASETS, name, replace(info, source=source))
    return contents
