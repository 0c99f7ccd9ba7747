from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from unroll.data.bad_rows import LEAVE_OUT
from unroll.errors import DataError
from unroll.tasks.base import DataPaths
from unroll.tasks.classification.options import ClassificationSettings
from unroll.tasks.classification.records import load_records
from unroll.tasks.classification.task import ClassificationTask

ROWS = [("good", "a", 1), ("bad", "b", 0), ("fine", "a", 2.5), ("poor", "b", 0.5)]


def settings(**options: Any) -> ClassificationSettings:
    return ClassificationSettings.from_flat({"sample_weight": "trust", "validation_fraction": 0.0} | options)


def write(path: Path, rows: list[Any]) -> str:
    lines = (json.dumps(dict(zip(("text", "label", "trust"), row, strict=True))) for row in rows)
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


def test_weights_come_from_a_column_and_rows_of_weight_0_are_left_out(tmp_path: Path) -> None:
    said: list[str] = []
    where = write(tmp_path / "rows.jsonl", ROWS)
    records = load_records([where], settings(), "classification", say=said.append)
    assert records.rows.tolist() == [0, 2, 3]
    assert records.weights is not None
    np.testing.assert_allclose(records.weights, np.array([1, 2.5, 0.5]) * 3 / 4, rtol=1e-6)
    assert said[-1] == f"left out: 1 of 4 rows of {where}, of weight 0"
    part = records.take(np.array([2, 0]))
    assert part.weights is not None
    assert (part.weights == records.weights[[2, 0]]).all()


def test_validation_rows_count_the_same_and_need_no_column(tmp_path: Path) -> None:
    rows = [(f"text {i}", "ab"[i % 2], 1 + i % 3) for i in range(40)]
    train, valid = write(tmp_path / "rows.jsonl", rows), tmp_path / "valid.jsonl"
    valid.write_text(json.dumps({"text": "a text", "label": "a"}), encoding="utf-8")
    for sources in (DataPaths([train]), DataPaths([train], [str(valid)])):
        made = ClassificationTask.prepare("classification", settings(validation_fraction=0.25), sources, lambda _: None)
        assert made.train.weights is not None
        assert made.valid is not None
        assert made.valid.weights is None
        assert "weights of rows: 0.5" in "".join(made.task.describe_data(made))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [*ROWS, ("good", "a", -1)],
            "1 of 5 rows of {} cannot be used (row 5: 'trust' is -1, but a weight is 0 or more); " + LEAVE_OUT,
        ),
        (
            [*ROWS, ("good", "a", None)],
            "1 of 5 rows of {} cannot be used (row 5: 'trust' is null); " + LEAVE_OUT,
        ),
        ([(*row[:2], 0) for row in ROWS], "the weights of {} are all zero, so that no row is left for training"),
    ],
)
def test_weights_that_cannot_be_used(rows: list[Any], message: str, tmp_path: Path) -> None:
    where = write(tmp_path / "rows.jsonl", rows)
    with pytest.raises(DataError) as error:
        load_records([where], settings(), "classification")
    assert str(error.value) == message.format(where)


def test_a_column_of_weights_that_is_not_there(tmp_path: Path) -> None:
    where = write(tmp_path / "rows.jsonl", ROWS)
    with pytest.raises(DataError) as error:
        load_records([where], settings(sample_weight="trst"), "classification")
    assert str(error.value) == f"'{where}' has no column 'trst'; did you mean 'trust'?"


def test_weights_stand_beside_wide_and_long_tables():
    def weights(options, frame):
        settings = ClassificationSettings.from_flat({"sample_weight": "w"} | options)
        return load_records(frame, settings, "classification").weights

    wide = pd.DataFrame({"x0": [1, 2, 3], "x1": [4, 5, 6], "label": list("aab"), "w": [1, 0, 4]})
    records = weights({"sequence": ["x0", "x1"]}, wide)
    assert records == pytest.approx([0.4, 1.6])
    long = pd.DataFrame({"id": [1, 1, 2, 2], "x": [1, 2, 3, 4], "label": list("aabb"), "w": [2, 2, 3, 3]})
    assert weights({"series_id": "id"}, long) == pytest.approx([0.8, 1.2])
    with pytest.raises(DataError, match="'w'"):
        weights({"series_id": "id"}, long.assign(w=[2, 1, 3, 3]))
