from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from unroll.__main__ import main
from unroll.data.options import SourceOptions
from unroll.errors import DataError, OptionError
from unroll.serving.predictor import RecordPredictor, load
from unroll.tasks.classification.options import ClassificationOptions, ClassificationSettings
from unroll.tasks.classification.records import load_records
from unroll.tasks.classification.sources import read_labelled

FAST = ["--epochs", "1", "--hidden-size", "4", "--threads", "1", "--baseline", "none"]


def wide(rows: int = 24) -> pd.DataFrame:
    kinds = ["up", "down"] * (rows // 2)
    steps = {f"x{t}": [(t if kind == "up" else -t) + 0.5 for kind in kinds] for t in (0, 2, 1)}
    return pd.DataFrame({"id": range(rows), **steps, "label": kinds})


def long(series: int = 24) -> pd.DataFrame:
    rows = [
        {"id": f"s{i}", "t": t, "u": t if i % 2 else -t, "note": "-", "v": 0.5, "label": "up" if i % 2 else "down"}
        for t in (2, 0, 1)
        for i in range(series)
    ]
    return pd.DataFrame(rows)


def run(frame: pd.DataFrame, path: Path, *options: str) -> RecordPredictor:
    frame.to_csv(path / "data.csv", index=False)
    assert main(["fit", "classification", str(path / "data.csv"), "--out", str(path / "run"), *FAST, *options]) == 0
    predictor = load(path / "run")
    assert isinstance(predictor, RecordPredictor)
    return predictor


def test_a_wide_table_from_fit_to_predict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    predictor = run(wide(), tmp_path, "--sequence", "x0..x2")
    assert "the sequence of a row is 3 columns, 'x0' to 'x2'" in capsys.readouterr().out
    assert predictor.task.settings.classification.sequence == ("x0", "x1", "x2")
    of_files = list(predictor.predict_files([str(tmp_path / "data.csv")], keep=["id"]))
    assert [answer.pop("id") for answer in of_files] == [str(i) for i in range(24)]
    of_frame = predictor.predict(wide().set_index("id"))
    assert of_frame.index.tolist() == list(range(24))
    assert of_frame["probabilities"].tolist() == [answer["probabilities"] for answer in of_files]
    sequences = [{"sequence": [0.5, 1.5, 2.5]}, np.array([0.5, -0.5, -1.5])]
    assert list(predictor.predict(sequences)) == of_files[:2]
    assert predictor.evaluate(wide())["rows"] == 24


def test_rows_of_a_wide_table_that_cannot_be_used(tmp_path: Path) -> None:
    predictor = run(wide(), tmp_path, "--sequence", "x0,x1,x2")
    rows = [{"x0": "1", "x1": "x", "x2": "3"}, {"x0": 1, "x1": 2}, {"x0": 1, "x1": 2, "x2": None}]
    answers = list(predictor.predict(rows, skip_bad_rows=True))
    assert answers[0] == {"error": "'x1' holds 'x', which is no number"}
    assert answers[1] == {"error": "there is no 'x2'; there is: x0, x1"}
    assert sorted(answers[2]) == ["label", "probabilities"]


def test_a_long_table_from_fit_to_predict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    predictor = run(long(), tmp_path, "--series-id", "id", "--time", "t")
    said = "the features are the numeric columns 'u', 'v'; left out, because they hold no numbers: 'note'"
    assert said in capsys.readouterr().out
    of_files = list(predictor.predict_files([str(tmp_path / "data.csv")]))
    assert [answer["id"] for answer in of_files] == [f"s{i}" for i in range(24)]
    of_frame = predictor.predict(long())
    assert of_frame.to_dict("records") == of_files
    alone = next(predictor.predict([[[0, 0.5], [-1, 0.5], [-2, 0.5]]]))
    assert alone == {name: of_files[0][name] for name in ("label", "probabilities")}
    report = predictor.evaluate(long())
    assert report["rows"] == 24
    assert main(["predict", str(tmp_path / "run"), str(tmp_path / "data.csv"), "--keep", "note"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0]) == {"id": "s0", "note": "-", **alone}


def test_series_that_cannot_be_used_are_answered_with_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predictor = run(long(), tmp_path, "--series-id", "id", "--time", "t", "--sequence", "u,v")
    frame = long().astype({"u": object})
    frame.loc[2, "u"] = "x"
    path, folder = tmp_path / "new.csv", str(tmp_path / "run")
    frame.to_csv(path, index=False)
    reason = "row 3, 'u' holds 'x', which is no number"
    assert main(["predict", folder, str(path)]) == 2
    assert f"(series 's2': {reason}); --skip-bad-rows answers them with errors instead" in capsys.readouterr().err
    assert main(["predict", folder, str(path), "--skip-bad-rows"]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (len(answers), answers[2]) == (24, {"id": "s2", "error": reason})
    with pytest.raises(DataError, match=r"skip_bad_rows=True answers them with errors instead"):
        predictor.predict(frame)
    assert predictor.predict(frame, skip_bad_rows=True)["error"].dropna().tolist() == [reason]
    assert main(["predict", folder, "-"]) == 2
    assert "a long table is read whole; put it into a file" in capsys.readouterr().err


def test_a_series_with_two_labels_is_named(tmp_path: Path) -> None:
    frame = long()
    frame.loc[30, "label"] = "other"
    settings = ClassificationSettings.from_flat({"series_id": "id", "time": "t"})
    said = (
        r"1 of 24 series of the table cannot be used \(series 's6': 'label' is not the same in all its rows: 'down' in"
    )
    with pytest.raises(DataError, match=said + r" row 7, 'other' in row 31\); skip_bad_rows=True leaves them out"):
        load_records(frame, settings, "classification")
    skipping = ClassificationSettings.from_flat({"series_id": "id", "time": "t", "skip_bad_rows": True})
    notes: list[str] = []
    assert len(load_records(frame, skipping, "classification", say=notes.append).rows) == 23
    assert notes[-1].startswith("left out: 1 of 24 series of the table cannot be used (series 's6': ")


def test_regression_reads_the_numbers_of_a_long_table() -> None:
    frame = long(4).assign(label=[1.5, 2.5, 3.5, 4.5] * 3)
    settings = ClassificationSettings.from_flat({"series_id": "id", "sequence": ["u"]})
    notes: list[str] = []
    records = load_records(frame, settings, "regression", say=notes.append)
    assert records.targets.ravel().tolist() == [1.5, 2.5, 3.5, 4.5]
    assert [steps.ravel().tolist() for steps in records.inputs()][:2] == [[-2, 0, -1], [2, 0, 1]]
    assert notes == ["the table: the rows of a series are taken in their order, since --time names no column"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"text": "a", "series_id": "id"}, "series_id is set, but it goes with numeric sequences, not text"),
        ({"time": "t", "sequence": "x"}, "time is set, but it goes with series_id"),
        ({"series_id": "id", "date_format": "%Y"}, "date_format is set, but it goes with time"),
        ({"series_id": "id", "label": "id"}, "'id' is given as label and as series_id"),
    ],
)
def test_options_that_do_not_go_together(options: dict[str, str], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        ClassificationOptions(**options)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("sequence", "message"),
    [
        (["x0..x3"], "'the table' has no column 'x3', which is in the range x0..x3"),
        (["x0", "label"], "the column 'label' is the label, and a part of the sequence too"),
    ],
)
def test_columns_that_cannot_be_a_sequence(sequence: Sequence[str], message: str, tmp_path: Path) -> None:
    wide().to_csv(tmp_path / "data.csv", index=False)
    options = ClassificationOptions(sequence=tuple(sequence))
    with pytest.raises((DataError, OptionError), match=message.replace("the table", str(tmp_path / "data.csv"))):
        read_labelled([str(tmp_path / "data.csv")], options, SourceOptions(), print)


def test_a_range_is_checked_before_training(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wide().to_csv(tmp_path / "data.csv", index=False)
    arguments = ["fit", "classification", str(tmp_path / "data.csv"), "--out", str(tmp_path / "run")]
    assert main([*arguments, "--sequence", "x0..x3"]) == 2
    assert "has no column 'x3', which is in the range x0..x3" in capsys.readouterr().err
