"""Which rows an epoch's batches hold, from the seed and the epoch alone."""

from __future__ import annotations

import numpy as np

from unroll.data.progress import B, ResumableBatches


class EpochSampler(ResumableBatches[B]):
    """The order of N rows in batches.

    With `shuffle` the rows are permuted by (seed, epoch), else they keep their order; they are cut into batches of
    `batch_size`. A last batch of fewer rows than processes joins the one before it. The order is made from raw PCG64
    bits, which NumPy keeps the same in every version.

    Args:
        size: N.
        batch_size: rows of a global batch.
        shuffle: permute.
        seed: of the order.
        what: what the rows are, for messages.
    """

    def __init__(self, size: int, batch_size: int, *, shuffle: bool, seed: int, what: str = "rows") -> None:
        super().__init__(size, batch_size, what)
        self.shuffle = shuffle
        self.seed = seed
        self._planned: tuple[tuple[int, int], list[np.ndarray]] | None = None

    def __len__(self) -> int:
        full, rest = divmod(self.size, self.batch_size)
        return max(1, full + (rest >= self.world and rest > 0))

    def plan(self) -> list[np.ndarray]:
        """The rows of every global batch of the epoch, in order."""
        made_for = (self.epoch if self.shuffle else 0, self.world)
        if self._planned is None or self._planned[0] != made_for:
            self._planned = (made_for, self._plan(np.random.PCG64(np.random.SeedSequence([self.seed, made_for[0]]))))
        return self._planned[1]

    def _plan(self, bits: np.random.PCG64) -> list[np.ndarray]:
        return self._cut(self._permuted(bits))

    def _permuted(self, bits: np.random.PCG64) -> np.ndarray:
        return np.argsort(bits.random_raw(self.size), kind="stable") if self.shuffle else np.arange(self.size)

    def _cut(self, order: np.ndarray) -> list[np.ndarray]:
        batches = np.split(order, range(self.batch_size, self.size, self.batch_size))
        if len(batches) > 1 and len(batches[-1]) < self.world:
            batches[-2:] = [np.concatenate(batches[-2:])]
        return batches

    def _settings(self) -> dict[str, int]:
        return {"rows": self.size, "batch_size": self.batch_size, "seed": self.seed}
