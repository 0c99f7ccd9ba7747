"""Recurrent sequence modelling for Python.

    layers        RNN, LSTM, GRU: torch.nn's interface, with lengths, resets, steps and a trace
    estimators    Classifier, Regressor, Tagger, Translator, Forecaster, LanguageModel: scikit-learn's interface
    runs          load: the predictor of a run folder

Names are imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unroll.errors import DataError, OptionError, RunError, UserError
    from unroll.estimators.classifier import Classifier, Regressor
    from unroll.estimators.forecaster import Forecaster
    from unroll.estimators.language_model import LanguageModel
    from unroll.estimators.tagger import Tagger
    from unroll.estimators.translator import Translator
    from unroll.layers.gru import GRU
    from unroll.layers.lstm import LSTM
    from unroll.layers.rnn import RNN
    from unroll.serving.predictor import Predictor, load

__version__ = "0.1.0"

_HOMES = {
    "Classifier": "unroll.estimators.classifier",
    "DataError": "unroll.errors",
    "Forecaster": "unroll.estimators.forecaster",
    "GRU": "unroll.layers.gru",
    "LSTM": "unroll.layers.lstm",
    "LanguageModel": "unroll.estimators.language_model",
    "OptionError": "unroll.errors",
    "Predictor": "unroll.serving.predictor",
    "RNN": "unroll.layers.rnn",
    "Regressor": "unroll.estimators.classifier",
    "RunError": "unroll.errors",
    "Tagger": "unroll.estimators.tagger",
    "Translator": "unroll.estimators.translator",
    "UserError": "unroll.errors",
    "load": "unroll.serving.predictor",
}

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Classifier",
    "DataError",
    "Forecaster",
    "LanguageModel",
    "OptionError",
    "Predictor",
    "Regressor",
    "RunError",
    "Tagger",
    "Translator",
    "UserError",
    "__version__",
    "load",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'unroll' has no attribute '{name}'")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
