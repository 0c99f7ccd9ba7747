"""One array of an .npz file, read from front to back a piece at a time."""

from __future__ import annotations

import zipfile
from math import prod
from pathlib import Path
from typing import IO

import numpy as np
import pyarrow as pa
from numpy.lib import format as npy

from unroll.errors import DataError


class Member:
    """An array inside an .npz file; what has been read is gone, as the pieces are asked for in order.

    Attributes:
        name: without ".npy".
        shape: all of it.
        dtype: never object.
    """

    def __init__(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> None:
        self.name = info.filename.removesuffix(".npy")
        self._where = f"'{path}': '{self.name}'"
        self._stream: IO[bytes] = archive.open(info)
        self._at = 0
        try:
            version = npy.read_magic(self._stream)
            read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            self.shape, fortran, self.dtype = read(self._stream)
        except (ValueError, EOFError, SyntaxError) as error:
            raise DataError(f"{self._where} is not a NumPy array ({str(error).splitlines()[0]})") from None
        if self.dtype.hasobject:
            raise DataError(
                f"{self._where} holds Python objects, which would have to be unpickled; "
                "lay ragged sequences end to end and add 'offsets'"
            )
        if self.dtype.kind not in "fiubUS":
            raise DataError(f"{self._where} holds {self.dtype}, which is neither numbers nor text")
        if fortran and len(self.shape) > 1:
            raise DataError(f"{self._where} is stored column by column; save np.ascontiguousarray of it")

    def _read(self, count: int) -> np.ndarray:
        """The next `count` items of the first dimension."""
        shape = (count, *self.shape[1:])
        size = prod(shape) * self.dtype.itemsize
        data = self._stream.read(size)
        if len(data) != size:
            raise DataError(f"{self._where} is damaged: it ends too early")
        self._at += count
        array = np.frombuffer(data, self.dtype).reshape(shape)
        return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))

    def whole(self) -> np.ndarray:
        """All of a 1-D array."""
        return self._read(self.shape[0])

    def column(self, start: int, stop: int) -> pa.Array:
        """Rows `start` to `stop`: values, or lists of one length."""
        array = self._read(stop - start)
        if array.dtype.kind in "US":
            if array.ndim != 1:
                raise DataError(f"{self._where} holds texts in {array.ndim} dimensions; one per row is needed")
            texts = array.tolist()
            return pa.array([t.decode("utf-8", "replace") if isinstance(t, bytes) else t for t in texts])
        if array.ndim > 3:
            raise DataError(f"{self._where} has {array.ndim} dimensions; (rows, steps, features) is the most")
        if array.ndim == 1:
            return pa.array(array)
        steps = array.shape[1]
        return self._listed(array.reshape(-1, *array.shape[2:]), np.arange(len(array) + 1) * steps)

    def lists(self, offsets: np.ndarray) -> pa.Array:
        """Ragged rows between `offsets` (rows + 1,)."""
        if len(self.shape) > 2 or self.dtype.kind in "US":
            raise DataError(f"{self._where} has offsets, so it must be numbers of (total,) or (total, features)")
        return self._listed(self._read(int(offsets[-1]) - self._at), offsets - offsets[0])

    @staticmethod
    def _listed(values: np.ndarray, offsets: np.ndarray) -> pa.Array:
        inner = pa.array(np.ascontiguousarray(values).reshape(-1))
        if values.ndim == 2:
            inner = pa.FixedSizeListArray.from_arrays(inner, values.shape[1])
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), inner)
