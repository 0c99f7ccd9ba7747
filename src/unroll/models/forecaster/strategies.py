"""Forecasting strategies; `forecaster.Forecaster` adds the normalisation and the output.

Shapes: B rows, L steps of look-back, F of horizon, K channels, P past, Q known and S static covariates, M parameters of
each value. `known` (B, L + F, Q) is known for all steps, `past` (B, L, P) for the look-back only. All values are scaled
and normalised.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unroll.errors import OptionError
from unroll.layers.attention import AttentionKind, make_attention
from unroll.layers.decoder import AttentionDecoder, Bridge
from unroll.layers.pooling import LastPooling
from unroll.models.options import RecurrentOptions
from unroll.models.recurrent import LOCKED, recurrent_stack, state_widths

Respond = Callable[[Tensor, Tensor], Tensor]
"""(raw (B, 1, K, M), the value before (B, 1, K)) to the value (B, 1, K) that the next step is given."""


class Steps(NamedTuple):
    """Inputs of a strategy."""

    x: Float[Tensor, "B L K"]
    past: Float[Tensor, "B L P"]
    known: Float[Tensor, "B L+F Q"]
    static: Float[Tensor, "B S"]


@dataclass(frozen=True)
class Sizes:
    """Sizes of the inputs and outputs: L, F, K, P, Q, S and M of this module; and the season, in steps."""

    lookback: int
    horizon: int
    channels: int
    past: int
    known: int
    static: int
    outputs: int
    season: int = 1

    @property
    def covariates(self) -> int:
        """Number of covariates at a step of the look-back."""
        return self.past + self.known + self.static


def _every_step(static: Tensor, steps: int) -> Tensor:
    return static.unsqueeze(1).expand(-1, steps, -1)


def _history(steps: Steps) -> Tensor:
    """Concatenate the look-back and its covariates: (B, L, K + P + Q + S)."""
    L = steps.x.size(1)
    return torch.cat([steps.x, steps.past, steps.known[:, :L], _every_step(steps.static, L)], 2)


class DecoderState(NamedTuple):
    """State of a recursive forecaster after the values read so far."""

    state: Any
    """Of the recurrent layers, after every value but the last."""
    last: Float[Tensor, "B 1 K"]
    """The last value, which is read together with what is known of the step after it."""
    before: Float[Tensor, "B 1 K"]
    """The value before it."""

    def repeated(self, times: int, together: int = 1) -> DecoderState:
        """Repeat every group of `together` adjacent rows `times` times."""
        rows = torch.arange(len(self.last), device=self.last.device).view(-1, together)
        rows = rows.repeat_interleave(times, 0).flatten()
        state = _each(lambda s: s[0].index_select(1, rows), [self.state])
        return DecoderState(state, self.last[rows], self.before[rows])


def joined(streams: Sequence[DecoderState]) -> DecoderState:
    """Concatenate the rows of several states."""
    last, before = (torch.cat([getattr(at, name) for at in streams]) for name in ("last", "before"))
    return DecoderState(_each(lambda s: torch.cat(s, 1), [at.state for at in streams]), last, before)


def _each(change: Callable[[list[Tensor]], Tensor], states: Sequence[Any]) -> Any:
    """Combine states of the same structure, (layers, B, H) tensors in tuples or None, with `change`."""
    if states[0] is None:
        return None
    if isinstance(states[0], tuple):
        return tuple(_each(change, part) for part in zip(*states, strict=True))
    return change(list(states))


class Recursive(nn.Module):
    """Recursive strategy: forecast one step at a time, feeding each forecast back as the next input.

        y_t, state = layers([u_t, known_{t+1}, static], state),    raw_{t+1} = W y_t + b

    u_t is x_t, or with `differences` x_t - x_{t-1} (zero at the first step); the forecast is then relative to x_t.
    """

    def __init__(self, options: RecurrentOptions, sizes: Sizes, dropout: float, *, differences: bool) -> None:
        super().__init__()
        if options.bidirectional:
            raise OptionError("strategy 'recursive' goes forward only; bidirectional cannot be set")
        if sizes.past:
            raise OptionError(
                "strategy 'recursive' needs every input at every step that it forecasts, and past covariates end with"
                " the look-back; take strategy 'direct', or make them targets too"
            )
        self.sizes = sizes
        self.differences = differences
        self.recurrent = recurrent_stack(options, sizes.channels + sizes.known + sizes.static)
        self.head = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(self.recurrent.features, sizes.channels * sizes.outputs)
        )

    def _inputs(self, x: Tensor, before: Tensor, known: Tensor, static: Tensor) -> Tensor:
        return torch.cat([x - before if self.differences else x, known, _every_step(static, x.size(1))], 2)

    def _raw(self, y: Tensor) -> Float[Tensor, "B T K M"]:
        return self.head(y).unflatten(-1, (self.sizes.channels, self.sizes.outputs))

    def teach(self, x: Float[Tensor, "B T K"], known: Tensor, static: Tensor) -> Float[Tensor, "B T-1 K M"]:
        """Compute the raw outputs for steps 1 to T - 1, each given the true earlier steps; known is (B, T, Q)."""
        inputs = self._inputs(x[:, :-1], torch.cat([x[:, :1], x[:, :-2]], 1), known[:, 1:], static)
        return self._raw(self.recurrent(inputs)[0])

    def start(self, x: Float[Tensor, "B T K"], known: Tensor, static: Tensor) -> DecoderState:
        """Read T steps; known is (B, T, Q)."""
        first = DecoderState(None, x[:, :1], x[:, :1])
        return first if x.size(1) == 1 else self.read(first, x[:, 1:], known[:, 1:], static)

    def read(self, at: DecoderState, x: Float[Tensor, "B U K"], known: Tensor, static: Tensor) -> DecoderState:
        """Read U more steps; known is (B, U, Q)."""
        values = torch.cat([at.last, x], 1)
        inputs = self._inputs(values[:, :-1], torch.cat([at.before, values[:, :-2]], 1), known, static)
        _, state = self.recurrent(inputs, at.state)
        return DecoderState(state, values[:, -1:], values[:, -2:-1])

    def answer(
        self, at: DecoderState, known: Float[Tensor, "B F Q"], static: Tensor, steps: int, respond: Respond
    ) -> tuple[Float[Tensor, "B F K M"], Float[Tensor, "B F K"]]:
        """Compute the raw outputs of the next steps, each given the one before it, and the value before each."""
        state, last, before = at
        raws, bases = [], []
        for f in range(steps):
            inputs = self._inputs(last, before, known[:, f : f + 1], static)
            y, state = self.recurrent.step(inputs.squeeze(1), state)
            raws.append(self._raw(y.unsqueeze(1)))
            bases.append(last)
            last, before = respond(raws[-1], last), last
        return torch.cat(raws, 1), torch.cat(bases, 1)


class Direct(nn.Module):
    """Direct strategy: forecast every step of the horizon at once, from the layers' last outputs.

        c = layers([x_t, past_t, known_t, static]) at t = L,    raw_f = W_f c + b_f + G(known_f, c)

    G, with one hidden layer, is shared by all steps, and present only if there are known covariates.
    """

    def __init__(self, options: RecurrentOptions, sizes: Sizes, dropout: float) -> None:
        super().__init__()
        self.sizes = sizes
        self.recurrent = recurrent_stack(options, sizes.channels + sizes.covariates)
        self.pool = LastPooling(2 if options.bidirectional else 1)
        width, answers = self.recurrent.features, sizes.channels * sizes.outputs
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, sizes.horizon * answers)
        self.ahead = None
        if sizes.known:
            self.ahead = nn.Sequential(nn.Linear(width + sizes.known, width), nn.GELU(), nn.Linear(width, answers))

    def forward(self, steps: Steps) -> Float[Tensor, "B F K M"]:
        """Compute the raw outputs."""
        y, _ = self.recurrent(_history(steps))
        lengths = torch.full((len(y),), y.size(1), device=y.device)
        c = self.dropout(self.pool(y, lengths))
        F = self.sizes.horizon
        raw = self.head(c).unflatten(1, (F, -1))
        if self.ahead is not None:
            L = steps.x.size(1)
            future = steps.known[:, L : L + F]
            raw = raw + self.ahead(torch.cat([future, c.unsqueeze(1).expand(-1, F, -1)], 2))
        return raw.unflatten(2, (self.sizes.channels, self.sizes.outputs))

    def start_at(self, biases: Float[Tensor, " M"]) -> None:
        """Let every output begin at its bias, whatever the input."""
        _constant(self.head, biases)
        if self.ahead is not None:
            last = self.ahead[-1]
            _constant(last, torch.zeros(self.sizes.outputs))


class EncoderDecoder(nn.Module):
    """Sequence-to-sequence strategy: an encoder over the look-back, and a decoder with attention over the horizon.

        m_t = encoder([x_t, past_t, known_t, static])
        s_f, state = decoder([y_{f-1}, known_f, static], state)     starting from W (encoder's last states) + b
        c_f, a_f = attention(s_f, m),    raw_f = V [s_f, c_f] + b

    y_{f-1} is the previous value: the last one of the look-back, then the model's own forecasts. In training each row
    gets the true value instead at a random share `forcing` of the steps (Bengio et al. 2015, "Scheduled sampling for
    sequence prediction with recurrent neural networks"). The decoder has as many layers as the encoder, one direction,
    and no locked dropout: it runs step by step.
    """

    def __init__(
        self, options: RecurrentOptions, sizes: Sizes, dropout: float, score: AttentionKind, forcing: float
    ) -> None:
        super().__init__()
        if options.last_hidden_size:
            raise OptionError("last_hidden_size cannot be set with strategy 'seq2seq': its two recurrences are alike")
        self.sizes = sizes
        self.forcing = forcing
        self.recurrent = recurrent_stack(options, sizes.channels + sizes.covariates)
        single = replace(options, bidirectional=False, learn_initial_state=False, **dict.fromkeys(LOCKED, 0.0))
        stack = recurrent_stack(single, sizes.channels + sizes.known + sizes.static)
        states, layers = state_widths(options), options.num_layers
        ends = layers * (2 if options.bidirectional else 1)
        self.bridge = Bridge("last", states, layers, [ends * n for n in states])
        self.decoder = AttentionDecoder(stack, make_attention(score, stack.features, self.recurrent.features))
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(self.decoder.features, sizes.channels * sizes.outputs))

    def forward(
        self, steps: Steps, horizon: int, respond: Respond, target: Float[Tensor, "B F K"] | None = None
    ) -> tuple[Float[Tensor, "B F K M"], Float[Tensor, "B F L"]]:
        """Compute the raw outputs and their attention weights; `target`, the true values, is used only in training."""
        L = steps.x.size(1)
        target = target if self.training else None
        memory, final = self.recurrent(_history(steps))
        state = self.decoder.start(self.bridge(memory, None, final), len(memory))
        known, last = steps.known[:, L : L + horizon], steps.x[:, -1:]
        static = _every_step(steps.static, horizon)
        keys = self.decoder.attention.keys(memory)
        if target is not None and self.forcing == 1:
            values = torch.cat([last, target[:, :-1]], 1)
            outputs, weights, _ = self.decoder(torch.cat([values, known, static], 2), memory, state, keys=keys)
            return self._raw(outputs), weights
        raws, looked = [], []
        for f in range(horizon):
            inputs = torch.cat([last, known[:, f : f + 1], static[:, :1]], 2)
            outputs, weights, state = self.decoder(inputs, memory, state, keys=keys)
            raws.append(self._raw(outputs))
            looked.append(weights)
            last = respond(raws[-1], last)
            if target is not None and self.forcing:
                given = torch.rand(len(last), 1, 1, device=last.device) < self.forcing
                last = torch.where(given, target[:, f : f + 1], last)
        return torch.cat(raws, 1), torch.cat(looked, 1)

    def _raw(self, outputs: Float[Tensor, "B U O"]) -> Float[Tensor, "B U K M"]:
        return self.head(outputs).unflatten(2, (self.sizes.channels, self.sizes.outputs))


class Segments(nn.Module):
    """SegRNN strategy: read segments of w steps, each channel separately; forecast all segments in parallel.

        e_i = relu(W x_{segment i} + b + covariates of the segment)        i = 1 ... L / w
        h = layers(e) at the last segment
        q_j = [position_j, channel_k] + known covariates of segment j      j = 1 ... F / w
        raw_{segment j} = V layers(q_j, starting from h) + b               one step for each j

    Encoder and decoder share the layers. There are B times `channels` rows, and K is 1 here. Lin et al. 2023, "SegRNN:
    segment recurrent neural network for long-term time series forecasting"; covariates, which the paper does not
    have, are added linearly.
    """

    def __init__(self, options: RecurrentOptions, sizes: Sizes, dropout: float, segment: int, channels: int) -> None:
        super().__init__()
        for name in ("bidirectional", "last_hidden_size", "proj_size"):
            if getattr(options, name):
                raise OptionError(f"{name} cannot be set with strategy 'segrnn', whose one recurrence also decodes")
        H, w = options.hidden_size, segment
        if H < 2:
            raise OptionError("hidden_size is 1; strategy 'segrnn' needs at least 2, for positions and for channels")
        self.sizes = sizes
        self.segment = w
        self.embed = nn.Linear(w, H)
        beside, ahead = w * (sizes.past + sizes.known) + sizes.static, w * sizes.known + sizes.static
        self.beside = nn.Linear(beside, H, bias=False) if beside else None
        self.ahead = nn.Linear(ahead, H, bias=False) if ahead else None
        self.recurrent = recurrent_stack(options, H)
        self.positions = nn.Parameter(torch.randn(sizes.horizon // w, H // 2))
        self.channels = nn.Parameter(torch.randn(channels, H - H // 2))
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(H, w * sizes.outputs))

    def forward(self, steps: Steps) -> Float[Tensor, "BC F 1 M"]:
        """Compute the raw outputs; the channels of a row are adjacent, as in `Forecaster._fold`."""
        w, L, F = self.segment, steps.x.size(1), self.sizes.horizon
        C = len(self.channels)
        n, m = L // w, F // w
        e = self.embed(steps.x.squeeze(2).unflatten(1, (n, w)))  # (BC, n, H)
        if self.beside is not None:
            parts = [steps.past, steps.known[:, :L]]
            beside = torch.cat([p.unflatten(1, (n, w)).flatten(2) for p in parts], 2)
            e = e + self.beside(torch.cat([beside, _every_step(steps.static, n)], 2))
        _, state = self.recurrent(torch.relu(e))
        rows = len(e) // C
        positions = self.positions.expand(rows * C, -1, -1)
        channels = self.channels.repeat(rows, 1).unsqueeze(1).expand(-1, m, -1)
        q = torch.cat([positions, channels], 2)  # (BC, m, H)
        if self.ahead is not None:
            future = steps.known[:, L : L + F].unflatten(1, (m, w)).flatten(2)
            q = q + self.ahead(torch.cat([future, _every_step(steps.static, m)], 2))
        start = _each(lambda s: s[0].repeat_interleave(m, 1), [state])
        y, _ = self.recurrent(q.flatten(0, 1).unsqueeze(1), start)
        raw = self.head(y.squeeze(1)).unflatten(1, (w, self.sizes.outputs))  # (BC m, w, M)
        return raw.unflatten(0, (-1, m)).flatten(1, 2).unsqueeze(2)

    def start_at(self, biases: Float[Tensor, " M"]) -> None:
        """Let every output begin at its bias, whatever the input."""
        _constant(self.head[-1], biases)


def _constant(layer: nn.Module, biases: Float[Tensor, " M"]) -> None:
    """Set the weights to zero, and the biases, groups of M, to these."""
    if not isinstance(layer, nn.Linear):
        raise TypeError("the last layer of a head is linear")
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.copy_(biases.repeat(len(layer.bias) // len(biases)))
