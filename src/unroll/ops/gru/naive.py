"""One step of the GRU in its two forms."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import linear

from unroll.ops.call import State, Step, Weights


def reset_after(x: Tensor, state: State, weights: Weights, mask: Tensor | None = None) -> Step:
    """One step of the gated recurrent unit, the reset gate applied after the matrix product.

        r = sigmoid(W_r x + b_r + U_r h + c_r)          reset gate
        z = sigmoid(W_z x + b_z + U_z h + c_z)          update gate
        n = tanh   (W_n x + b_n + r * (U_n h + c_n))    candidate
        h' = (1 - z) * n + z * h

    with b and c the input's and the recurrent bias. This is the form of `torch.nn.GRU` and of cuDNN.
    """
    (h,) = state
    recurrent = h if mask is None else h * mask
    xr, xz, xn = linear(x, weights.w_ih, weights.b_ih).chunk(3, dim=-1)
    hr, hz, hn = linear(recurrent, weights.w_hh, weights.b_hh).chunk(3, dim=-1)
    r = (xr + hr).sigmoid()
    z = (xz + hz).sigmoid()
    n = (xn + r * hn).tanh()
    return Step(((1 - z) * n + z * h,), {"r": r, "z": z, "n": n})


def reset_before(x: Tensor, state: State, weights: Weights, mask: Tensor | None = None) -> Step:
    """One step of the gated recurrent unit, the reset gate applied before the matrix product.

        r = sigmoid(W_r x + U_r h + b_r)                reset gate
        z = sigmoid(W_z x + U_z h + b_z)                update gate
        n = tanh   (W_n x + U_n (r * h) + b_n)          candidate
        h' = (1 - z) * n + z * h

    with b the sum of both biases. This is the paper's form (Cho et al. 2014), which `torch.nn` lacks.
    """
    (h,) = state
    H = weights.w_hh.shape[-1]
    recurrent = h if mask is None else h * mask
    xr, xz, xn = linear(x, weights.w_ih, weights.b_ih).chunk(3, dim=-1)
    gates, candidate = weights.w_hh[: 2 * H], weights.w_hh[2 * H :]
    b_gates = None if weights.b_hh is None else weights.b_hh[: 2 * H]
    b_candidate = None if weights.b_hh is None else weights.b_hh[2 * H :]
    hr, hz = linear(recurrent, gates, b_gates).chunk(2, dim=-1)
    r = (xr + hr).sigmoid()
    z = (xz + hz).sigmoid()
    n = (xn + linear(r * recurrent, candidate, b_candidate)).tanh()
    return Step(((1 - z) * n + z * h,), {"r": r, "z": z, "n": n})
