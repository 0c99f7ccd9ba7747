"""Embeddings that start from what the training part's labels say of each token.

Wang and Manning 2012, "Baselines and Bigrams: Simple, Good Sentiment and Topic Classification": a token's
log-odds of standing in a row of a class are a strong feature; here they are where its vector starts.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unroll.data.examples import Examples
from unroll.models.many_to_one import TokenInput

_SIZE = 0.05


def log_odds(counts: Float[Tensor, "V K"], rows: Float[Tensor, " K"]) -> Float[Tensor, "V K"]:
    """r_vk = log (c_vk + 1) / (n_k + 2) - log (c_v - c_vk + 1) / (n - n_k + 2): class k against the others.

    c_vk is the number of rows of class k that hold entry v, n_k the number of rows of class k.
    """
    others, rest = counts.sum(1, keepdim=True) - counts, rows.sum() - rows
    return ((counts + 1) / (rows + 2)).log() - ((others + 1) / (rest + 2)).log()


@torch.no_grad()
def start_from_log_odds(inputs: TokenInput, examples: Examples, classes: int) -> None:
    """Add to each embedded entry its log-odds along one random direction a class.

        E[v] += sum_k r_vk u_k,   u_k in {-0.05, +0.05}^D

    for words, and for the buckets of runs of tokens. Two classes need one direction. Entries that no row
    holds, padding and unknown stay as they are.

    Args:
        inputs: the model's input stage.
        examples: the training part, with targets (N,) or (N, K).
        classes: K.
    """
    targets = examples.targets
    if targets is None:
        raise TypeError("log-odds need targets")
    member = np.eye(classes, dtype=np.float32)[targets] if targets.ndim == 1 else targets
    member = torch.from_numpy(np.ascontiguousarray(member, dtype=np.float32))
    tables = [inputs.embedding] if inputs.grams is None else [inputs.embedding, inputs.grams]
    counts = [torch.zeros(table.num_embeddings, classes) for table in tables]
    for row in range(len(examples)):
        tokens = torch.from_numpy(examples.take(np.array([row]))[0].astype(np.int64))
        if not len(tokens):
            continue
        counts[0][tokens.unique()] += member[row]
        if inputs.grams is not None:
            runs = [inputs.buckets_of(tokens.unsqueeze(0), n) for n in range(2, inputs.ngrams + 1)]
            counts[1][torch.cat(runs, 1).unique()] += member[row]
    kept = slice(1, 2) if classes == 2 else slice(0, classes)
    for table, count in zip(tables, counts, strict=True):
        odds = log_odds(count, member.sum(0))[:, kept]
        odds[count.sum(1) == 0] = 0.0
        odds[: 2 if table is inputs.embedding else 1] = 0.0
        directions = (torch.randint(0, 2, (odds.size(1), inputs.features)) * 2 - 1) * _SIZE
        table.weight += odds @ directions
