"""A value of every process, brought together without pickling it."""

from __future__ import annotations

import json
from typing import Any

import torch
from safetensors.torch import load as read_tensors
from safetensors.torch import save as write_tensors

from unroll.training.serialization import decode, encode


def gather(value: Any, device: torch.device) -> list[Any]:
    """Each process's `value` (nested; see `serialization`), in order of rank; all of them must call this.

    Args:
        value: this process's.
        device: through which the processes talk. With several processes the tensors come back on the CPU.

    Raises:
        TypeError: `value` holds a kind of object that a checkpoint cannot.
    """
    if not torch.distributed.is_initialized() or torch.distributed.get_world_size() == 1:
        return [value]
    node, tensors = encode(value)
    text = json.dumps(node).encode()
    own = torch.frombuffer(
        bytearray(len(text).to_bytes(8, "little") + text + write_tensors(tensors)), dtype=torch.uint8
    )
    world = torch.distributed.get_world_size()
    sizes = [torch.zeros(1, dtype=torch.int64, device=device) for _ in range(world)]
    torch.distributed.all_gather(sizes, torch.tensor([len(own)], device=device))
    longest = max(int(size) for size in sizes)
    parts = [torch.empty(longest, dtype=torch.uint8, device=device) for _ in range(world)]
    torch.distributed.all_gather(parts, torch.nn.functional.pad(own, (0, longest - len(own))).to(device))
    return [_read(part[: int(size)].cpu().numpy().tobytes()) for part, size in zip(parts, sizes, strict=True)]


def _read(content: bytes) -> Any:
    start = 8 + int.from_bytes(content[:8], "little")
    return decode(json.loads(content[8:start]), read_tensors(content[start:]))
