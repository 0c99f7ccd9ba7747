from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from unroll.data.timeseries.options import Scaling, TimeSeriesOptions
from unroll.data.timeseries.reader import TimeSeries, TimeSeriesSet, from_dataframe
from unroll.data.timeseries.scaler import SeriesScaler
from unroll.errors import DataError, RunError


def series(name: str, target: np.ndarray, past: int = 0, known: int = 0, static: tuple[float, ...] = ()) -> TimeSeries:
    rng = np.random.default_rng(len(target))
    N = len(target)
    return TimeSeries(
        name, np.arange(N), target, rng.normal(3, 2, (N, past)), rng.normal(9, 5, (N, known)), np.array(static, float)
    )


def two() -> TimeSeriesSet:
    rng = np.random.default_rng(0)
    a = series("a", rng.normal([5.0, -3.0], [2.0, 100.0], (50, 2)), 1, 1, (1.0,))
    b = series("b", rng.normal([900.0, 0.0], [1.0, 1.0], (30, 2)), 1, 1, (5.0,))
    return TimeSeriesSet((a, b), ("x", "y"), ("p",), ("k",), ("s",))


def test_mean_and_deviation_of_the_training_part() -> None:
    frames = two()
    scaler = SeriesScaler.learn(frames, {"a": 40, "b": 20})
    for frame, rows in zip(frames, (40, 20), strict=True):
        scaled = scaler.transform(frame)
        for group in ("target", "past", "known"):
            own = getattr(scaled, group)[:rows]
            np.testing.assert_allclose(own.mean(0), 0, atol=1e-12)
            np.testing.assert_allclose(own.std(0), 1, rtol=1e-12)
        np.testing.assert_allclose(scaler.inverse(frame.name, scaled.target), frame.target, rtol=1e-14)
        np.testing.assert_array_equal(scaler.apply(frame.name, frame.target), scaled.target)
    assert [scaler.transform(frame).static.tolist() for frame in frames] == [[-1.0], [1.0]]
    deviations = scaler.inverse_scale("a", np.ones((4, 2)))
    np.testing.assert_allclose(deviations[0], frames.series[0].target[:40].std(0))
    table = scaler.table(("b", "a"))
    np.testing.assert_allclose(table.shift[1], frames.series[0].target[:40].mean(0))
    assert table.scale.shape == (2, 2)


def test_from_zero_to_one_and_none() -> None:
    frames = two()
    scaled = SeriesScaler.learn(frames, None, "minmax").transform(frames.series[0])
    assert (scaled.target.min(0).tolist(), scaled.target.max(0).tolist()) == ([0, 0], [1, 1])
    none = SeriesScaler.learn(frames, None, "none").transform(frames.series[0])
    np.testing.assert_array_equal(none.target, frames.series[0].target)
    np.testing.assert_array_equal(none.static, frames.series[0].static)


@pytest.mark.parametrize("kind", ["standard", "minmax", "none"])
def test_rows_after_the_training_part_change_nothing(kind: Scaling) -> None:
    frames = two()
    upto = {"a": 40, "b": 20}
    before = SeriesScaler.learn(frames, upto, kind).to_json()
    for frame in frames:
        for values in (frame.target, frame.past, frame.known):
            values[upto[frame.name] :] = 1e9
    assert SeriesScaler.learn(frames, upto, kind).to_json() == before


def test_filled_values_are_not_measured() -> None:
    df = pd.DataFrame({"t": [0, 1, 2, 9, 10], "y": [1.0, 3.0, 2.0, 1000.0, 7.0]})
    frames = from_dataframe(df, TimeSeriesOptions(gaps="interpolate"))
    scaler = SeriesScaler.learn(frames, {"": 9})
    assert scaler.table(("",)).shift.tolist() == [[2.0]]
    assert scaler.table(("",)).scale.tolist() == [[pytest.approx(np.sqrt(2 / 3))]]


def test_a_constant_is_only_centred_and_that_is_said() -> None:
    frame = series("", np.full((9, 1), 0.1))
    scaler = SeriesScaler.learn(TimeSeriesSet((frame,), ("y",)))
    np.testing.assert_allclose(scaler.transform(frame).target, 0, atol=1e-15)
    assert scaler.inverse_scale("", np.ones(1)).tolist() == [1.0]
    assert scaler.notes == ("never changing in the training part, and only centred (the series: 'y')",)


@pytest.mark.parametrize("kind", ["standard", "minmax"])
def test_values_beyond_measure_are_refused(kind: Scaling) -> None:
    huge = np.array([[1.0, -1.7e308], [2.0, 1.7e308], [3.0, 0.0]])
    with pytest.raises(DataError, match="the series has values too large to be measured in column 'y'; use larger"):
        SeriesScaler.learn(TimeSeriesSet((series("", huge),), ("x", "y")), None, kind)
    frames = TimeSeriesSet(
        (series("", huge[:, :1], static=(1.7e308,)), series("b", huge[:, :1], static=(-1.7e308,))), ("x",)
    )
    with pytest.raises(DataError, match="the table has values too large to be measured in column 's'"):
        SeriesScaler.learn(replace(frames, static=("s",)), None, kind)


