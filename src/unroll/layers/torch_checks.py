"""What `torch.nn`'s recurrent layers refuse, in their words."""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Mapping
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


def check_sizes(
    input_size: int, hidden_size: int, num_layers: int, bias: bool, batch_first: bool, dropout: float, proj_size: int
) -> None:
    """The arguments of the constructor that `torch.nn` refuses there, in its order and words.

    Raises:
        ValueError, TypeError: as `torch.nn`.
    """
    float(dropout)  # what that raises comes first
    if not isinstance(dropout, numbers.Number) or isinstance(dropout, bool) or not 0 <= dropout <= 1:  # type: ignore[operator]
        raise ValueError(
            "dropout should be a number in range [0, 1] representing the probability of an element being zeroed"
        )
    if dropout > 0 and num_layers == 1:
        warnings.warn(
            "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects num_layers "
            f"greater than 1, but got dropout={dropout} and num_layers={num_layers}",
            stacklevel=4,  # at the line that makes the layer
        )
    for name, flag in (("bias", bias), ("batch_first", batch_first)):
        if not isinstance(flag, bool):
            raise TypeError(f"{name} should be of type bool, got: {type(flag).__name__}")
    if isinstance(hidden_size, bool):  # which torch.nn.RNN refuses in other words
        raise TypeError("hidden_size should be of type int, got: bool")
    for name, size in (("input_size", input_size), ("hidden_size", hidden_size)):
        if not isinstance(size, int):
            raise TypeError(f"{name} should be of type int, got: {type(size).__name__}")
        if size <= 0:
            raise ValueError(f"{name} must be greater than zero")
    if num_layers <= 0:
        raise ValueError("num_layers must be greater than zero")
    if proj_size < 0:
        raise ValueError("proj_size should be a positive integer or zero to disable projections")
    if proj_size >= hidden_size:
        raise ValueError("proj_size has to be smaller than hidden_size")


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
    layer: str, state: Any, shapes: Mapping[str, tuple[int, ...]], x: Tensor, batched: bool
) -> tuple[Tensor, ...]:
    """The state's form, shape, type and device; returned as a tuple. `shapes` has the batched ones by name.

    Raises:
        TypeError, RuntimeError: as `torch.nn`.
    """
    names = tuple(shapes)
    if len(names) == 1:
        if not isinstance(state, Tensor):
            raise TypeError(f"{layer}: the state must be a tensor, got {type(state).__name__}")
        given: tuple[Tensor, ...] = (state,)
    else:
        if not isinstance(state, (tuple, list)) or len(state) != len(names):
            raise TypeError(f"{layer}: the state must be a tuple ({', '.join(names)})")
        given = tuple(state)
    wanted = [len(shape) - (not batched) for shape in shapes.values()]
    dims = [h.dim() for h in given]
    if dims != wanted:
        form, plain = "batched 3-D" if batched else "unbatched 2-D", 3 if batched else 2
        got = ", ".join(f"{d}-D" for d in dims)
        if any(d != plain for d in wanted):
            fit = ", ".join(f"{d}-D" for d in wanted)
            raise RuntimeError(f"For {form} input, the state ({', '.join(names)}) should be ({fit}) but got ({got})")
        if len(names) > 1:
            raise RuntimeError(f"For {form} input, hx and cx should also be {plain}-D but got ({got}) tensors")
        raise RuntimeError(f"For {form} input, hx should also be {plain}-D but got {got} tensor")
    for i, (h, shape) in enumerate(zip(given, shapes.values(), strict=True)):
        actual = tuple(h.shape) if batched else (h.shape[0], 1, *h.shape[1:])
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
