"""Several models that decode together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from unroll.errors import OptionError


class Ensemble(nn.Module):
    """Decode with the mean of several models' probabilities; the models have one vocabulary.

        log p(y | ...) = log(1/M sum_m p_m(y | ...))

    Attention weights are the mean too.

    Args:
        members: models that a search can step, such as `Seq2Seq`.

    Raises:
        OptionError: the members have vocabularies of different sizes.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        sizes = {int(member.vocabulary) for member in self._each()}
        if len(sizes) != 1:
            raise OptionError(f"models that decode together need one vocabulary, and these have {sorted(sizes)} tokens")
        self.vocabulary = sizes.pop()

    def _each(self) -> list[Any]:
        return list(self.members)

    def encode(self, x: Tensor, lengths: Tensor) -> tuple[Any, ...]:
        """Read the sources; return the members' states."""
        return tuple(member.encode(x, lengths) for member in self._each())

    def step(self, ids: Tensor, state: tuple[Any, ...]) -> tuple[Tensor, tuple[Any, ...]]:
        """Read one more token of each text; return log p (N, V) of the next one, and the states."""
        answers = [member.step(ids, part) for member, part in zip(self._each(), state, strict=True)]
        stacked = torch.stack([log_p.double() for log_p, _ in answers])
        mean = stacked.logsumexp(0) - math.log(len(answers))
        return mean.to(answers[0][0].dtype), tuple(after for _, after in answers)

    def select(self, state: tuple[Any, ...], rows: Tensor) -> tuple[Any, ...]:
        """Select texts of the states."""
        return tuple(member.select(part, rows) for member, part in zip(self._each(), state, strict=True))

    def attention(self, state: tuple[Any, ...]) -> Tensor:
        """Return the mean of the members' attention weights."""
        every = [member.attention(part) for member, part in zip(self._each(), state, strict=True)]
        return torch.stack(every).mean(0)

    def source_lengths(self, state: tuple[Any, ...]) -> Tensor:
        """Return the lengths of the sources."""
        return self._each()[0].source_lengths(state[0])
