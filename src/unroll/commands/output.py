"""Write results to standard output as JSON."""

from __future__ import annotations

import codecs
import json
import sys
from collections.abc import Iterable
from typing import Any


def json_text(answer: Any, indent: int | None = None) -> str:
    """Format a result as JSON that standard output can encode.

    Lone surrogates are always escaped, and all non-ASCII characters if the output is not UTF-8.
    """
    text = json.dumps(answer, ensure_ascii=not _writes_utf8(), indent=indent)
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def print_answers(answers: Iterable[Any], *, live: bool) -> None:
    """Print one JSON object per line; with `live` each is flushed before the next is computed.

    Results computed before an error are printed before it.
    """
    try:
        for answer in answers:
            print(json_text(answer), flush=live)
    finally:
        sys.stdout.flush()


def stopped(run: str) -> str:
    """Say what can be done with a training that was stopped."""
    return f"unroll: go on with `unroll resume {run}`, or keep its best weights with `unroll finish {run}`"


def _writes_utf8() -> bool:
    try:
        return codecs.lookup(sys.stdout.encoding or "utf-8").name in ("utf-8", "utf-8-sig")
    except LookupError:
        return False
