"""Encode tagged sentences as arrays and as batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np
import torch
from torch import Tensor

from unroll.data.batches import Batch, Batches
from unroll.data.options import BatchOptions
from unroll.data.ragged import RaggedDataset
from unroll.data.text.word_vocab import TokenTable, WordCharVocabulary
from unroll.errors import DataError

NO_TAG = -100
"""Target value of padding, beyond a row's length."""


@dataclass(frozen=True)
class TaggedSentences:
    """Hold N encoded sentences.

    The words and characters of each distinct token are stored once.

    Attributes:
        tokens: sequences (T,) int32 of numbers of distinct tokens, from 1.
        table: word and character ids of each distinct token.
        tags: sequences (T,) int32 of tag numbers; None where there are none.
        unseen_tags: tags that the training data did not have; their numbers follow those of the tags that it had.
    """

    tokens: RaggedDataset
    table: TokenTable
    tags: RaggedDataset | None = None
    unseen_tags: tuple[str, ...] = ()

    @classmethod
    def encode(
        cls,
        sentences: Iterable[Sequence[str]],
        encoder: WordCharVocabulary,
        tags: Sequence[np.ndarray] | None = None,
        unseen_tags: tuple[str, ...] = (),
    ) -> TaggedSentences:
        """Encode lists of tokens, none of them empty, read once; `tags` has a tag number for each token.

        Raises:
            DataError: there are no sentences.
        """
        numbers: dict[str, int] = {}
        rows = [np.array([numbers.setdefault(t, len(numbers) + 1) for t in tokens], np.int32) for tokens in sentences]
        if not rows:
            raise DataError("there are no rows")
        table = encoder.table(list(numbers))
        return cls(
            RaggedDataset.from_arrays(rows),
            table,
            None if tags is None else RaggedDataset.from_arrays(tags),
            unseen_tags,
        )

    def __len__(self) -> int:
        return len(self.tokens)

    def join(self, other: TaggedSentences) -> TaggedSentences:
        """Put other sentences, with tags that these have too, after these; their tokens are numbered anew."""
        offset = len(self.table.words) - 1
        moved = RaggedDataset.from_arrays([row + offset for row in other.tokens.take(np.arange(len(other)))])
        tags = None if self.tags is None or other.tags is None else self.tags.join(other.tags)
        return TaggedSentences(self.tokens.join(moved), self.table.join(other.table), tags, self.unseen_tags)

    def fingerprint(self) -> Iterator[bytes]:
        """Yield the bytes of every sentence, every tag and the token table, for a hash."""
        yield repr(self.unseen_tags).encode()
        yield self.table.words.tobytes()
        yield self.table.characters.tobytes()
        for rows in (self.tokens, self.tags):
            if rows is not None:
                yield from rows.fingerprint()

    @property
    def count(self) -> int:
        """Number of tokens in all sentences."""
        return int(self.tokens.lengths.sum())


@dataclass(frozen=True)
class TaggingBatch(Batch):
    """Hold one process's part of a global batch of sentences; `total` counts the tokens of the global batch.

    Attributes:
        x: (B, T) int64 word ids, 0 beyond each row's length.
        target: (B, T) int64 tag numbers, `NO_TAG` beyond each row's length; None where there are none.
        chars: (N, C) int64 character ids of the batch's N distinct tokens; None where characters are not used.
        places: (B, T) int64, index of each token in `chars`; padding is a token without characters.
        unseen_tags: as in `TaggedSentences`.
    """

    chars: Tensor | None = None
    places: Tensor | None = None
    unseen_tags: tuple[str, ...] = ()

    counts: ClassVar[str] = "tokens"


class TaggingBatches(Batches):
    """Iterate over the batches of an epoch of sentences, in the order of `Batches`.

    Args:
        part: the sentences.
        options, shuffle, batch_size: as in `Batches`.
        chars: whether the batches hold the tokens' characters.
    """

    def __init__(
        self,
        part: TaggedSentences,
        options: BatchOptions | None = None,
        *,
        shuffle: bool,
        chars: bool = True,
        batch_size: int | None = None,
    ) -> None:
        super().__init__(part.tokens, options, shuffle=shuffle, batch_size=batch_size)
        self.part = part
        self.chars = chars

    def __iter__(self) -> Iterator[TaggingBatch]:
        return cast("Iterator[TaggingBatch]", super().__iter__())

    def _collate(self, every: np.ndarray) -> TaggingBatch:
        batch = super()._collate(every)
        numbers, table = batch.x.numpy(), self.part.table
        chars = places = None
        if self.chars:
            distinct, inverse = np.unique(numbers, return_inverse=True)
            spelt = table.characters[distinct]
            longest = max(1, int((spelt != 0).any(0).sum()))
            chars = torch.from_numpy(spelt[:, :longest].astype(np.int64))
            places = torch.from_numpy(inverse.reshape(numbers.shape))
        return TaggingBatch(
            x=torch.from_numpy(table.words[numbers]),
            lengths=batch.lengths,
            target=self._targets(batch),
            rows=batch.rows,
            total=int(self.examples.lengths[every].sum()),
            all_targets=None,
            chars=chars,
            places=places,
            unseen_tags=self.part.unseen_tags,
        )

    def _targets(self, batch: Batch) -> Tensor | None:
        if self.part.tags is None:
            return None
        target = np.full(batch.x.shape, NO_TAG, np.int64)
        for i, tags in enumerate(self.part.tags.take(batch.rows.numpy())):
            target[i, : len(tags)] = tags
        return torch.from_numpy(target)
