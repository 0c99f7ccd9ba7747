"""The GRU layer."""

from __future__ import annotations

from typing import Any, Unpack

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from unroll.layers.extras import LayerExtras
from unroll.layers.input_forms import Lengths, Resets
from unroll.layers.recurrent import RecurrentLayer
from unroll.ops.gru import RESET_AFTER, RESET_BEFORE


class GRU(RecurrentLayer):
    """Gated recurrent unit, in place of `torch.nn.GRU`, in both of its forms.

        r = sigmoid(W_r x + b_r + U_r h + c_r)
        z = sigmoid(W_z x + b_z + U_z h + c_z)
        n = tanh   (W_n x + b_n + r * (U_n h + c_n))        reset_after=True, as `torch.nn` and cuDNN
        n = tanh   (W_n x + b_n + U_n (r * h) + c_n)        reset_after=False, as the paper
        h' = (1 - z) * n + z * h

    Called as `y, h = gru(x, h, lengths=..., resets=...)`; see `forward`, `step` and `trace`.
    Paper: Cho et al. 2014.

    The arguments up to `dtype` are those of `torch.nn.GRU`, as are parameters, outputs, gradients and
    errors. The rest, `lengths`, `resets`, `step` and `trace` are not in `torch.nn`. For `torch.jit.script`
    and quantization see `layers.twins`.

    Args:
        input_size: D, the features of x.
        hidden_size: H.
        num_layers: layers, each running over the one before.
        bias: whether there are biases (two, which are added up).
        batch_first: sequences are (B, T, D), not (T, B, D); states are not concerned.
        dropout: share of the features dropped between layers, others at every step.
        bidirectional: a second set of weights runs from each row's end; outputs lie side by side.
        device: where the parameters are made.
        dtype: what the parameters are made of.
        reset_after: whether the reset gate applies after the recurrent product. The parameters' shapes are the
            same either way, their meaning is not.
        forget_bias: what the two biases of the gate z, which keeps the state, add up to at the start.
        chrono_init: chrono initialization for dependencies of up to this many steps (Tallec & Ollivier 2018):
            the biases of the gate z, which keeps the state, add up to log(u), u from U(1, chrono_init - 1). 0: not.
            In place of `forget_bias`.
        **extras: `init`, `learn_initial_state`, five kinds of dropout, `residual`, `layer_norm`, `recompute` and
            `backend`, by keyword: see `unroll.layers.extras.LayerExtras`.
        proj_size: refused, as `torch.nn` does.

    Raises:
        ValueError, TypeError: as `torch.nn.GRU`.
        OptionError: one of the further arguments cannot be used.

    Example:
        >>> gru = unroll.GRU(8, 16, reset_after=False)
        >>> y_0, h = gru.step(torch.randn(3, 8))
        >>> y_1, h = gru.step(torch.randn(3, 8), h)
        >>> y_1.shape, h.shape
        (torch.Size([3, 16]), torch.Size([1, 3, 16]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        *,
        reset_after: bool = True,
        forget_bias: float | None = None,
        chrono_init: int = 0,
        proj_size: Any = ...,
        **extras: Unpack[LayerExtras],
    ) -> None:
        if proj_size is not ...:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        super().__init__(
            RESET_AFTER if reset_after else RESET_BEFORE,
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            device=device,
            dtype=dtype,
            forget_bias=forget_bias,
            chrono_init=chrono_init,
            **extras,
        )
        self.mode = "GRU"  # of either form
        self.reset_after = reset_after

    def forward(
        self,
        input: Tensor | PackedSequence,  # noqa: A002  # torch.nn's name for it
        hx: Tensor | None = None,
        *,
        lengths: Lengths | None = None,
        resets: Resets | None = None,
    ) -> tuple[Any, Tensor]:
        """Run over whole sequences: as `LSTM.forward`, but the state is one tensor (L * directions, B, H).

        Raises:
            RuntimeError, ValueError, OptionError: as `LSTM.forward`.
        """
        return self._forward(input, hx, lengths, resets)

    def extra_repr(self) -> str:
        """As `torch.nn` writes it, and `reset_after` if it is not so there."""
        return super().extra_repr() + ("" if self.reset_after else ", reset_after=False")
