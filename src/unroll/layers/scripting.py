"""Layers that `torch.jit.script` can compile: PyTorch's own, which also take lengths.

Rows of unequal length run through PyTorch's packed kernels, which read no padding. The types are those of TorchScript,
which cannot read postponed annotations.
"""
# pyright: reportArgumentType=false, reportCallIssue=false
# (PyTorch's own declarations of `_flat_weights` and of its kernels do not fit each other)

import torch
from torch import Tensor, nn
from torch._VF import _pack_padded_sequence, _pad_packed_sequence, gru, lstm, rnn_relu, rnn_tanh  # type: ignore[attr-defined]


def _packed(x: Tensor, lengths: Tensor, batch_first: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Pack a padded batch; return the data, the number of rows at each step, and the order of the rows."""
    steps, rows = (x.size(1), x.size(0)) if batch_first else (x.size(0), x.size(1))
    if lengths.dim() != 1 or lengths.size(0) != rows:
        raise ValueError("lengths must have the shape (batch,), one for each row")
    if lengths.dtype == torch.bool or lengths.is_floating_point():
        raise ValueError("lengths must be whole numbers")
    lengths = lengths.to(torch.int64)
    if bool(((lengths < 0) | (lengths > steps)).any()):
        raise ValueError("lengths must be from 0 to the number of steps")
    # A packed sequence has no rows of length 0: they get one step of zeros, and its results are dropped.
    x = x.masked_fill(_none(lengths, x, batch_first), 0.0)
    ordered, order = lengths.cpu().clamp(min=1).sort(descending=True)
    order = order.to(x.device)
    data, sizes = _pack_padded_sequence(x.index_select(0 if batch_first else 1, order), ordered, batch_first)
    return data, sizes, order


def _padded(y: Tensor, sizes: Tensor, order: Tensor, x: Tensor, lengths: Tensor, batch_first: bool) -> Tensor:
    """Unpack the outputs to the form of the input x, zero beyond a row's length."""
    steps = x.size(1) if batch_first else x.size(0)
    y, _ = _pad_packed_sequence(y, sizes, batch_first, 0.0, steps)
    y = y.index_select(0 if batch_first else 1, order.argsort())
    return y.masked_fill(_none(lengths, y, batch_first), 0.0)


def _none(lengths: Tensor, x: Tensor, batch_first: bool) -> Tensor:
    """Mask the rows of x that have no steps."""
    return (lengths.to(x.device) == 0).view(-1, 1, 1) if batch_first else (lengths.to(x.device) == 0).view(1, -1, 1)


def _end(end: Tensor, start: Tensor, order: Tensor, lengths: Tensor) -> Tensor:
    """Reorder the final state; a row without steps keeps the state it was given."""
    some = (lengths.to(end.device) > 0).view(1, -1, 1)
    return torch.where(some, end.index_select(1, order.argsort()), start)


def _rows(layer_input: Tensor, batch_first: bool) -> Tensor:
    """Add the batch dimension to an unbatched input."""
    if layer_input.dim() not in (2, 3):
        raise ValueError(f"Expected input to be 2D or 3D, got {layer_input.dim()}D tensor instead")
    return layer_input if layer_input.dim() == 3 else layer_input.unsqueeze(0 if batch_first else 1)


class ScriptableLSTM(nn.LSTM):
    """`torch.nn.LSTM` that takes lengths (B,); see `unroll.layers.twins.scriptable`."""

    def forward(  # type: ignore[override]
        self,
        input: Tensor,  # noqa: A002  # torch.nn's name for it
        hx: tuple[Tensor, Tensor] | None = None,
        lengths: Tensor | None = None,
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Run over whole sequences, as `unroll.LSTM.forward`."""
        x = _rows(input, self.batch_first)
        one = input.dim() == 2
        layers, rows = self.num_layers * (2 if self.bidirectional else 1), x.size(0 if self.batch_first else 1)
        if hx is None:
            h = torch.zeros(
                layers, rows, self.proj_size if self.proj_size > 0 else self.hidden_size, dtype=x.dtype, device=x.device
            )
            c = torch.zeros(layers, rows, self.hidden_size, dtype=x.dtype, device=x.device)
        else:
            h, c = (hx[0].unsqueeze(1), hx[1].unsqueeze(1)) if one else hx
        self.check_forward_args(x, (h, c), None)
        if lengths is None:
            y, h_n, c_n = lstm(
                x,
                [h, c],
                self._flat_weights,
                self.bias,
                self.num_layers,
                self.dropout,
                self.training,
                self.bidirectional,
                self.batch_first,
            )
        else:
            lengths = lengths.reshape(-1) if one else lengths
            data, sizes, order = _packed(x, lengths, self.batch_first)
            y, h_n, c_n = lstm(
                data,
                sizes,
                [h.index_select(1, order), c.index_select(1, order)],
                self._flat_weights,
                self.bias,
                self.num_layers,
                self.dropout,
                self.training,
                self.bidirectional,
            )
            y = _padded(y, sizes, order, x, lengths, self.batch_first)
            h_n, c_n = _end(h_n, h, order, lengths), _end(c_n, c, order, lengths)
        if one:
            return y.squeeze(0 if self.batch_first else 1), (h_n.squeeze(1), c_n.squeeze(1))
        return y, (h_n, c_n)


class _OneState(nn.RNNBase):
    """Base class of the layers with a one-tensor state; subclasses choose the kernels."""

    def forward(
        self,
        input: Tensor,  # noqa: A002  # torch.nn's name for it
        hx: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Run over whole sequences, as `unroll.GRU.forward`."""
        x = _rows(input, self.batch_first)
        one = input.dim() == 2
        layers, rows = self.num_layers * (2 if self.bidirectional else 1), x.size(0 if self.batch_first else 1)
        if hx is None:
            h = torch.zeros(layers, rows, self.hidden_size, dtype=x.dtype, device=x.device)
        else:
            h = hx.unsqueeze(1) if one else hx
        self.check_forward_args(x, h, None)
        if lengths is None:
            y, h_n = self._whole(x, h)
        else:
            lengths = lengths.reshape(-1) if one else lengths
            data, sizes, order = _packed(x, lengths, self.batch_first)
            y, h_n = self._ragged(data, sizes, h.index_select(1, order))
            y = _padded(y, sizes, order, x, lengths, self.batch_first)
            h_n = _end(h_n, h, order, lengths)
        if one:
            return y.squeeze(0 if self.batch_first else 1), h_n.squeeze(1)
        return y, h_n

    def _whole(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def _ragged(self, data: Tensor, sizes: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError


class ScriptableGRU(_OneState, nn.GRU):  # type: ignore[misc]  # no PackedSequence
    """`torch.nn.GRU` that takes lengths (B,); see `unroll.layers.twins.scriptable`."""

    def _whole(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return gru(
            x,
            h,
            self._flat_weights,
            self.bias,
            self.num_layers,
            self.dropout,
            self.training,
            self.bidirectional,
            self.batch_first,
        )

    def _ragged(self, data: Tensor, sizes: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        return gru(
            data,
            sizes,
            h,
            self._flat_weights,
            self.bias,
            self.num_layers,
            self.dropout,
            self.training,
            self.bidirectional,
        )


class ScriptableRNN(_OneState, nn.RNN):  # type: ignore[misc]
    """`torch.nn.RNN` that takes lengths (B,); see `unroll.layers.twins.scriptable`."""

    def _whole(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        if self.mode == "RNN_TANH":
            return rnn_tanh(
                x,
                h,
                self._flat_weights,
                self.bias,
                self.num_layers,
                self.dropout,
                self.training,
                self.bidirectional,
                self.batch_first,
            )
        return rnn_relu(
            x,
            h,
            self._flat_weights,
            self.bias,
            self.num_layers,
            self.dropout,
            self.training,
            self.bidirectional,
            self.batch_first,
        )

    def _ragged(self, data: Tensor, sizes: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        if self.mode == "RNN_TANH":
            return rnn_tanh(
                data,
                sizes,
                h,
                self._flat_weights,
                self.bias,
                self.num_layers,
                self.dropout,
                self.training,
                self.bidirectional,
            )
        return rnn_relu(
            data, sizes, h, self._flat_weights,
            self.bias, self.num_layers, self.dropout, self.training, self.bidirectional,
        )  # fmt: skip
