"""Detect exploding and vanishing gradients, overfitting and dead outputs during training.

Each problem is reported once, with advice.
"""

from __future__ import annotations

import itertools
import math
import re
import statistics
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

_LAYER = re.compile(r"_l(\d+)(?:_reverse)?(?:\.|$)")
_WINDOW = 200
_KEPT = 2000

ADVICE = {
    "exploding": "try a smaller learning_rate, a smaller max_grad_norm, or gru or lstm in place of rnn",
    "vanishing": "try lstm or gru, layer normalisation or residual connections, a pooling over all steps, "
    "or shorter sequences",
    "overfitting": "try more dropout, weight_decay, a smaller model, patience, or more data",
    "dead outputs": "try a smaller learning_rate, class weights, another initialisation; look at the labels",
}


def groups(names: Iterable[str]) -> list[str]:
    """Name the layer of each parameter: its top-level module, and the number of a recurrent layer.

    `recurrent.weight_ih_l0_reverse` and `recurrent.norm_l0.weight` belong to `recurrent.l0`; `head.linear.weight` to
    `head`. If a top-level module has several submodules with recurrent layers, their layers are numbered through.
    A parameter that the recurrent layers of a module share, like `recurrent.initial_h`, belongs to the last of them.
    """
    layers: list[str] = []
    first: dict[tuple[str, str], int] = {}  # of each module with recurrent layers: the number of its l0
    count: dict[str, int] = {}
    for name in names:
        layer = _LAYER.search(name)
        top = name.split(".")[0] if "." in name else ("" if layer else name)
        module = (top, name[: layer.start() if layer else None].rpartition(".")[0])
        if layer is None and module not in first:
            layers.append(top)
            continue
        number = first.setdefault(module, count.get(top, 0)) + int(layer[1]) if layer else count[top] - 1
        count[top] = max(count.get(top, 0), number + 1)
        layers.append(".".join(p for p in (top, f"l{number}") if p))
    return layers


