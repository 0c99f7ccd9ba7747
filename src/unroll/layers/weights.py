"""PyTorch's base of recurrent layers, with weights that are looked up when they are asked for."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from unroll.errors import OptionError
from unroll.layers.quantization import check_quantization
from unroll.ops.call import Recurrence, Shape
from unroll.ops.torch_backend import flatten_weights


class LiveWeights(nn.RNNBase):
    """`torch.nn.RNNBase`, whose `_flat_weights` are the parameters as they are now.

    There it is a list that is kept in step with them at each assignment and each call.
    """

    recurrence: Recurrence

    def _register_weights(
        self, shapes: Sequence[Mapping[str, Shape]], device: torch.device | str | int | None, dtype: torch.dtype | None
    ) -> None:
        """Make the parameters of every layer and direction, of unknown values; `shapes`: of each layer."""
        self._flat_weights_names, self._all_weights = [], []
        for layer, of_layer in enumerate(shapes):
            for direction in ("", "_reverse") if self.bidirectional else ("",):
                names = [f"{name}_l{layer}{direction}" for name in of_layer]
                for name, shape in zip(names, of_layer.values(), strict=True):
                    self.register_parameter(name, nn.Parameter(torch.empty(shape, device=device, dtype=dtype)))
                self._flat_weights_names += names
                self._all_weights.append(names)
        self._init_flat_weights()

    @property
    def _flat_weights(self) -> list[Any]:
        return [getattr(self, name, None) for name in self._flat_weights_names]

    @_flat_weights.setter
    def _flat_weights(self, weights: Sequence[Any]) -> None:
        for name, old, new in zip(self._flat_weights_names, self._flat_weights, weights, strict=True):
            if new is not old and not is_parametrized(self, name):  # what is computed is not set to what it is
                setattr(self, name, new)

    def _init_flat_weights(self) -> None:
        """Remember which tensors the weights are: `torch.nn` asks when it has moved them."""
        self._flat_weight_refs = [None if w is None else weakref.ref(w) for w in self._flat_weights]
        self.flatten_parameters()

    def __setattr__(self, attr: str, value: Any) -> None:
        if attr == "qconfig":
            check_quantization(type(self).__name__, value)
        nn.Module.__setattr__(self, attr, value)

    def flatten_parameters(self) -> None:
        """Move the weights of each layer and direction into one block of GPU memory, where cuDNN reads them in place.

        Done when the weights are made and moved. Weights that are computed, or are anywhere but on a CUDA device, stay.
        """
        for names in self._all_weights:
            weights = [w for w in map(self._parameters.get, names) if w is not None and w.is_cuda]
            if len(weights) == len(names):
                flatten_weights(self.recurrence, weights)

    def __prepare_scriptable__(self) -> nn.Module:
        """Refuse `torch.jit.script`, which would put what this gives in the layer's place in the model itself.

        Raises:
            OptionError: always.
        """
        raise OptionError(
            f"torch.jit.script cannot compile unroll.{type(self).__name__}; script "
            "unroll.layers.twins.scriptable(model), or take torch.export"
        )