def test_calendar_and_categories_stay_as_they_are() -> None:
    df = pd.DataFrame({"ds": pd.date_range("2024-01-01", periods=8), "y": np.arange(8.0), "k": np.arange(8.0)})
    long = pd.concat([df.assign(shop=n, kind=kind, size=size) for n, kind, size in (("a", "x", 2), ("b", "z", 4))])
    options = TimeSeriesOptions(
        series_id="shop",
        target=("y",),
        future_covariates=("k",),
        static_covariates=("kind", "size"),
        calendar=("weekday", "year"),
    )
    frames = from_dataframe(long, options)
    scaler = SeriesScaler.learn(frames)
    scaled = scaler.transform(frames.series[1])
    np.testing.assert_array_equal(scaled.known[:, 1:], frames.series[1].known[:, 1:])
    np.testing.assert_allclose(scaled.known[:, 0].std(), 1)
    assert scaled.static.tolist() == [0, 1, 1]
    again = SeriesScaler.from_json(scaler.to_json()).transform(frames.series[1])
    np.testing.assert_array_equal(again.known, scaled.known)


def test_an_unknown_series_is_measured_on_its_own_history() -> None:
    frames = two()
    scaler = SeriesScaler.learn(TimeSeriesSet(frames.series[:1], ("x", "y"), ("p",), ("k",), ("s",)))
    b = frames.series[1]
    np.testing.assert_allclose(scaler.transform(b).target.std(0), 1)
    with pytest.raises(DataError, match="series 'b' was not in the training data, and its size has not been measured"):
        scaler.inverse("b", b.target)
    wider = scaler.extend(frames, {"b": 10})
    np.testing.assert_allclose(wider.transform(b).target[:10].mean(0), 0, atol=1e-12)
    np.testing.assert_array_equal(wider.table(("a",)).scale, scaler.table(("a",)).scale)
    assert "b" not in scaler.series
    with pytest.raises(DataError, match="the data has the target columns x, but the scaler was made for x, y"):
        scaler.extend(TimeSeriesSet(frames.series[1:], ("x",), ("p",), ("k",), ("s",)))


def test_no_value_in_the_training_part() -> None:
    df = pd.DataFrame({"t": [0, 9, 10], "y": [1.0, 3.0, 2.0]})
    frames = from_dataframe(df.assign(z=[0.0, 1.0, 2.0]), TimeSeriesOptions(gaps="fill"))
    frames.series[0].observed[:5, 1] = False
    with pytest.raises(DataError, match="the series has no value in column 'z' in the 5 rows of its training part"):
        SeriesScaler.learn(frames, {"": 5})


@pytest.mark.parametrize("kind", ["standard", "minmax", "none"])
def test_kept_to_the_last_bit(kind: Scaling) -> None:
    frames = two()
    scaler = SeriesScaler.learn(frames, None, kind)
    again = SeriesScaler.from_json(scaler.to_json())
    assert again.to_json() == scaler.to_json()
    assert again.kind == kind
    for frame in frames:
        np.testing.assert_array_equal(again.transform(frame).target, scaler.transform(frame).target)


def _drop(document: dict[str, Any], key: str) -> None:
    del document[key]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(format="x"), "not in the form 'unroll.scaler/1'"),
        (lambda d: d.update(kind="x"), "kind is 'x'"),
        (lambda d: d.update(unscaled=2), "unscaled 2"),
        (lambda d: _drop(d, "static"), "the scaler is damaged: 'static'"),
        (lambda d: d["series"][0].pop(), "damaged"),
        (lambda d: d["series"][0][1].pop(), "damaged"),
        (lambda d: d["series"][0][1][1].pop(), "two lists of 2 numbers"),
        (lambda d: d["series"][0][1][1].__setitem__(0, 0.0), "a scale is not above 0"),
        (lambda d: d["series"][0][1][0].__setitem__(0, float("nan")), "NaN is no JSON number"),
        (lambda d: d["series"][0][1][0].__setitem__(0, None), "not finite"),
        (lambda d: d["series"].append(d["series"][0]), "there twice"),
        (lambda d: d["columns"].update(target="xy"), "columns are not lists of texts"),
        (lambda d: d.update(series=5), "damaged"),
    ],
)
def test_a_damaged_document_is_refused(change: Any, message: str) -> None:
    document = json.loads(SeriesScaler.learn(two()).to_json())
    change(document)
    with pytest.raises(RunError) as error:
        SeriesScaler.from_json(json.dumps(document))
    assert message in str(error.value)


@pytest.mark.parametrize("text", ["{", "[]", "null", "[" * 5000])
def test_no_document_at_all(text: str) -> None:
    with pytest.raises(RunError, match="the scaler is not"):
        SeriesScaler.from_json(text)
