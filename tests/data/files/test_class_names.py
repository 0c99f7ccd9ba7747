from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from unroll.data.files.class_names import dataset_names, named, parquet_names
from unroll.data.options import SourceOptions
from unroll.errors import DataError

NAMES = ("O", "B-PER", "NA")


def made(names: tuple[str, ...] = NAMES) -> datasets.Dataset:
    features = datasets.Features(
        {
            "tokens": datasets.Sequence(datasets.Value("string")),
            "ner": datasets.Sequence(datasets.ClassLabel(names=list(names))),
            "ids": datasets.Sequence(datasets.Value("int64")),
        }
    )
    return datasets.Dataset.from_dict({"tokens": [["a", "b"]], "ner": [[1, 2]], "ids": [[1, 2]]}, features=features)


def test_a_data_set_names_its_classes() -> None:
    assert dataset_names(made(), "ner") == NAMES
    assert dataset_names(made(), "ids") is None
    assert dataset_names(made(), "tokens") is None


def test_parquet_files_of_datasets_name_them_too(tmp_path: Path) -> None:
    data = [str(tmp_path / "a.parquet"), str(tmp_path / "b.parquet")]
    for path in data:
        made().to_parquet(path)
    assert parquet_names(data, "ner", SourceOptions()) == NAMES
    assert parquet_names(data, "ids", SourceOptions()) is None
    assert parquet_names(data, "nothing", SourceOptions()) is None
    made(("O", "NA", "B-PER")).to_parquet(data[1])
    with pytest.raises(DataError, match=r"'ner' stand for other names in '.*b\.parquet' than in '.*a\.parquet'"):
        parquet_names(data, "ner", SourceOptions())


@pytest.mark.parametrize("metadata", [None, {"huggingface": "{"}, {"huggingface": '{"info": []}'}])
def test_other_files_name_none(tmp_path: Path, metadata: Any) -> None:
    table = pa.table({"ner": [[1, 2]]}).replace_schema_metadata(metadata)
    pq.write_table(table, tmp_path / "a.parquet")
    assert parquet_names([str(tmp_path / "a.parquet")], "ner", SourceOptions()) is None
    (tmp_path / "a.jsonl").write_text("{}")
    assert parquet_names([str(tmp_path / "a.jsonl")], "ner", SourceOptions()) is None


def test_numbers_become_names_and_others_nothing() -> None:
    assert named([0, 2, 1], NAMES) == ["O", "NA", "B-PER"]
    assert named([-1, 3, None], NAMES) == [None, None, None]
    assert named(None, NAMES) is None
    assert named("O O", NAMES) == "O O"
