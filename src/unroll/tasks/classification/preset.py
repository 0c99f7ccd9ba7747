"""Choose the options that were not given by what the training rows are like."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from itertools import islice
from statistics import median
from typing import Any

from unroll.options import shown
from unroll.tasks.classification.options import ClassificationSettings

LEAST_TEXTS = 1000
"""Training texts below which every option keeps its default: there would be too few updates for a larger model."""
LEAST_SEQUENCES = 20
"""Likewise of numeric sequences."""
MOST_CHARACTERS = 400
"""Median length of texts, in characters, up to which they are read by character."""
FEW = 2000
"""Sequences below which those held out for validation are trained on in the end."""
_SAMPLE = 1000
_LATIN = 400
"""Different characters in the sample above which the script is taken to have thousands of them."""

_COMMON: dict[str, Any] = {
    "bidirectional": True, "pooling": "max", "hidden_size": 64, "init": "orthogonal", "conv_filters": 64,
    "optimizer": "adamw", "schedule": "cosine", "average": "ema", "ema_decay": 0.99, "label_smoothing": 0.1,
}  # fmt: skip
_TEXTS: dict[str, Any] = {
    **_COMMON, "forget_bias": 1.0, "pool_inputs": True, "ngram_vocab_size": 60_000, "conv_pool": 4, "batch_size": 64,
}  # fmt: skip
_CHARACTERS: dict[str, Any] = {
    **_TEXTS, "level": "char", "min_freq": 1, "ngrams": 5, "conv_kernel_sizes": (5,), "max_length": 800,
    "embedding_dim": 64, "embedding_dropout": 0.2, "head_dropout": 0.3, "weight_decay": 0.02, "learning_rate": 0.006,
}  # fmt: skip
_WORDS: dict[str, Any] = {
    **_TEXTS, "level": "word", "ngrams": 2, "conv_kernel_sizes": (3,), "embedding_dim": 64, "embedding_dropout": 0.5,
    "word_dropout": 0.2, "head_dropout": 0.5, "weight_decay": 0.1, "learning_rate": 0.003,
}  # fmt: skip
_MANY_WORDS: dict[str, Any] = {
    "vocab_size": 30_000, "max_length": 500, "keep": "both", "ngrams": 3, "ngram_vocab_size": 300_000, "conv_pool": 2,
    "embedding_dropout": 0.6, "word_dropout": 0.3, "weight_decay": 0.3, "learning_rate": 0.001, "ema_decay": 0.998,
    "max_grad_norm": 1.0,
}  # fmt: skip
_MANY_CLASSES: dict[str, Any] = {"embedding_dim": 128, "embedding_dropout": 0.4, "head_dropout": 0.5}
_VERY_SHORT: dict[str, Any] = {"conv_kernel_sizes": (3,), "conv_pool": 1, "word_dropout": 0.1}
_SEQUENCES: dict[str, Any] = {
    **_COMMON, "pooling": "mean+max", "conv_kernel_sizes": (7,), "head_dropout": 0.3, "weight_decay": 0.01,
    "learning_rate": 0.003,
}  # fmt: skip
_TEXT_UPDATES, _SEQUENCE_UPDATES = 2200, 1000
"""Optimizer steps to aim at."""
MANY_CLASSES = 50
"""Labels from which on the model of short texts is wider, and trained for longer."""
MANY_TEXTS = 15_000
"""Long texts from which on more of their words and pairs are read, with more dropout and a smaller learning rate."""
VERY_SHORT = 24
"""Median length below which texts are words or names: nothing in them is pooled away."""
_UNFIT: dict[str, tuple[str, tuple[Any, ...]]] = {
    "forget_bias": ("recurrence", ("lstm", "gru")), "ema_decay": ("average", ("ema",)),
    "learning_rate": ("optimizer", ("adamw", "adam")), "weight_decay": ("optimizer", ("adamw",)),
}  # fmt: skip
"""Options that are not chosen where another one was given that is not among these."""


def choose_options(
    settings: ClassificationSettings, inputs: Iterable[Any], rows: int, *, text: bool, labels: int
) -> tuple[ClassificationSettings, list[str]]:
    """Choose the options that were not given by what `rows` training rows with so many labels (0: numbers) are like.

    Texts of up to 400 characters (median) are read by character, with n-grams of up to 5 characters, more widely where
    there are 50 labels or more, without pooling in the convolution where they are words or names; longer ones by
    word, with pairs of words (and, of many texts, triples). Texts and numeric sequences go through a convolution and a
    bidirectional recurrent layer, which is pooled over time; for texts the mean of the embeddings goes to the head,
    too. Few sequences are trained on twice, the second time with those held out for validation.

    N-grams beside the network: Joulin et al. 2017, "Bag of tricks for efficient text classification".

    Returns:
        The settings, and lines that say what was chosen and why; none if nothing was.
    """
    least = LEAST_TEXTS if text else LEAST_SEQUENCES
    if settings.classification.preset == "none" or settings.transfer.init_from or rows < least:
        return settings, []
    flat, given = settings.flat(), settings.set_by_user()
    sample = list(islice(inputs, _SAMPLE))
    length = median(len(row) for row in sample)
    chosen = {name: flat[name] for name in given}
    if text:
        options = _for_texts(chosen, sample, length, rows, labels)
    else:
        options = _for_sequences(chosen, length, rows)
    if not labels:
        options.pop("label_smoothing")
    if not chosen.get("conv_filters", True):
        options = {name: value for name, value in options.items() if not name.startswith("conv_")}
    if "chrono_init" in given:
        options.pop("forget_bias", None)
    if not flat["validation_fraction"]:
        options.pop("refit", None)
    for name, (other, values) in _UNFIT.items():
        if other in given and flat[other] not in values:
            options.pop(name, None)
    options = {name: value for name, value in options.items() if name not in given}
    if not options:
        return settings, []
    told = ", ".join(f"{name} {shown(value)}" for name, value in options.items())
    kind = f"texts of {length:,.0f} characters" if text else f"sequences of {length:,.0f} steps"
    reason = f"chosen for {rows:,} {kind} (--preset none keeps the defaults):"
    lines = [reason, *textwrap.wrap(told, 100, initial_indent="  ", subsequent_indent="  ")]
    return settings.with_chosen(options), lines


def _for_texts(given: dict[str, Any], sample: list[str], characters: float, rows: int, labels: int) -> dict[str, Any]:
    level = given.get("level", "char" if characters <= MOST_CHARACTERS else "word")
    by_character, updates, most = level in ("char", "byte"), _TEXT_UPDATES, 15
    options = {**(_CHARACTERS if by_character else _WORDS), "level": level}
    if not by_character:
        options, most = options | (_MANY_WORDS if rows >= MANY_TEXTS else {}), 8
    elif characters < VERY_SHORT:
        options, most = options | _VERY_SHORT, 6
    elif labels >= MANY_CLASSES:
        options, updates, most = options | _MANY_CLASSES, 2 * updates, 25
    if by_character and len(set("".join(sample))) > _LATIN:
        options["ngrams"] = 2  # longer runs of thousands of different characters are too many to number
    batch_size = given.get("batch_size", options["batch_size"])
    return {**options, "epochs": min(max(round(updates * batch_size / rows), 2), most)}


def _for_sequences(given: dict[str, Any], steps: float, rows: int) -> dict[str, Any]:
    options = {**_SEQUENCES, "conv_pool": 1 if steps < 16 else 2 if steps < 512 else 4}
    options["batch_size"] = 16 if rows < FEW else 64
    batch_size = given.get("batch_size", options["batch_size"])
    options["epochs"] = min(max(round(_SEQUENCE_UPDATES * batch_size / rows), 5), 400)
    return {**options, "refit": True} if rows < FEW else options
