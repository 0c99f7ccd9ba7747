"""What `torch.nn`'s recurrent layers refuse, in their words."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from unroll.ops.torch_state import autocasting


def check_flags(num_layers: int, bidirectional: bool) -> None:
    """Two arguments of the constructor that `torch.nn` refuses at the first call only.

    Raises:
        TypeError: one is not of its type.
    """
    if isinstance(num_layers, bool):
        raise TypeError("num_layers should be of type int, got: bool")
    if not isinstance(bidirectional, bool):
        raise TypeError(f"bidirectional should be of type bool, got: {type(bidirectional).__name__}")


def check_input(layer: str, x: Tensor | PackedSequence, batch_first: bool, input_size: int, weight: Tensor) -> None:
    """The input's dimensions, type, device and features.

    Raises:
        ValueError, RuntimeError: as `torch.nn`.
    """
    packed = isinstance(x, PackedSequence)
    data = x.data if isinstance(x, PackedSequence) else x
    if not packed and data.dim() not in (2, 3):
        raise ValueError(f"{layer}: Expected input to be 2D or 3D, got {data.dim()}D tensor instead")
    if data.dtype != weight.dtype and not autocasting():
        raise ValueError(
            f"RNN input dtype ({data.dtype}) does not match weight dtype ({weight.dtype}). "
            f"Convert input: input.to({weight.dtype}), or convert model: model.to({data.dtype})"
        )
    if packed and data.dim() != 2:
        raise RuntimeError(f"input must have 2 dimensions, got {data.dim()}")
    if data.shape[-1] != input_size:
        raise RuntimeError(f"input.size(-1) must be equal to input_size. Expected {input_size}, got {data.shape[-1]}")
    if data.device != weight.device:
        raise RuntimeError(
            "Input and parameter tensors are not at the same device, found input tensor at "
            f"{data.device} and parameter tensor at {weight.device}"
        )
    if not packed and data.shape[1 if batch_first and data.dim() == 3 else 0] == 0:
        raise RuntimeError("Expected sequence length to be larger than 0 in RNN")


def check_state(
    layer: str, state: Any, names: tuple[str, ...], x: Tensor, batched: bool, shapes: list[tuple[int, ...]]
) -> tuple[Tensor, ...]:
    """The state's form, shape, type and device; returned as a tuple.

    Raises:
        TypeError, RuntimeError: as `torch.nn`.
    """
    if len(names) == 1:
        if not isinstance(state, Tensor):
            raise TypeError(f"{layer}: the state must be a tensor, got {type(state).__name__}")
        given: tuple[Tensor, ...] = (state,)
    else:
        if not isinstance(state, (tuple, list)) or len(state) != len(names):
            raise TypeError(f"{layer}: the state must be a tuple ({', '.join(names)})")
        given = tuple(state)
    wanted = 3 if batched else 2
    dims = [h.dim() for h in given]
    if any(d != wanted for d in dims):
        form = "batched 3-D" if batched else "unbatched 2-D"
        if len(names) > 1:
            got = ", ".join(f"{d}-D" for d in dims)
            raise RuntimeError(f"For {form} input, hx and cx should also be {wanted}-D but got ({got}) tensors")
        raise RuntimeError(f"For {form} input, hx should also be {wanted}-D but got {dims[0]}-D tensor")
    for i, (h, shape) in enumerate(zip(given, shapes, strict=True)):
        actual = tuple(h.shape) if batched else (h.shape[0], 1, h.shape[1])
        if actual != shape:
            which = f"hidden[{i}]" if len(names) > 1 else "hidden"
            raise RuntimeError(f"Expected {which} size {shape}, got {list(actual)}")
        if h.device != x.device:
            raise RuntimeError(
                "Input and hidden tensors are not at the same device, found input tensor at "
                f"{x.device} and hidden tensor at {h.device}"
            )
        if h.dtype != x.dtype and not autocasting():
            raise RuntimeError(
                "Input and hidden tensors are not the same dtype, found input tensor with "
                f"{x.dtype} and hidden tensor with {h.dtype}"
            )
    return given
