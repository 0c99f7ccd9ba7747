"""Starting from what another run has learnt."""

from __future__ import annotations

from dataclasses import dataclass

from unroll.errors import OptionError
from unroll.options import check_types


@dataclass(frozen=True)
class TransferOptions:
    """Starting from a pre-trained run."""

    init_from: str = ""
    """A run folder to start from, such as a language model's: its vocabulary, embedding vectors and recurrent layers
    are taken over; sizes that are not given become its."""

    trust_changed: bool = False
    """Start from it though its files are not as they were written, such as one that was edited by hand."""

    def __post_init__(self) -> None:
        check_types(self)
        if self.trust_changed and not self.init_from:
            raise OptionError("trust_changed is set, but it goes with init_from")
