from __future__ import annotations

import gzip
from pathlib import Path

import pandas as pd
import pytest

from unroll.data.options import SourceOptions
from unroll.data.pairs.reader import Pairs, bad_pairs, read_pairs
from unroll.errors import DataError


def pairs(*paths: Path, source: str = "en", target: str = "de") -> Pairs:
    return read_pairs([str(path) for path in paths], source, target, SourceOptions(), lambda _: None)


def test_a_table_has_both_columns(tmp_path: Path) -> None:
    file = tmp_path / "train.tsv"
    file.write_text("en\tde\na cat\teine Katze\n\tleer\n", encoding="utf-8")
    found = pairs(file)
    assert list(found.sources) == ["a cat", ""]
    assert list(found.targets) == ["eine Katze", "leer"]
    with pytest.raises(DataError, match="has no column 'fr'"):
        pairs(file, target="fr")
    table = read_pairs(pd.DataFrame({"x": ["a"], "y": ["b"]}), "x", "y", SourceOptions(), lambda _: None)
    assert (list(table.sources), list(table.targets)) == (["a"], ["b"])


def test_plain_files_are_aligned_line_by_line(tmp_path: Path) -> None:
    (tmp_path / "one.en").write_text("a\n\nc\n", encoding="utf-8")
    (tmp_path / "one.de").write_text("A\nB\nC\n", encoding="utf-8")
    with gzip.open(tmp_path / "two.en.gz", "wt") as file:
        file.write("d\n")
    with gzip.open(tmp_path / "two.de.gz", "wt") as file:
        file.write("D\n")
    found = pairs(*(tmp_path / name for name in ("one.en", "one.de", "two.en.gz", "two.de.gz")))
    assert list(found.sources) == ["a", "", "c", "d"]
    assert list(found.targets) == ["A", "B", "C", "D"]
    assert bad_pairs(found, "en", "de", references=False) == [(1, "'en' is empty")]


def test_files_that_do_not_go_together(tmp_path: Path) -> None:
    (tmp_path / "train.en").write_text("a\nb\nc\n", encoding="utf-8")
    (tmp_path / "train.de").write_text("A\nB\n", encoding="utf-8")
    (tmp_path / "more.de").write_text("A\nB\n", encoding="utf-8")
    (tmp_path / "train.fr").write_text("A\nB\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"train.en has 3 lines and .*train.de has 2; line-aligned files must have"):
        pairs(tmp_path / "train.en", tmp_path / "train.de")
    with pytest.raises(DataError, match=r"needs a file of as many lines beside it whose name ends in \.de; name both"):
        pairs(tmp_path / "train.en")
    with pytest.raises(DataError, match=r"come in pairs, but there are 1 files .en and 2 files .de"):
        pairs(tmp_path / "train.en", tmp_path / "train.de", tmp_path / "more.de")
    with pytest.raises(DataError, match=r"train.fr is beside line-aligned files, but its name ends neither in .en nor"):
        pairs(tmp_path / "train.en", tmp_path / "train.fr")


def test_pairs_that_cannot_be_used() -> None:
    sources = ["a", None, " ", 3, "b", "c", "d", "x" * 30]
    targets = ["A", "B", "C", "D", "", ["E", "F"], [], "y" * 200]
    found = Pairs(sources, targets, "data")
    reasons = dict(bad_pairs(found, "en", "de", references=True, most_ratio=5))
    assert reasons == {
        1: "'en' is null",
        2: "'en' is empty",
        3: "'en' holds int, not text",
        4: "'de' is empty",
        6: "'de' is an empty list",
        7: "'en' has 30 characters and 'de' 200",
    }
    reasons = dict(bad_pairs(found, "en", "de", references=False))
    assert reasons[5] == "'de' is a list; a training row has one target: put each on a row of its own"
    assert 7 not in reasons
