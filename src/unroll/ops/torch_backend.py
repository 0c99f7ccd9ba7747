"""The backend `torch`: PyTorch's own kernels (oneDNN on CPU, cuDNN on CUDA), one unpacked call.

PyTorch knows rows of unequal length only packed, where training is 8 to 14 times slower on CPU. Here they
are padded, and what the padding would spoil is put right: it is read as zero, the outputs there are
dropped, and h is taken from each row's own last step. For what cannot be taken from the outputs, the
input gets one feature more, which is 1 in the padding and whose weights close the gates there.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from unroll.ops import onednn
from unroll.ops.autograd import graphed
from unroll.ops.call import Call, NotServedError, Recurrence, Result, State, Weights
from unroll.ops.gated import WEIGHTS
from unroll.ops.ragged import Group, at_end, by_groups
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
    projected, training = "weight_hr" in call.weights, torch.is_grad_enabled()
    return call.recurrence.name, device, projected, call.x.dtype, low, training, onednn.used()


def _beyond_onednn(call: Call) -> str | None:
    """Why oneDNN, which PyTorch calls without asking, has no kernel for this call on this processor, or None.

    PyTorch gives oneDNN every float32 LSTM without a projection, and only then autocast brings it to 16 bits. All else
    of 16 bits that oneDNN cannot compute, PyTorch computes itself.
    """
    x = call.x
    if not (x.is_cpu and x.dtype is torch.float32 and torch.is_autocast_enabled("cpu")):
        return None
    if call.recurrence.name != "lstm" or "weight_hr" in call.weights or not onednn.used():
        return None
    low = torch.get_autocast_dtype("cpu")
    if onednn.computes(low):
        return None
    return f"oneDNN has no {str(low).removeprefix('torch.')} LSTM for this processor, and autocast asks for one"


def flatten_weights(recurrence: Recurrence, weights: Sequence[Tensor]) -> None:
    """Move the weights of one layer and direction, in place, into one block of memory, as cuDNN reads them.

    cuDNN copies weights that lie elsewhere at each call. Nothing is done where it does not compute: for a recurrence or
    a number format that it has not, without it, for weights that share memory, or for other kinds of tensors.

    Args:
        recurrence: theirs.
        weights: the parameters, on a CUDA device, in the order of `torch.nn`.
    """
    from torch.backends import cudnn

    if recurrence.name not in _KERNELS or not (cudnn.enabled and cudnn.is_available()) or transformed() is not None:
        return
    flat = list(weights)
    dtypes = {t.dtype for t in flat}
    separate = len({t.data_ptr() for t in flat}) == len(flat)
    if not separate or len(dtypes) > 1 or not dtypes <= set(_DTYPES) or not all(plain(t) for t in flat):
        return
    width, hidden, output = flat[0].shape[1], flat[0].shape[0] // recurrence.gates, flat[1].shape[1]
    projected = output if output < hidden else 0
    mode = cudnn.rnn.get_cudnn_mode(recurrence.name.upper())
    with torch.no_grad(), torch.cuda.device_of(flat[0]):
        # weights in a layer: all; layers: 1; batch first, both directions: no
        torch._cudnn_rnn_flatten_weight(flat, len(flat), width, mode, hidden, projected, 1, False, False)  # type: ignore[attr-defined]


def _run(call: Call) -> Result:
    if call.lengths is None and call.resets is None:
        x = call.x.flip(0) if call.reverse else call.x
        y, state = _kernel(call, x, call.state, call.weights)
        return Result(y.flip(0) if call.reverse else y, state)

    close = _closing(call)
    weights = call.weights
    if close is not None:
        weights = {**weights, "weight_ih": torch.cat([weights["weight_ih"], close.to(weights["weight_ih"].dtype)], 1)}

    def group(group: Group, x: Tensor, state: State) -> tuple[Tensor, State]:
        y, ends = _kernel(call, x, state, weights)
        return y, (at_end(group, y), *ends[1:])

    return by_groups(call, group, flagged=close is not None)


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


def _kernel(call: Call, x: Tensor, state: State, weights: Weights) -> tuple[Tensor, State]:
    """One layer, one direction, no lengths."""
    hidden = tuple(s.unsqueeze(0).contiguous() for s in state)
    flat = [weights[name] for name in WEIGHTS if name in weights]
    # where oneDNN is looked for, PyTorch tells whoever runs it that oneDNN knows no projections; with cuDNN, that
    # weights made for this call, such as those that close the gates, have to be copied
    told = ("weight_hr" in weights and x.dtype != torch.float64) if not x.is_cuda else not _in_one_block(flat)
    with _hushed() if told else contextlib.nullcontext():
        y, *ends = _KERNELS[call.recurrence.name](
            x,
            hidden if len(state) > 1 else hidden[0],
            flat,
            "bias_ih" in weights,  # has biases
            1,  # layers
            0.0,  # dropout
            torch.is_grad_enabled() or tracing(),  # keep what the gradient needs
            False,  # bidirectional
            False,  # batch first
        )
    return y, tuple(e.squeeze(0) for e in ends)


def _in_one_block(weights: list[Tensor]) -> bool:
    return len({t.untyped_storage().data_ptr() for t in weights}) == 1


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="RNN module weights are not part of single contiguous chunk")
        warnings.filterwarnings("ignore", message="LSTM with projections is not supported with oneDNN")
        yield
