"""Convert models to PyTorch's own layers, for tools that support no others."""

from __future__ import annotations

import copy

from torch import nn

from unroll.errors import OptionError
from unroll.layers.gru import GRU
from unroll.layers.lstm import LSTM
from unroll.layers.recurrent import RecurrentLayer
from unroll.layers.rnn import RNN
from unroll.layers.scripting import ScriptableGRU, ScriptableLSTM, ScriptableRNN

_Kinds = dict[type[RecurrentLayer], type[nn.RNN | nn.GRU | nn.LSTM]]
_TORCH: _Kinds = {RNN: nn.RNN, GRU: nn.GRU, LSTM: nn.LSTM}
_SCRIPTABLE: _Kinds = {RNN: ScriptableRNN, GRU: ScriptableGRU, LSTM: ScriptableLSTM}
_DROPOUTS = ("input_dropout", "hidden_dropout", "output_dropout", "recurrent_dropout", "weight_dropout")


def to_torch(model: nn.Module) -> nn.Module:
    """Convert a model to `torch.nn`'s layers, in a copy with the same weights, outputs and `state_dict`.

    For tools that look layers up by exact type: `torch.ao.quantization`. The layers take no `lengths` or `resets`.

    Raises:
        OptionError: a layer has no equivalent in `torch.nn`.
    """
    return _copied(model, _TORCH)


def scriptable(model: nn.Module) -> nn.Module:
    """Convert a model to layers that `torch.jit.script` can compile, in a copy with the same weights and outputs.

    The layers take `lengths` as a tensor (B,), and no `resets`.

    Raises:
        OptionError: a layer has no equivalent in `torch.nn`.
    """
    return _copied(model, _SCRIPTABLE)


def _copied(model: nn.Module, kinds: _Kinds) -> nn.Module:
    for name, module in model.named_modules():
        reason = _unlike(module) if isinstance(module, RecurrentLayer) else None
        if reason is not None:
            where = f"'{name}' " if name else ""
            raise OptionError(f"torch.nn has no layer like {where}({type(module).__name__}): {reason}")
    model = copy.deepcopy(model)
    twins: dict[nn.Module, nn.Module] = {}  # a layer that is used in two places stays one
    if isinstance(model, RecurrentLayer):
        return _twin(model, kinds)
    for parent in list(model.modules()):
        for name, child in parent._modules.items():
            if isinstance(child, RecurrentLayer):
                if child not in twins:
                    twins[child] = _twin(child, kinds)
                parent._modules[name] = twins[child]
    return model


def _unlike(layer: RecurrentLayer) -> str | None:
    """Explain why the layer has no equivalent in `torch.nn`, or return None."""
    if type(layer) not in _TORCH:
        return "it is of another class than RNN, LSTM and GRU, or has parametrized weights"
    if any(name not in layer._parameters for name in layer._flat_weights_names):
        return "a weight is no parameter; remove what computes it (prune.remove, remove_weight_norm)"
    for name in ("learn_initial_state", "residual", "layer_norm"):
        if getattr(layer, name):
            return f"it has {name}"
    if not getattr(layer, "reset_after", True):
        return "it has reset_after=False"
    for name in _DROPOUTS:
        if getattr(layer, name) and layer.training:
            return f"it has {name}; call eval() first"
    return None


def _twin(layer: RecurrentLayer, kinds: _Kinds) -> nn.RNNBase:
    """Convert a layer to `torch.nn`'s, with the same parameters, hooks and mode."""
    kind = kinds[type(layer)]
    known = vars(kind(1, 1, device="meta"))
    state = {name: value for name, value in layer.__getstate__().items() if name in known}
    twin = kind.__new__(kind)
    twin.__setstate__({**state, "_flat_weights": layer._flat_weights})
    return twin
