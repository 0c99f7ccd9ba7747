"""Make masked language modelling windows: some tokens are hidden and predicted from both sides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from unroll.data.text.bptt import BPTTBatch, BPTTBatches
from unroll.data.text.corpus import Corpus
from unroll.data.text.tokenizer import TextTokenizer


class MaskedWindows(BPTTBatches):
    """Mask a share of the tokens in windows of a text with the unknown token, as targets.

    The windows are those of `BPTTBatches`, but no state is carried over. `x` holds the tokens of the window with some
    masked, `target` all its tokens, `chosen` (B, T) says which are masked, and `total` and `nominal` count these.
    The choice depends on the seed, the window and, with `anew` (training), the epoch; every window has at least
    one.

    Paper: Devlin et al. 2019, "BERT: Pre-training of deep bidirectional transformers for language understanding";
    here every chosen token is masked, none is kept or replaced by another.

    Args:
        corpus, batch_size, window, jitter, seed: as `BPTTBatches`.
        share: share of the tokens that are masked.
        anew: mask other tokens in every epoch.
    """

    def __init__(
        self,
        corpus: Corpus,
        batch_size: int,
        window: int,
        *,
        share: float,
        anew: bool,
        jitter: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__(corpus, batch_size, window, jitter=jitter, seed=seed)
        self.share = share
        self.anew = anew

    def _collate(self, begin: int, end: int, *, first: bool) -> BPTTBatch:
        batch = super()._collate(begin, end, first=first)
        assert batch.target is not None  # noqa: S101 (`BPTTBatches` gives them)
        every = np.clip(self._edges[1:] - self._edges[:-1] - begin, 0, end - begin)
        seed = np.random.SeedSequence([self.seed, self.epoch if self.anew else 0, begin])
        draws = np.random.PCG64(seed).random_raw(self.batch_size * (end - begin)).reshape(self.batch_size, end - begin)
        there = np.arange(end - begin) < every[:, None]
        hidden = there & (draws < np.uint64(self.share * 2**64))
        if not hidden.any():
            hidden = there & (draws == draws[there].min())
        chosen = torch.from_numpy(hidden[batch.rows.numpy(), : batch.target.shape[1]])
        total = int(hidden.sum())
        return replace(
            batch,
            x=torch.where(chosen, TextTokenizer.UNK, batch.target),
            first=True,
            chosen=chosen,
            total=total,
            nominal=float(total),
        )
