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
    xr, xz, xn = linear(x, weights["weight_ih"], weights.get("bias_ih")).chunk(3, dim=-1)
    hr, hz, hn = linear(recurrent, weights["weight_hh"], weights.get("bias_hh")).chunk(3, dim=-1)
    r = (xr + hr).sigmoid()
    z = (xz + hz).sigmoid()
    n = (xn + r * hn).tanh()
    h = (1 - z) * n + z * h
    return Step(h, (h,), {"r": r, "z": z, "n": n})


def reset_before(x: Tensor, state: State, weights: Weights, mask: Tensor | None = None) -> Step:
    """One step of the gated recurrent unit, the reset gate applied before the matrix product.

        r = sigmoid(W_r x + U_r h + b_r)                reset gate
        z = sigmoid(W_z x + U_z h + b_z)                update gate
        n = tanh   (W_n x + U_n (r * h) + b_n)          candidate
        h' = (1 - z) * n + z * h

    with b the sum of both biases. This is the paper's form (Cho et al. 2014), which `torch.nn` lacks.
    """
    (h,) = state
    w_hh, b_hh = weights["weight_hh"], weights.get("bias_hh")
    H = w_hh.shape[-1]
    recurrent = h if mask is None else h * mask
    xr, xz, xn = linear(x, weights["weight_ih"], weights.get("bias_ih")).chunk(3, dim=-1)
    b_gates, b_candidate = (None, None) if b_hh is None else (b_hh[: 2 * H], b_hh[2 * H :])
    hr, hz = linear(recurrent, w_hh[: 2 * H], b_gates).chunk(2, dim=-1)
    r = (xr + hr).sigmoid()
    z = (xz + hz).sigmoid()
    n = (xn + linear(r * recurrent, w_hh[2 * H :], b_candidate)).tanh()
    h = (1 - z) * n + z * h
    return Step(h, (h,), {"r": r, "z": z, "n": n})
