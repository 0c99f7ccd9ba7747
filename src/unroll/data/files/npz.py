"""Read the arrays of an .npz file as Arrow tables, sequentially and in chunks."""

from __future__ import annotations

import re
import struct
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from math import prod
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
from numpy.lib import format as npy

from unroll.data.files.paths import decoder_of, seekable
from unroll.errors import DataError


def npz_tables(path: Path, encoding: str, rows: int) -> Iterator[pa.Table]:
    """Read arrays of N rows each as tables of `rows` rows, with a column per array.

    An array with first dimension N is a column: (N,) numbers or texts, (N, T) sequences of one length, (N, T,
    D) with D features. Sequences of several lengths lie end to end in one array (total,) or (total, D), with
    `offsets` (or `offset`; for one array alone `NAME_offsets`) of N + 1 whole numbers from 0 to total: row i
    is `NAME[offsets[i]:offsets[i + 1]]`. Arrays of Python objects (pickles) are refused.

    Raises:
        DataError: it is damaged, or the arrays are no columns of one table.
    """
    with seekable(path) as plain:
        try:
            with zipfile.ZipFile(plain) as archive, ExitStack() as streams:
                twice = [name for name, count in Counter(archive.namelist()).items() if count > 1]
                if twice:
                    raise DataError(f"'{path}' has more than one array named '{twice[0].removesuffix('.npy')}'")
                members = {}
                for info in archive.infolist():
                    member = NpzArray(streams.enter_context(archive.open(info)), info, path, encoding)
                    members[member.name] = member
                offsets = {
                    name: m.whole().astype(np.int64)
                    for name, m in members.items()
                    if re.fullmatch(r"(.+_)?offsets?", name) and len(m.shape) == 1 and m.dtype.kind in "iu"
                }
                yield from _tables(path, members, offsets, rows)
        except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, struct.error, zlib.error) as error:
            if plain.stat().st_size == 0:
                raise DataError(f"'{path}' is empty") from None
            raise DataError(f"'{path}' is not an .npz file, or is damaged ({error!s:.200})") from None


def _tables(path: Path, members: dict[str, NpzArray], offsets: dict[str, np.ndarray], rows: int) -> Iterator[pa.Table]:
    if not members:
        raise DataError(f"'{path}' is empty")
    for name, at in offsets.items():
        if not len(at) or at[0] != 0 or (np.diff(at) < 0).any():
            raise DataError(f"'{path}': '{name}' must start at 0 and never fall")
    columns = {name: m for name, m in members.items() if name not in offsets}
    for name, member in columns.items():
        if not member.shape:
            raise DataError(f"'{path}': '{name}' is a single value, not one per row")
    ragged = _ragged(path, columns, offsets)
    counts = {name: len(ragged[name]) - 1 if name in ragged else m.shape[0] for name, m in columns.items()}
    if len(set(counts.values())) != 1:
        listed = ", ".join(f"'{name}' {count}" for name, count in counts.items())
        raise DataError(f"'{path}': the arrays disagree on the number of rows: {listed}")
    total = next(iter(counts.values()))
    for start in range(0, total, rows):
        stop = min(start + rows, total)
        arrays = {
            name: member.lists(ragged[name][start : stop + 1]) if name in ragged else member.column(start, stop)
            for name, member in columns.items()
        }
        yield pa.table(arrays)


