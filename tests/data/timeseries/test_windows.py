from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from unroll.data.timeseries.options import TimeSeriesOptions
from unroll.data.timeseries.reader import TimeSeries, TimeSeriesSet, from_dataframe, read_frames
from unroll.data.timeseries.scaler import SeriesScaler
from unroll.data.timeseries.windows import ForecastBatch, ForecastWindows, latest_windows, split
from unroll.errors import DataError, OptionError, RunError
from unroll.tasks.forecasting.metrics import mae, mse, repeat_last

NAN = float("nan")
OPTIONS = TimeSeriesOptions(
    series_id="shop",
    target=("y", "z"),
    past_covariates=("p",),
    future_covariates=("k",),
    static_covariates=("size",),
    calendar=("weekday",),
    gaps="interpolate",
)


def table(*lengths: int) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    parts = [
        pd.DataFrame(
            {
                "shop": f"s{i}",
                "ds": pd.date_range("2024-01-01", periods=n),
                **{name: rng.normal(10 * i, 1 + i, n) for name in "yzpk"},
                "size": 3 + i,
            }
        )
        for i, n in enumerate(lengths)
    ]
    return pd.concat(parts, ignore_index=True)


def windows(frames: TimeSeriesSet, history: int = 5, horizon: int = 3, **more: Any) -> ForecastWindows:
    return ForecastWindows(frames, SeriesScaler.learn(frames), history=history, horizon=horizon, **more)


def every(source: ForecastWindows) -> list[ForecastBatch]:
    return list(source)


def plain(n: int, name: str = "") -> TimeSeries:
    none = np.zeros((n, 0))
    return TimeSeries(name, np.arange(n), np.arange(n, dtype=float)[:, None], none, none, np.zeros(0))


def unscaled(*frames: TimeSeries, **more: Any) -> ForecastWindows:
    whole = TimeSeriesSet(frames, ("y",))
    return ForecastWindows(whole, SeriesScaler.learn(whole, None, "none"), **more)


def test_shapes_and_types() -> None:
    frames = from_dataframe(table(20, 12), OPTIONS)
    (batch,) = every(windows(frames, batch_size=99))
    B = 13 + 5
    shapes = {"x": (B, 5, 2), "past": (B, 5, 1), "known": (B, 8, 3), "static": (B, 1), "target": (B, 3, 2)}
    for name, shape in shapes.items():
        values = getattr(batch, name)
        assert (tuple(values.shape), values.dtype) == (shape, torch.float32), name
    assert (batch.observed.shape, batch.observed.dtype) == ((B, 3, 2), torch.bool)
    assert batch.lengths.tolist() == [5] * B
    assert (batch.total, batch.observed_total) == (B, B * 6)
    assert batch.series.tolist() == [0] * 13 + [1] * 5
    assert batch.origin.tolist() == [*range(5, 18), *range(5, 10)]
    assert batch.rows.tolist() == list(range(B))
    assert batch.counts == "windows"
    moved = batch.to("cpu")
    assert type(moved) is ForecastBatch
    assert torch.equal(moved.known, batch.known)


def test_a_window_is_what_stands_before_and_after_its_origin() -> None:
    frames = from_dataframe(table(20, 12), OPTIONS)
    scaler = SeriesScaler.learn(frames)
    scaled = [scaler.transform(frame) for frame in frames]
    source = windows(frames, batch_size=4, shuffle=True, seed=1)
    seen = []
    for batch in source:
        assert batch.target is not None
        for i, row in enumerate(batch.rows.tolist()):
            seen.append(row)
            frame, o = scaled[int(batch.series[i])], int(batch.origin[i])
            expected = {
                "x": frame.target[o - 5 : o],
                "past": frame.past[o - 5 : o],
                "known": frame.known[o - 5 : o + 3],
                "static": frame.static,
                "target": frame.target[o : o + 3],
            }
            for name, values in expected.items():
                np.testing.assert_array_equal(getattr(batch, name)[i].numpy(), values.astype(np.float32), err_msg=name)
    assert sorted(seen) == list(range(18))
    truth, observed = source.truth()
    assert observed.all()
    for row, (series, origin) in enumerate(zip(*source.locate(), strict=True)):
        np.testing.assert_array_equal(truth[row], frames.series[series].target[origin : origin + 3])
        np.testing.assert_array_equal(source.history([row])[0], frames.series[series].target[origin - 5 : origin])


