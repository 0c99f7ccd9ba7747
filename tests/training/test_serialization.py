from __future__ import annotations

import json
import math
import struct

import pytest
import torch

from unroll.errors import RunError
from unroll.training.serialization import decode, encode


def round_trip(value):
    node, tensors = encode(value)
    return decode(json.loads(json.dumps(node, allow_nan=False)), tensors)


def test_values_come_back_with_their_types_and_order() -> None:
    value = {
        "none": None,
        "nested": [True, 2, -3.5, "é中", (), (1, (2.0, None)), [], {}],
        7: "a number as key",
        ("a", 1): {2: {3: {"$": "text that looks like a tag", "b": 1}}},
        "bytes": b"\x00\xff",
        "set": {1, 2},
        "big": 2**80,
    }
    back = round_trip(value)
    assert back == value
    assert list(back) == list(value)
    assert type(back["nested"][0]) is bool
    assert type(back["nested"][5][1]) is tuple


@pytest.mark.parametrize(
    "x", [0.1, -0.0, 5e-324, 1.7976931348623157e308, math.inf, -math.inf, math.nan, 1 / 3, 1e16 + 2]
)
def test_floats_keep_every_bit(x: float) -> None:
    assert struct.pack(">d", round_trip([x])[0]) == struct.pack(">d", x)


def test_a_nan_keeps_its_payload() -> None:
    odd = struct.unpack(">d", bytes.fromhex("7ff8000000000abc"))[0]
    assert struct.pack(">d", round_trip(odd)).hex() == "7ff8000000000abc"


DTYPES = [
    *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint16, torch.uint64),
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128),
    *(torch.float8_e4m3fn, torch.float8_e5m2),
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_tensors_of_every_dtype_keep_every_bit(dtype: torch.dtype) -> None:
    size = torch.empty((), dtype=dtype).element_size()
    generator = torch.Generator().manual_seed(3)
    raw = torch.randint(0, 2 if dtype is torch.bool else 256, (6 * size,), dtype=torch.uint8, generator=generator)
    t = raw.view(dtype).reshape(2, 3)
    for x in (t, t[0, 0], t.t(), t[:, 1:], t[:0]):
        back = round_trip({"x": x})["x"]
        assert (back.dtype, back.shape) == (x.dtype, x.shape)
        again = x.contiguous().reshape(-1).view(torch.uint8)
        assert torch.equal(back.contiguous().reshape(-1).view(torch.uint8), again)


def test_a_tensor_that_stands_twice_is_stored_once_and_views_apart() -> None:
    t = torch.arange(6.0)
    node, tensors = encode({"a": t, "b": t, "c": t[:3], "d": torch.nn.Parameter(t), "e": t.clone()})
    assert len(tensors) == 3
    back = decode(node, tensors)
    assert back["a"] is back["b"]
    assert back["d"] is back["a"]
    assert back["c"].tolist() == [0.0, 1.0, 2.0]
    assert back["e"] is not back["a"]


def test_what_cannot_be_held_is_refused_with_its_place() -> None:
    with pytest.raises(TypeError, match=r"cannot hold a builtins.object \(state.a\[1\]\)"):
        encode({"a": [1, object()]})
    with pytest.raises(TypeError, match="sparse"):
        encode(torch.eye(2).to_sparse())


@pytest.mark.parametrize(
    "node",
    [
        {"$": "tensor", "name": "absent"},
        {"$": "pickle", "data": "gASV"},
        {"$": "float", "bits": "12"},
        {"$": "dict", "items": [[1]]},
        {"$": "set", "items": [[]]},
        {"$": "tensor", "name": "t", "dtype": "float99", "shape": [1]},
        {"$": "tensor", "name": "t", "dtype": "float32", "shape": [9]},
    ],
)
def test_damage_is_named(node: dict) -> None:
    with pytest.raises(RunError, match="the checkpoint is damaged"):
        decode({"x": node}, {"t": torch.zeros(4, dtype=torch.uint8)})
