"""Where the kernels have been measured to be the faster, which is where `auto` takes them."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from unroll.ops import torch_backend
from unroll.ops.call import Call
from unroll.ops.triton.extension import interpreted

_BF16, _FP16, _FP32 = torch.bfloat16, torch.float16, torch.float32


@dataclass(frozen=True)
class Won:
    """Calls for which the kernels took less time than cuDNN, in training and in inference.

    Measured by `benchmarks/gpu_layers.py` on one H200 (benchmarks/results/2026-11-26-gpu_layers-*.json), and float32 of
    equal lengths at H 128 again with cuDNN's weights in one block, where cuDNN was faster.
    """

    recurrences: tuple[str, ...]
    dtype: torch.dtype
    ragged: tuple[bool, ...]
    """With lengths or resets, and without."""
    hidden: range


_RNN, _ANY = ("rnn_tanh", "rnn_relu"), (False, True)
WON: tuple[Won, ...] = (
    Won(("lstm", "gru"), _BF16, _ANY, range(64, 513)),
    Won(("gru",), _BF16, (True,), range(513, 1025)),
    Won(_RNN, _BF16, _ANY, range(64, 1025)),
    Won(("lstm", "gru"), _FP16, _ANY, range(256, 513)),
    Won(("lstm", "gru"), _FP16, (True,), range(128, 256)),
    Won(("lstm",), _FP32, (True,), range(128, 257)),
    Won(("lstm",), _FP32, (False,), range(192, 257)),
    Won(("gru",), _FP32, (True,), range(128, 385)),
    Won(("gru",), _FP32, (False,), range(192, 385)),
    Won(_RNN, _FP32, _ANY, range(384, 513)),
)


def slower(call: Call) -> str | None:
    """Why PyTorch's kernels, which can serve this call too, are to be taken under `auto`, or None."""
    if interpreted():
        return "Triton's kernels are interpreted"
    if torch_backend.refuse(call) is not None:
        return None
    if call.x.is_cuda and torch.cuda.get_device_capability(call.x.device) != (9, 0):
        return "they have been measured on GPUs of compute capability 9.0 only"
    ragged, H = call.lengths is not None or call.resets is not None, call.state[0].shape[1]
    kind = call.x.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else call.x.dtype
    if dtype == _FP32 and torch.backends.cudnn.rnn.fp32_precision == "tf32":  # pyright: ignore[reportAttributeAccessIssue]
        return "cuDNN may round float32 to tf32, which is faster; torch.backends.cudnn.rnn.fp32_precision says so"
    for won in WON:
        if call.recurrence.name in won.recurrences and dtype == won.dtype and ragged in won.ragged and H in won.hidden:
            return None
    return "they have not been measured to be faster than PyTorch's kernels for such a call"
