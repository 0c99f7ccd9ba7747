"""Starting from what another run has learnt."""

from __future__ import annotations

from dataclasses import dataclass

from unroll.options import check_types


@dataclass(frozen=True)
class TransferOptions:
    """Starting from a pre-trained run."""

    init_from: str = ""
    """A run folder to start from, such as a language model's: its vocabulary, embedding vectors and recurrent layers
    are taken over; sizes that are not given become its."""

    def __post_init__(self) -> None:
        check_types(self)
