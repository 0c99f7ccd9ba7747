from __future__ import annotations

import csv
import json
import math
from typing import Any

import pytest
from fuzzing.kinds import empty_folder
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from unroll.data.files.dataset import read, stream

pytestmark = pytest.mark.slow

quick = settings(
    max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
characters = st.characters(exclude_categories=("Cs", "Cc"))
text = st.text(characters, max_size=8)
names = st.lists(
    st.text("abcxyzäé名 _,;'", min_size=1, max_size=5).map(str.strip).filter(bool), min_size=2, max_size=4, unique=True
)
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def tables(draw: st.DrawFn, cells: st.SearchStrategy[Any]) -> list[dict[str, Any]]:
    columns = draw(names)
    return draw(st.lists(st.fixed_dictionaries(dict.fromkeys(columns, cells)), min_size=1, max_size=8))


@given(tables(text.map(lambda cell: f"{cell}x")), st.sampled_from(",;|\t"), st.sampled_from(["\n", "\r\n"]))
@quick
def test_a_table_that_is_quoted_throughout_is_read_as_it_was_written(
    rows: list[dict[str, str]], delimiter: str, end: str
) -> None:
    with empty_folder() as folder:
        path = folder / "table.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter, lineterminator=end, quoting=csv.QUOTE_ALL)
            writer.writeheader()
            writer.writerows(rows)
        assert list(read(str(path))) == rows
        assert list(stream(str(path))) == rows


@given(tables(text | numbers | st.none()))
@quick
def test_lines_of_json_are_streamed_as_they_were_written(rows: list[dict[str, Any]]) -> None:
    with empty_folder() as folder:
        path = folder / "table.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        assert list(stream(str(path))) == rows


@given(st.lists(st.floats(-1e12, 1e12), min_size=2, max_size=8), st.sampled_from([".", ","]))
@quick
def test_numbers_with_a_point_or_a_comma_are_the_same_numbers(values: list[float], point: str) -> None:
    from unroll.data.timeseries.options import TimeSeriesOptions
    from unroll.data.timeseries.reader import read_frames

    # a fourth place tells the point from a group of thousands
    written = [f"{value:.4f}" for value in values]
    with empty_folder() as folder:
        path = folder / "series.csv"
        rows = [f"{2000 + i};{number.replace('.', point)}" for i, number in enumerate(written)]
        path.write_text("\n".join(["year;y", *rows]), encoding="utf-8")
        frames = read_frames(str(path), TimeSeriesOptions(time="year", target=("y",)))
    assert frames.series[0].target[:, 0].tolist() == [float(number) for number in written]
    assert not any(math.isnan(value) for value in frames.series[0].target[:, 0])