def test_training_stays_inside_and_validation_reaches_back() -> None:
    rows = [range(10)], [range(10, 16)]
    train = unscaled(plain(20), history=4, horizon=3, rows=rows[0], reach_back=False)
    assert train.locate()[1].tolist() == [4, 5, 6, 7]
    assert unscaled(plain(20), history=4, horizon=3, rows=rows[1]).locate()[1].tolist() == [10, 11, 12, 13]
    inside = unscaled(plain(20), history=2, horizon=3, rows=rows[1], reach_back=False)
    assert inside.locate()[1].tolist() == [12, 13]
    early = unscaled(plain(20), history=4, horizon=3, rows=[range(2, 12)])
    assert early.locate()[1].tolist() == [4, 5, 6, 7, 8, 9]
    strided = unscaled(plain(20), plain(14), history=4, horizon=3, stride=5)
    assert list(zip(*(a.tolist() for a in strided.locate()), strict=True)) == [(0, 4), (0, 9), (0, 14), (1, 4), (1, 9)]


def test_history_of_any_length() -> None:
    source = unscaled(plain(8), plain(6), history=2, horizon=2)
    longer = source.history(length=4)[:, :, 0]
    np.testing.assert_array_equal(longer[0], [NAN, NAN, 0, 1])
    np.testing.assert_array_equal(longer[3], [1, 2, 3, 4])
    np.testing.assert_array_equal(longer[5], [NAN, NAN, 0, 1])


def test_what_was_not_observed_is_not_counted() -> None:
    df = pd.DataFrame({"t": np.arange(12), "y": np.arange(12.0)})
    df.loc[[6, 7, 9], "y"] = NAN
    frames = from_dataframe(df, TimeSeriesOptions(gaps="interpolate"))
    source = windows(frames, history=3, horizon=2, batch_size=99)
    (batch,) = every(source)
    assert batch.observed[:, :, 0].int().tolist() == [[1, 1], [1, 1], [1, 0], [0, 0], [0, 1], [1, 0], [0, 1], [1, 1]]
    assert batch.observed_total == 10
    assert batch.seen[3:, :, 0].int().tolist() == [[1, 1, 1], [1, 1, 0], [1, 0, 0], [0, 0, 1], [0, 1, 0]]
    history = source.history()[:, :, 0]
    assert history[batch.origin == 8].tolist() == [[5, 5, 5]]
    assert history[batch.origin == 9].tolist() == [[6, 7, 8]]
    parts = [list(source.shard(rank, 3)) for rank in range(3)]
    assert [part[0].observed_total for part in parts] == [10] * 3
    assert sum(int(part[0].observed.sum()) for part in parts) == 10
    assert sorted(row for part in parts for row in part[0].rows.tolist()) == list(range(8))
    assert [part[0].total for part in parts] == [8] * 3