def _ragged(path: Path, columns: dict[str, NpzArray], offsets: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Match ragged arrays with their offsets."""
    ragged: dict[str, np.ndarray] = {}
    for name, member in columns.items():
        for key in (f"{name}_offsets", f"{name}_offset"):
            if key in offsets and member.shape[0] == offsets[key][-1]:
                ragged[name] = offsets[key]
    for key in ("offsets", "offset"):
        if key in offsets:
            at = offsets[key]
            meant = [n for n, m in columns.items() if n not in ragged and m.divisible and m.shape[0] == at[-1]]
            if len(at) - 1 == at[-1] and len(meant) > 1:
                meant = [_sequences(path, key, [columns[name] for name in meant], at)]
            ragged |= dict.fromkeys(meant, at)
    return ragged


def _sequences(path: Path, key: str, members: list[NpzArray], at: np.ndarray) -> str:
    """Choose the array that the offsets divide, where there are as many rows as steps: all others are labels.

    Where every row has one step, sequences and labels cannot be told apart.
    """
    labels = [m for m in members if len(m.shape) == 1 and m.dtype.kind != "f"]
    others = [m for m in members if m not in labels]
    if len(others) != 1 or (np.diff(at) == 1).all():
        listed = ", ".join(f"'{m.name}'" for m in members)
        raise DataError(
            f"'{path}' has as many rows as steps, so '{key}' may divide any of {listed}; call it NAME_offsets, with "
            "the name of the array that it divides"
        )
    return others[0].name


class NpzArray:
    """Read an array inside an .npz file sequentially; its rows can be read only once, in order.

    Attributes:
        name: without ".npy".
        shape: all of it.
        dtype: never object.
    """

    def __init__(self, stream: IO[bytes], info: zipfile.ZipInfo, path: Path, encoding: str) -> None:
        self.name = info.filename.removesuffix(".npy")
        self._where = f"'{path}': '{self.name}'"
        self._stream = stream
        self._at = 0
        self._encoding = encoding
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                version = npy.read_magic(self._stream)
                read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
                self.shape, fortran, self.dtype = read(self._stream)
        except zipfile.BadZipFile:
            raise
        except Exception as error:  # the header is a Python literal: damaged, it raises errors of every kind
            first = re.sub(r":? <.*", "", (str(error).splitlines() or [""])[0]) or type(error).__name__
            raise DataError(f"{self._where} is not a NumPy array ({first:.120})") from None
        if self.dtype.hasobject:
            raise DataError(
                f"{self._where} holds Python objects, which would have to be unpickled; "
                "lay ragged sequences end to end and add 'offsets'"
            )
        if self.dtype.kind not in "fiubUS":
            raise DataError(f"{self._where} holds {self.dtype}, which is neither numbers nor text")
        if fortran and len(self.shape) > 1:
            raise DataError(f"{self._where} is stored column by column; save np.ascontiguousarray of it")
        size = prod(self.shape) * self.dtype.itemsize
        if min(self.shape, default=0) < 0 or self._stream.tell() + size != info.file_size:
            raise DataError(f"{self._where} is damaged: its header tells of another size than it has")
        if not size and self.shape and self.shape[0]:
            raise DataError(f"{self._where} has rows without any values")

    @property
    def divisible(self) -> bool:
        """Whether offsets can split it into ragged rows."""
        return 0 < len(self.shape) < 3 and self.dtype.kind not in "US"

    def _read(self, count: int) -> np.ndarray:
        """Read the next `count` items of the first dimension."""
        shape = (count, *self.shape[1:])
        size = prod(shape) * self.dtype.itemsize
        data = self._stream.read(size)
        if len(data) != size:
            raise DataError(f"{self._where} is damaged: it ends too early")
        self._at += count
        array = np.frombuffer(data, self.dtype).reshape(shape)
        if array.dtype.char in "eg":  # which Arrow or later arithmetic lacks
            with np.errstate(over="ignore"):  # to infinity, which is refused where numbers must be finite
                return array.astype(np.float32 if array.dtype.char == "e" else np.float64)
        return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))

    def whole(self) -> np.ndarray:
        """Read a whole 1-D array."""
        return self._read(self.shape[0])

    def column(self, start: int, stop: int) -> pa.Array:
        """Read rows `start` to `stop`: values, or lists of one length."""
        array = self._read(stop - start)
        if array.dtype.kind in "US":
            if array.ndim != 1:
                raise DataError(f"{self._where} holds texts in {array.ndim} dimensions; one per row is needed")
            return self._texts(array, start)
        if array.ndim > 3:
            raise DataError(f"{self._where} has {array.ndim} dimensions; (rows, steps, features) is the most")
        if array.ndim == 1:
            return pa.array(array)
        steps = array.shape[1]
        return self._listed(array.reshape(-1, *array.shape[2:]), np.arange(len(array) + 1) * steps)

    def _texts(self, array: np.ndarray, start: int) -> pa.Array:
        try:
            if array.dtype.kind == "U":
                return pa.array(array.tolist(), pa.string())
        except (UnicodeError, ValueError):
            raise DataError(f"{self._where} holds what is no character") from None
        codec = decoder_of(self._encoding)
        texts: list[str] = []
        for row, cell in enumerate(array.tolist(), start=start + 1):
            try:
                texts.append(cell.decode(codec))
            except UnicodeDecodeError as error:
                byte = error.object[error.start]
                hint = "name the encoding of its texts with --encoding, as latin-1"
                raise DataError(
                    f"{self._where}, row {row}: byte 0x{byte:02X} is not {self._encoding}; {hint}"
                ) from None
        return pa.array(texts, pa.string())

    def lists(self, offsets: np.ndarray) -> pa.Array:
        """Read ragged rows between `offsets` (rows + 1,)."""
        if not self.divisible:
            raise DataError(f"{self._where} has offsets, so it must be numbers of (total,) or (total, features)")
        return self._listed(self._read(int(offsets[-1]) - self._at), offsets - offsets[0])

    @staticmethod
    def _listed(values: np.ndarray, offsets: np.ndarray) -> pa.Array:
        inner = pa.array(np.ascontiguousarray(values).reshape(-1))
        if values.ndim == 2:
            inner = pa.FixedSizeListArray.from_arrays(inner, values.shape[1])
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), inner)
