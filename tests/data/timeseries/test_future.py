from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from unroll.data.timeseries import calendar
from unroll.data.timeseries.future import require_known, with_known
from unroll.data.timeseries.options import TimeSeriesOptions
from unroll.data.timeseries.reader import from_dataframe
from unroll.errors import DataError, OptionError


def frames(cycles: tuple[str, ...] = (), dated: bool = True):
    df = pd.DataFrame({"t": pd.date_range("2024-01-01", periods=10, freq="MS"), "y": np.arange(10.0), "p": 1.0})
    options = TimeSeriesOptions(time="" if dated else "none", target=("y",), future_covariates=("p",), calendar=cycles)
    return from_dataframe(df if dated else df.drop(columns="t"), options)


def future(first: str = "2024-11-01", rows: int = 3) -> pd.DataFrame:
    return pd.DataFrame({"t": pd.date_range(first, periods=rows, freq="MS"), "p": np.arange(rows) + 5.0})


def test_values_stand_after_the_last_row() -> None:
    found = with_known(frames(("month",)), future(), "known").series[0]
    assert found.known[:, 0].tolist() == [1.0] * 10 + [5.0, 6.0, 7.0]
    wanted = calendar.features(pd.date_range("2024-11-01", periods=3, freq="MS").to_numpy(), ("month",))
    np.testing.assert_allclose(found.known[10:, 1:], wanted)
    require_known(with_known(frames(), future(), "known"), 3)


def test_rows_before_the_end_are_left_alone_and_a_hole_ends_it() -> None:
    given = future("2024-09-01", 6)
    found = with_known(frames(), given, "known").series[0]
    assert found.known[:, 0].tolist() == [1.0] * 10 + [7.0, 8.0, 9.0, 10.0]
    holed = with_known(frames(), given.drop(index=3), "known")
    assert len(holed.series[0].known) == 11
    with pytest.raises(DataError, match="at 2024-12-01, and 1 of these times are missing"):
        require_known(holed, 2)
    assert len(with_known(frames(), future("2023-01-01"), "known").series[0].known) == 10


def test_without_times_the_rows_follow_on() -> None:
    found = with_known(frames(dated=False), future().drop(columns="t"), "known")
    assert found.series[0].known[10:, 0].tolist() == [5.0, 6.0, 7.0]


def test_times_written_as_text() -> None:
    given = future().assign(t=["2024-11", "2024-12", "2025-01"])
    assert len(with_known(frames(), given, "known").series[0].known) == 13


def test_mistakes_are_said() -> None:
    made = frames()
    with pytest.raises(DataError, match=r"future.csv has no column 'p'"):
        with_known(made, future().drop(columns="p"), "future.csv")
    with pytest.raises(DataError, match=r"row 2 of future.csv, column 'p': is empty"):
        with_known(made, future().assign(p=[1.0, np.nan, 2.0]), "future.csv")
    with pytest.raises(DataError, match=r"row 1 of future.csv, column 'p': 'x' is no finite number"):
        with_known(made, future().assign(p=["x", "1", "2"]), "future.csv")
    with pytest.raises(DataError, match=r"row 3 of future.csv: 'soon' in 't' is no time"):
        with_known(made, future().assign(t=["2024-11-01", "2024-12-01", "soon"]), "future.csv")
    plain = from_dataframe(pd.DataFrame({"t": pd.date_range("2024-01-01", periods=9), "y": 1.0 * np.arange(9)}))
    with pytest.raises(OptionError, match="the model was trained without any"):
        with_known(plain, future(), "known")
