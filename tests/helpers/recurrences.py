"""Every recurrence that the tests know: the layers, their twins in `torch.nn`, and two that no backend has heard of."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from unroll.layers.gru import GRU
from unroll.layers.lstm import LSTM
from unroll.layers.recurrent import RecurrentLayer
from unroll.layers.rnn import RNN
from unroll.ops.backends import BACKENDS
from unroll.ops.call import Recurrence, Sizes, State, Step, Weights
from unroll.ops.elman import RELU, TANH
from unroll.ops.gru import RESET_AFTER, RESET_BEFORE
from unroll.ops.lstm import LSTM as LSTM_RECURRENCE


class Kind(NamedTuple):
    recurrence: Recurrence
    ours: type[RecurrentLayer]
    theirs: type[nn.RNNBase] | None
    """The twin in `torch.nn`."""
    options: dict[str, Any]
    projected: bool = False


KINDS = {
    "tanh": Kind(TANH, RNN, nn.RNN, {}),
    "relu": Kind(RELU, RNN, nn.RNN, {"nonlinearity": "relu"}),
    "gru": Kind(RESET_AFTER, GRU, nn.GRU, {}),
    "gru before": Kind(RESET_BEFORE, GRU, None, {"reset_after": False}),
    "lstm": Kind(LSTM_RECURRENCE, LSTM, nn.LSTM, {}),
    "projected": Kind(LSTM_RECURRENCE, LSTM, nn.LSTM, {}, projected=True),
}
TWINS = {name: kind for name, kind in KINDS.items() if kind.theirs is not None}
every_recurrence = pytest.mark.parametrize("name", KINDS)
every_twin = pytest.mark.parametrize("name", TWINS)
every_class = pytest.mark.parametrize("cls", [RNN, GRU, LSTM])


def _options(kind: Kind, H: int) -> dict[str, Any]:
    return {**kind.options, **({"proj_size": max(1, H // 2)} if kind.projected else {})}


def layer(name: str, D: int, H: int, backend: str = "auto", **options: Any) -> RecurrentLayer:
    """One of `KINDS` or `TOYS`; the test is skipped where the backend has no such kernels."""
    recurrence = TOYS[name] if name in TOYS else KINDS[name].recurrence
    if backend != "auto" and (reason := BACKENDS[backend].missing() or BACKENDS[backend].lacks(recurrence, False)):
        pytest.skip(reason)
    if name in TOYS:
        return RecurrentLayer(recurrence, D, H, backend=backend, **options)
    return KINDS[name].ours(D, H, **_options(KINDS[name], H), backend=backend, **options)


def twin(name: str, D: int, H: int, **options: Any) -> nn.RNNBase:
    """The same layer of `torch.nn`."""
    theirs = TWINS[name].theirs
    assert theirs is not None
    return theirs(D, H, **_options(TWINS[name], H), **options)


def weights(recurrence: Recurrence, sizes: Sizes, *, leaves: bool = False, dtype=torch.float32, device=None) -> Weights:
    """Random parameters, of a size that keeps what they multiply as it is."""

    def draw(name, shape):
        scale = shape[-1] ** -0.5 if len(shape) > 1 else 1.0
        return (torch.randn(shape) * scale).to(device, dtype).requires_grad_(leaves)

    return {name: draw(name, shape) for name, shape in recurrence.parameters(sizes).items()}


def _three_parameters(sizes: Sizes) -> dict[str, tuple[int, ...]]:
    H = sizes.hidden_size
    shapes = {"weight_ih": (3 * H, sizes.input_size), "weight_hh": (3 * H, H), "mix": (2,)}
    return {**shapes, "bias": (3 * H,)} if sizes.bias else shapes


def _three_shapes(states: tuple[str, ...], sizes: Sizes) -> dict[str, tuple[int, ...]]:
    H = sizes.hidden_size
    return dict(zip(states, ((H,), (H,), (H, 2)), strict=True))


def _three(x: Tensor, state: State, weights: Weights, mask: Tensor | None = None) -> Step:
    h, c, m = state
    recurrent = h if mask is None else h * mask
    a = linear(x, weights["weight_ih"], weights.get("bias")) + linear(recurrent, weights["weight_hh"])
    i, f, o = a.chunk(3, dim=-1)
    i, f, o = i.sigmoid(), f.sigmoid(), o.sigmoid()
    c = f * c + i * a[..., : h.shape[-1]].tanh()
    m = torch.stack([m[..., 0] * f + i, m[..., 1] + 0.1 * c], -1)
    h = o * torch.tanh(c + m @ weights["mix"].tanh())
    return Step(h, (h, c, m), {"i": i, "f": f, "o": o})


def _minimal_parameters(sizes: Sizes) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {"weight_ih": (2 * sizes.hidden_size, sizes.input_size)}
    return {**shapes, "bias": (2 * sizes.hidden_size,)} if sizes.bias else shapes


def _minimal_gates(x: Tensor, weights: Weights) -> tuple[Tensor, Tensor]:
    z, n = linear(x, weights["weight_ih"], weights.get("bias")).chunk(2, dim=-1)
    return z.sigmoid(), n


def _minimal(x: Tensor, state: State, weights: Weights, mask: Tensor | None = None) -> Step:
    z, n = _minimal_gates(x, weights)
    h = (1 - z) * state[0] + z * n
    return Step(h, (h,), {"z": z, "n": n})


def _minimal_scan(x: Tensor, state: State, weights: Weights) -> tuple[Tensor, State]:
    """By doubling: after round k each step holds the 2^k steps up to it."""
    z, n = _minimal_gates(x, weights)
    keep, add = 1 - z, z * n
    add = torch.cat([add[:1] + keep[:1] * state[0], add[1:]])
    apart = 1
    while apart < len(x):
        add = torch.cat([add[:apart], add[apart:] + keep[apart:] * add[:-apart]])
        keep = torch.cat([keep[:apart], keep[apart:] * keep[:-apart]])
        apart *= 2
    return add, (add,)


THREE_STATES = Recurrence(
    "three_states",
    _three_parameters,
    {"h": 0.0, "c": 0.0, "m": 0.5},
    _three,
    shapes=_three_shapes,
    recurrent=("weight_hh",),
    gates=3,
)
"""Three states, of which one is a matrix and starts from 0.5."""
MINIMAL = Recurrence("minimal", _minimal_parameters, {"h": 0.0}, _minimal, scan=_minimal_scan, gates=2)
"""No recurrent weights (the minimal GRU of Feng et al. 2024), and all steps at once."""
TOYS = {"three states": THREE_STATES, "minimal": MINIMAL}
