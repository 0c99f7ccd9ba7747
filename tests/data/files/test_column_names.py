from __future__ import annotations

import pytest

from unroll.data.files.column_names import find_columns
from unroll.errors import DataError, OptionError, UserError

NAMES = ["id", "x0", "x2", "note", "x1", "a..b", "mon", "tue", "wed", "label"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (["x0..x2"], ("x0", "x1", "x2")),
        (["x*"], ("x0", "x2", "x1")),
        (["mon..wed"], ("mon", "tue", "wed")),
        (["x[01]", "tue"], ("x0", "x1", "tue")),
        (["a..b"], ("a..b",)),
        (["*e*"], ("note", "tue", "wed")),
        (["x1"], ("x1",)),
        ([], ()),
    ],
)
def test_names_ranges_and_patterns(wanted: list[str], found: tuple[str, ...]) -> None:
    assert find_columns(wanted, NAMES, "t.csv", without=["label"]) == found


def test_numbers_of_a_range_are_as_wide_as_its_first() -> None:
    assert find_columns(["t08_s..t10_s"], ["t10_s", "t09_s", "t08_s"], "t.csv") == ("t08_s", "t09_s", "t10_s")
    assert find_columns(["8..10"], ["8", "9", "10"], "t.csv") == ("8", "9", "10")


@pytest.mark.parametrize(
    ("wanted", "kind", "message"),
    [
        (["x0..x3"], DataError, r"'t.csv' has no column 'x3', which is in the range x0..x3"),
        (["x2..x0"], OptionError, "the range x2..x0 runs backwards; it must be such as x0..x59"),
        (["wed..mon"], OptionError, "runs backwards"),
        (["mon..sun"], DataError, "'t.csv' has no column 'sun'; there is: id, x0"),
        (["y*"], DataError, r"'t.csv' has no column that matches 'y\*'"),
        (["x0..x2", "x1"], OptionError, "the column 'x1' is named twice in x0..x2, x1"),
        (["labels"], DataError, "'t.csv' has no column 'labels'; did you mean 'label'?"),
    ],
)
def test_what_stands_for_no_column(wanted: list[str], kind: type[UserError], message: str) -> None:
    with pytest.raises(kind, match=message):
        find_columns(wanted, NAMES, "t.csv")
