"""The LSTM layer."""

from __future__ import annotations

from typing import Any, Unpack

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from unroll.layers.extras import LayerExtras
from unroll.layers.input_forms import Lengths, Resets
from unroll.layers.recurrent import RecurrentLayer
from unroll.ops.lstm import LSTM as RECURRENCE


class LSTM(RecurrentLayer):
    """Long short-term memory, in place of `torch.nn.LSTM`.

        i = sigmoid(W_i x + U_i h + b_i)
        f = sigmoid(W_f x + U_f h + b_f)
        g = tanh   (W_g x + U_g h + b_g)
        o = sigmoid(W_o x + U_o h + b_o)
        c' = f * c + i * g
        h' = o * tanh(c')           with `proj_size`: h' = P (o * tanh(c'))

    Called as `y, (h, c) = lstm(x, (h, c), lengths=..., resets=...)`; see `forward`, `step` and `trace`.
    Papers: Hochreiter & Schmidhuber 1997; Gers, Schmidhuber & Cummins 2000; Sak, Senior & Beaufays 2014.

    The arguments up to `dtype` are those of `torch.nn.LSTM`, as are parameters, outputs, gradients and
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
        proj_size: R, the width h is projected to, if not 0; less than H.
        device: where the parameters are made.
        dtype: what the parameters are made of.
        forget_bias: what the forget gate's two biases add up to at the start.
        chrono_init: chrono initialization for dependencies of up to this many steps (Tallec & Ollivier 2018):
            the forget gate's biases add up to log(u), u from U(1, chrono_init - 1), the input gate's to -log(u).
            0: not. In place of `forget_bias`.
        **extras: `init`, `learn_initial_state`, five kinds of dropout, `residual`, `layer_norm`, `recompute` and
            `backend`, by keyword: see `unroll.layers.extras.LayerExtras`.

    Raises:
        ValueError, TypeError: as `torch.nn.LSTM`.
        OptionError: one of the further arguments cannot be used.

    Example:
        >>> lstm = unroll.LSTM(8, 16, batch_first=True)
        >>> y, (h, c) = lstm(torch.randn(3, 7, 8), lengths=[7, 2, 5])
        >>> y.shape, h.shape, bool(y[1, 2:].any())
        (torch.Size([3, 7, 16]), torch.Size([1, 3, 16]), False)
    """

    get_expected_cell_size = nn.LSTM.get_expected_cell_size
    check_forward_args = nn.LSTM.check_forward_args  # type: ignore[assignment]  # as in torch.nn itself
    permute_hidden = nn.LSTM.permute_hidden  # type: ignore[assignment]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        *,
        forget_bias: float | None = None,
        chrono_init: int = 0,
        **extras: Unpack[LayerExtras],
    ) -> None:
        super().__init__(
            RECURRENCE,
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            proj_size,
            device,
            dtype,
            forget_bias=forget_bias,
            chrono_init=chrono_init,
            **extras,
        )

    def forward(
        self,
        input: Tensor | PackedSequence,  # noqa: A002  # torch.nn's name for it
        hx: tuple[Tensor, Tensor] | None = None,
        *,
        lengths: Lengths | None = None,
        resets: Resets | None = None,
    ) -> tuple[Any, tuple[Tensor, Tensor]]:
        """Run over whole sequences.

        Args:
            input: (T, B, D), (B, T, D) if `batch_first`, (T, D) for one row, or a `PackedSequence`.
            hx: the state (h, c) to start from, (L * directions, B, R) and (L * directions, B, H); for one row
                without B. None: zeros, or the learnt initial state.
            lengths: (B,) the rows' lengths, in any order, on any device, zeros allowed. What stands beyond
                them is never read; the output there is zero, the final state is that at the row's own
                last step, and the reverse direction starts there.
            resets: (B, T) bool, whatever `batch_first`: the state is set back to zero, or to the learnt
                initial state, before step t; it does not cross that border in either direction.

        Returns:
            The outputs of the last layer, in the form of `input` with D replaced by R * directions, and the
            final state, in the form of `hx`.

        Raises:
            RuntimeError, ValueError: as `torch.nn` for shapes, types and devices that do not fit.
            OptionError: lengths or resets do not fit, or no backend, or not the one named, can serve the call.
        """
        return self._forward(input, hx, lengths, resets)
