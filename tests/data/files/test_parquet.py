from __future__ import annotations

import datetime
import decimal
import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from unroll.data.files.dataset import read, stream
from unroll.errors import DataError


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (pa.large_string(), ["a", None]),
        (pa.dictionary(pa.int8(), pa.string()), ["a", "b"]),
        (pa.decimal128(9, 2), [decimal.Decimal("1.50"), None]),
        (pa.date32(), [datetime.date(2024, 1, 2), None]),
        (pa.struct([("a", pa.int8())]), [{"a": 1}, {"a": 2}]),
        (pa.binary(), [b"\xff", b"a"]),
        (pa.list_(pa.list_(pa.float32())), [[[1.5], []], None]),
        (pa.null(), [None, None]),
        (pa.uint64(), [2**64 - 1, 0]),
    ],
)
def test_columns_of_every_type(tmp_path: Path, kind: pa.DataType, values: list[Any]) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"x": pa.array(values, kind)}), path)
    assert read(path)["x"][:] == values
    assert [row["x"] for row in stream(path)] == values


@pytest.mark.parametrize("kind", [pa.map_(pa.string(), pa.int8()), pa.list_(pa.map_(pa.string(), pa.int8()))])
def test_a_map_is_refused(tmp_path: Path, kind: pa.DataType) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"m": pa.array([None], kind)}), path)
    with pytest.raises(DataError, match=r"column 'm' holds values of type map<string, int8"):
        read(path)


@pytest.mark.parametrize("compression", ["none", "snappy"])
def test_a_file_with_any_byte_changed_is_read_or_refused_in_one_sentence(tmp_path: Path, compression: str) -> None:
    out = io.BytesIO()
    pq.write_table(pa.table({"é": ["a", "bb"], "n": [1, 2]}), out, compression=compression)
    sound, path = out.getvalue(), tmp_path / "t.parquet"
    sentences = []
    for at in range(0, len(sound), 7):
        path.write_bytes(sound[:at] + bytes([sound[at] ^ 0xFF]) + sound[at + 1 :])
        try:
            list(stream(path))
        except DataError as error:
            sentences.append(str(error))
    assert len(sentences) > 20
    assert not any("\n" in sentence for sentence in sentences)


def test_pages_with_checksums_are_verified(tmp_path: Path) -> None:
    out, path = io.BytesIO(), tmp_path / "t.parquet"
    table = pa.table({"n": list(range(1000, 1100))})
    pq.write_table(table, out, compression="none", use_dictionary=False, write_page_checksum=True)
    sound = out.getvalue()
    at = sound.index((1050).to_bytes(8, "little"))
    path.write_bytes(sound[:at] + b"\x00" + sound[at + 1 :])
    with pytest.raises(DataError, match=r"is not a Parquet file, or is damaged \(.*CRC"):
        read(path)
