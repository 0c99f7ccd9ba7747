"""Choose the options that were not given by what the training texts are like."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from statistics import median
from typing import Any

from unroll.options import shown
from unroll.tasks.classification.options import ClassificationSettings

LEAST_ROWS = 1000
"""Training texts below which every option keeps its default: there would be too few updates for a larger model."""
MOST_CHARACTERS = 400
"""Median length of texts, in characters, up to which they are read by character."""
_SAMPLE = 1000
_LATIN = 400
"""Different characters in the sample above which the script is taken to have thousands of them."""

_COMMON: dict[str, Any] = {
    "bidirectional": True, "pooling": "max", "pool_inputs": True, "hidden_size": 64, "embedding_dim": 64,
    "init": "orthogonal", "forget_bias": 1.0, "conv_filters": 64, "conv_pool": 4, "ngram_vocab_size": 60_000,
    "optimizer": "adamw", "schedule": "cosine", "average": "ema", "ema_decay": 0.99, "batch_size": 64,
    "label_smoothing": 0.1,
}  # fmt: skip
_CHARACTERS: dict[str, Any] = {
    "level": "char", "min_freq": 1, "ngrams": 5, "conv_kernel_sizes": (5,), "max_length": 800,
    "embedding_dropout": 0.2, "head_dropout": 0.3, "weight_decay": 0.02, "learning_rate": 0.006,
}  # fmt: skip
_WORDS: dict[str, Any] = {
    "level": "word", "ngrams": 2, "conv_kernel_sizes": (3,), "embedding_dropout": 0.5, "word_dropout": 0.2,
    "head_dropout": 0.5, "weight_decay": 0.1, "learning_rate": 0.003,
}  # fmt: skip
_UPDATES = 2200
"""Optimizer steps to aim at, in 2 to 15 (characters) or 8 (words) passes over the data."""
_UNFIT: dict[str, tuple[str, tuple[Any, ...]]] = {
    "forget_bias": ("recurrence", ("lstm", "gru")), "ema_decay": ("average", ("ema",)),
    "learning_rate": ("optimizer", ("adamw", "adam")), "weight_decay": ("optimizer", ("adamw",)),
}  # fmt: skip
"""Options that are not chosen where another one was given that is not among these."""


def choose_options(
    settings: ClassificationSettings, texts: Iterable[str], rows: int, *, regression: bool
) -> tuple[ClassificationSettings, list[str]]:
    """Choose the options that were not given by what `rows` training texts are like.

    Texts of up to 400 characters (median) are read by character, with n-grams of up to 5 characters; longer ones by
    word, with pairs of words. Both go through a convolution and a bidirectional recurrent layer; its maximum over time
    and the mean of the embeddings meet in the head.

    N-grams beside the network: Joulin et al. 2017, "Bag of tricks for efficient text classification".

    Returns:
        The settings, and lines that say what was chosen and why; none if nothing was.
    """
    if settings.classification.preset == "none" or settings.transfer.init_from or rows < LEAST_ROWS:
        return settings, []
    flat, given = settings.flat(), settings.given | settings.changed().keys()
    sample = list(islice(texts, _SAMPLE))
    characters = median(len(text) for text in sample)
    level = flat["level"] if "level" in given else "char" if characters <= MOST_CHARACTERS else "word"
    by_character = level in ("char", "byte")
    options = {**_COMMON, **(_CHARACTERS if by_character else _WORDS), "level": level}
    if by_character and len(set("".join(sample))) > _LATIN:
        options["ngrams"] = 2  # longer runs of thousands of different characters are too many to number
    if regression:
        options.pop("label_smoothing")
    if "conv_filters" in given and not flat["conv_filters"]:
        options = {name: value for name, value in options.items() if not name.startswith("conv_")}
    if "chrono_init" in given:
        options.pop("forget_bias")
    batch_size = flat["batch_size"] if "batch_size" in given else options["batch_size"]
    options["epochs"] = min(max(round(_UPDATES * batch_size / rows), 2), 15 if by_character else 8)
    for name, (other, values) in _UNFIT.items():
        if other in given and flat[other] not in values:
            options.pop(name, None)
    options = {name: value for name, value in options.items() if name not in given}
    if not options:
        return settings, []
    told = ", ".join(f"{name} {shown(value)}" for name, value in options.items())
    reason = f"chosen for {rows:,} texts of {characters:,.0f} characters (--preset none keeps the defaults):"
    lines = [reason, *textwrap.wrap(told, 100, initial_indent="  ", subsequent_indent="  ")]
    return replace(type(settings).from_flat(flat | options), given=settings.given), lines
