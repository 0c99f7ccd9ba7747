"""The backend `torch`: PyTorch's own kernels (oneDNN on CPU, cuDNN on CUDA), one unpacked call.

PyTorch knows rows of unequal length only packed, where training is 8 to 14 times slower on CPU. Here they
are padded, and what the padding would spoil is put right: it is read as zero, the outputs there are
dropped, and h is taken from each row's own last step. For what cannot be taken from the outputs, the
input gets one feature more, which is 1 in the padding and whose weights close the gates there.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from unroll.ops import onednn
from unroll.ops.autograd import graphed
from unroll.ops.call import Call, NotServedError, Recurrence, Result, State, Weights
from unroll.ops.ragged import Group, groups, move
from unroll.ops.torch_state import differentiated, plain, tracing, transformed

_KERNELS: dict[str, Callable[..., tuple[Tensor, ...]]] = {
    "lstm": torch._VF.lstm,  # type: ignore[attr-defined]  # torch.lstm without the guess between overloads
    "gru": torch._VF.gru,  # type: ignore[attr-defined]
    "rnn_tanh": torch._VF.rnn_tanh,  # type: ignore[attr-defined]
    "rnn_relu": torch._VF.rnn_relu,  # type: ignore[attr-defined]
}
_DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
_CUDNN_STEPS = 65535


def lacks(recurrence: Recurrence, recurrent_dropout: bool) -> str | None:
    """Why PyTorch's kernels can serve no training of such a layer, whatever the call."""
    if recurrence.name not in _KERNELS:
        return f"PyTorch has no kernel for the recurrence '{recurrence.name}'"
    if recurrent_dropout:
        return "PyTorch's kernels have no recurrent dropout"
    return None


def refuse(call: Call) -> str | None:
    """Why PyTorch's kernels cannot serve this call."""
    inside = differentiated() if tracing() else transformed()
    if inside is not None:
        return f"PyTorch's kernels cannot be used inside {inside}"
    never = lacks(call.recurrence, call.recurrent_mask is not None)
    if never is not None:
        return never
    x = call.x
    if x.device.type not in ("cpu", "cuda"):
        return f"it is not known to be right on the device '{x.device.type}'"
    if x.dtype not in _DTYPES:
        return f"PyTorch's kernels do not take {x.dtype}"
    if tracing():
        if call.resets is not None:
            return "torch.jit.trace would keep the number of segments that its example's resets make"
    elif x.shape[1] == 0:
        return "PyTorch's gradient for a batch of no rows is uninitialised memory"
    if x.is_cuda and torch.backends.cudnn.enabled and not tracing() and x.shape[0] > _CUDNN_STEPS:
        return f"cuDNN takes at most {_CUDNN_STEPS} steps"
    for t in call.tensors:
        if t is not None and not plain(t):
            return f"PyTorch's kernels may not know tensors of type {type(t).__name__}"
    return _beyond_onednn(call) or _FAILED.get(_kind(call))


def run(call: Call) -> Result:
    """The outputs and the final state.

    Raises:
        NotServedError: oneDNN has no kernel for such a call, which it says only when it is called.
    """
    try:
        # A trace holds PyTorch's operators and no functions of Python.
        return _run(call) if tracing() else graphed(_run, call)
    except RuntimeError as error:
        if _NO_KERNEL not in str(error):
            raise
        reason = f"oneDNN has no kernel for it on this processor ({str(error).split('. ')[0]})"
        _FAILED[_kind(call)] = reason
        raise NotServedError(reason) from error


_NO_KERNEL = "could not create a primitive"
_Kind = tuple[str, str, bool, torch.dtype, torch.dtype | None, bool, bool]
_FAILED: dict[_Kind, str] = {}
"""What oneDNN turned out not to serve, and what it said."""


def _kind(call: Call) -> _Kind:
    """What decides which of PyTorch's kernels a call gets, but its sizes."""
    device = call.x.device.type
    low = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
    projected, training = call.weights.w_hr is not None, torch.is_grad_enabled()
    return call.recurrence.name, device, projected, call.x.dtype, low, training, onednn.used()


def _beyond_onednn(call: Call) -> str | None:
    """Why oneDNN, which PyTorch calls without asking, has no kernel for this call on this processor, or None.

    PyTorch gives oneDNN every float32 LSTM without a projection, and only then autocast brings it to 16 bits. All else
    of 16 bits that oneDNN cannot compute, PyTorch computes itself.
    """
    x = call.x
    if not (x.is_cpu and x.dtype is torch.float32 and torch.is_autocast_enabled("cpu")):
        return None
    if call.recurrence.name != "lstm" or call.weights.w_hr is not None or not onednn.used():
        return None
    low = torch.get_autocast_dtype("cpu")
    if onednn.computes(low):
        return None
    return f"oneDNN has no {str(low).removeprefix('torch.')} LSTM for this processor, and autocast asks for one"


