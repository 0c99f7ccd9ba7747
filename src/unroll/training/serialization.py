"""Serialize nested Python values to JSON and a flat dictionary of tensors, and back, bit for bit.

JSON holds `None`, booleans, integers, finite floats, text, lists and dictionaries with text keys as they
are. Everything else is an object whose key "$" names its kind:

    {"$": "tensor", "name": "t7"}, and "dtype", "shape" for a number format that safetensors stores as bytes
    {"$": "tuple", "items": [...]}, the same for "set"; {"$": "dict", "items": [[key, value], ...]}
    {"$": "float", "bits": "7ff0000000000000"}; {"$": "bytes", "hex": "00ff"}

A tensor that occurs in several places is stored once and comes back as one tensor.
"""

from __future__ import annotations

import math
import struct
from typing import Any

import torch
from torch import Tensor

from unroll.errors import RunError

_DIRECT = frozenset(
    (
        *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
        *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
    )
)
_DTYPES = {str(d).removeprefix("torch."): d for d in vars(torch).values() if isinstance(d, torch.dtype)}


def encode(value: Any) -> tuple[Any, dict[str, Tensor]]:
    """Encode `value` as JSON, and the tensors it names (on the CPU, contiguous, none sharing memory).

    Raises:
        TypeError: a kind of object that is not listed above; the message says where it is.
    """
    tensors: dict[str, Tensor] = {}
    seen: dict[tuple[Any, ...], dict[str, Any]] = {}

    def walk(node: Any, where: str) -> Any:
        if node is None or isinstance(node, (bool, str)):
            return node
        if isinstance(node, int):
            return int(node)
        if isinstance(node, float):
            bits = struct.pack(">d", node)
            return float(node) if math.isfinite(node) else {"$": "float", "bits": bits.hex()}
        if isinstance(node, Tensor):
            return tensor(node.detach(), where)
        if isinstance(node, bytes):
            return {"$": "bytes", "hex": node.hex()}
        if isinstance(node, dict):
            if all(isinstance(k, str) for k in node) and "$" not in node:
                return {k: walk(v, f"{where}.{k}") for k, v in node.items()}
            pairs = [[walk(k, f"{where} key"), walk(v, f"{where}[{k!r}]")] for k, v in node.items()]
            return {"$": "dict", "items": pairs}
        if isinstance(node, (list, tuple, set)) and type(node) in (list, tuple, set):
            items = [walk(v, f"{where}[{i}]") for i, v in enumerate(node)]
            return items if isinstance(node, list) else {"$": type(node).__name__, "items": items}
        raise TypeError(f"a checkpoint cannot hold a {type(node).__module__}.{type(node).__qualname__} ({where})")

    def tensor(t: Tensor, where: str) -> dict[str, Any]:
        if t.layout is not torch.strided or t.is_quantized:
            raise TypeError(f"a checkpoint cannot hold a sparse or quantized tensor ({where})")
        # a tensor without memory has no identity to keep
        place = (str(t.device), t.data_ptr(), t.dtype, tuple(t.shape), t.stride()) if t.numel() else (len(tensors),)
        if place in seen:
            return seen[place]
        node: dict[str, Any] = {"$": "tensor", "name": f"t{len(tensors)}"}
        stored = t.resolve_conj().resolve_neg().cpu().contiguous()
        if stored.dtype not in _DIRECT:
            node |= {"dtype": str(t.dtype).removeprefix("torch."), "shape": list(t.shape)}
            stored = stored.reshape(-1).view(torch.uint8)
        tensors[node["name"]] = stored.clone() if stored.untyped_storage().nbytes() != stored.nbytes else stored
        seen[place] = node
        return node

    return walk(value, "state"), tensors


def decode(node: Any, tensors: dict[str, Tensor]) -> Any:
    """Decode the value that `encode` was given.

    Raises:
        RunError: a node that `encode` does not write, or a tensor that is missing.
    """
    decoded: dict[str, Tensor] = {}

    def walk(node: Any) -> Any:
        if isinstance(node, list):
            return [walk(v) for v in node]
        if not isinstance(node, dict):
            return node
        if "$" not in node:
            return {k: walk(v) for k, v in node.items()}
        match node:
            case {"$": "tensor", "name": str(name)}:
                if name not in decoded:
                    decoded[name] = shaped(node, tensors[name])
                return decoded[name]
            case {"$": "tuple", "items": list(items)}:
                return tuple(walk(v) for v in items)
            case {"$": "set", "items": list(items)}:
                return {walk(v) for v in items}
            case {"$": "dict", "items": list(items)}:
                return {walk(k): walk(v) for k, v in items}
            case {"$": "float", "bits": str(bits)}:
                return struct.unpack(">d", bytes.fromhex(bits))[0]
            case {"$": "bytes", "hex": str(digits)}:
                return bytes.fromhex(digits)
        raise ValueError(f"unknown kind {node.get('$')!r}")

    def shaped(node: dict[str, Any], stored: Tensor) -> Tensor:
        return stored.view(_DTYPES[node["dtype"]]).reshape(node["shape"]) if "dtype" in node else stored

    try:
        return walk(node)
    except (KeyError, ValueError, TypeError, struct.error, RuntimeError) as error:
        raise RunError(f"the checkpoint is damaged: {error}") from error