@pytest.mark.parametrize("gaps", ["fill", "interpolate"])
@pytest.mark.parametrize("border", [20, 23, 26])
def test_no_later_row_changes_an_input(gaps: Any, border: int) -> None:
    """The rows from `border` on are replaced by others, with other gaps; windows up to there stay the same bits."""
    options = TimeSeriesOptions(target=("y", "z"), past_covariates=("p",), calendar=("weekday",), gaps=gaps)
    df = table(40).drop(columns=["shop", "size"])
    df.loc[[17, 22, 23, 24], "y"] = NAN
    df.loc[[19, 20, 21, 25], "p"] = NAN
    df.loc[[18, 19, 20, 21, 22, 23, 24, 25, 26, 27], "z"] = NAN
    other = df.copy()
    other.loc[border:, ["y", "z", "p"]] = 1e6 * (1 + np.random.default_rng(7).random((40 - border, 3)))
    other.loc[[border, border + 4], ["y", "p"]] = NAN
    made = []
    for data in (df, other):
        frames = from_dataframe(data, options)
        scaler = SeriesScaler.learn(frames, {"": min(border, 16)})
        source = ForecastWindows(frames, scaler, history=6, horizon=4, batch_size=99)
        made.append((source, every(source)[0], scaler.to_json(), frames.series[0].upto(border)))
    (first, batch, scales, known), (second, changed, other_scales, other_known) = made
    assert scales == other_scales
    kept = batch.origin <= border
    assert int(kept.sum()) == border - 6 + 1
    for name in ("x", "seen", "past", "known", "static"):
        assert torch.equal(getattr(batch, name)[kept], getattr(changed, name)[kept]), name
    assert not torch.equal(batch.x[~kept], changed.x[~kept])
    np.testing.assert_array_equal(first.history(length=9)[kept], second.history(length=9)[kept])
    for name in ("target", "past", "observed", "past_observed", "stamps"):
        np.testing.assert_array_equal(getattr(known, name), getattr(other_known, name), err_msg=name)


def test_a_forecast_is_made_from_what_a_window_sees() -> None:
    """What stands at the end of the data as it was then is the window of that origin."""
    frames = from_dataframe(table(30, 25), OPTIONS)
    scaler = SeriesScaler.learn(frames, {"s0": 15, "s1": 15})
    (batch,) = every(ForecastWindows(frames, scaler, history=5, horizon=3, batch_size=99))
    now = latest_windows(frames.upto({"s0": 20, "s1": 20}), scaler, history=5, horizon=3)
    at = batch.origin == 20
    for name in ("x", "seen", "past", "known", "static", "series", "origin"):
        assert torch.equal(getattr(now, name), getattr(batch, name)[at]), name
    assert now.target is None
    assert not now.observed.any()
    with pytest.raises(DataError, match="series 's1' has 4 rows, but the model looks back on 5"):
        latest_windows(frames.upto({"s0": 20, "s1": 4}), scaler, history=5, horizon=3)
    with pytest.raises(DataError, match="series 's0' has the known columns 'k' for 0 of the 3 steps to forecast"):
        latest_windows(frames, scaler, history=5, horizon=3)


