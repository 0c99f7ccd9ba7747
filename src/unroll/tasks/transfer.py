"""Start from a pre-trained run: load its vocabulary, layer sizes and weights."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from unroll.data.options import TextOptions
from unroll.data.text.tokenizer import TextTokenizer
from unroll.errors import OptionError, RunError
from unroll.runs import Run
from unroll.tasks.settings import Settings, TransferOptions
from unroll.tasks.state import ENCODER

if TYPE_CHECKING:
    from torch import nn

# options that determine the shapes and meaning of the copied weights; dropout and the like remain free
_SIZES = (
    *("embedding_dim", "recurrence", "hidden_size", "num_layers", "last_hidden_size", "bidirectional", "proj_size"),
    *("nonlinearity", "reset_after", "residual", "layer_norm", "learn_initial_state"),
)
_TEXT = tuple(f.name for f in fields(TextOptions))
_OF_WORDS = ("vocab_size", "min_freq", "normalize", "lowercase")
_PARTS = ("inputs.", "recurrent.")

S = TypeVar("S", bound=Settings)


def resolve_settings(kind: type[S], given: Mapping[str, Any]) -> S:
    """Build settings from the given options; with `init_from`, sizes come from that run.

    Raises:
        OptionError: as `Settings.from_flat`, and for an option that contradicts the run.
        RunError: there is no such run, or it holds no text model.
    """
    return kind.from_flat(_resolve_pretrained(kind, given) if given.get("init_from") else given)


def _resolve_pretrained(kind: type[Settings], given: Mapping[str, Any]) -> dict[str, Any]:
    """Merge the given options with those that the `init_from` run determines.

    These are layer sizes and text options, as far as the task has them, and `kind.pretrained_overrides`.

    Raises:
        OptionError: an option was given that contradicts the run.
        RunError: there is no such run, or it is damaged or holds no text model.
    """
    path = os.path.expanduser(str(given["init_from"]))
    run, known = Run.open(path, trust_changed=given.get("trust_changed") is True), kind().flat()
    theirs = run.config()["options"]
    _text_encoder(run)
    options = dict(given) | {"init_from": path}
    for name, (value, why) in kind.pretrained_overrides.items():
        if name in given and given[name] != value:
            raise OptionError(f"{name} cannot be {given[name]!r} beside init_from: {why}")
        options[name] = value
    for name in (*_SIZES, *_TEXT):
        if name not in known or name not in theirs:
            continue
        if name in given and given[name] != theirs[name]:
            raise _contradiction(name, given[name], theirs[name], path)
        options[name] = theirs[name]
    return options


def pretrained_tokenizer(transfer: TransferOptions, text: TextOptions) -> TextTokenizer:
    """Load the tokenizer of the `init_from` run.

    Raises:
        OptionError: `text` differs from the run's text options.
        RunError: there is no such run, or it is damaged or holds no text model.
    """
    run = Run.open(transfer.init_from, trust_changed=transfer.trust_changed)
    encoder = _text_encoder(run)
    _agree(text, encoder.options, _TEXT, transfer.init_from)
    return encoder


def pretrained_words(transfer: TransferOptions, text: TextOptions) -> list[str]:
    """Load the words of the `init_from` run, in the order of their ids from 2 on.

    Raises:
        OptionError: the run's tokens are not words.
        RunError: there is no such run, or it is damaged or holds no text model.
    """
    encoder = _text_encoder(Run.open(transfer.init_from, trust_changed=transfer.trust_changed))
    if encoder.options.level != "word":
        raise OptionError(
            f"the tokens of {transfer.init_from}, which init_from names, are of the level '{encoder.options.level}';"
            " a tagger can only start from words"
        )
    _agree(text, encoder.options, _OF_WORDS, transfer.init_from)
    return encoder.entries()


def load_pretrained_weights(transfer: TransferOptions, model: nn.Module) -> list[str]:
    """Copy the weights of input stage and recurrent layers from `init_from` to `model`; return their names.

    Raises:
        OptionError: the model has none of them, or one of another shape.
        RunError: the run is damaged.
    """
    import torch

    path = transfer.init_from
    theirs, weights = Run.open(path, trust_changed=transfer.trust_changed).read_tensors(), model.state_dict()
    names = [name for name in theirs if name.startswith(_PARTS) and name in weights]
    if not any(name.startswith("recurrent.") for name in names):
        raise OptionError(f"init_from names {path}, whose recurrent layers do not fit this model's")
    for name in names:
        if theirs[name].shape != weights[name].shape:
            raise OptionError(
                f"init_from names {path}, where '{name}' has shape {list(theirs[name].shape)};"
                f" this model needs {list(weights[name].shape)}"
            )
    with torch.no_grad():
        for name in names:
            weights[name].copy_(theirs[name])
    return names


def _agree(own: TextOptions, theirs: TextOptions, names: Iterable[str], path: str) -> None:
    for name in names:
        if getattr(own, name) != getattr(theirs, name):
            raise _contradiction(name, getattr(own, name), getattr(theirs, name), path)


def _contradiction(name: str, own: Any, theirs: Any, path: str) -> OptionError:
    return OptionError(f"{name} is {own!r}, but it is {theirs!r} in {path}, which init_from names")


def _text_encoder(run: Run) -> TextTokenizer:
    task = run.config()["task"]
    try:
        return run.read_as(ENCODER, TextTokenizer.from_json)
    except RunError as error:
        raise RunError(f"init_from names {run.path}, a {task} run without a vocabulary of text: {error}") from error
