from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from unroll import safe_yaml
from unroll.errors import OptionError, RunError

READ: dict[str, Any] = {
    "no": "no",
    "[on, off, yes, y]": ["on", "off", "yes", "y"],
    "12:30": "12:30",
    "2024-01-01": "2024-01-01",
    "2001-99-99": "2001-99-99",
    "1e3": 1000.0,
    "1e-3": 0.001,
    "-2.5E+2": -250.0,
    "010": 10,
    "0o10": 8,
    "0x1F": 31,
    "1_000": "1_000",
    "true": True,
    "~": None,
    "": None,
    "'true'": "true",
    "-.inf": -math.inf,
    "<<": "<<",
    "=": "=",
    "评论": "评论",
    '"\\ttab"': "\ttab",
    "a: [1, {b: c}]": {"a": [1, {"b": "c"}]},
    "no: 1": {"no": 1},
}

REFUSED = {
    "a: 1\nb: 2\na: 3": "line 3: the key 'a' is there twice",
    "a: {b: 1, b: 2}": "the key 'b' is there twice",
    "a: &x [1]\nb: *x": "line 2: an alias",
    "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]": "line 2: an alias",
    "[a, b]: 1": "a list or a mapping is no key",
    "{a: b}: 1": "a list or a mapping is no key",
    "a:\n\t- b": "line 2: found character",
    "a: \x00": "special characters",
    "a: [": "line 1",
    "[" * 3000: "nested too deeply",
    "- " * 3000: "nested too deeply",
    "9" * 5000: "the kind int cannot be read",
    "0x" + "f" * 5000: "the kind int cannot be read",
    "!!int abc": "the kind int cannot be read",
    "!!bool x": "the kind bool cannot be read",
    "!!float x": "the kind float cannot be read",
    "!!timestamp x": "could not determine a constructor",
    "!!binary x": "could not determine a constructor",
    "!!map 3": "line 1: there is no mapping",
    "!!python/object/apply:os.system ['true']": "could not determine a constructor",
    '"\\ud800"': "the kind str cannot be read",
    '"\\U00110000"': "not valid YAML",
    "a: 1\n---\nb: 2": "line 2",
    "%YAML 9.9\n---\na": "YAML",
}


@pytest.mark.parametrize("text", READ)
def test_values(text: str) -> None:
    found = safe_yaml.parse(text, "it")
    assert found == READ[text]
    assert type(found) is type(READ[text])


@pytest.mark.parametrize("text", REFUSED, ids=range(len(REFUSED)))
def test_what_is_refused_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(RunError) as error:
        safe_yaml.parse(text, "its name", RunError)
    assert str(error.value).startswith("its name is not valid YAML")
    assert REFUSED[text] in str(error.value)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    "value",
    ["no", "12:30", "1e3", "1e-3", "0o10", "0x1f", "010", "2024-01-01", "", "~", "null", "true", "1.5", " a ", "a: b"],
)
def test_a_text_comes_back_as_it_was_here_and_elsewhere(value: str) -> None:
    written = safe_yaml.write({"a": value})
    assert safe_yaml.parse(written, "it") == {"a": value}
    assert yaml.safe_load(written) == {"a": value}


@pytest.mark.parametrize(
    "value", [1e-5, 0.001, 1e16, 1e300, 3, -7, 2**40, True, None, [], {}, [[1], "x"], "é\n\u2028\t"]
)
def test_a_value_comes_back_as_it_was(value: Any) -> None:
    assert safe_yaml.parse(safe_yaml.write({"a": value}), "it") == {"a": value}


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "o.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: x\r\n")
    assert safe_yaml.read(path) == {"a": 1, "b": "x"}
    path.write_bytes("a: 1".encode("utf-16"))
    with pytest.raises(OptionError, match=r"o\.yaml must be UTF-8 text, and it is UTF-16"):
        safe_yaml.read(path)
    path.write_bytes(b"a: \xff")
    with pytest.raises(OptionError, match="there is none at byte 3"):
        safe_yaml.read(path)
    path.write_bytes(b"#" * (4 * 2**20 + 1))
    with pytest.raises(OptionError, match="more than such a file can hold"):
        safe_yaml.read(path)
    with pytest.raises(FileNotFoundError):
        safe_yaml.read(tmp_path / "none.yaml")


@pytest.mark.parametrize("device", ["/dev/zero", "pipe", "itself", "folder"])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, device: str) -> None:
    path = tmp_path / "o.yaml"
    if device == "pipe":
        os.mkfifo(path)
    elif device == "folder":
        path.mkdir()
    else:
        path.symlink_to("o.yaml" if device == "itself" else device)
    with pytest.raises(OptionError, match=r"o\.yaml"):
        safe_yaml.read(path)
