"""Cut a long text into windows for truncated backpropagation through time (BPTT)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from unroll.data.batches import Batch
from unroll.data.sampler import ResumableBatches
from unroll.data.text.corpus import Corpus


@dataclass(frozen=True)
class BPTTBatch(Batch):
    """Hold one process's part of a BPTT window over all streams.

    Attributes:
        x: (B, T) int64, the token before each target.
        lengths: (B,) int64 on the CPU; 0 where a stream has already ended.
        target: (B, T) int64, zero beyond each row's length.
        rows: (B,) int64 on the CPU, the streams.
        total: targets of the window over all processes.
        resets: (B, T) bool, true where a document begins and the state is reset; None where none does.
        first: the window is the first of its epoch: its streams start from the zero state.
        nominal: the mean number of targets of a window, N / n.
        longest: steps of the window's longest stream over all processes; T, except in processes with shorter streams.
        chosen: (B, T) bool, the targets that count; None where all within the lengths do.
    """

    counts: ClassVar[str] = "tokens"

    resets: Tensor | None = None
    first: bool = False
    nominal: float = 1.0
    longest: int = 1
    chosen: Tensor | None = None

    @property
    def whole(self) -> bool:
        """Whether every row has length T."""
        return int(self.lengths.min()) == self.x.shape[1]

    def counted(self) -> Tensor:
        """Return the mask of the targets that count, (B, T) bool, on the device of the batch."""
        if self.chosen is not None:
            return self.chosen
        return torch.arange(self.x.shape[1], device=self.x.device) < self.lengths.to(self.x.device).unsqueeze(1)


class BPTTBatches(ResumableBatches[BPTTBatch]):
    """Split a text of N tokens into B contiguous streams, and cut these into n BPTT windows.

    Every token is a target exactly once per epoch. Row r has the targets floor(r N / B) to floor((r + 1) N / B) - 1 in
    order, and window number w follows window w - 1 in every row, so that the state can be carried from one to the
    next. The input of a step is the token before its target; for a document's first token it is the line end
    (`Corpus.start`), whatever the previous document ended with.

    The cuts lie L / n apart, with L = ceil(N / B), the longest row, and n = ceil(L / window). With `jitter` j each but
    the first and last is moved by up to j L / n steps, by (seed, epoch) alone, so that a window has (1 +- 2 j) L / n
    steps: backpropagation then does not end at the same tokens in every epoch. n is the same for every epoch.

    Varying lengths: Merity, Keskar & Socher 2018, "Regularizing and optimizing LSTM language models"; there lengths are
    drawn at random, and the number of windows differs from epoch to epoch.

    Args:
        corpus: the text.
        batch_size: B, over all processes; fewer where the text has fewer tokens.
        window: steps of a window, at most, without jitter.
        jitter: j, at least 0 and below 0.5.
        seed: of the jitter.

    Raises:
        DataError: there are no tokens.
    """

    def __init__(
        self,
        corpus: Corpus,
        batch_size: int,
        window: int,
        *,
        jitter: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__(len(corpus), min(batch_size, len(corpus)), "tokens")
        self.corpus = corpus
        self.window = window
        self.jitter = jitter
        self.seed = seed
        n, B = self.size, self.batch_size
        self._edges = np.arange(B + 1, dtype=np.int64) * n // B
        self._longest = -(-n // B)
        self._windows = -(-self._longest // window)
        self._reach = min(int(jitter * self._longest / self._windows), (self._longest // self._windows - 1) // 2)

    def __len__(self) -> int:
        return self._windows

    @property
    def streams(self) -> int:
        """Number of streams B."""
        return self.batch_size

    @property
    def mean(self) -> float:
        """Mean number of steps of a window of the longest row."""
        return self._longest / self._windows

    def cuts(self) -> np.ndarray:
        """Return the window boundaries of the epoch in steps of the longest row, (n + 1,) int64, increasing."""
        cuts = np.arange(self._windows + 1, dtype=np.int64) * self._longest // self._windows
        if self._reach and self._windows > 1:
            bits = np.random.PCG64(np.random.SeedSequence([self.seed, self.epoch])).random_raw(self._windows - 1)
            cuts[1:-1] += (bits % np.uint64(2 * self._reach + 1)).astype(np.int64) - self._reach
        return cuts

    def _make(self, number: int) -> BPTTBatch:
        cuts = self.cuts()
        return self._collate(int(cuts[number]), int(cuts[number + 1]), first=number == 0)

    def _collate(self, begin: int, end: int, *, first: bool) -> BPTTBatch:
        every = np.clip(self._edges[1:] - self._edges[:-1] - begin, 0, end - begin)
        rows = np.arange(self.rank, self.batch_size, self.world)
        lengths = every[rows]
        T = max(1, int(lengths.max()))
        x, target = np.zeros((2, len(rows), T), dtype=np.int64)
        resets = np.zeros((len(rows), T), dtype=bool)
        tokens, documents, before = self.corpus.tokens, self.corpus.documents, self.corpus.start
        for i, row in enumerate(rows):
            low = int(self._edges[row]) + begin
            length = int(lengths[i])
            if not length:
                continue
            target[i, :length] = tokens[low : low + length]
            x[i, 1:length] = target[i, : length - 1]
            x[i, 0] = tokens[low - 1] if low else before
            starts = documents[np.searchsorted(documents, low) : np.searchsorted(documents, low + length)] - low
            x[i, starts] = before
            resets[i, starts] = True
        return BPTTBatch(
            x=torch.from_numpy(x),
            lengths=torch.from_numpy(lengths),
            target=torch.from_numpy(target),
            rows=torch.from_numpy(rows),
            total=int(every.sum()),
            all_targets=None,
            resets=torch.from_numpy(resets) if resets.any() else None,
            first=first,
            nominal=len(self.corpus) / self._windows,
            longest=max(1, int(every.max())),
        )

    def _settings(self) -> dict[str, int]:
        return {
            "tokens": self.size,
            "batch_size": self.batch_size,
            "windows": self._windows,
            "reach": self._reach,
            "seed": self.seed,
        }