def test_the_order_and_going_on() -> None:
    frames = from_dataframe(table(40), OPTIONS)
    source = windows(frames, batch_size=4, shuffle=True, seed=5)
    source.set_epoch(3)
    whole = [batch.rows.tolist() for batch in source]
    assert len(whole) == len(source) == 9
    stopped = iter(source)
    for _ in range(4):
        next(stopped)
    state = source.state_dict()
    assert (state["position"], state["rows"]) == (4, 33)
    other = windows(frames, batch_size=4, shuffle=True, seed=5)
    other.load_state_dict(state)
    other.set_epoch(3)
    assert [batch.rows.tolist() for batch in other] == whole[4:]
    assert [batch.rows.tolist() for batch in other] == whole
    with pytest.raises(RunError, match="rows was 33"):
        windows(frames, history=6, batch_size=4, shuffle=True, seed=5).load_state_dict(state)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"horizon": 50}, "the horizon is 50 steps, but the series has only 30 rows"),
        (
            {"history": 20, "horizon": 11},
            "the series has 30 rows, but a history of 20 and a horizon of 11 need 31; give a shorter lookback or",
        ),
        (
            {"rows": [range(8)], "reach_back": False, "part": "training"},
            "the training part of the series has 8 rows, but a history of 6 and a horizon of 4 need 10",
        ),
        (
            {"rows": [range(27, 30)], "part": "test"},
            "the test part of the series has 3 rows, but the horizon is 4 steps; give a shorter horizon, or that part",
        ),
        (
            {"rows": [range(1, 9)], "part": "validation"},
            "the validation part of the series with the rows before it has 9 rows, but a history of 6",
        ),
        ({"rows": [range(0)]}, "there are no windows"),
    ],
)
def test_series_that_are_too_short(more: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as error:
        unscaled(plain(30), **{"history": 6, "horizon": 4, **more})
    assert message in str(error.value)


def test_short_series_can_be_dropped() -> None:
    frames = plain(30, "a"), plain(5, "b"), plain(9, "c"), plain(12, "d")
    with pytest.raises(DataError, match=r"series 'b' has 5 rows, but .* need 10 \(2 series are too short\)"):
        unscaled(*frames, history=6, horizon=4)
    source = unscaled(*frames, history=6, horizon=4, short="drop")
    assert source.notes == ("left out, too short for a history of 6 and a horizon of 4: 'b' (5 rows), 'c' (9 rows)",)
    assert np.unique(source.locate()[0]).tolist() == [0, 3]
    with pytest.raises(DataError, match="series 'b' has 5 rows"):
        unscaled(*frames[1:3], history=6, horizon=4, short="drop")


def test_what_is_refused() -> None:
    for name in ("history", "horizon", "stride"):
        with pytest.raises(OptionError, match=f"{name} is 0; it must be at least 1"):
            unscaled(plain(30), **{"history": 6, "horizon": 4, name: 0})
    whole = TimeSeriesSet((plain(30, "a"),), ("y",))
    with pytest.raises(DataError, match="series 'b' was not in the training data"):
        ForecastWindows(TimeSeriesSet((plain(30, "b"),), ("y",)), SeriesScaler.learn(whole), history=6, horizon=4)
    huge = TimeSeries("", np.arange(9), np.full((9, 1), 1e300), *[np.zeros((9, 0))] * 2, np.zeros(0))
    with pytest.raises(DataError, match="too large for 32-bit numbers"):
        unscaled(huge, history=2, horizon=1)


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "quarter", "counts"), [("ETTh1", 1, (8449, 2785, 2785)), ("ETTm1", 4, (34369, 11425, 11425))]
)
def test_every_window_of_the_customary_split_is_counted(
    public_data: Path, name: str, quarter: int, counts: tuple[int, int, int]
) -> None:
    frames = read_frames(public_data / f"ett/{name}.csv.gz")
    parts = split(frames, 2880 * quarter, 2880 * quarter, train=8640 * quarter)
    scaler = SeriesScaler.learn(frames, parts.upto)
    found = []
    for part in ("training", "validation", "test"):
        source = ForecastWindows(
            frames, scaler, history=96, horizon=96, rows=parts.of(part), reach_back=part != "training", part=part
        )
        assert len(source) == -(-source.size // 32)
        found.append(source.size)
    assert tuple(found) == counts


@pytest.mark.data
def test_published_figures_of_repeat_last(public_data: Path) -> None:
    """MSE and MAE on scaled ETTh1, look-back and horizon 96: Zeng et al. 2023, "Repeat"."""
    frames = read_frames(public_data / "ett/ETTh1.csv.gz")
    parts = split(frames, 2880, 2880, train=8640)
    scaler = SeriesScaler.learn(frames, parts.upto)
    source = ForecastWindows(frames, scaler, history=96, horizon=96, rows=parts.of("test"), part="test")
    truth, observed = source.truth()
    forecast = scaler.apply("", repeat_last(source.history(), 96))
    truth = scaler.apply("", truth)
    assert mse(forecast, truth, observed) == pytest.approx(1.295, abs=1e-3)
    assert mae(forecast, truth, observed) == pytest.approx(0.713, abs=1e-3)