def _run(call: Call) -> Result:
    if call.lengths is None and call.resets is None:
        x = call.x.flip(0) if call.reverse else call.x
        y, state = _kernel(call, x, call.state, call.weights)
        return Result(y.flip(0) if call.reverse else y, state)

    T, B = call.x.shape[:2]
    rows_first = not tracing() and call.x.transpose(0, 1).is_contiguous()
    x = (call.x.transpose(0, 1) if rows_first else call.x).flatten(0, 1)
    made = groups(call)
    if not made:
        return Result(x.new_zeros(T, B, call.state[0].shape[-1]), call.state)
    close = _closing(call)
    done = []
    for group in made:
        source, target = group.source, group.target
        if rows_first:  # as a batch-first input lies in memory
            source = torch.where(source < 0, -1, source % B * T + source // B)
            target = target.view(T, B).t().flatten()
        laid = move(x, source, target, flagged=close is not None)
        done.append(_group(call, group, laid.view(group.steps, -1, laid.shape[1]), close))
    source, target = _joined(made)
    y = move(_cat([y.flatten(0, 1) for y, _ in done]), target, source).view(T, B, -1)
    ends = tuple(_cat(list(s)) for s in zip(*(state for _, state in done), strict=True))
    return Result(y, _final(call, made, ends))


def _group(call: Call, group: Group, x: Tensor, close: Tensor | None) -> tuple[Tensor, State]:
    """The outputs (with what stands in the padding) and the state at each segment's end."""
    state = call.state
    if group.carried is not None:
        carried = group.carried.unsqueeze(1)
        back = call.reset_state or (0.0,) * len(state)
        state = tuple(torch.where(carried, s.index_select(0, group.rows), b) for s, b in zip(state, back, strict=True))
    weights = call.weights
    if close is not None:
        weights = weights._replace(w_ih=torch.cat([weights.w_ih, close.to(weights.w_ih.dtype)], 1))
    y, ends = _kernel(call, x, state, weights)
    N = group.lengths.shape[0]
    last = (group.lengths - 1).clamp(min=0) * N + torch.arange(N, device=x.device)
    return y, (y.flatten(0, 1).index_select(0, last), *ends[1:])


def _closing(call: Call) -> Tensor | None:
    """(G*H, 1) the weights of the feature that is 1 in the padding, or None if none is needed.

    LSTM: the input gate becomes exactly 0 and the forget gate exactly 1, so c is carried on unchanged and
    its gradient comes back unchanged. Rectified: h becomes 0, where it could otherwise grow without bound.
    """
    x, H = call.x, call.state[-1].shape[-1]
    if call.recurrence.name == "lstm":
        return torch.cat([torch.full((H, 1), v, device=x.device) for v in (-1e4, 1e4, 0.0, 0.0)])
    if call.recurrence.name == "rnn_relu":
        half = x.dtype == torch.float16 or torch.is_autocast_enabled(x.device.type)
        return torch.full((H, 1), -3e4 if half else -1e30, device=x.device)
    return None


def _joined(made: list[Group]) -> tuple[Tensor, Tensor]:
    """The groups' sources and targets as those of one."""
    if len(made) == 1:
        return made[0].source, made[0].target
    source, target, offset = torch.cat([g.source for g in made]), made[0].target, 0
    for group in made:
        target = torch.where(group.target < 0, target, group.target + offset)
        offset += len(group.source)
    return source, target


def _final(call: Call, made: list[Group], ends: State) -> State:
    """Each row's state from its last segment's end; a row without one keeps the state it was given."""
    if call.resets is None:  # the segments are the rows
        return tuple(
            torch.where(made[0].final.unsqueeze(1), e, s.to(e.dtype)) for e, s in zip(ends, call.state, strict=True)
        )
    rows, final = _cat([g.rows for g in made]), _cat([g.final for g in made])
    S, B = len(rows), call.x.shape[1]
    which = torch.where(final, torch.arange(S, device=rows.device), -1)
    source = torch.full((B,), -1, device=rows.device).scatter_reduce(0, rows, which, "amax")
    target = torch.where(final, rows, -1)
    has = (source >= 0).unsqueeze(1)
    return tuple(
        torch.where(has, move(e, source, target), s.to(e.dtype)) for e, s in zip(ends, call.state, strict=True)
    )


def _cat(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _kernel(call: Call, x: Tensor, state: State, weights: Weights) -> tuple[Tensor, State]:
    """One layer, one direction, no lengths."""
    hidden = tuple(s.unsqueeze(0).contiguous() for s in state)
    flat = [w for w in weights if w is not None]
    # where oneDNN is looked for, PyTorch tells whoever runs it that oneDNN knows no projections
    told = weights.w_hr is not None and not x.is_cuda and x.dtype != torch.float64
    with _hushed() if told else contextlib.nullcontext():
        y, *ends = _KERNELS[call.recurrence.name](
            x,
            hidden if len(state) > 1 else hidden[0],
            flat,
            weights.b_ih is not None,  # has biases
            1,  # layers
            0.0,  # dropout
            torch.is_grad_enabled() or tracing(),  # keep what the gradient needs
            False,  # bidirectional
            False,  # batch first
        )
    return y, tuple(e.squeeze(0) for e in ends)


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="LSTM with projections is not supported with oneDNN")
        yield
