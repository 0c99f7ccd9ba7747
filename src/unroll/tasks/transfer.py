"""Starting from a pre-trained run: its vocabulary, the sizes of its layers, and their weights."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TypeVar

import torch
from torch import nn

from unroll.data.text import TextEncoder
from unroll.errors import OptionError
from unroll.models.options import RecurrentOptions, TokenOptions
from unroll.options import build
from unroll.runs import ENCODER, Run
from unroll.tasks.labelled_options import LabelledSettings

# what decides the shapes and meaning of the weights that are taken over; dropout and the like stay a person's choice
_SHAPES = (
    *("embedding", "recurrence", "hidden", "layers", "last_hidden", "bidirectional", "projection"),
    *("nonlinearity", "reset_after", "residual", "layer_norm", "learn_initial_state"),
)
_PARTS = ("inputs.", "recurrent.")
# how much of a row is read is the new task's choice
_OWN_TEXT = ("max_length", "keep")

S = TypeVar("S", bound=LabelledSettings)


def adopt(settings: S) -> tuple[S, TextEncoder]:
    """The settings with the sizes and the text options of the run that `init_from` names, and its vocabulary.

    Raises:
        OptionError: an option was set that contradicts the run.
        RunError: there is no such run, or it is damaged or holds no text model.
    """
    path = settings.transfer.init_from
    run = Run.open(path)
    theirs, given = run.config()["options"], settings.changed()
    encoder = TextEncoder.from_json(run.read(ENCODER))
    encoder = encoder.shortening(settings.text.max_length, settings.text.keep)
    taken = {name: theirs[name] for name in _SHAPES if name in theirs}
    for name, value in {**_values(encoder.options), **taken}.items():
        if name in given and name not in _OWN_TEXT and given[name] != value:
            raise OptionError(f"{name} is {given[name]!r}, but it is {value!r} in {path}, which init_from names")
    both = _values(settings.recurrent) | _values(settings.tokens) | taken
    recurrent, tokens = build((RecurrentOptions, TokenOptions), both, path)
    return replace(settings, text=encoder.options, recurrent=recurrent, tokens=tokens), encoder


@torch.no_grad()
def take_over(path: str, model: nn.Module) -> list[str]:
    """Copy the input stage's and the recurrent layers' weights of the run at `path` into `model`; their names.

    Raises:
        OptionError: the model has none of them, or one of another shape.
        RunError: the run is damaged.
    """
    theirs, own = Run.open(path).read_tensors(), model.state_dict()
    names = [name for name in theirs if name.startswith(_PARTS) and name in own]
    if not any(name.startswith("recurrent.") for name in names):
        raise OptionError(f"init_from names {path}, whose recurrent layers do not fit this model's")
    for name in names:
        if theirs[name].shape != own[name].shape:
            raise OptionError(
                f"init_from names {path}, where '{name}' has shape {list(theirs[name].shape)};"
                f" this model needs {list(own[name].shape)}"
            )
        own[name].copy_(theirs[name])
    return names


def _values(options: object) -> dict[str, object]:
    return {f.name: getattr(options, f.name) for f in fields(options)}  # pyright: ignore[reportArgumentType]