class GradientMonitor:
    """Monitor gradient norms, global and per layer, for exploding and vanishing gradients; keep a bounded table.

    Args:
        model: the model whose gradients are monitored.
        max_grad_norm: the norm that gradients are clipped to (0: no clipping).
    """

    def __init__(self, model: nn.Module, max_grad_norm: float = 0.0) -> None:
        self.names = [n for n, p in model.named_parameters() if p.requires_grad]
        of = groups(self.names)
        self.layers = list(dict.fromkeys(of))
        self._layer_of = [self.layers.index(g) for g in of]
        self._frozen: frozenset[str] = frozenset()
        self._find_ends()
        self._clip = max_grad_norm
        self.every = 1
        self.rows: list[list[float]] = []
        self._recent: deque[float] = deque(maxlen=_WINDOW)
        self._clipped: deque[bool] = deque(maxlen=_WINDOW)
        self._median = math.inf
        self._faint = 0

    def freeze(self, layers: frozenset[str]) -> None:
        """Set the frozen layers; all others count as trained."""
        if layers != self._frozen:
            self._frozen, self._faint = layers, 0
            self._find_ends()

    def _find_ends(self) -> None:
        trained = [g for g in self.layers if g not in self._frozen]
        recurrent = [g for g in trained if re.search(r"(^|\.)l\d+$", g)]
        # a direction of flow: the layers nearest the input first
        self._first, self._last = (recurrent or trained)[0], (recurrent or trained)[-1]

    def norms(self, present: Sequence[int], values: Sequence[float]) -> tuple[float, list[float]]:
        """Compute the global norm and each layer's norm from those of the parameters with indices `present`."""
        squares = [0.0] * len(self.layers)
        for i, v in zip(present, values, strict=True):
            squares[self._layer_of[i]] += v * v
        return math.sqrt(sum(squares)), [math.sqrt(s) for s in squares]

    def step(self, step: int, norm: float, layers: Sequence[float]) -> list[tuple[str, str]]:
        """Record one step's norms (before clipping); return the problems found, as (name, sentence)."""
        if (step - 1) % self.every == 0:
            self.rows.append([float(step), norm, *layers])
            if len(self.rows) > _KEPT:
                self.rows = self.rows[::2]
                self.every *= 2
        return [*self._exploding(step, norm), *self._vanishing(step, layers)]

    def _exploding(self, step: int, norm: float) -> list[tuple[str, str]]:
        problems = []
        if norm > 1e4 or norm > 100.0 * self._median:
            usual = "" if math.isinf(self._median) else f" (usually {self._median:.3g})"
            problems.append(("exploding", f"the gradient's norm was {norm:.3g} at step {step}{usual}"))
        self._recent.append(norm)
        self._clipped.append(bool(self._clip) and norm > self._clip)
        if step % 20 == 0:
            self._median = max(statistics.median(self._recent), 1e-12)
            share = sum(self._clipped) / len(self._clipped)
            if len(self._clipped) == _WINDOW and share > 0.5:
                what = f"{share:.0%} of the last {_WINDOW} gradients were longer than max_grad_norm {self._clip:g}"
                problems.append(("exploding", what))
        return problems

    def _vanishing(self, step: int, layers: Sequence[float]) -> list[tuple[str, str]]:
        first = layers[self.layers.index(self._first)]
        last = layers[self.layers.index(self._last)]
        self._faint = self._faint + 1 if first < 1e-7 or first < 1e-4 * last else 0
        if self._faint < 50:
            return []
        beside = "" if self._first == self._last else f" beside {last:.3g} in {self._last}"
        what = f"for 50 steps {self._first} got hardly any gradient (norm {first:.3g}{beside} at step {step})"
        return [("vanishing", what)]

    def state_dict(self) -> dict[str, Any]:
        """Return the state to resume the monitor from."""
        return {
            "every": self.every,
            "rows": torch.tensor(self.rows, dtype=torch.float64),
            "recent": list(self._recent),
            "clipped": list(self._clipped),
            "median": self._median,
            "faint": self._faint,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict()` returned."""
        self.every, self._median, self._faint = state["every"], state["median"], state["faint"]
        self.rows = state["rows"].tolist()
        self._recent = deque(state["recent"], maxlen=_WINDOW)
        self._clipped = deque(state["clipped"], maxlen=_WINDOW)


def overfitting(history: Sequence[dict[str, float]]) -> str | None:
    """Return a sentence if the validation loss rose for three epochs while the training loss fell."""
    if len(history) < 4 or "valid_loss" not in history[-1]:
        return None
    last = history[-4:]
    pairs = list(itertools.pairwise(last))
    if all(b["valid_loss"] > a["valid_loss"] and b["train_loss"] < a["train_loss"] for a, b in pairs):
        up = f"from {last[0]['valid_loss']:.4g} to {last[-1]['valid_loss']:.4g}"
        return f"over the last three epochs the validation loss rose {up} while the training loss fell"
    return None


class OutputMonitor:
    """Detect dead outputs (..., K) in a validation pass: the same answer, or the same class, for every row.

    Only running minima and maxima are kept, on the device; one transfer at the end of the pass.
    """

    def __init__(self) -> None:
        self._extremes: Tensor | None = None
        self._rows = self._k = self._one_class = 0

    def start(self) -> None:
        """Start a new pass."""
        self._extremes, self._rows = None, 0

    def update(self, output: Tensor, target: Tensor | None) -> None:
        """Update with a batch: output (..., K), and its targets (...), int64 if they are classes."""
        out = output.detach().float()
        out = out.reshape(-1, out.shape[-1] if out.dim() > 1 else 1)  # (N, K)
        parts = [out.amax(0), -out.amin(0)]
        if target is not None and target.dtype == torch.int64 and out.shape[1] > 1:
            chosen, wanted = out.argmax(1).float(), target.reshape(-1).float()
            parts += [t[None] for t in (chosen.amax(), -chosen.amin(), wanted.amax(), -wanted.amin())]
        new = torch.cat(parts)
        self._extremes = new if self._extremes is None else torch.maximum(self._extremes, new)
        self._rows += out.shape[0]
        self._k = out.shape[1]

    def extremes(self) -> Tensor | None:
        """Return the pass's extremes; combine those of several processes by the maximum."""
        return self._extremes

    def finish(self, extremes: Tensor | None) -> list[tuple[str, str]]:
        """Return the problems of the pass, as (name, sentence)."""
        if extremes is None or self._rows < 2:
            return []
        e, k = extremes.double().cpu(), self._k
        high, low, classes = e[:k], -e[k : 2 * k], e[2 * k :].tolist()
        several = classes[2] > -classes[3] if classes else True
        scale = float(torch.maximum(high.abs(), low.abs()).max())
        if several and bool(((high - low) <= 1e-6 * scale).all()):
            return [("dead outputs", "the model gives the same answer for every row of the validation data")]
        self._one_class = self._one_class + 1 if classes and several and classes[0] == -classes[1] else 0
        # an untrained model may choose one class for a while; three passes in a row are worth a word
        if self._one_class >= 3:
            what = f"in three passes over the validation data every row was given class number {classes[0]:.0f}"
            return [("dead outputs", what)]
        return []

    def state_dict(self) -> dict[str, int]:
        """Return the state to resume the monitor from."""
        return {"one_class": self._one_class}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Restore what `state_dict()` returned."""
        self._one_class = state["one_class"]
