"""Every text that a user may have edited may have a byte order mark and Windows' line ends, or is refused by name."""

import codecs
import json
import re

import pytest

from jasgd.experiments.recipe import FILE, Recipe
from jasgd.inputs.text_files import read_text
from theory import check
from theory.candidates.declarations import read_parameters
from theory.candidates.loading import load
from theory.laws.parsing import parse_law

CANDIDATE = "from theory import tau\r\n# a – b\r\nC = 1 / (1 + tau)\r\n"
RECIPE = {
    "dataset": "digits", "model": "mlp", "batch_size": 8, "preset": None, "data_dir": None, "download": True,
    "seed": 0, "rule": "tail", "constant": None, "law": None, "workers": 1, "optimizer": "sgd",
    "learning_rate": 0.1, "momentum": 0.0,
}  # fmt: skip


#: What reads the file, its name, and its text.
READERS = {
    "any text": (read_text, "a.txt", "a – b\r\n"),
    "a recipe": (lambda path: Recipe.load(path.parent), FILE, json.dumps(RECIPE)),
    "a candidate": (lambda path: (load(str(path)).source, load(str(path)).formula), "fn.py", CANDIDATE),
    "parameters": (lambda path: read_parameters(str(path)), "p.json", '{"b": "1/2"}'),
    "counts": (lambda path: parse_law(f"counts:{path}").to_json(), "counts.json", "[3, 1]"),
    "counts of another suffix": (lambda path: parse_law(f"counts:{path}").to_json(), "counts.txt", "[3, 1]"),
}
ENCODINGS = {
    "a mark": codecs.BOM_UTF8 + b"%s",
    "none": b"%s",
    "UTF-16": codecs.BOM_UTF16_LE,
    "UTF-16, the other end first": codecs.BOM_UTF16_BE,
}


def encoded(text, encoding):
    codec = {"UTF-16": "utf-16-le", "UTF-16, the other end first": "utf-16-be"}.get(encoding, "utf-8")
    mark = b"" if encoding == "none" else ENCODINGS[encoding].removesuffix(b"%s")
    return mark + text.encode(codec)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_byte_order_mark_says_the_encoding_and_is_no_content(encoding, reader, tmp_path):
    read, name, text = READERS[reader]
    path = tmp_path / name
    path.write_bytes(text.encode())
    expected = read(path)
    path.write_bytes(encoded(text.replace("\r\n", "\n").replace("\n", "\r\n"), encoding))
    assert read(path) == expected


@pytest.mark.parametrize("reader", READERS)
def test_other_encodings_are_refused_with_the_file_and_the_byte(reader, tmp_path):
    read, name, text = READERS[reader]
    path = tmp_path / name
    path.write_bytes(text.encode() + b"# caf\xe9")
    with pytest.raises(
        ValueError, match=rf"{re.escape(str(path))} .*(?i:UTF-8).*0xe9 (at|in) position {len(text.encode()) + 5}"
    ):
        read(path)


@pytest.mark.parametrize("reader", ["a recipe", "parameters", "counts"])
def test_what_is_no_json_is_refused_with_the_file(reader, tmp_path):
    read, name, _ = READERS[reader]
    (tmp_path / name).write_text("{3,")
    with pytest.raises(ValueError, match=re.escape(str(tmp_path / name))):
        read(tmp_path / name)


def test_a_certificate_with_a_mark_is_verified(tmp_path, capsys):
    path = tmp_path / "certificate.json"
    path.write_bytes(codecs.BOM_UTF8 + b"{}")
    plain = tmp_path / "plain.json"
    plain.write_bytes(b"{}")
    assert check.main([str(path)]) == check.main([str(plain)])
    out = capsys.readouterr().out
    assert out.splitlines()[0].removeprefix(str(path)) == out.splitlines()[1].removeprefix(str(plain))
    path.write_bytes(b"\xff{}")
    assert check.main([str(path)]) == 3
    assert f"{path}: cannot be read" in capsys.readouterr().err
