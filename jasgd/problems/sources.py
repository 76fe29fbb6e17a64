"""Where the data sets come from: the canonical files with their checksums, the mirrors, and the download."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jasgd.problems.contents import HEAD, recognised

TIMEOUT_S = 30  # seconds without a byte before a mirror is given up
RANGE_REFUSED = 416  # HTTP status


class DatasetError(ValueError):
    """The files of a data set are missing, truncated, not the published ones, or could not be downloaded."""


@dataclass(frozen=True)
class DataFile:
    """One published file, as it is once decompressed.

    Attributes:
      name: its published name.
      size: its size, in bytes; None where its header states it.
      sha256: its SHA-256, in hexadecimal; empty where none is known, and ``check`` decides.
      check: called with the content and what an error calls the file, raises DatasetError.
      pattern: a regular expression of the names that the file may have, without the suffix of compression; empty for
        a published file.
    """

    name: str
    size: int | None
    sha256: str = ""
    check: Callable[[bytes, str], Any] | None = None
    pattern: str = ""


@dataclass(frozen=True)
class Archive:
    """One file as the mirrors serve it.

    Attributes:
      name: its name on the mirrors, which is also its name on disk.
      sha256: the SHA-256 of the compressed bytes, in hexadecimal.
      holds: the names of the data files inside.
    """

    name: str
    sha256: str
    holds: tuple[str, ...]


@dataclass(frozen=True)
class Source:
    """The files of a data set and the addresses that serve them.

    Attributes:
      files: the published files.
      archives: what to download to have them all.
      mirrors: addresses that serve the archives, tried in turn.
      folders: names of the folder that may hold the files; the first is that of the cache.
      aliases: names that other libraries give that folder.
      inside: where in that folder the files may lie.
    """

    files: tuple[DataFile, ...]
    archives: tuple[Archive, ...]
    mirrors: tuple[str, ...]
    folders: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    inside: tuple[str, ...] = ("", "raw")


def _idx(
    folders: tuple[str, ...],
    aliases: tuple[str, ...],
    mirrors: tuple[str, ...],
    sums: Sequence[tuple[str, int, str, str]],
) -> Source:
    return Source(
        files=tuple(DataFile(name, size, raw) for name, size, raw, _ in sums),
        archives=tuple(Archive(name + ".gz", packed, (name,)) for name, _, _, packed in sums),
        mirrors=mirrors,
        folders=folders,
        aliases=aliases,
    )


# One row a file: name, size in bytes, SHA-256 of the decompressed file, SHA-256 of the .gz that the mirrors serve.
MNIST = _idx(
    folders=("mnist",),
    aliases=("MNIST",),
    mirrors=(
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
    ),
    sums=(
        (
            "train-images-idx3-ubyte",
            47_040_016,
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        ),
        (
            "train-labels-idx1-ubyte",
            60_008,
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        ),
        (
            "t10k-images-idx3-ubyte",
            7_840_016,
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        ),
        (
            "t10k-labels-idx1-ubyte",
            10_008,
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    ),
)

FASHION_MNIST = _idx(
    folders=("fashion_mnist", "fashion-mnist"),
    aliases=("FashionMNIST",),
    # Its only official server speaks plain http, so the checksum is the sole protection.
    mirrors=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
    sums=(
        (
            "train-images-idx3-ubyte",
            47_040_016,
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        ),
        (
            "train-labels-idx1-ubyte",
            60_008,
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        ),
        (
            "t10k-images-idx3-ubyte",
            7_840_016,
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        ),
        (
            "t10k-labels-idx1-ubyte",
            10_008,
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    ),
)

_CIFAR10_FILES = (
    ("data_batch_1.bin", "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5"),
    ("data_batch_2.bin", "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed"),
    ("data_batch_3.bin", "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67"),
    ("data_batch_4.bin", "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48"),
    ("data_batch_5.bin", "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add"),
    ("test_batch.bin", "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"),
)

CIFAR10 = Source(
    files=tuple(DataFile(name, 30_730_000, sha256) for name, sha256 in _CIFAR10_FILES),
    archives=(
        Archive(
            "cifar-10-binary.tar.gz",
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            tuple(name for name, _ in _CIFAR10_FILES),
        ),
    ),
    mirrors=("https://www.cs.toronto.edu/~kriz/",),
    folders=("cifar10", "cifar-10"),
    aliases=("CIFAR10",),
    inside=("", "cifar-10-batches-bin"),
)


def fetch(archive: Archive, mirrors: Sequence[str], folder: Path) -> Path:
    """Downloads one archive into a folder, from the first mirror that serves the right bytes.

    The part that an interrupted download left (``NAME.part``) is continued, since one server gives tens of kB/s. The
    archive takes its name only once its SHA-256 is right; a part with wrong bytes is deleted.

    Args:
      archive: what to download.
      mirrors: addresses, tried in turn.
      folder: where to put it; made where missing.

    Returns:
      The path of the archive.

    Raises:
      DatasetError: when no mirror served it, with each mirror's reason.
      ImportError: without pooch.
    """
    try:
        import pooch
    except ImportError as error:
        raise ImportError('downloading a data set needs pooch: pip install "jasgd[problems]"') from error
    folder.mkdir(parents=True, exist_ok=True)
    target, part = folder / archive.name, folder / (archive.name + ".part")
    reasons = []
    for mirror in mirrors:
        url = mirror.rstrip("/") + "/" + archive.name
        for _ in range(2):  # a part that turns out to be wrong is requested once more, from the start
            start = part.stat().st_size if part.exists() else 0
            headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
            download = pooch.HTTPDownloader(chunk_size=1 << 16, timeout=TIMEOUT_S, headers=headers)
            try:
                with part.open("ab") as out:
                    download(url, out, None)
                digest = pooch.file_hash(str(part))
            except OSError as error:  # requests' errors are OSErrors as well
                reasons.append(f"{url}: {error}")
                if getattr(getattr(error, "response", None), "status_code", None) != RANGE_REFUSED:
                    break
            else:
                if digest == archive.sha256:
                    os.replace(part, target)
                    return target
                with part.open("rb") as file:
                    kind = recognised(file.read(HEAD))
                served = f", of {kind}" if kind else ""
                reasons.append(f"{url}: expected SHA-256 {archive.sha256}, found {digest}{served}")
            part.unlink(missing_ok=True)
            if not start:
                break
    if part.exists() and not part.stat().st_size:
        part.unlink()
    raise DatasetError(
        f"{archive.name} could not be downloaded into {folder}; get it by other means and name its folder as "
        f"data_dir. Tried: " + "; ".join(reasons)
    )
