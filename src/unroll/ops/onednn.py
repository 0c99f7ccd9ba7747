"""What oneDNN, the library behind PyTorch's LSTM on the CPU, computes on this processor."""

from __future__ import annotations

import functools

import torch


def used() -> bool:
    """Whether PyTorch was built with it and is allowed to use it."""
    return torch.backends.mkldnn.is_available() and bool(torch.backends.mkldnn.enabled)


@functools.cache
def computes(dtype: torch.dtype) -> bool:
    """Whether it computes in this dtype at all."""
    known = {
        torch.bfloat16: torch.ops.mkldnn._is_mkldnn_bf16_supported,
        torch.float16: torch.ops.mkldnn._is_mkldnn_fp16_supported,
    }
    return dtype not in known or known[dtype]()


@functools.cache
def multiplies_bfloat16() -> bool:
    """Whether the processor has instructions that multiply in bfloat16, which oneDNN otherwise does without."""
    found = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return found and computes(torch.bfloat16)
