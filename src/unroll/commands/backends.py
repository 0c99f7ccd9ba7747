"""`unroll backends`: list the implementations of the recurrent layers."""

from __future__ import annotations

from collections.abc import Sequence

from unroll.commands.arguments import Parser


def main(arguments: Sequence[str]) -> int:
    """Print every backend, in the order `auto` tries them, with the reason if it is missing."""
    Parser(
        "unroll backends",
        "unroll backends",
        "The implementations of the recurrent layers, in the order in which `auto` tries them.",
    ).read(arguments)

    from unroll.ops.backends import available

    for name, missing, text in available():
        print(f"{name:<8} {'available' if missing is None else 'missing':<12} {text if missing is None else missing}")
    return 0
