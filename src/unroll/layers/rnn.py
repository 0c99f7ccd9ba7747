"""The simple recurrent layer."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from unroll.layers.init import Init
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
        init: `"torch"`: all weights uniform, the same seed giving `torch.nn`'s weights; `"orthogonal"`:
            recurrent matrices orthogonal, input matrices Glorot-uniform, biases zero.
        learn_initial_state: `initial_h` (layers * directions, H) is a parameter, used where no state is given
            and after a reset.
        input_dropout: share of the input's features dropped, the same at every step (locked).
        hidden_dropout: likewise, of what goes from layer to layer: every output but the last layer's.
        output_dropout: likewise, of every layer's output.
        recurrent_dropout: likewise, of h on its way into the recurrent product; only the backend `naive` has it.
        weight_dropout: share of the recurrent matrices' entries that are zero throughout a call in training, the
            others scaled up (DropConnect); on every backend.
        residual: every layer but the first adds its input to its output.
        layer_norm: every layer's output, not its state, is normalised (parameters `norm_l0.weight`, ...).
        recompute: keep for the gradient only what the gates can be computed from again in the backward pass: half the
            memory or less, for about a third more time. Otherwise every gate is kept.
        backend: `"auto"`, or the name of the one to use, an error at a call that it cannot serve. `used`
            tells what served the last call.
        proj_size: refused, as `torch.nn` does.

    Raises:
        ValueError, TypeError: as `torch.nn.RNN`.
        OptionError: one of the further arguments cannot be used.
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
        init: Init = "torch",
        learn_initial_state: bool = False,
        input_dropout: float = 0.0,
        hidden_dropout: float = 0.0,
        output_dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        weight_dropout: float = 0.0,
        residual: bool = False,
        layer_norm: bool = False,
        recompute: bool = False,
        backend: str = "auto",
        proj_size: Any = ...,
    ) -> None:
        if proj_size is not ...:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        super().__init__(
            RELU if nonlinearity == "relu" else TANH,
            "RNN_RELU" if nonlinearity == "relu" else "RNN_TANH",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            0,
            device,
            dtype,
            init=init,
            forget_bias=None,
            chrono_init=0,
            learn_initial_state=learn_initial_state,
            input_dropout=input_dropout,
            hidden_dropout=hidden_dropout,
            output_dropout=output_dropout,
            recurrent_dropout=recurrent_dropout,
            weight_dropout=weight_dropout,
            residual=residual,
            layer_norm=layer_norm,
            recompute=recompute,
            backend=backend,
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
