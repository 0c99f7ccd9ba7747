"""What a tagger is made of beside its recurrent layers: characters, head, and how tags are chosen."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from unroll.errors import OptionError
from unroll.models.options import check_shares
from unroll.options import check_range, check_types

_MANY = 2**20


@dataclass(frozen=True)
class TaggerOptions:
    """Characters of tokens, the head, and how tags are chosen."""

    characters: Literal["none", "recurrence", "convolution"] = "recurrence"
    """What reads a token's characters, beside its word vector: an LSTM in both directions, a convolution, nothing."""
    char_embedding: int = 32
    """Values of a character's vector."""
    char_hidden: int = 32
    """Hidden units of each direction of the LSTM over characters, or filters of the convolution."""
    char_kernel: int = 3
    """Convolution only: characters that a filter sees at a time."""
    char_dropout: float = 0.0
    """Dropout on the characters' vectors."""
    head_dropout: float = 0.0
    """Dropout on what the head is given at each token."""
    decoder: Literal["softmax", "crf"] = "softmax"
    """How tags are chosen: each by itself, or the sequence as a whole by a conditional random field."""

    def __post_init__(self) -> None:
        check_types(self)
        check_range(self, "char_embedding", "char_hidden", "char_kernel", least=1, below=_MANY)
        check_shares(self)
        for field in fields(self):
            users = ("convolution",) if field.name == "char_kernel" else ("recurrence", "convolution")
            changed = getattr(self, field.name) != field.default
            if field.name.startswith("char_") and changed and self.characters not in users:
                named = " or ".join(f"'{u}'" for u in users)
                raise OptionError(f"{field.name} is set, but it goes with characters {named}")
