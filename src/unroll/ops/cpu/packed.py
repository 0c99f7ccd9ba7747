"""Weights packed once for many calls of the compiled kernels: a linear map, and a recurrence's single steps.

The numbers of a row do not depend on the other rows, nor on how many there are.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from unroll.ops.call import Recurrence, State
from unroll.ops.cpu.extension import kernels

_ALIGNED = 64


def servable(*tensors: Tensor | None) -> bool:
    """Tell whether the kernels can take the tensors: all float32 or all float64, on the CPU, and nothing recorded."""
    if kernels is None or torch.is_grad_enabled():
        return False
    given = [t for t in tensors if t is not None]
    dtype = given[0].dtype
    return dtype in (torch.float32, torch.float64) and all(t.is_cpu and t.dtype is dtype for t in given)


class PackedLinear:
    """Hold x W^T + b, or tanh of it, for rows x (N, K).

    Args:
        weight: W (M, K).
        bias: b (M,), if there is one.
        tanh: whether to take tanh of the sum.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None, *, tanh: bool = False) -> None:
        self._columns, self._k = weight.shape
        self._double = weight.dtype is torch.float64
        self._bias = None if bias is None else bias.detach().contiguous()
        self._tanh = tanh
        self._memory = torch.empty(
            kernels.linear_bytes(self._double, self._k, self._columns) + _ALIGNED, dtype=torch.uint8
        )
        self._packed = _aligned(self._memory)
        weight = weight.detach().contiguous()
        threads = torch.get_num_threads()
        kernels.pack_linear(self._double, threads, self._k, self._columns, weight.data_ptr(), self._packed)

    def __call__(self, x: Tensor) -> Tensor:
        """Compute (N, M) from (N, K)."""
        x = x.contiguous()
        out = x.new_empty(len(x), self._columns)
        bias = 0 if self._bias is None else self._bias.data_ptr()
        sizes = (len(x), self._k, self._columns)
        if len(x):
            threads = torch.get_num_threads()
            kernels.linear(self._double, threads, *sizes, x.data_ptr(), self._packed, bias, out.data_ptr(), self._tanh)
        return out


class PackedStep:
    """Hold one layer and direction of a recurrence, for single steps.

    Args:
        recurrence: one that the compiled kernels have.
        weights: its parameters by name.
    """

    def __init__(self, recurrence: Recurrence, weights: Mapping[str, Tensor]) -> None:
        held = {name: weight.detach().contiguous() for name, weight in weights.items()}
        at = {name: weight.data_ptr() for name, weight in held.items()}
        w_hh = held["weight_hh"]
        H, self._states = len(w_hh) // recurrence.gates, len(recurrence.states)
        self._fields = {
            "cell": recurrence.name,
            "double": w_hh.dtype is torch.float64,
            "threads": torch.get_num_threads(),
            "T": 1,
            "D": held["weight_ih"].shape[1],
            "H": H,
            "R": w_hh.shape[1],
            "w_ih": at["weight_ih"],
            "w_hh": at["weight_hh"],
            "b_ih": at.get("bias_ih", 0),
            "b_hh": at.get("bias_hh", 0),
            "w_hr": at.get("weight_hr", 0),
        }
        self._held = held  # alive as long as their addresses
        self._memory = torch.empty(kernels.packed_bytes(**self._fields) + _ALIGNED, dtype=torch.uint8)
        self._fields["packed"] = _aligned(self._memory)
        kernels.pack(**self._fields)

    def __call__(self, x: Tensor, state: State) -> State:
        """Compute the state after a step from x (N, D) and the state before, each (N, ...); the first is the output."""
        x, state = x.contiguous(), tuple(s.contiguous() for s in state)
        after = tuple(torch.empty_like(s) for s in state)
        if not len(x):
            return after
        y = torch.empty_like(after[0])
        two = self._states > 1
        kernels.forward(
            **self._fields,
            B=len(x),
            x=x.data_ptr(),
            x_row=x.shape[1],
            h0=state[0].data_ptr(),
            c0=state[1].data_ptr() if two else 0,
            y=y.data_ptr(),
            y_row=y.shape[1],
            h=after[0].data_ptr(),
            c=after[1].data_ptr() if two else 0,
        )
        return after


def attend(
    query: Tensor,
    keys: Tensor,
    values: Tensor,
    owner: Tensor,
    lengths: Tensor | None,
    *,
    heads: int = 1,
    scale: float = 1.0,
    v: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Attend from each row over its row of a memory.

    Args:
        query: (N, heads * A), projected.
        keys: (B, S, heads * A), the last axis dense.
        values: (B, S, heads * E), the last axis dense.
        owner: (N,) int64, each row's row of the memory.
        lengths: (B,) int64; None: all are S.
        heads: number of heads, side by side in the last axes.
        scale: factor of the scores.
        v: (A,): additive scores v . tanh(q + k); None: q . k.

    Returns:
        The contexts (N, heads * E) and the weights (N, S), their mean over the heads; zero beyond the lengths.
    """
    N, S = len(query), keys.shape[1]
    query = query.contiguous()
    A, E = query.shape[1] // heads, values.shape[2] // heads
    context, weights = query.new_empty(N, heads * E), query.new_empty(N, S)
    if N:
        scratch = query.new_empty(N, S)
        strides = (keys.stride(0), keys.stride(1), values.stride(0), values.stride(1))
        kernels.attend(
            query.dtype is torch.float64,
            torch.get_num_threads(),
            scale,
            (N, S, A, E, heads),
            strides,
            query.data_ptr(),
            keys.data_ptr(),
            values.data_ptr(),
            0 if v is None else v.data_ptr(),
            owner.data_ptr(),
            0 if lengths is None else lengths.data_ptr(),
            context.data_ptr(),
            weights.data_ptr(),
            scratch.data_ptr(),
        )
    return context, weights


def top(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Find the k largest numbers of each row of x (N, M), k at most M: see `ops.rows.top`."""
    x = x.contiguous()
    values = x.new_empty(len(x), k)
    places = torch.empty(len(x), k, dtype=torch.int64)
    if len(x):
        double, threads = x.dtype is torch.float64, torch.get_num_threads()
        rows, columns = x.shape
        kernels.top(double, threads, rows, columns, k, x.data_ptr(), values.data_ptr(), places.data_ptr())
    return values, places


def _aligned(memory: Tensor) -> int:
    return -(-memory.data_ptr() // _ALIGNED) * _ALIGNED
