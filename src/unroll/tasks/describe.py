"""Describe sizes, lengths, names and models in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

    from unroll.models.options import RecurrentOptions


def counted(report: Mapping[str, Any]) -> str:
    """Format the size in a report: `360 rows`."""
    name, number = next(iter(report.items()))
    return f"{number:,} {name.removesuffix('s') if number == 1 else name}"


def describe_lengths(lengths: np.ndarray, unit: str, row: str, padding: float) -> str:
    """Describe sequence lengths: `3 to 80 tokens a row (median 12), 4.1% of the batches padding`."""
    import statistics

    middle = int(statistics.median(lengths.tolist()))
    return (
        f"{int(lengths.min())} to {int(lengths.max())} {unit} a {row} (median {middle}),"
        f" {padding:.1%} of the batches padding"
    )


def some(names: Sequence[str], most: int = 8) -> str:
    """List the first names, and how many more there are: `neg, pos`."""
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")


def parameters(network: nn.Module) -> int:
    """Count the parameters of a network."""
    return sum(p.numel() for p in network.parameters())


def recurrent_layers(options: RecurrentOptions) -> str:
    """Describe the recurrent layers: `2 bidirectional LSTM layers of 128`."""
    both = "bidirectional " if options.bidirectional else ""
    last = f", the last of {options.last_hidden_size}" if options.last_hidden_size else ""
    layers = f"{both}{options.recurrence.upper()} layer{'s' * (options.num_layers > 1)}"
    return f"{options.num_layers} {layers} of {options.hidden_size}{last}"
