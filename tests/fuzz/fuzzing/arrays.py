"""Files of arrays (.npz) and of typed columns (Parquet), of every type and damaged."""

from __future__ import annotations

import datetime
import decimal
import io
import zipfile
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fuzzing.mutations import change_bytes, flip_one
from fuzzing.oracle import Finding, attempt

_TYPES = (
    "f2",
    "f4",
    "f8",
    ">f8",
    "g",
    "i1",
    "i8",
    ">i4",
    "u1",
    "u8",
    "?",
    "c16",
    "U5",
    "S5",
    "S5",
    "O",
    "M8[D]",
    "m8[s]",
)
_SHAPES = ((), (3,), (2, 2), (0,), (1, 1, 1))


def damaged_npz(random: Random, folder: Path) -> bool:
    """Arrays of odd types and shapes, perhaps with offsets; True where they were read."""
    rows = random.choice((0, 1, 3, 8, 2500))
    arrays: dict[str, np.ndarray] = {}
    offsets = None
    for name in random.sample(("x", "label", "y", "text", "a/b", ""), random.randint(1, 3)):
        shape = (rows, *random.choice((*_SHAPES[:2], (), (), *_SHAPES)))
        arrays[name] = _array(random, shape)
    if random.random() < 0.4:
        lengths = [random.randint(0, 3) for _ in range(rows)]
        if random.random() < 0.3:
            lengths = [1] * rows
        offsets = np.cumsum([0, *lengths])
        arrays["ragged"] = np.arange(int(offsets[-1]), dtype=random.choice(("f4", "i8", "f8")))
        arrays[random.choice(("offsets", "offset", "ragged_offsets"))] = offsets
    out = io.BytesIO()
    (np.savez if random.random() < 0.6 else np.savez_compressed)(out, **{k or "arr_0": v for k, v in arrays.items()})
    content = out.getvalue()
    damaged = random.random() < 0.5
    if damaged:
        content = _repacked(random, content) if random.random() < 0.4 else change_bytes(random, content)
    path = folder / "arrays.npz"
    path.write_bytes(content)
    outcome = attempt(lambda: _read(path))
    if outcome.answered and not damaged:
        found = outcome.value
        for name, array in arrays.items():
            wanted = _wanted(array, offsets if name == "ragged" else None)
            if "offset" not in name and not _equal(wanted, found[name or "arr_0"]):
                shown = f"{array.dtype} {array.shape} {wanted!s:.80} became {found[name or 'arr_0']!s:.80}"
                raise Finding("npz: values", f"{name}: {shown}")
    return outcome.answered


def _array(random: Random, shape: tuple[int, ...]) -> np.ndarray:
    kind = random.choice(_TYPES)
    numbers = np.random.default_rng(random.randrange(2**32)).integers(0, 100, shape)
    if kind == "S5":
        texts = random.choice(([b"a", b"b"], ["é".encode(), b"b"], [b"\xe9\xff", b"\xea\xff"], [b"a\x00b", b"c"]))
        return np.array(texts, "S5")[numbers % 2] if shape else np.array(texts[0])
    array = numbers.astype(kind)
    if array.dtype.kind == "f" and array.size and random.random() < 0.2:
        array.flat[0] = random.choice((np.nan, np.inf))
    return np.asfortranarray(array) if random.random() < 0.1 else array


def _repacked(random: Random, content: bytes) -> bytes:
    """The archive with one member's bytes changed, so that its checksum is right."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(out, "w") as made:
        chosen = random.choice(archive.namelist())
        for name in archive.namelist():
            member = archive.read(name)
            if name == chosen:
                head = flip_one(random, member[:128]) + member[128:]
                member = random.choice((head, change_bytes(random, member)))
            made.writestr(random.choice((name, name, name, "x.txt")) if name == chosen else name, member)
    return out.getvalue()


def _wanted(array: np.ndarray, offsets: np.ndarray | None) -> list[Any]:
    if offsets is not None:
        return [array[a:b].tolist() for a, b in pairwise(offsets.tolist())]
    if array.dtype.kind == "S":
        return [text.decode("utf-8", "surrogateescape") for text in array.tolist()] if array.ndim == 1 else []
    return array.astype(np.float64).tolist() if array.dtype.char in "ge" else array.tolist()


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(_equal(x, y) for x, y in zip(a, b, strict=True))
    return a == b or (a != a and b != b)


def _read(path: Path) -> dict[str, list[Any]]:
    from unroll.data.files.dataset import read

    return read(str(path)).to_dict()


_COLUMNS = (
    (pa.int64(), 5),
    (pa.float32(), 0.5),
    (pa.string(), "a"),
    (pa.large_string(), "a"),
    (pa.bool_(), True),
    (pa.null(), None),
    (pa.binary(), b"\xff"),
    (pa.date32(), datetime.date(2024, 1, 2)),
    (pa.timestamp("ms", "Europe/Berlin"), 10**12),
    (pa.timestamp("ns"), 10**18),
    (pa.duration("s"), 5),
    (pa.time64("us"), datetime.time(1)),
    (pa.decimal128(9, 2), decimal.Decimal("1.50")),
    (pa.list_(pa.float64()), [1.0, None]),
    (pa.list_(pa.list_(pa.int8())), [[1], []]),
    (pa.struct([("a", pa.int8())]), {"a": 1}),
    (pa.map_(pa.string(), pa.int8()), [("a", 1)]),
    (pa.dictionary(pa.int8(), pa.string()), "a"),
    (pa.uint64(), 2**64 - 1),
    (pa.float16(), np.float16(1)),
    (pa.list_(pa.string()), ["a", "b"]),
    (pa.binary(2), b"ab"),
    (pa.large_list(pa.int64()), [1]),
)


def damaged_parquet(random: Random, folder: Path) -> bool:
    """Typed columns, perhaps damaged; True where they were read."""
    rows = random.choice((0, 1, 5, 2100))
    columns = {}
    for name in random.sample(("x", "label", "text", "t", "é", ""), random.randint(1, 4)):
        kind, value = random.choice(_COLUMNS)
        values = [None if random.random() < 0.1 else value for _ in range(rows)]
        columns[name] = pa.array(values, kind)
    table = pa.table(columns)
    out = io.BytesIO()
    checked = random.random() < 0.3
    pq.write_table(table, out, compression=random.choice(("none", "snappy", "zstd")), write_page_checksum=checked)
    content = out.getvalue()
    damaged = random.random() < 0.6
    if damaged:
        content = change_bytes(random, content)
    path = folder / "table.parquet"
    path.write_bytes(content)
    outcome = attempt(lambda: _read(path))
    if outcome.answered and not damaged:
        found = outcome.value
        for name, column in columns.items():
            if len(found[name]) != rows:
                raise Finding("parquet: number of rows", f"{rows} became {len(found[name])}")
            if not _equal(column.to_pylist(), found[name]):
                raise Finding("parquet: values", f"{column.type}: {column[:2]!s:.80} became {found[name][:2]!s:.80}")
    return outcome.answered
