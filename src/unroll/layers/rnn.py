"""The simple recurrent layer."""

from __future__ import annotations

from typing import Any, Literal, Unpack

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from unroll.layers.extras import LayerExtras
from unroll.layers.input_forms import Lengths, Resets
from unroll.layers.recurrent import RecurrentLayer
from unroll.ops.elman import RELU, TANH


class RNN(RecurrentLayer):
    """Simple recurrent network, in place of `torch.nn.RNN`.

        h' = tanh(W x + b + U h + c)            nonlinearity="tanh"
        h' = max(0, W x + b + U h + c)          nonlinearity="relu"

    Called as `y, h = rnn(x, h, lengths=..., resets=...)`; see `forward`, `step` and `trace`.
    Papers: Elman 1990; Le, Jaitly & Hinton 2015 (rectified).

    The arguments up to `dtype` are those of `torch.nn.RNN`, as are parameters, outputs, gradients and
    errors. The rest, `lengths`, `resets`, `step` and `trace` are not in `torch.nn`. For `torch.jit.script`
    and quantization see `layers.twins`.

    Args:
        input_size: D, the features of x.
        hidden_size: H.
        num_layers: layers, each running over the one before.
        nonlinearity: `"tanh"` or `"relu"`.
        bias: whether there are biases (two, which are added up).
        batch_first: sequences are (B, T, D), not (T, B, D); states are not concerned.
        dropout: share of the features dropped between layers, others at every step.
        bidirectional: a second set of weights runs from each row's end; outputs lie side by side.
        device: where the parameters are made.
        dtype: what the parameters are made of.
        **extras: `init`, `learn_initial_state`, five kinds of dropout, `residual`, `layer_norm`, `recompute` and
            `backend`, by keyword: see `unroll.layers.extras.LayerExtras`.
        proj_size: refused, as `torch.nn` does.

    Raises:
        ValueError, TypeError: as `torch.nn.RNN`.
        OptionError: one of the further arguments cannot be used.

    Example:
        >>> rnn = unroll.RNN(8, 16, nonlinearity="relu", bidirectional=True)
        >>> y, h = rnn(torch.randn(7, 3, 8), resets=torch.rand(3, 7) < 0.1)
        >>> y.shape, h.shape
        (torch.Size([7, 3, 32]), torch.Size([2, 3, 16]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: Literal["tanh", "relu"] = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        *,
        proj_size: Any = ...,
        **extras: Unpack[LayerExtras],
    ) -> None:
        if proj_size is not ...:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        super().__init__(
            RELU if nonlinearity == "relu" else TANH,
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            device=device,
            dtype=dtype,
            **extras,
        )
        self.nonlinearity = nonlinearity

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
