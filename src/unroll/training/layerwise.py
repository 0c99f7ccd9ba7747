"""Discriminative fine-tuning: layer-wise learning rates and gradual unfreezing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from unroll.training.diagnostics import groups
from unroll.training.options import TrainingOptions


class Layerwise:
    """Set learning rates layer by layer, and unfreeze the layers gradually, from the head to the input.

    Counted from the head (k = 0), layer k has the learning rate learning_rate * layer_decay^k and is trained from
    epoch k * unfreeze_every on (counted from 0). Until then its parameters require no gradient and do not change:
    there is no weight decay, no momentum and no optimizer state for them. Howard & Ruder, 2018, "Universal
    language model fine-tuning for text classification" (there the factor is 1 / 2.6).

    Layers are those of `unroll.training.diagnostics.groups`, in the order of the model's parameters; a weight that two
    layers share belongs to the first of them.

    Args:
        model: the model; its parameters that require a gradient are trained.
        options: learning_rate, layer_decay, unfreeze_every; devices and nodes: each of several processes computes
            every gradient, as PyTorch's DDP waits for all of them, and a frozen layer's are dropped.
    """

    def __init__(self, model: nn.Module, options: TrainingOptions) -> None:
        named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
        self._layers: dict[str, list[nn.Parameter]] = {}
        for layer, (_, p) in zip(groups(n for n, _ in named), named, strict=True):
            self._layers.setdefault(layer, []).append(p)
        self._options = options
        self._several = options.devices > 1 or options.nodes > 1
        self.frozen: frozenset[str] = frozenset()

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return the optimizer's parameter groups, the head's last; one group if all layers have the same rate."""
        rate, decay = self._options.learning_rate, self._options.layer_decay
        if decay == 1.0:
            return [{"params": [p for layer in self._layers.values() for p in layer], "lr": rate}]
        top = len(self._layers) - 1
        return [{"params": p, "lr": rate * decay ** (top - i)} for i, p in enumerate(self._layers.values())]

    def begin(self, epoch: int) -> None:
        """Freeze and unfreeze the layers for the epoch, counted from 0."""
        every, names = self._options.unfreeze_every, list(self._layers)
        trained = 1 + epoch // every if every else len(names)
        self.frozen = frozenset(names[: max(0, len(names) - trained)])
        if not self._several:
            self._require(lambda name: name not in self.frozen)

    def drop(self) -> None:
        """Drop the gradients of the frozen layers."""
        for name in self.frozen:
            for p in self._layers[name]:
                p.grad = None

    def release(self) -> None:
        """Unfreeze every layer, as before the training."""
        self._require(lambda name: True)

    def plan(self) -> str:
        """Describe from which epoch (from 1) each layer is trained; empty if all are from the first."""
        every, epochs = self._options.unfreeze_every, self._options.epochs
        if not every or len(self._layers) < 2:
            return ""
        first, *others = [(name or "the weights", k * every + 1) for k, name in enumerate(reversed(self._layers))]
        later = [f"{name} from epoch {n} on" for name, n in others if n <= epochs]
        never = [name for name, n in others if n > epochs]
        parts = [f"at first only {first[0]} is trained", *later]
        return ", ".join(parts) + (f"; {' and '.join(never)} not at all in {epochs} epochs" if never else "")

    def _require(self, wanted: Callable[[str], bool]) -> None:
        for name, parameters in self._layers.items():
            for p in parameters:
                p.requires_grad_(wanted(name))
